"""Agreement of a grader with judged pairs: counted, and kept for the grader it was measured for, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grading_helpers import MODEL, ScriptedGrader, by_word, identity, judged_pairs, make_grader
from kft_tasks.errors import DataError, UnavailableError
from kft_tasks.grading import agreement as agreement_module
from kft_tasks.grading.agreement import (
    Agreement,
    Confusion,
    VerdictCounts,
    agreement_file,
    known_agreement,
    measure_agreement,
    packaged_pairs,
    read_judged_pairs,
)
from kft_tasks.grading.grader import GraderIdentity
from kft_tasks.grading.verdict import Verdict
from kft_tasks.protocol.identity import ModelIdentity
from kft_tasks.scoring.scorers import SCORERS

JUDGED = [
    ("yes", True),
    ("yes!", True),
    ("indeed", True),
    ("no", False),
    ("yes and no", False),
    ("what?", False),
    ("", False),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))


def measured(path: Path, script: object = by_word, of: GraderIdentity | None = None) -> Agreement:
    of = of or identity()
    with of.open_cache() as cache:
        grader, _ = make_grader(cache, ScriptedGrader(script))  # type: ignore[arg-type]
        return measure_agreement(grader, of, read_judged_pairs(path), path.name)


def test_verdicts_are_counted_by_how_the_answers_were_judged(tmp_path: Path) -> None:
    def script(given: str) -> str:
        return "maybe" if given == "yes!" else by_word(given)

    found = measured(judged_pairs(tmp_path / "pairs.jsonl", JUDGED), script)
    assert found.verdicts == Confusion(
        right=VerdictCounts(correct=1, incorrect=1, unreadable=1),
        wrong=VerdictCounts(correct=1, incorrect=1, not_attempted=2),
    )
    assert (found.verdicts.total, found.verdicts.agreed, found.verdicts.accepted, found.verdicts.unreadable) == (
        7,
        4,
        2,
        1,
    )
    assert (found.pairs.name, found.pairs.count) == ("pairs.jsonl", 7)
    assert (found.rule.scorer, found.rule.right, found.rule.wrong) == ("answer_stated", 2, 0)


def test_it_is_kept_for_this_model_and_prompt_only(tmp_path: Path) -> None:
    assert known_agreement(identity()) is None
    found = measured(judged_pairs(tmp_path / "pairs.jsonl", JUDGED))
    assert known_agreement(identity()) == found
    others = [
        identity(ModelIdentity(MODEL.id, "k" * 64, None, MODEL.dtype)),
        identity(chat=True),
        GraderIdentity(MODEL, "1", "0" * 64),
    ]
    assert [known_agreement(other) for other in others] == [None, None, None]
    assert agreement_file(identity()).parent == identity().file(".replies").parent


def test_measuring_again_asks_nothing_and_replaces_what_was_kept(tmp_path: Path) -> None:
    measured(judged_pairs(tmp_path / "pairs.jsonl", JUDGED))

    def refuse(given: str) -> str:
        raise AssertionError("asked again")

    found = measured(judged_pairs(tmp_path / "fewer.jsonl", JUDGED[:2]), refuse)
    assert known_agreement(identity()) == found
    assert found.verdicts.total == 2


def test_judged_pairs_of_ones_own_need_four_fields(tmp_path: Path) -> None:
    path = judged_pairs(tmp_path / "pairs.jsonl", JUDGED)
    assert [pair.right for pair in read_judged_pairs(path)] == [right for _, right in JUDGED]
    rows = path.read_text().splitlines()
    row = json.loads(rows[1])
    for wrong in ({**row, "right": "yes"}, {**row, "answers": []}, {**row, "mood": "good"}, {"question": "q"}):
        path.write_text(f"{rows[0]}\n{json.dumps(wrong)}\n")
        with pytest.raises(DataError, match="pairs.jsonl:2: not a judged pair"):
            read_judged_pairs(path)
    path.write_text("")
    with pytest.raises(DataError, match="holds no judged pairs"):
        read_judged_pairs(path)


def test_the_repositorys_own_pairs_are_found_and_all_can_be_read() -> None:
    pairs = read_judged_pairs(packaged_pairs())
    assert len(pairs) > 1_000
    assert {pair.part for pair in pairs} >= {"held-out", "adversarial held-out"}
    accepted = [SCORERS["answer_stated"](pair.given, pair.answers, pair.question) for pair in pairs]
    assert sum(verdict and pair.right for verdict, pair in zip(accepted, pairs, strict=True)) / sum(accepted) > 0.97


def test_an_installed_copy_without_them_says_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement_module, "__file__", str(tmp_path / "kft_tasks" / "grading" / "agreement.py"))
    with pytest.raises(UnavailableError, match="results/scoring/pairs.jsonl"):
        packaged_pairs()


def test_a_broken_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    measured(judged_pairs(tmp_path / "pairs.jsonl", JUDGED))
    path = agreement_file(identity())
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "verdicts": {**values["verdicts"], "right": {"correct": -1}}}))
    with pytest.raises(DataError, match="broken agreement .verdicts.right.correct.*Measure the grader again"):
        known_agreement(identity())


def test_counts_add_up_verdict_by_verdict() -> None:
    counts = Confusion()
    for right in (True, False):
        for verdict in Verdict:
            counts = counts.plus(right, verdict, 3)
    assert counts.right == counts.wrong == VerdictCounts(correct=3, incorrect=3, not_attempted=3, unreadable=3)
    assert (counts.total, counts.agreed, counts.accepted, counts.unreadable) == (24, 9, 6, 6)
