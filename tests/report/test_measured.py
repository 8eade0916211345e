"""What changed, measured on exemplars that chose no question: exact small cases, and what nothing and a lift come to."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kft_cli.report.measures.leaks import measure_trained_on
from kft_cli.report.measures.measured import measure_measured, trained_ids
from kft_cli.report.render import render_report
from kft_cli.report.report import build_report, read_report, summarize, write_report
from kft_cli.report.run_data import Detection, RunData, read_run
from kft_cli.stats.clusters import clustered_mean
from kft_cli.stats.groups import QuestionGroups, Reading
from kft_cli.stats.intervals import holm
from kft_tasks.categories.category import KnowledgeCategory, Tally
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.errors import DataError
from kft_tasks.evaluation.evaluate import read_answers, write_answers
from kft_train.data.mixture import Mixture, MixtureItem
from report_helpers import NULL_TYPES, H, M, U, W, make_question, make_recipe, make_run, small_run, write_detection
from report_helpers import measured as measured_question

DETECTIONS = {"base": [H, H, M, M, W, W, U, U], "stage1": [H, H, H, M, M, W, U, U]}
MEASUREMENTS = {  # right answers of four
    "base": [4, 3, 2, 2, 0, 0, 0, 0],
    "stage1": [4, 4, 4, 2, 1, 0, 0, 0],
    "stage2": [4, 2, 4, 4, 2, 1, 0, 0],
}
CONTROL = {"stage1-continued": [4, 4, 4, 3, 1, 0, 0, 0]}
LIKE_THESE, THESE = Reading.TYPES_LIKE_THESE.value, Reading.THESE_TYPES.value


def measured_run(
    folder: Path,
    detections: Mapping[str, Sequence[KnowledgeCategory]] = DETECTIONS,
    measurements: Mapping[str, Sequence[int]] | None = None,
    **changes: Any,
) -> Path:
    measurements = {**MEASUREMENTS, **CONTROL} if measurements is None else measurements
    answers = {point: {4: [True, False], 0: [False, False]} for point in measurements}
    return make_run(folder, detections, answers, measurements=measurements, **changes)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return build_report(measured_run(tmp_path_factory.mktemp("run") / "run"))


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def means(span: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Number of questions and P_correct before and after, by group."""
    return {row["group"]: (row["n"], row["before"], row["after"]) for row in span["rows"]}


def known(span: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """HighlyKnown questions before and after, by group."""
    return {row["group"]: (row["highly_known"]["before"], row["highly_known"]["after"]) for row in span["rows"]}


def test_changes_are_of_the_measurement_by_groups_of_the_base_detection(report: dict[str, Any]) -> None:
    measured = report["measured"]
    assert {key: measured[key] for key in ("seed", "n", "of", "greedy_only", "exemplar_sets")} == {
        "seed": 10_003,
        "n": 8,
        "of": 8,
        "greedy_only": True,
        "exemplar_sets": 4,
    }
    spans = {(span["before"], span["after"]): span for span in measured["changes"]}
    assert list(spans) == [("base", "stage1"), ("stage1", "stage2"), ("base", "stage2")]
    assert means(spans["base", "stage1"]) == {
        "all": (8, 11 / 32, 15 / 32),
        "HighlyKnown": (2, 7 / 8, 1.0),
        "MaybeKnown": (2, 4 / 8, 6 / 8),
        "WeaklyKnown": (2, 0.0, 1 / 8),
        "Unknown": (2, 0.0, 0.0),
        "all below HighlyKnown": (6, pytest.approx(4 / 24, rel=1e-5), pytest.approx(7 / 24, rel=1e-5)),
    }
    assert known(spans["base", "stage2"]) == {
        "all": (1, 3),
        "HighlyKnown": (1, 1),
        "MaybeKnown": (0, 2),
        "WeaklyKnown": (0, 0),
        "Unknown": (0, 0),
        "all below HighlyKnown": (0, 2),
    }
    row = spans["base", "stage2"]["rows"][0]
    assert row["clustered"][THESE]["difference"] == 6 / 32
    assert row["clustered"][THESE]["clusters"] == 8
    assert row["highly_known"]["clustered"][THESE]["difference"] == 2 / 8


def test_the_control_is_compared_with_its_stage_in_all_groups(report: dict[str, Any]) -> None:
    (span,) = report["measured"]["against_control"]
    assert (span["before"], span["after"]) == ("stage1-continued", "stage2")
    assert means(span)["all"] == (8, 16 / 32, 17 / 32)
    assert known(span)["HighlyKnown"] == (2, 1)
    assert len(span["rows"]) == 6


def test_untrained_questions_are_those_outside_the_first_mixture(report: dict[str, Any]) -> None:
    untrained = report["measured"]["untrained"]
    assert (untrained["before"], untrained["after"]) == ("base", "stage1")
    # WeaklyKnown and Unknown are all that is below HighlyKnown and was not trained on, so there is no third row
    assert means(untrained) == {
        "all": (6, pytest.approx(7 / 24, rel=1e-5), 9 / 24),
        "all below HighlyKnown": (4, 0.0, 1 / 16),
    }
    assert [row["outcome"] for row in untrained["rows"]] == ["no clear change", "no clear change"]


def test_trained_questions_are_told_stage_by_stage_from_the_stages_own_start(report: dict[str, Any]) -> None:
    first, second = report["measured"]["trained"]
    assert (second["before"], second["after"]) == ("stage1", "stage2")  # the measurement, for stage2 was not detected
    found = {(row["trained"], row["group"]): (row["n"], row["before"], row["after"]) for row in first["rows"]}
    assert found[True, "MaybeKnown"] == (2, 4 / 8, 6 / 8)
    found = {(row["trained"], row["group"]): (row["n"], row["before"], row["after"]) for row in second["rows"]}
    assert found == {
        (True, "all"): (2, 3 / 8, 6 / 8),
        (True, "MaybeKnown"): (2, 3 / 8, 6 / 8),
        (False, "all"): (6, 0.5, pytest.approx(11 / 24, rel=1e-5)),
        (False, "HighlyKnown"): (3, 1.0, pytest.approx(10 / 12, rel=1e-5)),
        (False, "WeaklyKnown"): (1, 0.0, 1 / 4),
        (False, "Unknown"): (2, 0.0, 0.0),
        (False, "all below HighlyKnown"): (3, 0.0, pytest.approx(1 / 12, rel=1e-5)),
    }
    assert not [one for row in second["rows"] for one in row["clustered"].values() if "p" in one or "holm_p" in one]


@pytest.mark.parametrize("reading", list(Reading))
def test_holm_covers_every_tested_row_of_a_reading(tmp_path: Path, reading: Reading) -> None:
    rng = np.random.default_rng(1)
    detections = {
        point: [(H, M, W, U)[one] for one in rng.integers(0, 4, 126).tolist()] for point in ("base", "stage1")
    }
    measurements = {point: rng.integers(0, 5, 126).tolist() for point in ("base", "stage1", "stage2", *CONTROL)}
    measured = build_report(measured_run(tmp_path / "run", detections, measurements, types=NULL_TYPES))["measured"]
    spans = [*measured["changes"], *measured["against_control"], measured["untrained"]]
    found = [row["clustered"][reading.value] for span in spans for row in span["rows"]]
    assert len(found) == measured["tests"] == 3 * 6 + 6 + 2
    main = [row["main"] for span in spans for row in span["rows"]]
    # all questions to the last point, all against the control, the untrained ones that could rise
    assert [index for index, one in enumerate(main) if one] == [12, 18, 25]
    assert [one["holm_p"] for one in found] == pytest.approx(holm([one["p"] for one in found], main), rel=1e-4)


def test_a_part_that_is_redrawn_has_trained_on_all_that_it_selects(tmp_path: Path) -> None:
    part = {"name": "some", "now": ["MaybeKnown"], "limit": 1, "redraw": True}
    recipe = make_recipe(
        stages=[{"name": "stage1", "mixture": [part]}], evaluation={"shots": [4, 0], "other_type": False}
    )
    run = measured_run(
        tmp_path / "run",
        {"base": DETECTIONS["base"]},
        {"base": [0] * 8, "stage1": [0] * 8},
        recipe=recipe,
        validation={"stage1": [1, 2]},
    )
    data = read_run(run)
    assert len(data.stages[0].mixture.items) == 1
    assert trained_ids(data, data.stages[0]) == {"train-0002", "train-0003"}
    # a test question with the text of the one that the first epoch left out was trained on, too
    (drawn,) = (item.question.id for item in data.stages[0].mixture.items)
    text = {"train-0002": "What is train fact 3?", "train-0003": "What is train fact 2?"}[drawn]
    for path in run.glob("evaluate-*/answers.jsonl"):
        write_answers(
            path,
            [dataclasses.replace(one, question=text) if one.id == "test-0000" else one for one in read_answers(path)],
        )
    assert measure_trained_on(read_run(run))["by_text"] == 1


def test_a_random_part_may_be_measured_and_is_said_to_be_one(tmp_path: Path) -> None:
    run = measured_run(tmp_path / "run", measurements={point: rights[:5] for point, rights in MEASUREMENTS.items()})
    report = build_report(run)
    assert (report["measured"]["n"], report["measured"]["of"]) == (5, 8)
    assert report["control"]["movement"]["n"] == 5
    text = render_report(report)
    assert (
        "| base → stage1 | WeaklyKnown | 1 | 0.0 % | 25.0 % | +25.0 | +25.0 | – | – | not tested. There is one" in text
    )
    assert "A random 5 of the 8 training questions were also asked" in text
    assert "their share of these 5, a random part of the 8 training questions." in text


def test_where_all_measured_questions_were_trained_on_there_are_no_untrained_ones(tmp_path: Path) -> None:
    recipe = make_recipe(
        stages=[{"name": "stage1", "mixture": [{"name": "all"}]}], evaluation={"shots": [4, 0], "other_type": False}
    )
    rights = {"base": MEASUREMENTS["base"], "stage1": MEASUREMENTS["stage1"]}
    run = measured_run(
        tmp_path / "run", {"base": DETECTIONS["base"]}, rights, recipe=recipe, validation={"stage1": [1, 2]}
    )
    report = build_report(run)
    assert report["measured"]["untrained"] is None
    assert "stage1 trained on all questions that were measured." in render_report(report)


def test_a_measurement_without_all_greedy_answers_is_refused(tmp_path: Path) -> None:
    run = measured_run(tmp_path / "run")
    path = run / "measure-stage1" / "categories.jsonl"
    lazily = (run / "detect-stage1" / "categories.jsonl").read_text(encoding="utf-8").splitlines()
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:4], lazily[4], *lines[5:]]) + "\n", encoding="utf-8")
    assert [item.greedy.asked for item in CategoryFile(path)].count(2) == 1
    with pytest.raises(DataError, match=r"measure-stage1.*'train-0003' has 2 of 4 greedy answers"):
        build_report(run)


def test_categories_of_a_measured_run_are_those_of_the_measurement_and_never_right_is_one_level(
    report: dict[str, Any],
) -> None:
    found = {point: [share["count"] for share in shares.values()] for point, shares in report["categories"].items()}
    assert found == {
        "base": [1, 3, 0, 4],
        "stage1": [3, 2, 0, 3],
        "stage2": [3, 3, 0, 2],
        "stage1-continued": [3, 2, 0, 3],
    }
    text = render_report(report)
    shown = section(text, "What the model knows: categories of the training questions")
    assert "| point | HighlyKnown | MaybeKnown | never right |" in shown
    assert "| base (detection) | 2: 25.0 % " in shown  # the draw that chose the questions
    assert "it found 2 WeaklyKnown and 2 Unknown." in shown
    moved = section(text, "What moved: category before and after")
    assert moved.count("| before ↓ after → | HighlyKnown | MaybeKnown | never right | all |") == 4
    assert "| never right | 0 | 2 | 2 | 4 |" in moved  # base to stage2: questions 4 and 5 are right once or twice
    # draw A against draw B: only question 1 differs, for never right is one level
    assert "1 of 8 questions changed their category by measurement alone." in moved
    assert "not a clean retest" not in moved  # no samples on purpose


def test_a_measured_report_prints_what_changed_and_nothing_that_cannot_be_cured(report: dict[str, Any]) -> None:
    text = render_report(report)
    shown = section(text, "What changed, measured on other exemplars")
    assert "| base → stage2 | HighlyKnown | 2 | 87.5 % | 75.0 % |" in shown
    assert "| base → stage2 | HighlyKnown | 2 | 1 | 1 |" in shown  # HighlyKnown on the measurement
    assert "| not trained | HighlyKnown | 3 | 100.0 % | 83.3 % |" in shown
    assert "## Trained and untrained questions" not in text
    assert report["trained"] == []
    assert "upgraded" not in text.split("## What each stage trained on")[0]  # later a reason of the mixture
    assert "No longer HighlyKnown" in section(text, "Examples")
    assert "never right → MaybeKnown" in section(text, "Examples")
    summary = summarize(report, 110)
    assert "What changed, measured on other exemplars" in summary
    assert max(len(line) for line in summary.splitlines()) <= 110


def test_the_verdict_tells_what_was_kept_what_changed_and_the_untrained_and_the_control(report: dict[str, Any]) -> None:
    lead = render_report(report).split("## What was run")[0]
    assert "the share of right answers went from 34.4 % at base to 53.1 % after stage2: +18.8 percentage points" in lead
    assert (
        "Among the 2 questions that the detection found HighlyKnown at base, the measurement found 1 HighlyKnown at "
        "base and 1 after stage2"
    ) in lead
    assert (
        "Among the 4 questions that stage1 did not train on and that were below HighlyKnown at base, the share of right "
        "answers did not clearly change, from 0.0 % to 6.2 %"
    ) in lead
    assert "After stage2 the share of right answers was 53.1 %, against 50.0 % after as much further training" in lead
    assert "upgraded" not in lead
    assert "forgotten" not in lead


@pytest.mark.usefixtures("no_figures")
def test_a_report_without_measurement_keeps_its_sections(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    report = build_report(run)
    assert report["measured"] is None
    assert report["greedy_only"] is False
    older = {key: value for key, value in report.items() if key not in ("measured", "greedy_only")}
    older["categories"] = {
        point: {name: {key: value for key, value in share.items() if key != "reading"} for name, share in one.items()}
        for point, one in report["categories"].items()
    }
    text = render_report(older)
    assert "## What changed" not in text
    assert "## Trained and untrained questions" in text
    assert "They are Wilson score intervals" in text
    assert render_report(read_report(write_report(run).with_name("report.json"))) == render_report(report)


def test_samples_left_out_after_a_stage_make_never_right_one_level_without_measurement_too(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", retest=None)
    for adapter, point in (("01", "stage1"), ("02", "stage2")):
        items = [
            measured_question(item.question, {H: 4, M: 2}.get(item.category, 0))
            for item in CategoryFile(run / f"detect-{point}" / "categories.jsonl")
        ]
        write_detection(run / f"detect-{point}", items, adapter=adapter * 32, samples=0)
    report = build_report(run)
    assert report["greedy_only"]
    assert [share["count"] for share in report["categories"]["base"].values()] == [3, 3, 0, 4]
    # a WeaklyKnown question that stays without a right greedy answer has not fallen
    assert report["transitions"][0]["matrix"]["WeaklyKnown"] == dict.fromkeys(report["categories"]["base"], 0)


@pytest.mark.parametrize("types", [NULL_TYPES, ("capital",)])
def test_shares_of_categories_have_the_interval_of_types_like_these_or_of_the_only_type(
    tmp_path: Path, types: tuple[str, ...]
) -> None:
    rights = {point: [number % 5 for number in range(105)] for point in ("base", "stage1", "stage2")}
    detections = {"base": [H, M, W, U, U] * 21, "stage1": [H, M, W, U, U] * 21}
    report = build_report(measured_run(tmp_path / "run", detections, rights, types=types))
    share = report["categories"]["stage1"]["HighlyKnown"]
    reading = Reading.TYPES_LIKE_THESE if len(types) > 1 else Reading.THESE_TYPES
    assert share["reading"] == reading.value
    groups = QuestionGroups([types[number % len(types)] for number in range(105)], [str(i) for i in range(105)])
    expected = clustered_mean([float(number % 5 == 4) for number in range(105)], groups, reading)
    assert (share["low"], share["high"]) == pytest.approx((expected.low, expected.high), rel=1e-5)
    assert f"They are for {reading.value}: questions that come together" in render_report(report)


def test_training_that_changes_no_answer_is_said_to_have_changed_nothing(tmp_path: Path) -> None:
    rights = [(7 * number) % 5 for number in range(210)]
    base = [(H, M, W, U)[(3 * number) % 4] for number in range(210)]
    points = dict.fromkeys(("base", "stage1", "stage2", "stage1-continued"), rights)
    run = measured_run(tmp_path / "run", {"base": base, "stage1": base}, points, types=NULL_TYPES)
    report = build_report(run)
    assert clear_rows(report["measured"]) == []
    shown = section(render_report(report), "What changed, measured on other exemplars")
    assert "| clear |" not in shown
    assert "So few clusters changed that no p in this table can be below 0.05" in shown
    assert "the share of right answers did not clearly change" in shown


# Simulations: one run is read, and its detections, measurements and mixtures are drawn anew in memory.

SIZES = [8 + 2 * (number % 9) for number in range(21)]
TYPE = np.repeat(np.arange(21), SIZES)
SUBJECT = np.arange(len(TYPE)) // 2  # two questions about one subject, where both are of one type
IDS = [f"train-{number:04d}" for number in range(len(TYPE))]
SETS = 4
Floats = np.ndarray


@pytest.fixture
def quick_collections() -> Iterator[None]:
    """Holm's correction of statsmodels collects garbage, which takes long with all libraries in memory."""
    gc.freeze()
    yield
    gc.unfreeze()


def clear_rows(measured: Mapping[str, Any]) -> list[str]:
    """Every row that the report calls clear, by the reading that decides."""
    spans = [*measured["changes"], *measured["against_control"], measured["untrained"]]
    found = []
    for span in spans:
        for row in span["rows"]:
            one = row["clustered"][LIKE_THESE]
            one = one if one["holm_p"] is not None else row["clustered"][THESE]
            p, low, high = one["holm_p"], one["low"], one["high"]
            if p is not None and p < 0.05 and low is not None and (low > 0 or high < 0):
                found.append(f"{span['before']} {span['after']} {row['group']}")
    return found


def run_of(folder: Path, *, stages: int) -> RunData:
    """A measured run of the questions of the simulation, read once."""
    categories = [(H, M, W, U)[number % 4] for number in range(len(IDS))]
    rights = [number % 5 for number in range(len(IDS))]
    recipe = make_recipe()
    points = ["base", "stage1", "stage2"][: stages + 1]
    if stages == 1:
        recipe = make_recipe(
            stages=[{"name": "stage1", "mixture": [{"name": "maybe_known", "now": ["MaybeKnown"]}]}],
            evaluation={"shots": [4, 0], "other_type": False},
        )
    given = {} if stages > 1 else {"recipe": recipe, "validation": {"stage1": [1, 2]}}
    controls = ["stage1-continued"] if stages > 1 else []
    return read_run(
        measured_run(
            folder, dict.fromkeys(points[:-1], categories), dict.fromkeys((*points, *controls), rights), **given
        )
    )


def drawn(detection: Detection, chance: Floats, noise: Floats, rng: np.random.Generator) -> Detection:
    """A detection or measurement: four greedy answers per question.

    Args:
        chance: probability of a right answer, shape (questions,).
        noise: what each exemplar set adds for each type, shape (types, sets).
    """
    right = (rng.random((len(IDS), SETS)) < np.clip(chance[:, None] + noise[TYPE], 0, 1)).sum(axis=1)
    lowest = np.where(rng.random(len(IDS)) < 0.3, 2, 3)
    level = np.where(right == SETS, 0, np.where(right > 0, 1, lowest))
    names = list(KnowledgeCategory)
    return dataclasses.replace(
        detection,
        categories={id_: names[one] for id_, one in zip(IDS, level.tolist(), strict=True)},
        greedy={id_: Tally(one, SETS) for id_, one in zip(IDS, right.tolist(), strict=True)},
        groups={
            id_: (f"type {t}", f"subject {s}") for id_, t, s in zip(IDS, TYPE.tolist(), SUBJECT.tolist(), strict=True)
        },
    )


def simulated(data: RunData, detections: Mapping[str, Detection], measurements: Mapping[str, Detection]) -> RunData:
    """The run with other detections and measurements; each stage trains on what was MaybeKnown when it started."""
    stages = []
    for stage in data.stages:
        found = detections[stage.before].categories
        items = [
            MixtureItem(make_question(number), "maybe_known", "MaybeKnown now", M)
            for number, id_ in enumerate(IDS)
            if found[id_] is M
        ]
        stages.append(dataclasses.replace(stage, mixture=Mixture(tuple(items), stage.mixture.parts, 3)))
    return dataclasses.replace(data, detections=detections, measurements=measurements, stages=tuple(stages))


def noise_of_exemplars(rng: np.random.Generator, size: float = 0.1) -> Floats:
    return rng.uniform(-size, size, (21, SETS))


def chances(rng: np.random.Generator, low: float, high: float) -> Floats:
    """Probabilities of a right answer with effects of type, subject and question, within (low, high) by 0.2."""
    of_type = rng.uniform(low + 0.2, high - 0.2, 21)[TYPE]
    return of_type + rng.uniform(-0.1, 0.1, len(IDS))[SUBJECT] + rng.uniform(-0.1, 0.1, len(IDS))


def false_claims(data: RunData, repetitions: int, *, one_draw: bool = False) -> int:
    """Runs with a row called clear, where training changes nothing and every point draws its own exemplars and answers.

    ``one_draw`` groups the questions by the measurement of the base model, as if it were the detection.
    """
    found = 0
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        chance = chances(rng, -0.2, 1.2)
        detections = {point: drawn(one, chance, noise_of_exemplars(rng), rng) for point, one in data.detections.items()}
        measurements = {
            point: drawn(one, chance, noise_of_exemplars(rng), rng) for point, one in data.measurements.items()
        }
        if one_draw:
            detections["base"] = measurements["base"]
        measured = measure_measured(simulated(data, detections, measurements), flips=999)
        assert measured is not None
        assert len(measured["trained"]) == 2
        found += bool(clear_rows(measured))
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("quick_collections")
def test_nothing_is_called_clear_in_95_of_100_runs_whose_training_changes_nothing(tmp_path: Path) -> None:
    assert false_claims(run_of(tmp_path / "run", stages=2), 100) <= 5


def test_groups_of_the_draw_that_measures_would_claim_changes_in_most_runs(tmp_path: Path) -> None:
    """What the two draws are for, and that the simulation above can fail."""
    assert false_claims(run_of(tmp_path / "run", stages=2), 8, one_draw=True) >= 6


def lifted(data: RunData, reading: Reading, seed: int) -> tuple[float, Mapping[str, Any]]:
    """The true lift by a reading, and what one run measures of it. The lift differs between types and subjects.

    Types like these: types are drawn anew in every run. These types: they are the same in all runs, their subjects not.
    """
    rng = np.random.default_rng(seed)
    of_types = rng if reading is Reading.TYPES_LIKE_THESE else np.random.default_rng(77)
    lift, low = of_types.uniform(0.0, 0.3, 21), of_types.uniform(0.3, 0.45, 21)
    exemplars = of_types.uniform(-0.05, 0.05, (2, 21, SETS))  # of the detection and of the measurement
    subject = rng.uniform(-0.1, 0.1, len(IDS))[SUBJECT]
    before = low[TYPE] + subject + rng.uniform(-0.1, 0.1, len(IDS))
    after = before + lift[TYPE] + rng.uniform(-0.05, 0.05, len(IDS))[SUBJECT]
    detections = {"base": drawn(data.base, before, exemplars[0], rng)}
    measurements = {
        point: drawn(data.measurements[point], chance, exemplars[1], rng)
        for point, chance in (("base", before), ("stage1", after))
    }
    measured = measure_measured(simulated(data, detections, measurements), flips=9)
    assert measured is not None
    truth = 0.15 if reading is Reading.TYPES_LIKE_THESE else float(lift[TYPE].mean())
    return truth, measured


@pytest.mark.slow
@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize("reading", list(Reading))
def test_a_known_lift_is_within_its_interval_in_95_of_100_runs(tmp_path: Path, reading: Reading) -> None:
    data, repetitions = run_of(tmp_path / "run", stages=1), 200
    held = {"all": 0, "untrained": 0}
    for seed in range(repetitions):
        truth, measured = lifted(data, reading, seed)
        rows = {"all": measured["changes"][0]["rows"][0], "untrained": measured["untrained"]["rows"][0]}
        for name, row in rows.items():
            found = row["clustered"][reading.value]
            held[name] += found["low"] <= truth <= found["high"]
    assert held["all"] / repetitions == pytest.approx(0.95, abs=0.03)
    if reading is Reading.TYPES_LIKE_THESE:  # the truth of untrained questions depends on which types they are of
        assert held["untrained"] / repetitions == pytest.approx(0.95, abs=0.03)
