"""Every line format of kft with one value changed: read without harm, or refused with one error that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.errors import KftError
from kft_tasks.evaluation.evaluate import by_question, read_answers
from kft_tasks.protocol.protocol import Protocol
from kft_train.data.mixture import read_mixture
from mutating import try_all, write_journal, write_lines
from task_helpers import ListSet, ScriptedAnswerer, make_question, mixed_table, scripted_detection

OLDER = Path(__file__).parents[1] / "fixtures" / "version_0_1_0"
RUN = OLDER / "tiny-run"
PROTOCOL = Protocol(exemplar_sets=4, shots=2, samples=3, max_tokens=4, skip_blank_lines=False)
QUESTIONS = ListSet([make_question(f"q{number}") for number in range(12)])


def _rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


READERS: dict[str, tuple[Path, Callable[[Path], object], list[int]]] = {
    "categories": (OLDER / "detection/lazy.categories.jsonl", lambda path: list(CategoryFile(path)), [0, 1, 2, 3]),
    "rescored": (OLDER / "detection/rescored.categories.jsonl", lambda path: list(CategoryFile(path)), [0]),
    "answers": (RUN / "evaluate-base/answers.jsonl", lambda path: by_question(read_answers(path)), [0]),
    "mixture": (RUN / "stage2/mixture.jsonl", read_mixture, [0, 1]),
}

HARMLESS = {  # what may be anything of its type
    "categories": {"kft_version", "id", "weights", "adapter", "dtype", "set", "version", "digest", "exemplars"}
    | {"type", "subject", "question", "split", "answers", "greedy_answers", "sampled_answers", "exhaustive"}
    | {"options", "counts", "protocol"},
    "rescored": {"kft_version", "id", "weights", "adapter", "dtype", "set", "version", "digest", "exemplars"}
    | {"split", "exhaustive", "options", "source", "scorer", "corrections", "corrected", "undecided", "rescored"}
    | {"counts", "protocol"},
    "answers": {"id", "type", "question", "answers", "given", "right", "shots", "subject", "exemplar_set"},
    "mixture": {"id", "type", "subject", "question", "split", "answers", "reason", "seed", "available", "redrawn"}
    | {"category_before", "name"},
}


@pytest.mark.parametrize("name", READERS)
def test_a_mutated_line_is_refused_or_harmless(name: str, tmp_path: Path) -> None:
    source, reader, numbers = READERS[name]
    rows = _rows(source)
    path = tmp_path / source.name

    for number in numbers:

        def read(value: Any, number: int = number) -> None:
            write_lines(path, [*rows[:number], value, *rows[number + 1 :]])
            reader(path)

        outcome = try_all(rows[number], read, path.name)
        assert not outcome.wrong, str(outcome)
        assert outcome.refused > 10 * len(rows[number])
        odd = [one for one in outcome.read if not any(f"'{key}'" in one for key in HARMLESS[name])]
        assert not odd, odd[:20]
        assert not [one for one in outcome.read if "one key more" in one and "options" not in one]


def test_a_mutated_journal_is_refused_or_resumed(tmp_path: Path) -> None:
    source = OLDER / "detection/interrupted.categories.jsonl.journal/0.jsonl"
    rows = [json.loads(line.partition(" ")[2]) for line in source.read_text(encoding="utf-8").splitlines()]
    kinds = [
        0,
        *(
            next(n for n, row in enumerate(rows) if n and row.get(key) == is_)
            for key, is_ in (("kind", "greedy"), ("kind", "sampled"), ("finished", 4))
        ),
    ]
    output = tmp_path / "interrupted.categories.jsonl"
    journal = tmp_path / f"{output.name}.journal" / "0.jsonl"

    for number in kinds:

        def read(value: Any, number: int = number) -> None:
            output.unlink(missing_ok=True)
            journal.parent.mkdir(exist_ok=True)
            write_journal(journal, [*rows[:number], value, *rows[number + 1 :]])
            result = scripted_detection(QUESTIONS, PROTOCOL, output, ScriptedAnswerer(mixed_table, PROTOCOL))
            assert len(list(CategoryFile(result.path))) == 12

        outcome = try_all(rows[number], read, "", KftError)
        assert not outcome.wrong, str(outcome)
        assert outcome.refused > 40
        assert not [one for one in outcome.read if "one key more" in one and "cost" not in one]
