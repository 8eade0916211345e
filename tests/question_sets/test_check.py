from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.errors import DataError, UnavailableError
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.checks import check as checking
from kft_tasks.question_sets.checks.check import check_set
from kft_tasks.question_sets.loaders.worldfacts import PACKAGED
from kft_tasks.question_sets.registry import SETS

Write = Callable[..., Path]


def rows(count: int, split: str, type_: str = "t") -> list[dict[str, Any]]:
    return [
        {"question": f"{type_} {split} {n}?", "answers": ["A"], "type": type_, "split": split} for n in range(count)
    ]


def test_nothing_is_wrong_with_the_embedded_set() -> None:
    result = check_set("worldfacts")
    assert (result.wrong, result.notes, result.held.state) == ((), (), "embedded")
    assert result.verified == (
        "Sizes as published: train 1,411, validation 391, test 824, exemplars 863.",
        "Questions and answers as known to kft: train, validation, test, exemplars.",
    )


def test_a_changed_or_cut_copy_is_found(tmp_path: Path) -> None:
    lines = PACKAGED.read_text(encoding="utf-8").splitlines(keepends=True)
    place = [number for number, line in enumerate(lines) if '"split": "test"' in line]
    path = tmp_path / "facts.jsonl"
    path.write_text("".join(lines[: place[-1]] + lines[place[-1] + 1 :]), encoding="utf-8")
    assert (
        "test: 823 questions instead of the published 824. Fetch or complete the data."
        in check_set("worldfacts", path).wrong
    )
    lines[place[0]] = lines[place[0]].replace('"answers": ["', '"answers": ["X')
    path.write_text("".join(lines), encoding="utf-8")
    assert check_set("worldfacts", path).wrong == (
        "test: questions or answers differ from those known to kft. Fetch the data again.",
    )
    path.write_text("".join(line for line in lines if '"split": "validation"' not in line), encoding="utf-8")
    assert check_set("worldfacts", path).wrong[0].startswith("validation: missing here, but part of the published set.")
    assert not any("published" in sentence for sentence in check_set("worldfacts", path, {"deduplicate": True}).wrong)


def test_every_type_needs_its_exemplar_sets(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "q.jsonl", [*rows(9, "train"), *rows(4, "test", "u"), *rows(8, "exemplars")])
    (wrong,) = check_set("questions", path).wrong
    assert wrong.startswith("exemplars: type 'u' has 0 exemplars, too few for 10 different sets of 4.")
    assert check_set("questions", path, protocol=Protocol(shots=0, exemplar_sets=1)).wrong == ()


def test_answers_that_nothing_matches(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "q.jsonl", [*rows(8, "exemplars"), {**rows(1, "test")[0], "answers": ["?", "+"]}])
    (wrong,) = check_set("questions", path).wrong
    assert wrong.startswith("test: 1 questions have no answer with a letter or a digit")


def test_repeated_ids_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write: Write) -> None:
    from kft_tasks.questions import Question

    class Twice:
        name, version = "questions", "1"

        def splits(self) -> tuple[str, ...]:
            return ("test",)

        def split(self, name: str) -> Any:
            return iter([Question(id_, f"{n}?", ("A",), "t", name) for n, id_ in enumerate("abcab")])

    monkeypatch.setattr(checking, "open_set", lambda *args: Twice())
    wrong = check_set("questions", write(tmp_path / "q.jsonl", rows(1, "test"))).wrong
    assert wrong[0] == "2 ids occur more than once, such as 'a', 'b'. Give each question its own id."
    assert wrong[1] == "There is no exemplars split. Add one, or use 0 shots."


def test_broken_data_are_the_loaders_error(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "q.jsonl", [*rows(3, "test"), {"question": "Q?", "answers": []}])
    with pytest.raises(DataError, match=r"q.jsonl:4: question 'Q\?' has no answers"):
        check_set("questions", path)


@pytest.mark.parametrize("name", [name for name in SETS if name != "worldfacts"])
def test_without_data_and_network_it_says_how_to_supply_them(name: str) -> None:
    with pytest.raises(UnavailableError, match=f"KFT_DATA_{name.upper()}=PLACE"):
        check_set(name)


def test_overlap_of_the_real_data_is_a_note(shared: Callable[[str], Path]) -> None:
    result = check_set("entityquestions", shared("entityquestions"), {"relation": "P40,P264"})
    assert result.wrong == ()
    assert result.verified == ("Sizes were not compared with the published ones, which apply only without options.",)
    assert "test: 37 of 1,759 questions (2.1 %) are also asked in train, 5 of them" in "\n".join(result.notes)
