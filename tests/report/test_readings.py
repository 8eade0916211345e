from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kft_cli.report.measures.readings import question_groups
from kft_cli.report.report import build_report
from kft_cli.report.sections.readings import deciding, is_clear_change, unclear_words
from kft_cli.stats.groups import Reading
from kft_cli.stats.intervals import holm
from kft_tasks.evaluation.evaluate import read_answers, write_answers
from report_helpers import answered, null_run


def test_questions_cluster_by_subject_where_it_is_known_and_alone_where_it_is_not() -> None:
    items = [answered(number, 4, True, type_=f"type {number % 2}") for number in range(8)]
    assert question_groups(items).clusters(Reading.THESE_TYPES).count == 8
    known = [replace(item, subject=f"subject {number // 4}") for number, item in enumerate(items[:4])] + items[4:]
    assert question_groups(known).clusters(Reading.THESE_TYPES).count == 2 + 4  # a subject is one within its type
    assert question_groups(known).clusters(Reading.TYPES_LIKE_THESE).count == 2


def test_a_run_whose_answers_name_subjects_is_clustered_by_them(tmp_path: Path) -> None:
    run = null_run(tmp_path / "run", train=20, flips=0.3)
    for path in run.glob("evaluate-*/answers.jsonl"):
        # test-0000 and test-0021 are of one type
        items = [replace(item, subject=f"subject {int(item.id[-4:]) // 42}") for item in read_answers(path)]
        write_answers(path, items)
    row = build_report(run)["test"]["differences"][0]
    assert row["clustered"]["these types"]["clusters"] == 105
    assert row["clustered"]["types like these"]["clusters"] == 21


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    run = null_run(tmp_path_factory.mktemp("run") / "run", train=20, flips=0.3)
    found: list[dict[str, object]] = build_report(run)["test"]["differences"]
    return found


@pytest.mark.parametrize("reading", [reading.value for reading in Reading])
def test_holm_covers_all_changes_under_one_reading(rows: list[dict[str, object]], reading: str) -> None:
    found = [row["clustered"][reading] for row in rows]  # type: ignore[index]
    assert len(found) == 6  # three pairs of points, two numbers of exemplars
    main = [(row["before"], row["after"]) == ("base", "stage2") for row in rows]
    assert main == [row["main"] for row in rows]
    assert [one["holm_p"] for one in found] == pytest.approx(holm([one["p"] for one in found], main), rel=1e-5)


def test_types_like_these_decide_and_old_rows_decide_for_themselves() -> None:
    like_these = {"reading": "types like these", "low": -0.01, "high": 0.1, "holm_p": 0.2}
    these = {"reading": "these types", "low": 0.01, "high": 0.1, "holm_p": 0.001}
    old = {"low": 0.01, "high": 0.1, "holm_p": 0.001, "mcnemar_p": 0.001}
    row = {**old, "clustered": {"these types": these, "types like these": like_these}}
    assert deciding(row) == like_these
    assert not is_clear_change(row)
    only_type = {**old, "clustered": {"these types": these, "types like these": {**like_these, "holm_p": None}}}
    assert deciding(only_type) == these
    assert deciding(old) == old
    assert is_clear_change(old)


def test_a_change_that_is_not_clear_comes_with_what_would_have_been_seen() -> None:
    detectable = {"effect": 0.052, "power": 0.8, "n": 150, "design_effect": 1.9, "reason": None}
    found = {"reading": "types like these", "changed": 7, "smallest_p": 0.015625, "clusters": 21, "n": 150}
    words = "a change of 5.2 points would have been seen 80 % of the time"
    assert unclear_words({**found, "detectable": detectable}) == words
    few = {**found, "smallest_p": 0.125, "detectable": detectable}
    assert unclear_words(few) == f"{words}; so few types changed that p could not go below 0.12"
    apart = {**found, "detectable": detectable, "low": 0.01, "high": 0.09, "p": 0.012, "holm_p": 0.14}
    assert unclear_words(apart) == (
        f"{words}; the interval does not contain 0, but p is 0.012 before and 0.140 after the correction for all "
        "comparisons"
    )
