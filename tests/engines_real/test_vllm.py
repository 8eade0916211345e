"""vLLM in kft's process: ``kft detect --backend vllm`` and ``lm_eval --model vllm``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import MODEL, PROTOCOL, QUESTIONS, Detect, by_id, equal_categories, equal_greedy

from backend_helpers import some_facts
from kft_tasks.answering import engine_processes
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.loading import LoadedModel, load_model
from kft_tasks.questions import write_questions

ENGINE = "vllm"
# compiled kernels take minutes to build and change no answer in float32; little memory, so that two engines fit
ARGUMENTS = {"enforce_eager": True, "max_model_len": 1024, "gpu_memory_utilization": 0.2}
Say = Callable[[str], None]


@pytest.fixture(scope="module")
def engine() -> Iterator[LoadedModel]:
    model = load_model(ModelChoice(MODEL, dtype="float32", backend="vllm", backend_args=ARGUMENTS))
    yield model
    engine_processes._engines[model.lm].end()


@pytest.fixture(scope="module")
def whole(engine: LoadedModel, detect_with: Detect, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An uninterrupted exhaustive detection."""
    return detect_with(engine, tmp_path_factory.mktemp("vllm") / "whole.jsonl")


def test_greedy(whole: Any, own: dict[str, CategorizedQuestion], result: Say) -> None:
    """Greedy answers are those of kft's engine in float32"""
    equal, all_ = equal_greedy(by_id(whole), own)
    result(f"{equal} of {all_}; equal categories: {equal_categories(by_id(whole), own)}")
    assert equal == all_


def test_samples(whole: Any, engine: LoadedModel, detect_with: Detect, tmp_path: Path, result: Say) -> None:
    """Every sample has a seed of its own: samples differ, and come again in another order of questions"""
    again = detect_with(engine, tmp_path / "again.jsonl")
    drawn = [texts for item in by_id(whole).values() for texts in item.sampled_answers if texts]
    differing = sum(len(set(texts)) > 1 for texts in drawn)
    repeated = [texts for item in by_id(again).values() for texts in item.sampled_answers if texts]
    same = sum(one == two for one, two in zip(drawn, repeated, strict=True))
    result(f"{differing} of {len(drawn)} prompts have differing samples; {same} of {len(drawn)} come again")
    assert differing > len(drawn) / 4
    assert same == len(drawn)


def test_lazy(whole: Any, engine: LoadedModel, detect_with: Detect, tmp_path: Path, result: Say) -> None:
    """A lazy detection finds the categories of the exhaustive one"""
    found = equal_categories(by_id(detect_with(engine, tmp_path / "lazy.jsonl", lazy=True)), by_id(whole))
    result(found)
    assert found == f"{QUESTIONS} of {QUESTIONS}"


def test_cost(whole: Any, result: Say) -> None:
    """The cost counts the engine's processes, and the tokens that it reports"""
    cost = whole.cost
    result(
        f"{cost['prefilled']:,.0f} of {cost['prompt_tokens']:,.0f} prompt tokens prefilled, {cost['decoded']:,.0f} decoded"
    )
    assert cost["cpu_seconds"] > 0.2 * cost["seconds"]
    assert 0 < cost["prefilled"] < cost["prompt_tokens"] / 2
    assert cost["decoded"] > 0


def test_harness(
    whole: Any, engine: LoadedModel, monkeypatch: pytest.MonkeyPatch, stock_lm_eval: None, result: Say
) -> None:
    """Inside lm-eval, the same questions get the same samples as in kft detect"""
    import kft_tasks.harness.task
    from backend_helpers import harness_samples

    monkeypatch.setattr(kft_tasks.harness.task, "open_set", lambda *args: some_facts(QUESTIONS))
    protocol = {key: value for key, value in PROTOCOL.to_json().items() if key != "chat"}
    task = kft_tasks.harness.task.KnowledgeTask({"task": "kft_few", "kft": {"set": "worldfacts", **protocol}})
    expected = by_id(whole)
    pairs = []
    for sample in harness_samples(task, model=engine.lm):
        texts = tuple(tuple(text.strip() for text in given) for given in sample["filtered_resps"][1::2])
        pairs += zip(texts, expected[sample["doc"]["id"]].sampled_answers, strict=True)
    result(f"{sum(one == two for one, two in pairs)} of {len(pairs)}")
    assert all(one == two for one, two in pairs)


def _detect_command(folder: Path) -> list[str]:
    questions = some_facts(QUESTIONS)
    write_questions(folder / "few.jsonl", [*questions.split("test"), *questions.split("exemplars")])
    arguments = [part for key, value in ARGUMENTS.items() for part in ("--backend-args", f"{key}={json.dumps(value)}")]
    protocol = ["--exemplar-sets", "2", "--shots", "3", "--samples", "4", "--exhaustive", "--dtype", "float32"]
    chosen = ["--set", "questions", "--path", str(folder / "few.jsonl"), "--split", "test"]
    return [
        sys.executable,
        "-m",
        "kft_cli.main",
        "detect",
        "--backend",
        "vllm",
        "--model",
        MODEL,
        *arguments,
        *chosen,
        *protocol,
        "-o",
        str(folder / "x.jsonl"),
    ]


def _started(command: list[str], folder: Path) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
    """A detection that has recorded its first answers, and the processes of its engine."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=(folder / "log").open("wb"), start_new_session=True
    )
    journal = folder / "x.jsonl.journal" / "0.jsonl"
    for _ in range(1800):
        if process.poll() is not None or (journal.exists() and len(journal.read_bytes().splitlines()) > 1):
            break
        time.sleep(0.5)
    assert process.poll() is None, (folder / "log").read_text(errors="replace")[-2000:]
    return process, psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_signals(number: signal.Signals, whole: Any, tmp_path: Path, result: Say) -> None:
    """A signal ends kft and its engine, and the detection resumes from its journal"""
    command = _detect_command(tmp_path)
    process, children = _started(command, tmp_path)
    process.send_signal(number)
    code = process.wait(60)
    _, staying = psutil.wait_procs(children, timeout=30)
    result(
        f"{number.name}: exit code {code}; {len(staying)} of {len(children)} processes of the engine stay after 30 s"
    )
    for one in staying:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    assert (tmp_path / "x.jsonl.journal" / "0.jsonl").exists()
    if number == signal.SIGTERM:
        assert code == 143
        assert not staying
        assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0
        again = {item.question.id: item for item in CategoryFile(tmp_path / "x.jsonl")}
        expected = by_id(whole)
        for id_, item in again.items():  # the same seeds, and so the same samples, as without an interruption
            assert item.greedy_answers == expected[id_].greedy_answers
            assert item.sampled_answers == expected[id_].sampled_answers
        assert len(again) == QUESTIONS


@pytest.mark.parametrize("seconds", [4, 12, 25])
def test_signal_while_loading(seconds: int, tmp_path: Path, result: Say) -> None:
    """One SIGTERM while the engine starts ends kft and what it has started"""
    process = subprocess.Popen(
        _detect_command(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=(tmp_path / "log").open("wb"),
        start_new_session=True,
    )
    time.sleep(seconds)
    assert process.poll() is None, (tmp_path / "log").read_text(errors="replace")[-2000:]
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    _, staying = psutil.wait_procs(children, timeout=30)
    result(f"after {seconds} s: exit code {code}; {len(staying)} of {len(children)} processes stay")
    assert code == 143
    assert not staying


def test_adapter(embedded_model: Path, detect_with: Detect, tmp_path: Path, result: Say) -> None:
    """With a LoRA adapter, greedy answers are those of kft's engine with it in float32"""
    adapter = _random_adapter(embedded_model, tmp_path / "adapter")
    choice = ModelChoice(MODEL, adapter, "float32", "cpu")
    own = by_id(detect_with(load_model(choice), tmp_path / "own.jsonl", questions=8))
    engine = load_model(ModelChoice(MODEL, adapter, "float32", backend="vllm", backend_args=ARGUMENTS))
    try:
        found = by_id(detect_with(engine, tmp_path / "vllm.jsonl", questions=8))
    finally:
        engine_processes._engines[engine.lm].end()
    equal, all_ = equal_greedy(found, own)
    result(f"{equal} of {all_}")
    assert equal >= all_ - 1  # the adapter is added in another order: nearly equal logits may swap


def _random_adapter(model: Path, folder: Path) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    config = LoraConfig(r=20, lora_alpha=20, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    adapted: Any = get_peft_model(base, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.mul_(0.2)  # answers change, and are still words
    adapted.save_pretrained(folder)
    return folder


def test_lm_eval_command(embedded_model: Path, tmp_path: Path, result: Say) -> None:
    """lm_eval --model vllm --tasks kft_worldfacts runs, with the arguments that vLLM needs on a CPU"""
    options = {**ARGUMENTS, "enable_chunked_prefill": False, "block_size": 32, "enable_prefix_caching": True}
    arguments = ",".join(f"{key}={value}" for key, value in options.items())
    metadata = {"kft_exemplar_sets": 2, "kft_shots": 3, "kft_samples": 4}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "lm_eval",
            "--model",
            "vllm",
            "--tasks",
            "kft_worldfacts",
            "--limit",
            "4",
            "--model_args",
            f"pretrained={embedded_model},dtype=float32,{arguments}",
            "--batch_size",
            "auto",
            "--metadata",
            json.dumps(metadata),
            "--include_path",
            str(_task_folder()),
            "--output_path",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KFT_LM_EVAL_HOOK": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = tmp_path.rglob("results_*.json")
    found = json.loads(file.read_text())["results"]["kft_worldfacts"]
    result(f"greedy accuracy {found['greedy_accuracy,none']:.3f} on 4 questions")


def _task_folder() -> Path:
    import kft_tasks.lm_eval_tasks

    return Path(kft_tasks.lm_eval_tasks.__file__).parent
