"""Weights come from safetensors only, and no code of a model's author runs, wherever a model is loaded."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.errors import DataError, UsageError
from kft_tasks.models.backends import check_choice, identify_choice
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.loading import load_model
from kft_tasks.models.weights import adapter_digest, weights_digest
from kft_train.recipes.recipe import AdapterConfig
from kft_train.stage.adapters import check_adapter, load_trainable

ROOT = Path(__file__).parents[2]


def _sources() -> Iterator[Path]:
    for package in ("kft_tasks", "kft_train", "cli/kft_cli"):
        yield from (ROOT / package).rglob("*.py")


def _calls(path: Path, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(name):
            yield node


def test_every_place_that_loads_a_model_or_tokenizer_says_so() -> None:
    """Without trust_remote_code=False, transformers asks at the terminal whether to run a model's code."""
    seen = 0
    for path in _sources():
        for call in _calls(path, ".from_pretrained"):
            given = {one.arg: ast.unparse(one.value) for one in call.keywords}
            loader, where = ast.unparse(call.func).split(".")[0], f"{path}:{call.lineno}"
            if loader == "PeftModel":  # on a model that is loaded; its folder is checked, see below
                continue
            seen += 1
            assert given.get("trust_remote_code") == "False", where
            if loader.startswith("AutoModel"):
                assert given.get("use_safetensors") == "True" or "gguf_file" in given, where
    assert seen >= 7


_FORBIDDEN = re.compile(r"(^|\.)(pickle\.\w+|torch\.load|os\.umask|yaml\.(unsafe_load|full_load))$|^(eval|exec)$")


def test_no_source_unpickles_evaluates_text_or_sets_the_umask() -> None:
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                assert not _FORBIDDEN.search(ast.unparse(node.func)), f"{path}:{node.lineno}"


def _pickled(folder: Path) -> Path:
    """An adapter as old versions of PEFT saved it; opening it would run a command."""
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    code = b"cposix\nsystem\n(S'touch " + str(folder / "owned").encode() + b"'\ntR."
    (folder / "adapter_model.bin").write_bytes(code)
    return folder


def test_an_adapter_with_pickled_weights_is_one_clear_error(tiny_model: Path, tmp_path: Path) -> None:
    adapter = _pickled(tmp_path / "adapter")
    for use in (
        lambda: adapter_digest(adapter),
        lambda: check_adapter(adapter),
        lambda: identify_choice(ModelChoice(str(tiny_model), adapter, "float32")),
        lambda: load_model(ModelChoice(str(tiny_model), adapter, "float32")),
    ):
        with pytest.raises(DataError, match=r"pickled weights only \(\.bin\), which are not loaded"):
            use()
    assert not (adapter / "owned").exists()


def _model_with_pickled_weights(tiny_model: Path, folder: Path) -> Path:
    shutil.copytree(tiny_model, folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(
        b"cposix\nsystem\n(S'touch " + str(folder / "owned").encode() + b"'\ntR."
    )
    return folder


def test_a_model_with_pickled_weights_is_refused_in_detection_and_in_training(tiny_model: Path, tmp_path: Path) -> None:
    folder = _model_with_pickled_weights(tiny_model, tmp_path / "model")
    with pytest.raises(DataError, match="pickled weights are not loaded"):
        weights_digest(folder)
    with pytest.raises(DataError, match="pickled weights are not loaded"):
        load_model(ModelChoice(str(folder), None, "float32"))
    with pytest.raises(DataError, match="the model does not load .* Use one of safetensors"):
        load_trainable(str(folder), None, "new", AdapterConfig(), None)
    assert not (folder / "owned").exists()


@pytest.mark.parametrize("key", ["trust_remote_code", "use_safetensors", "load_format", "weights_only", "delta"])
@pytest.mark.parametrize("backend", ["hf", "vllm", "sglang", "local-completions"])
def test_backend_arguments_cannot_undo_it(key: str, backend: str) -> None:
    with pytest.raises(UsageError, match=f"Backend argument {key}: kft loads weights from safetensors only"):
        check_choice(ModelChoice("x", None, "auto", backend=backend, backend_args={key: True}))


def test_a_models_own_code_is_not_run(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    config["model_type"] = "of-its-own"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(folder / 'owned')!r}, 'w')\n")
    with pytest.raises(Exception, match="does not load"):
        load_model(ModelChoice(str(folder), None, "float32"))
    with pytest.raises(DataError, match="the model does not load"):
        load_trainable(str(folder), None, "new", AdapterConfig(), None)
    assert not (folder / "owned").exists()
