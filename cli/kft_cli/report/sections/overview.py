"""Section "What was run"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kft_cli.display.tables import Block, make_table, number
from kft_cli.report.sections.words import Report, exemplars
from kft_tasks.scoring.scorers import SCORERS
from kft_tasks.visible_text import visible

_SCORERS = {
    "exact_match": "the answer equals an accepted answer, ignoring case, punctuation and articles",
    "squad_exact_match": "the answer equals an accepted answer after the normalisation of SQuAD's evaluation script",
    "answer_contained": "the answer contains an accepted answer as whole words",
    "spelled_match": "the answer equals an accepted answer, whatever the spelling of names, numbers, dates and accents",
    "answer_match": "the answer amounts to an accepted answer and adds nothing of substance",
    "answer_stated": "the answer amounts to an accepted answer, or a sentence in it states one (no denials, no lists)",
    "answer_in_sentence": "the answer is part of an accepted sentence and says more than the question",
    "f1_at_least_half": "the word overlap (F1) with an accepted answer is 0.5 or more",
    "paper_substring": "the first accepted answer is a substring of the answer",
}
_STARTS = {
    "new": "a new LoRA adapter",
    "continue": "training continues on the adapter of the previous stage",
    "merged": "the adapter of the previous stage is merged into the model, then a new adapter is trained",
}


def what_was_run(report: Report) -> list[Block]:
    """Model, questions, protocol and training settings, one row each."""
    run = report["run"]
    rows = [
        ("recipe", f"{run['name']}: {run['description']}" if run["description"] else run["name"]),
        ("model", f"{run['model']} ({run['dtype']}, weights {run['weights'][:12]})"),
        ("question set", f"{run['question_set']} (version {run['question_set_version']})"),
        ("questions", ", ".join(f"{split} {number(count)}" for split, count in run["questions"].items())),
        ("detection", _detection(run)),
        *([("measurement", _measurement(report["measured"]))] if report.get("measured") else []),
        ("scoring rule", f"{run['protocol']['scorer']}: {_scorer_words(run['protocol']['scorer'])}"),
        *((stage["name"], _training(stage["settings"])) for stage in report["stages"]),
        ("seed", str(run["seed"])),
    ]
    return [make_table("what | value", [(key, visible(value, 400)) for key, value in rows])]


def _detection(run: Mapping[str, Any]) -> str:
    protocol = run["protocol"]
    words = (
        f"{protocol['exemplar_sets']} prompts with {exemplars(protocol['shots'])} each, one greedy answer per prompt"
    )
    if protocol["samples"]:
        words += (
            f"; if all are wrong, {protocol['samples']} samples per prompt at temperature {protocol['temperature']:g}, "
            f"top-k {protocol['top_k']}"
        )
    return words + (
        "; every answer was generated"
        if run["exhaustive"]
        else "; answers that cannot change a category were not generated"
    )


def _measurement(measured: Mapping[str, Any]) -> str:
    asked = "greedily only" if measured["greedy_only"] else "greedily and with samples"
    which = "all" if measured["n"] == measured["of"] else f"a random {number(measured['n'])} of the"
    return (
        f"at every point, {which} training questions {asked} with {measured['exemplar_sets']} prompts of other "
        f"exemplars (seed {measured['seed']}); every greedy answer was generated"
    )


def _scorer_words(name: str) -> str:
    """A scoring rule in one line: ours, or the first line of its own documentation."""
    if name in SCORERS:
        own = (SCORERS[name].__doc__ or "").strip().partition("\n")[0]
    else:
        own = "see kft_tasks.scoring.scorers"
    return _SCORERS.get(name, own)


def _training(stage: Mapping[str, Any]) -> str:
    batch = stage["per_device_train_batch_size"] * stage["gradient_accumulation_steps"]
    steps = stage.get("max_steps")
    length = f"{number(steps)} optimiser steps" if steps else f"up to {stage['num_train_epochs']} epochs"
    return (
        f"{_STARTS[stage['start']]}; learning rate {stage['learning_rate']:g}, "
        f"weight decay {stage['weight_decay']:g}, batch size {batch}, {length}, "
        f"loss on the {stage['loss']}"
    )
