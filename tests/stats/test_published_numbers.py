"""Every published share, interval and p is what the statistics give for its own counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kft_cli.report.measures.accuracy import question_values
from kft_cli.stats.clusters import clustered_difference, clustered_mean
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.intervals import holm, paired_difference_of_counts, wilson_share
from kft_tasks.files import read_json

RESULTS = Path(__file__).resolve().parents[2] / "results"
FILES = sorted(RESULTS.glob("*/*.json"))
REPORTS = [file for file in FILES if file.name == "report.json"]
CLUSTERED = [file for file in REPORTS if "groups" in read_json(file)["test"]]  # they know types and subjects
INDEPENDENT = [file for file in REPORTS if file not in CLUSTERED]  # of the first version
SHARE = {"count", "n", "share", "low", "high"}
CELLS = ("both", "lost", "gained", "neither")


def records(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object within a value."""
    if isinstance(value, dict):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from records(child)


def six_digits(value: float | None) -> float | None:
    """As :func:`kft_cli.report.measures.rounding.rounded` does; files of other kinds may hold all digits."""
    return None if value is None else float(f"{value:.6g}")


@pytest.mark.parametrize("file", FILES, ids=[f"{file.parent.name}/{file.name}" for file in FILES])
def test_published_shares_follow_from_their_counts(file: Path) -> None:
    for record in records(read_json(file)):
        if record.keys() >= SHARE and "reading" not in record:
            share = wilson_share(record["count"], record["n"])
            found = [six_digits(value) for value in (share.share, share.low, share.high)]
            assert found == [six_digits(record[key]) for key in ("share", "low", "high")], record


@pytest.mark.parametrize("file", INDEPENDENT, ids=[file.parent.name for file in INDEPENDENT])
def test_published_differences_follow_from_their_counts(file: Path) -> None:
    found = 0
    for record in records(read_json(file)):
        if record.keys() >= set(CELLS):
            found += 1
            paired = paired_difference_of_counts(**{cell: record[cell] for cell in CELLS})
            for key in ("n", "difference", "low", "high", "mcnemar_p"):
                if key in record:  # rows that are all or nothing by construction have no interval and no p
                    assert six_digits(getattr(paired, key)) == record[key], (key, record)
    assert found > 0


@pytest.mark.parametrize("file", INDEPENDENT, ids=[file.parent.name for file in INDEPENDENT])
def test_published_corrected_ps_follow_from_the_counts_of_their_table(file: Path) -> None:
    report = read_json(file)
    test = report["test"]
    control = [row for step in report["transitions"] for row in (step.get("against_control") or {}).values()]
    by_category = [row for row in test["by_category"] or [] if "holm_p" in row]  # no longer tested
    for rows in (test["differences"], by_category, test["by_type"], control):
        exact = [paired_difference_of_counts(**{cell: row[cell] for cell in CELLS}).mcnemar_p for row in rows]
        assert [six_digits(p) for p in holm(exact)] == [row["holm_p"] for row in rows]


@pytest.mark.parametrize("file", CLUSTERED, ids=[file.parent.name for file in CLUSTERED])
def test_published_accuracy_and_its_changes_follow_from_the_answers_by_question(file: Path) -> None:
    test = read_json(file)["test"]
    groups = QuestionGroups(*([str(code) for code in test["groups"][kind]] for kind in ("types", "subjects")))
    values = {(row["point"], row["shots"], row["other_type"]): question_values(row) for row in test["accuracy"]}
    for row in test["accuracy"]:
        for reading in Reading:
            mean = clustered_mean(values[row["point"], row["shots"], row["other_type"]], groups, reading)
            published = row["clustered"][reading.value]
            for key in ("n", "clusters", "mean", "low", "high", "design_effect"):
                assert published[key] == pytest.approx(getattr(mean, key), rel=1e-5), (key, row["point"])
    for row in test["differences"]:
        before, after = (values[row[point], row["shots"], row["other_type"]] for point in ("before", "after"))
        for reading in Reading:
            found, published = clustered_difference(before, after, groups, reading), row["clustered"][reading.value]
            for key in ("n", "clusters", "difference", "low", "high", "p", "design_effect"):
                assert published[key] == pytest.approx(getattr(found, key), rel=1e-5), (
                    key,
                    row["before"],
                    row["after"],
                )


@pytest.mark.parametrize("file", CLUSTERED, ids=[file.parent.name for file in CLUSTERED])
def test_published_corrected_ps_follow_from_the_ps_of_their_family(file: Path) -> None:
    report = read_json(file)
    test, measured = report["test"], report["measured"]
    spans = [*measured["changes"], *measured["against_control"], measured["untrained"] or {"rows": []}]
    families = (test["differences"], test["by_category"] or [], test["by_type"])
    for rows in (*families, [row for span in spans for row in span["rows"]]):
        for reading in Reading:
            tested = [row for row in rows if row.get("clustered", {}).get(reading.value, {}).get("p") is not None]
            ps = [row["clustered"][reading.value]["p"] for row in tested]
            published = [row["clustered"][reading.value]["holm_p"] for row in tested]
            assert published == pytest.approx(holm(ps, [row.get("main", False) for row in tested]), rel=1e-4)
