from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kft_tasks.errors import DataError, UsageError
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.loaders.entityquestions import RELATIONS, SLICK_IN, SLICK_OUT, TEMPLATES
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import content_id

SPLITS = ("train", "validation", "test", "exemplars")


def _question(relation: str, subject: str, *answers: str) -> dict[str, object]:
    return {"question": TEMPLATES[relation].replace("[X]", subject), "answers": list(answers)}


def _folder(root: Path, files: dict[str, list[dict[str, object]]]) -> Path:
    for name, rows in files.items():
        relation, part = name.split(".")
        path = root / part / f"{relation}.{part}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows), encoding="utf-8")
    return root


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return _folder(
        tmp_path / "eq",
        {
            "P36.train": [
                _question("P36", "Peru", "Lima"),
                _question("P36", "Georgia", "Tbilisi"),
                _question("P36", "Georgia", "Atlanta"),
                _question("P36", "Georgia", "Atlanta"),
                _question("P36", "Bolivia", "Sucre", "La Paz"),
                _question("P36", "Chile", "Santiago"),
            ],
            "P36.dev": [_question("P36", f"Land {i}", f"Town {i}") for i in range(40)]
            + [_question("P36", "Chile", "Santiago")],
            "P36.test": [_question("P36", "Peru", "Lima"), _question("P36", "Land 3", "Town 3")],
            "P17.train": [_question("P17", "Lima", "Peru")],
        },
    )


def test_published_counts_come_out_of_the_real_data(entityquestions: Any) -> None:
    tally = entityquestions
    assert tally.of("train") == 169_164
    assert tally.of("train") + tally.multiple["train"] == 176_560
    assert tally.of("validation", "exemplars") == 21_174
    assert tally.of("validation", "exemplars") + tally.multiple["validation"] == 22_068
    assert tally.of("test") == 10_481  # the local copy has 12 of the 24 test files


def test_the_task_readme_has_the_counts_of_the_real_data(entityquestions: Any) -> None:
    counts = entityquestions.counts
    text = (Path(__file__).parents[2] / "kft_tasks" / "lm_eval_tasks" / "entityquestions" / "README.md").read_text(
        encoding="utf-8"
    )
    for relation in RELATIONS:
        role = "in" if relation in SLICK_IN else "out" if relation in SLICK_OUT else "dropped"
        dev = counts["validation", relation] + counts["exemplars", relation]
        test = f"{counts['test', relation]:,}" if counts["test", relation] else "?"
        row = f"| {TEMPLATES[relation]} | {role} | {counts['train', relation]:,} | {dev:,} | {test} |"
        assert f"| {relation} {row}" in text


def test_real_ids_are_unique_over_all_splits_and_every_subject_is_known(entityquestions: Any) -> None:
    assert len(entityquestions.ids) == entityquestions.counts.total()
    assert entityquestions.odd == []


def test_real_exemplars_show_no_question_of_another_split(entityquestions: Any) -> None:
    texts = entityquestions.texts
    assert not any(texts["exemplars"] & texts[split] for split in ("train", "validation", "test"))


def test_every_relation_has_exemplars_for_ten_sets(shared: Callable[[str], Path]) -> None:
    questions = open_set("entityquestions", shared("entityquestions"))
    pool = ExemplarPool(questions.split("exemplars"), Protocol())
    assert all(len(pool.sets(relation)) == 10 for relation in RELATIONS)


def test_templates_are_those_of_the_source(shared: Callable[[str], Path]) -> None:
    real = json.loads((shared("entityquestions") / "relation_query_templates.json").read_text())
    assert {relation: real[relation] for relation in RELATIONS} == TEMPLATES
    assert len(RELATIONS) == 24


def test_slick_variants_are_disjoint_and_known() -> None:
    assert len(SLICK_IN) == 12
    assert len(SLICK_OUT) == 7
    assert not set(SLICK_IN) & set(SLICK_OUT)
    assert set(SLICK_IN) | set(SLICK_OUT) <= set(RELATIONS)


def test_variant_and_relation_choose_types(small: Path) -> None:
    assert {q.type for q in open_set("entityquestions", small, {"variant": "slick_in"}).split("train")} == {
        "P17",
        "P36",
    }
    assert {q.type for q in open_set("entityquestions", small, {"relation": "P17"}).split("train")} == {"P17"}
    assert {q.type for q in open_set("entityquestions", small, {"relation": ["P17", "P36"]}).split("train")} == {
        "P17",
        "P36",
    }
    with pytest.raises(UsageError, match="variant slick_out"):
        open_set("entityquestions", small, {"variant": "slick_out", "relation": "P17"})
    with pytest.raises(UsageError, match="Did you mean"):
        open_set("entityquestions", small, {"relation": "P177"})


def test_repeated_texts_are_kept_with_ids_of_their_own(small: Path) -> None:
    questions = list(open_set("entityquestions", small, {"relation": "P36"}).split("train"))
    georgia = [q for q in questions if q.subject == "Georgia"]
    assert [q.answers for q in georgia] == [("Tbilisi",), ("Atlanta",), ("Atlanta",)]
    assert len({q.id for q in georgia}) == 3
    base = content_id("entityquestions", "P36", "What is the capital of Georgia?")
    assert all(q.id.startswith(f"{base}-") for q in georgia)
    assert [q.answers[0] for q in questions if q.subject == "Peru"] == ["Lima"]
    assert "Bolivia" not in {q.subject for q in questions}


def test_deduplicate_accepts_the_answers_of_all_rows(small: Path) -> None:
    questions = open_set("entityquestions", small, {"relation": "P36", "deduplicate": True})
    (georgia,) = [q for q in questions.split("train") if q.subject == "Georgia"]
    assert sorted(georgia.answers) == ["Atlanta", "Tbilisi"]
    assert questions.dropped["train"] == {  # type: ignore[attr-defined]
        "more than one answer": 1,
        "merged into a question with the same text": 2,
    }


def test_the_same_text_in_train_and_test_has_different_ids(small: Path) -> None:
    questions = open_set("entityquestions", small, {"relation": "P36"})
    train = {q.question: q for q in questions.split("train")}
    shared = [q for q in questions.split("test") if q.question in train]
    assert [q.subject for q in shared] == ["Peru"]
    assert shared[0].id == f"{train[shared[0].question].id}-test"


def test_remove_overlap_leaves_nothing_in_two_splits(small: Path) -> None:
    questions = open_set("entityquestions", small, {"relation": "P36", "remove_overlap": True})
    seen: Counter[str] = Counter()
    for split in SPLITS:
        seen.update({q.question for q in questions.split(split)})
    assert set(seen.values()) == {1}


def test_exemplars_never_show_a_question_of_train_or_test(small: Path) -> None:
    questions = open_set("entityquestions", small, {"relation": "P36"})
    exemplars = {q.question for q in questions.split("exemplars")}
    assert exemplars
    for split in ("train", "validation", "test"):
        assert not exemplars & {q.question for q in questions.split(split)}


def test_ids_and_splits_do_not_depend_on_row_order(small: Path) -> None:
    def state() -> dict[str, set[tuple[str, tuple[str, ...]]]]:
        questions = open_set("entityquestions", small, {"relation": "P36", "single_answer": False})
        return {split: {(q.id, q.answers) for q in questions.split(split)} for split in SPLITS}

    before = state()
    for path in small.rglob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text())[::-1]))
    assert state() == before


def test_the_same_order_again(small: Path) -> None:
    questions = open_set("entityquestions", small, {"relation": "P36"})
    assert list(questions.split("validation")) == list(questions.split("validation"))


def test_inner_folder_of_the_zip_is_understood(small: Path, tmp_path: Path) -> None:
    outer = tmp_path / "unzipped"
    outer.mkdir()
    small.rename(outer / "dataset")
    assert sum(1 for _ in open_set("entityquestions", outer, {"relation": "P17"}).split("train")) == 1


def test_missing_relation_that_was_asked_for_is_an_error(small: Path) -> None:
    with pytest.raises(DataError, match=r"no test file of P17\. Its test files are of P36"):
        open_set("entityquestions", small, {"relation": "P17,P36"}).split("test")
    with pytest.raises(DataError, match="Its test files are of P36"):
        open_set("entityquestions", small, {"relation": "P17"}).split("test")


def test_missing_relations_nobody_asked_for_are_logged(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert sum(1 for _ in open_set("entityquestions", small).split("test")) == 2
    assert "no test file of P17" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "Which country is X located in?"}], "entry 1: no column answers"),
        ([_question("P17", "X", "Peru"), {"question": " ", "answers": ["a"]}], 'entry 2: "question" is empty'),
        ([_question("P17", "X", " ")], 'entry 1: "answers" holds no answer'),
        ([{"question": "q", "answers": "Peru"}], 'entry 1: "answers" is not a list'),
        (["text"], "entry 1: not an object"),
        ([], "holds no questions"),
        ({"a": 1}, "not a JSON array"),
    ],
)
def test_broken_entries_name_file_and_entry(small: Path, rows: object, message: str) -> None:
    path = small / "train" / "P17.train.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(DataError, match=message) as error:
        list(open_set("entityquestions", small, {"relation": "P17"}).split("train"))
    assert "P17.train.json" in str(error.value)


def test_truncated_file_is_an_error(small: Path) -> None:
    path = small / "train" / "P36.train.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(DataError, match=r"P36.train.json:1: not JSON"):
        list(open_set("entityquestions", small, {"relation": "P36"}).split("train"))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no EntityQuestions files"):
        open_set("entityquestions", tmp_path)
