"""Test accuracy under several exemplar sets: counts by hand, what is tested, form and knowledge, leaks, and the level."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kft_cli.pages.readme import render_headline
from kft_cli.pages.results import render_results
from kft_cli.report.figures import draw_test_accuracy
from kft_cli.report.measures.accuracy import question_values
from kft_cli.report.measures.readings import measure_share, question_groups
from kft_cli.report.render import render_report
from kft_cli.report.report import build_report, summarize
from kft_cli.stats.clusters import clustered_difference, clustered_mean
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.intervals import holm
from kft_tasks.evaluation.evaluate import TestQuestion, read_answers, write_answers
from report_helpers import Answers, H, M, Right, U, W, make_recipe, make_run

TWO_SETS: dict[str, dict[int, Answers]] = {
    #            question 0       1               2               3, of types a, b, a, b
    "base": {4: [(True, True), (True, False), (None, False), (None, None)], 0: [True, None, None, None]},
    "stage1": {4: [(True, True), (True, True), (None, False), (None, None)], 0: [True, True, None, None]},
    "stage2": {4: [(False, True), (True, True), (True, False), (True, True)], 0: [True, True, True, None]},
    "stage1-continued": {4: [(True, True)] * 2 + [(False, False)] * 2, 0: [True, False, False, False]},
}
OTHERS: dict[str, Answers] = {
    "base": [True, False, False, False],
    "stage1": [True, False, False, False],
    "stage2": [True, True, False, False],
    "stage1-continued": [True, False, False, False],
}


def two_sets_run(folder: Path, **changes: Any) -> Path:
    given: dict[str, Any] = {
        "detections": {"base": [H, M, W, U], "stage1": [H, M, M, U]},
        "answers": TWO_SETS,
        "measurements": {point: [4, 2, 0, 0] for point in TWO_SETS},
        "others": OTHERS,
        "types": ("a", "b"),
    }
    return make_run(folder, **{**given, **changes})


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return build_report(two_sets_run(tmp_path_factory.mktemp("run") / "run"))


def find(rows: Sequence[Mapping[str, Any]], **values: Any) -> Mapping[str, Any]:
    (row,) = [row for row in rows if all(row[key] == value for key, value in values.items())]
    return row


def section(text: str) -> str:
    return text.split("\n## Test accuracy\n")[1].split("\n## ")[0]


def test_accuracy_is_the_mean_of_the_questions_shares_at_every_point_and_control(report: dict[str, Any]) -> None:
    rows = report["test"]["accuracy"]
    found = {(row["point"], row["shots"], row["other_type"]): (row["sets"], row["count"], row["share"]) for row in rows}
    assert found == {
        ("base", 4, False): (2, 3, 0.375),
        ("stage1", 4, False): (2, 4, 0.5),
        ("stage2", 4, False): (2, 6, 0.75),
        ("stage1-continued", 4, False): (2, 4, 0.5),
        ("base", 0, False): (1, 1, 0.25),
        ("stage1", 0, False): (1, 2, 0.5),
        ("stage2", 0, False): (1, 3, 0.75),
        ("stage1-continued", 0, False): (1, 1, 0.25),
        ("base", 4, True): (1, 1, 0.25),
        ("stage1", 4, True): (1, 1, 0.25),
        ("stage2", 4, True): (1, 2, 0.5),
        ("stage1-continued", 4, True): (1, 1, 0.25),
    }
    assert find(rows, point="base", shots=4, other_type=False)["right"] == [2, 1, 0, 0]
    assert find(rows, point="stage2", shots=0)["right"] == "1110"
    assert [row["empty"] for row in rows if row["point"] == "base"] == [3, 3, 0]
    assert report["test"]["groups"] == {"types": [0, 1, 0, 1], "subjects": [0, 1, 2, 3]}


def test_the_interval_is_that_of_the_clustered_mean_for_types_like_these(report: dict[str, Any]) -> None:
    row = find(report["test"]["accuracy"], point="stage2", shots=4, other_type=False)
    groups = QuestionGroups(["a", "b"] * 2, ["0", "1", "2", "3"])
    expected = clustered_mean([0.5, 1, 0.5, 1], groups, Reading.TYPES_LIKE_THESE)
    assert row["reading"] == "types like these"
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high), rel=1e-5)
    these = clustered_mean([0.5, 1, 0.5, 1], groups, Reading.THESE_TYPES)
    assert row["clustered"]["these types"]["low"] == pytest.approx(these.low, rel=1e-5)


def test_values_by_question_are_read_from_old_and_new_rows() -> None:
    assert question_values({"right": "0110"}) == [0.0, 1.0, 1.0, 0.0]
    assert question_values({"right": "01", "sets": 1}) == [0.0, 1.0]
    assert question_values({"right": [4, 0, 10], "sets": 10}) == [0.4, 0.0, 1.0]


def test_gained_and_lost_count_questions_and_gains_from_empty_count_answers(report: dict[str, Any]) -> None:
    rows = report["test"]["differences"]
    row = find(rows, shots=4, other_type=False, before="base", after="stage2")
    assert [row[key] for key in ("n", "sets", "gained", "lost", "difference")] == [4, 2, 3, 1, 0.375]
    assert (row["answers_gained"], row["gained_from_empty"]) == (4, 3)  # question 1 answered wrongly before
    assert row["mean"] == {"before": 0.375, "after": 0.75}
    assert not {"mcnemar_p", "both", "neither"} & set(row)
    single = find(rows, shots=0, other_type=False, before="base", after="stage2")
    assert [single[key] for key in ("both", "lost", "gained", "neither", "mcnemar_p")] == [1, 0, 2, 1, 0.5]


def test_every_pair_and_every_control_is_tested_in_every_way_and_corrected_together(report: dict[str, Any]) -> None:
    rows = report["test"]["differences"]
    pairs = [("base", "stage1"), ("stage1", "stage2"), ("base", "stage2"), ("stage1-continued", "stage2")]
    ways = [(4, False), (0, False), (4, True)]
    found = [((row["shots"], row["other_type"]), (row["before"], row["after"])) for row in rows]
    assert found == [(way, pair) for way in ways for pair in pairs]
    for reading in Reading:
        tested = [row["clustered"][reading.value] for row in rows]
        main = [(row["before"], row["after"]) in (pairs[2], pairs[3]) for row in rows]
        assert [one["holm_p"] for one in tested] == pytest.approx(holm([one["p"] for one in tested], main), rel=1e-5)
    for row in rows:
        like_these = row["clustered"]["types like these"]
        assert {key: row[key] for key in ("low", "high", "p", "holm_p")}.items() <= like_these.items()
    control = find(rows, shots=4, other_type=False, before="stage1-continued", after="stage2")
    assert (control["gained"], control["lost"], control["difference"]) == (2, 1, 0.25)


def test_the_verdict_is_about_exemplars_of_the_same_type(report: dict[str, Any]) -> None:
    assert [row["shots"] for row in report["verdict"]["test"]] == [4, 0]


def test_the_words_say_how_often_each_question_was_asked(report: dict[str, Any]) -> None:
    text = render_report(report)
    assert "the base model answered 37.5 % of 4 test questions (mean over 2 exemplar sets) right; after stage2" in text
    assert "With 4 exemplars of another type, the base model answered 1 of 4 test questions right" in text
    shown = section(text)
    assert "with 4 exemplars, once under each of 2 exemplar sets; with no exemplars, once; with 4 exemplars of" in shown
    assert "The exemplars are drawn with seed 10003; those that chose the training questions were drawn with" in shown
    assert "| exemplars in the prompt | answers | base | stage1 | stage2 | stage1-continued |" in shown
    assert "| 4 (2 sets) | empty | 3 of 8: 37.5 % | 3 of 8: 37.5 % | 0 of 8: 0.0 % | 0 of 8: 0.0 % |" in shown
    assert "share of 4 questions at each point, mean over 2 exemplar sets where the first column says so" in shown
    assert "| 4 of another type | stage1-continued → stage2 | 1 | 0 |" in shown
    assert "None" not in text
    assert "4 of another type" in summarize(report, 120)


def test_the_figure_has_a_line_for_each_way_of_asking_and_controls_apart(report: dict[str, Any]) -> None:
    drawing = draw_test_accuracy(report)
    assert [head for head, _ in drawing.table.columns[1:]] == ["base", "stage1", "stage2", "stage1-continued"]
    names = [row[0] for row in drawing.table.rows]
    assert names == ["4 exemplars, mean of 2 sets", "no exemplars in the prompt", "4 exemplars of another type"]
    assert set(names) <= {text.text for text in drawing.root.iter("text")}
    lines = [line.get("points", "").split() for line in drawing.root.iter("polyline")]
    heights = [[float(point.partition(",")[2]) for point in line] for line in lines]
    assert list(map(len, heights)) == [3, 1] * 3
    shown = {37.5: heights[0][0], 50.0: heights[0][1], 75.0: heights[0][2], 25.0: heights[2][0]}
    per_point = (shown[25.0] - shown[75.0]) / 50
    assert heights == [
        [pytest.approx(shown[25.0] - per_point * (value - 25), abs=0.02) for value in line]
        for line in [[37.5, 50, 75], [50], [25, 50, 75], [25], [25, 25, 50], [25]]
    ]


def test_the_pages_name_the_mean_over_exemplar_sets(report: dict[str, Any], tmp_path: Path) -> None:
    headline = render_headline("mine", report)
    assert "| stage2 | " in headline
    assert "| 75.0 % (" in headline  # not the 50.0 % with exemplars of another type
    assert "4 test questions, mean over 2 exemplar sets, one seed" in headline
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    page = render_results(tmp_path)
    assert "| mine | base | 4 (2 sets) | 4 | 37.5 % (" in page
    assert "| mine | base | 4 of another type | 4 | 25.0 % (" in page
    assert [line for line in page.splitlines() if line.startswith("| mine | base | 4 (2") and line.endswith("37.5 % |")]


# first categories


def by_category(folder: Path, seed: int) -> dict[str, Any]:
    """A run with four types, of which the categories come from seed 3, and the test's exemplars from ``seed``."""
    number = range(80)
    first = [[H, M, W, U][i // 4 % 4] for i in number]
    before = [first[i] is H or i % 3 == 0 for i in number]
    answers: dict[str, dict[int, Answers]] = {point: {4: before} for point in ("base", "stage1")}
    answers["stage2"] = {4: [True] * 80}
    recipe = make_recipe(
        protocols={"test": {"seed": seed}}, evaluation={"shots": [4], "measurement": False, "other_type": False}
    )
    detections = {point: [H, M, W, U] for point in answers}
    return build_report(make_run(folder, detections, answers, recipe=recipe, first=first, types=("a", "b", "c", "d")))


def test_categories_from_other_exemplars_are_tested_and_corrected_together(tmp_path: Path) -> None:
    report = by_category(tmp_path / "run", seed=4)
    rows = report["test"]["by_category"]
    assert [(row["group"], row["n"], row["lost"]) for row in rows] == [
        ("HighlyKnown", 20, 0),
        ("MaybeKnown", 20, 0),
        ("WeaklyKnown", 20, 0),
        ("Unknown", 20, 0),
    ]
    for reading in Reading:
        tested = [row["clustered"][reading.value] for row in rows]
        assert [one["holm_p"] for one in tested] == pytest.approx(holm([one["p"] for one in tested]), rel=1e-5)
    shown = section(render_report(report))
    assert "The categories come from other exemplars than the answers tested here" in shown
    assert "corrected (Holm) for all first categories and ways of asking" in shown
    assert "no change is tested here" not in shown


def test_categories_from_the_same_exemplars_are_not_tested(tmp_path: Path) -> None:
    report = by_category(tmp_path / "run", seed=3)
    assert not [row for row in report["test"]["by_category"] if {"clustered", "holm_p", "mcnemar_p"} & set(row)]
    shown = section(render_report(report))
    assert "no change is tested here" in shown
    assert "first categories and ways" not in shown


# types


def test_a_type_is_read_by_its_subjects_and_corrected_over_types_and_ways_of_asking(tmp_path: Path) -> None:
    run = two_sets_run(tmp_path / "run")
    for path in run.glob("evaluate-*/answers.jsonl"):  # questions 0 and 2 of type a are about one subject
        named = {"test-0000": "x", "test-0002": "x", "test-0001": "y", "test-0003": "z"}
        write_answers(path, [dataclasses.replace(item, subject=named[item.id]) for item in read_answers(path)])
    report = build_report(run)
    rows = report["test"]["by_type"]
    assert [(row["group"], row["shots"], row["other_type"]) for row in rows] == [
        (type_, *way) for way in ((4, False), (0, False), (4, True)) for type_ in "ab"
    ]
    assert {tuple(row["clustered"]) for row in rows} == {("these types",)}
    a, b = rows[0], rows[1]
    assert (a["clustered"]["these types"]["clusters"], a["p"], a["holm_p"]) == (1, None, None)  # one subject
    tested = [row["clustered"]["these types"] for row in rows if row["group"] == "b"]
    assert [one["clusters"] for one in tested] == [2, 2, 2]
    assert [one["holm_p"] for one in tested] == pytest.approx(holm([one["p"] for one in tested]), rel=1e-5)
    assert (b["mean"], b["gained"]) == ({"before": 0.25, "after": 1.0}, 2)
    shown = section(render_report(report))
    assert "| a | 2 | 50.0 % | 50.0 % | 50.0 % | 0.0 | – | not tested. There is one subject only" in shown
    assert "interval for these types." in shown
    assert "corrected (Holm) for all types and ways of asking" in shown


def test_one_question_has_a_share_and_no_interval_and_no_test(tmp_path: Path) -> None:
    answers: dict[str, dict[int, Answers]] = {point: {4: [(True, False)]} for point in ("base", "stage1", "stage2")}
    report = build_report(make_run(tmp_path / "run", {point: [H, M, W, U] for point in answers}, answers))
    row = report["test"]["accuracy"][0]
    assert (row["share"], row["low"], row["high"]) == (0.5, None, None)
    assert report["verdict"]["test"] == [{"shots": 4, "outcome": "no clear change"}]
    text = render_report(report)
    assert "| 4 (2 sets) | right | 50.0 % | 50.0 % | 50.0 % |" in text
    assert "None" not in text
    draw_test_accuracy(report)


# form and knowledge


def form_report(folder: Path, other: Sequence[Right], types: int = 10, **evaluation: Any) -> dict[str, Any]:
    """40 questions: without exemplars nothing, then all right; with exemplars always half; of another type ``other``."""
    half = [number % 2 == 0 for number in range(40)]
    none: list[Right] = [None] * 40
    answers: dict[str, dict[int, Answers]] = {
        "base": {4: half, 0: none},
        "stage1": {4: half, 0: [True] * 40},
        "stage2": {4: half, 0: [True] * 40},
    }
    others: dict[str, Answers] = {"base": [False] * 40, "stage1": other, "stage2": other}
    recipe = make_recipe(evaluation={"shots": [4, 0], "measurement": False, "other_type": True, **evaluation})
    detections = {point: [H, M, W, U] for point in answers}
    named = tuple(f"type {number}" for number in range(types))
    given = others if types > 1 and recipe.evaluation.other_type else None
    return build_report(make_run(folder, detections, answers, recipe=recipe, others=given, types=named))


MOSTLY_FORM = (
    "The gain with no exemplars is mostly the form of the answers: 40 of 40 answers of the base model were empty."
)


def test_a_gain_of_form_beside_no_gain_where_the_form_is_shown(tmp_path: Path) -> None:
    headline = render_report(form_report(tmp_path / "run", [True] + [False] * 39)).split("**")[1]
    assert MOSTLY_FORM in headline
    assert (
        "With the form shown by 4 exemplars of another type, no change is clear (0.0 % → 2.5 %, +2.5 points, "
        in headline
    )
    assert headline.endswith("so the whole gain may be form.")


def test_a_gain_of_form_beside_a_clear_gain_where_the_form_is_shown(tmp_path: Path) -> None:
    report = form_report(tmp_path / "run", [number % 4 != 0 for number in range(40)])
    headline = render_report(report).split("**")[1]
    assert MOSTLY_FORM in headline
    assert "of another type, accuracy rose too (0.0 % → 75.0 %, +75.0 points, 95 % interval +" in headline
    assert headline.endswith("so part of the gain may be knowledge.")


@pytest.mark.parametrize(
    ("types", "evaluation", "why"),
    [
        (1, {}, "the test questions are of one type, so there are no exemplars of another"),
        (10, {"other_type": False}, "this run did not ask with exemplars of another type"),
    ],
)
def test_where_the_form_was_not_shown_the_report_says_why(
    tmp_path: Path, types: int, evaluation: dict[str, Any], why: str
) -> None:
    report = form_report(tmp_path / "run", [False] * 40, types, **evaluation)
    text = render_report(report)
    assert text.split("**")[1].endswith(f"Whether the model learned more than the form cannot be told: {why}.")
    assert f"cannot be told from one of knowledge here, because {why}." in section(text)
    del report["run"]["settings"]["evaluation"]["other_type"]  # an older report
    assert "this run did not ask with exemplars of another type" in render_report(report)


def test_few_gains_from_empty_answers_make_a_gain_form_in_part(tmp_path: Path) -> None:
    before = [(None, False, False)] * 12  # a third of the answers is empty
    after = [(True, True, True)] * 12
    answers: dict[str, dict[int, Answers]] = {"base": {4: before}, "stage1": {4: after}, "stage2": {4: after}}
    named = tuple(f"type {number}" for number in range(12))
    report = build_report(make_run(tmp_path / "run", {point: [H, M, W, U] for point in answers}, answers, types=named))
    headline = render_report(report).split("**")[1]
    assert "is in part the form of the answers: 12 of 36 answers of the base model were empty." in headline


# leaks


def leaky_run(folder: Path, *, by_text: Sequence[str] = (), by_subject: Sequence[str] = ()) -> Path:
    """Stage 1 trains on train-0001 of type b, about "Paris", and nothing else."""
    run = two_sets_run(folder)
    mixture = run / "stage1" / "mixture.jsonl"
    lines = [json.loads(line) for line in mixture.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line.get("id") == "train-0001":
            line["subject"] = "Paris"
    mixture.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    for path in run.glob("evaluate-*/answers.jsonl"):
        items = [
            dataclasses.replace(
                item,
                question="what is  TRAIN fact 1" if item.id in by_text else item.question,
                subject="paris" if item.id in by_subject else item.id,
            )
            for item in read_answers(path)
        ]
        write_answers(path, items)
    return run


def test_test_questions_that_were_trained_on_are_counted_by_text_and_by_subject(tmp_path: Path) -> None:
    # test-0002 is of type a: the same subject, another type, is another question
    run = leaky_run(tmp_path / "run", by_text=["test-0000"], by_subject=["test-0001", "test-0002"])
    report = build_report(run)
    found = report["test"]["trained_on"]
    assert {key: found[key] for key in ("n", "with_subject", "by_text", "by_subject", "either")} == {
        "n": 4,
        "with_subject": 4,
        "by_text": 1,
        "by_subject": 1,
        "either": 2,
    }
    means = {
        (row["shots"], row["other_type"], row["trained_on"]): (row["n"], row["mean"]["before"], row["mean"]["after"])
        for row in found["rows"]
    }
    assert means == {
        (4, False, False): (2, 0.0, 0.75),
        (4, False, True): (2, 0.75, 0.75),
        (0, False, False): (2, 0.0, 0.5),
        (0, False, True): (2, 0.5, 1.0),
        (4, True, False): (2, 0.0, 0.0),
        (4, True, True): (2, 0.5, 1.0),
    }
    assert all(set(row["clustered"]) == {reading.value for reading in Reading} for row in found["rows"])
    shown = section(render_report(report))
    assert "**Test questions that were trained on**: 2 of 4 (50.0 %). 1 have the text of a training question" in shown
    assert "| 4 (2 sets) | not trained on | 2 | 0.0 % | 75.0 % |" in shown


def test_a_run_without_leaks_says_so_in_one_sentence_and_shows_no_table(tmp_path: Path) -> None:
    report = build_report(leaky_run(tmp_path / "run"))
    assert (report["test"]["trained_on"]["either"], report["test"]["trained_on"]["rows"]) == (0, [])
    shown = section(render_report(report))
    assert "**Test questions that were trained on**: none." in shown
    assert "not trained on |" not in shown


# the level


def clustered_null(rng: random.Random, sets: int = 4) -> tuple[list[TestQuestion], list[TestQuestion]]:
    """Two points with the same knowledge; each type has its own luck with each exemplar set, anew at each point."""
    points: list[list[TestQuestion]] = [[], []]
    number = 0
    for type_ in range(21):
        level = rng.gauss(0, 0.8)
        luck = [[rng.gauss(0, 0.9) for _ in range(sets)] for _ in points]
        for _ in range(4 + type_ % 9):
            number += 1
            known = level + rng.gauss(0, 1.5)
            for point, effects in zip(points, luck, strict=True):
                right = tuple(rng.gauss(0, 1) < known + effect for effect in effects)
                point.append(TestQuestion(f"q{number:03d}", f"t{type_}", "", "?", ("a",), ("x",) * sets, right))
    return points[0], points[1]


@pytest.mark.slow
def test_the_level_under_exemplar_noise_is_5_percent_for_types_like_these() -> None:
    """2,000 draws, so that the level is known to half a point; independent questions would be said to change more."""
    rng = random.Random(7)
    rejected = excluded = naive = 0
    for draw in range(2000):
        before, after = clustered_null(rng)
        groups, values = question_groups(before), [[item.value for item in items] for items in (before, after)]
        found = clustered_difference(*values, groups, Reading.TYPES_LIKE_THESE, flips=999)
        rejected += (found.p or 0.0) < 0.05
        excluded += not (found.low or 0.0) <= 0 <= (found.high or 0.0)
        if draw < 200:
            alone = clustered_difference(*values, groups, Reading.THESE_TYPES, flips=399)
            naive += alone.p is not None and alone.p < 0.05
    assert 0.035 <= rejected / 2000 <= 0.065
    assert 0.035 <= excluded / 2000 <= 0.065
    assert naive / 200 > 0.1


@pytest.mark.slow
def test_the_interval_of_an_accuracy_holds_the_true_mean() -> None:
    """The share of right answers over types like these and over their exemplars, 1,000 draws of 21 types."""
    rng = random.Random(11)
    truth = 0.5  # everything is symmetric about it
    held = 0
    for _ in range(1000):
        found = measure_share(clustered_null(rng)[0])
        held += found["low"] <= truth <= found["high"]
    assert 0.935 <= held / 1000 <= 0.97
