"""The benchmark of training: kft's stage beside plain TRL and PEFT, on the same rows, in turn.

    kft      the trainer and the model of `kft train`
    plain    TRL's SFTTrainer with PEFT's LoRA: loss on the completion, no recomputed activations, no packing

Both train the same LoRA from the same seed on the same questions in the same order and batches, with AdamW, and log the
loss of every step. Neither validates nor saves, so that only training is timed. Each run is a process of its own, on a
fixed number of threads; the two take turns, and every pair gives a ratio of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from kft_cli.display.tables import Code, Section, Table, make_table, markdown_document, plain, terminal_text
from kft_cli.studies.benchmark import failed_contender
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.errors import KftError
from kft_tasks.models.locate import model_folder
from kft_tasks.protocol.prompts import completion_text, get_template
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question, read_questions
from kft_train.data.mixture import Mixture, MixtureItem, PartCount
from kft_train.data.rows import ValidationPrompt, question_prompt
from kft_train.recipes.recipe import AdapterConfig, StageConfig
from kft_train.recipes.sft_config import for_installed
from kft_train.stage import train
from kft_train.stage.request import StageRequest

CONTENDERS = ("kft", "plain")
_SEED = 0


@dataclass(frozen=True)
class TrainSettings:
    """What is the same for both.

    Attributes:
        model: alias, local folder or hub id.
        type_: type of the questions, or "all".
        threads: CPU threads.
        batch_size: questions per step.
        epochs: passes over the questions.
        dropout: of the LoRA; with 0 both must have the same losses.
        rounds: number of pairs.
    """

    model: str
    type_: str
    threads: int
    batch_size: int
    epochs: int
    dropout: float
    rounds: int


def run_pairs(settings: TrainSettings, questions: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Train in turn, each time in a fresh process; every second pair starts with the other contender.

    Args:
        questions: JSON Lines file with the questions to train on.
        say: called with a sentence after each run.

    Raises:
        KftError: a contender failed.
    """
    results = []
    for number in range(settings.rounds):
        for name in CONTENDERS if number % 2 == 0 else CONTENDERS[::-1]:
            given = json.dumps(asdict(settings))
            command = [sys.executable, "-m", "kft_cli.studies.train_benchmark", name, given, str(questions)]
            environment = {**os.environ, "OMP_NUM_THREADS": str(settings.threads)}
            load = os.getloadavg()[0]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                raise KftError(failed_contender(name, done.returncode, done.stderr))
            result = json.loads(done.stdout.splitlines()[-1])
            results.append({"round": number + 1, "load_before": round(load, 2), **result})
            say(f"benchmark: {name} took {result['seconds']:.1f} s, {result['cpu_seconds']:.1f} CPU-seconds")
    return results


def worker(name: str, settings: TrainSettings, path: Path) -> dict[str, Any]:
    """Train one contender in this process; return what it cost and its losses.

    Args:
        path: JSON Lines file with the questions to train on.
    """
    import torch

    torch.set_num_threads(settings.threads)
    questions = list(read_questions(path, split="train"))
    with tempfile.TemporaryDirectory() as folder, train._quiet_libraries():
        trainer = _WAYS[name](settings, questions, Path(folder))
        wall, cpu = time.perf_counter(), time.process_time()
        trainer.train()
        spent = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    tokens = int(trainer.state.num_input_tokens_seen)
    return {
        "contender": name,
        "questions": len(questions),
        "steps": len(log),
        "tokens": tokens,
        **spent,
        "tokens_per_cpu_second": tokens / spent["cpu_seconds"],
        "losses": [entry["loss"] for entry in log],
    }


def _request(settings: TrainSettings, questions: Sequence[Question], folder: Path) -> StageRequest:
    """The stage that is trained; its validation question is never asked."""
    items = tuple(MixtureItem(one, "all", "benchmark", KnowledgeCategory.MAYBE_KNOWN) for one in questions)
    stage = {
        "name": "benchmark",
        "mixture": [{"name": "all"}],
        "start": "new",
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.batch_size,
    }
    return StageRequest(
        stage=StageConfig.model_validate(stage),
        adapter=AdapterConfig(lora_dropout=settings.dropout),
        protocol=Protocol(),
        seed=_SEED,
        model=str(model_folder(settings.model)),
        mixture=Mixture(items, (PartCount("all", len(items), len(items)),), _SEED),
        validation=(ValidationPrompt(questions[0]),),
        work=folder / "work",
        output=folder / "output",
    )


def _kft(settings: TrainSettings, questions: Sequence[Question], folder: Path) -> Any:
    from transformers import set_seed

    request = _request(settings, questions, folder)
    args = train._arguments(request)
    args.eval_strategy = args.save_strategy = "no"
    rows = train._rows(request)
    set_seed(_SEED)
    trainer, _ = train._make_trainer(request, args, rows, lambda done, total, note: None)
    return trainer


def _plain(settings: TrainSettings, questions: Sequence[Question], folder: Path) -> Any:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    request = _request(settings, questions, folder)
    stage, protocol = request.stage, request.protocol
    tokenizer = AutoTokenizer.from_pretrained(request.model, trust_remote_code=False)
    set_seed(_SEED)
    model = AutoModelForCausalLM.from_pretrained(
        request.model, dtype="float32", trust_remote_code=False, use_safetensors=True
    )
    values = {
        **train._machine_values(),
        "num_train_epochs": stage.num_train_epochs,
        "learning_rate": stage.learning_rate,
        "per_device_train_batch_size": stage.per_device_train_batch_size,
        "lr_scheduler_type": stage.lr_scheduler_type,
        "seed": _SEED,
        "data_seed": _SEED,
        "completion_only_loss": True,
        "max_length": None,
        "activation_checkpointing": False,
        "logging_steps": 1,
        "include_num_input_tokens_seen": "non_padding",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    args = SFTConfig(output_dir=str(folder), **for_installed(values, SFTConfig.__dataclass_fields__))
    rows = [
        {
            "prompt": question_prompt(one, (), protocol, tokenizer),
            "completion": completion_text(get_template(protocol.template), one.answers[0]),
        }
        for one in questions
    ]
    trainer = SFTTrainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(task_type="CAUSAL_LM", **request.adapter.model_dump()),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


_WAYS: dict[str, Callable[[TrainSettings, Sequence[Question], Path], Any]] = {"kft": _kft, "plain": _plain}


def pairs_of(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per pair: CPU-seconds, ratios of plain to kft, and the largest difference between two losses of one step."""
    found = []
    for number in sorted({one["round"] for one in results}):
        kft, plain = (
            next(one for one in results if one["round"] == number and one["contender"] == name) for name in CONTENDERS
        )
        gaps = [abs(own - other) for own, other in zip(kft["losses"], plain["losses"], strict=True)]
        found.append(
            {
                "round": number,
                "cpu_seconds": {name: one["cpu_seconds"] for name, one in (("kft", kft), ("plain", plain))},
                "ratio_cpu_seconds": plain["cpu_seconds"] / kft["cpu_seconds"],
                "ratio_seconds": plain["seconds"] / kft["seconds"],
                "largest_loss_difference": max(gaps),
            }
        )
    return found


def render_training(data: dict[str, Any], *, markdown: bool = False) -> str:
    """The tables of the benchmark of training, for the terminal or as a Markdown document."""
    settings = data["settings"]
    title = (
        f"{settings['questions']} questions of {settings['type_']}, {settings['epochs']} epochs in batches of "
        f"{settings['batch_size']}, {settings['model']}, LoRA on all linear layers, dropout {settings['dropout']:g}, "
        f"{settings['threads']} thread(s)"
    )
    sections = [
        Section(title, (_cost_table(data),)),
        Section("Pairs", (_pair_table(data["pairs"]),)),
        Section("Loss", (_loss_table(data["results"]),)),
        Section("Repeat", (Code(_command(settings)),)),
    ]
    return markdown_document("Benchmark of training", sections) if markdown else terminal_text(sections)


def _cost_table(data: dict[str, Any]) -> Table:
    rows = [
        [
            one["contender"],
            str(one["round"]),
            f"{one['cpu_seconds']:.1f}",
            f"{one['seconds']:.1f}",
            str(one["steps"]),
            f"{one['tokens']:,}",
            f"{one['tokens_per_cpu_second']:.0f}",
            f"{one['load_before']:.1f}",
        ]
        for one in data["results"]
    ]
    machine, used = data["hardware"], data["versions"]
    names = {"torch": "torch", "transformers": "transformers", "PEFT": "peft", "TRL": "trl"}
    libraries = plain(", ".join(f"{name} {used.get(key)}" for name, key in names.items()))
    processor = plain(machine["cpu"] or "unknown processor")
    caption = (
        f"{processor}, {machine['cores']} cores, {machine['memory_gb']} GB; {libraries}. Neither validates "
        "nor saves checkpoints. Tokens: without padding. Load: processes that wanted a core in the minute before."
    )
    heads = "way | pair > | CPU s > | s > | steps > | tokens > | tokens per CPU s > | load >"
    return make_table(heads, rows, caption)


def _pair_table(pairs: Sequence[dict[str, Any]]) -> Table:
    rows = [
        [
            str(one["round"]),
            f"{one['ratio_cpu_seconds']:.2f}",
            f"{one['ratio_seconds']:.2f}",
            f"{one['largest_loss_difference']:.2g}",
        ]
        for one in pairs
    ]
    middle = median(one["ratio_cpu_seconds"] for one in pairs)
    note = f"plain over kft; the median of the ratios of CPU-seconds is {middle:.2f}. With dropout 0, losses are equal "
    note += "but for rounding; with dropout, the two draw other noise."
    return make_table("pair > | x CPU s > | x s > | largest difference of a step's loss >", rows, note)


def _loss_table(results: Sequence[dict[str, Any]]) -> Table:
    kft, plain = (next(one["losses"] for one in results if one["contender"] == name) for name in CONTENDERS)
    rows = [
        [str(step), f"{own:.4f}", f"{other:.4f}"]
        for step, (own, other) in enumerate(zip(kft, plain, strict=True), start=1)
    ]
    return make_table("step > | kft > | plain >", rows, "Mean loss per answer token of every step, first pair.")


def _command(settings: dict[str, Any]) -> str:
    command = f"kft benchmark training --model {settings['model']} --type {settings['type_']}"
    command += f" --limit {settings['questions']}"
    names = ("threads", "batch_size", "epochs", "dropout", "rounds")
    return command + "".join(f" --{name.replace('_', '-')} {settings[name]}" for name in names)


if __name__ == "__main__":
    print(json.dumps(worker(sys.argv[1], TrainSettings(**json.loads(sys.argv[2])), Path(sys.argv[3]))))
