from __future__ import annotations

import filecmp
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from kft_cli.report.figures import FIGURES
from kft_cli.report.render import render_report
from kft_cli.report.report import build_report, read_report, summarize, write_report
from kft_cli.report.verdict import headline
from kft_cli.stats.intervals import paired_difference_of_counts, wilson_share
from kft_tasks.errors import DataError, StateError
from report_helpers import H, M, U, W, large_run, make_recipe, make_run, small_run


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a run as older versions made it: the test draws the exemplars of the detection."""
    recipe = make_recipe(protocols={"test": {"seed": 3, "exemplar_sets": 1}})
    return build_report(small_run(tmp_path_factory.mktemp("run") / "small", recipe=recipe))


def test_the_opening_sentence_takes_counts_where_means_are_not_written() -> None:
    """A report may leave out the means where each question has one answer."""
    report = read_report(Path(__file__).parents[2] / "results" / "worldfacts-full" / "report.json")
    row = next(
        row
        for row in report["test"]["differences"]
        if (row["before"], row["after"], row["shots"]) == ("base", "stage2", 4) and not row.get("other_type")
    )
    del row["mean"]
    row |= {"both": 200, "gained": 50, "lost": 6, "n": 824}
    assert "test accuracy with 4 exemplars in the prompt rose (25.0 % → 30.3 %" in headline(report)


def section(text: str, title: str) -> str:
    """A section of a rendered report, without its heading."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def counts(share: dict[str, Any]) -> tuple[int, int]:
    return share["count"], share["n"]


def test_categories_are_counted_at_each_point(report: dict[str, Any]) -> None:
    found = {point: [share["count"] for share in shares.values()] for point, shares in report["categories"].items()}
    assert found == {"base": [3, 3, 2, 2], "stage1": [4, 3, 2, 1], "stage2": [4, 3, 2, 1]}


def test_movements_of_consecutive_points_and_of_the_whole_run(report: dict[str, Any]) -> None:
    names = ("upgraded", "forgotten", "never_right_any_more", "downgraded", "unchanged")
    found = {
        (step["before"], step["after"]): [counts(step["movement"][name]) for name in names]
        for step in report["transitions"]
    }
    assert found == {
        ("base", "stage1"): [(4, 7), (1, 3), (0, 3), (1, 8), (5, 10)],
        ("stage1", "stage2"): [(2, 6), (1, 4), (0, 4), (2, 9), (6, 10)],
        ("base", "stage2"): [(6, 7), (2, 3), (1, 3), (2, 8), (2, 10)],
    }
    assert report["transitions"][2]["matrix"]["MaybeKnown"] == {
        "HighlyKnown": 3,
        "MaybeKnown": 0,
        "WeaklyKnown": 0,
        "Unknown": 0,
    }


def test_the_retest_is_described_and_training_is_not_tested_against_it(report: dict[str, Any]) -> None:
    assert counts(report["control"]["movement"]["upgraded"]) == (2, 7)
    assert counts(report["control"]["movement"]["forgotten"]) == (1, 3)
    assert not any("against_control" in step for step in report["transitions"])
    moved = section(render_report(report), "What moved: category before and after")
    assert "| retest | 2 of 7: 28.6 % (8.2–64.1) |" in moved
    assert "how often a category changes by measurement alone" in moved
    assert "A fair comparison needs independent draws, fresh exemplars and samples, at every point." in moved
    assert not re.search(r"\bp\b|control|by chance", moved)


def old_report(report: dict[str, Any]) -> dict[str, Any]:
    """The same report with what reports of this format used to hold, and without what they did not."""
    old = deepcopy(report)
    tested = {**paired_difference_of_counts(both=3, lost=0, gained=77, neither=20).to_json(), "holm_p": 0.00429}
    for step in old["transitions"]:
        if step["before"] == "base":
            step["against_control"] = {"upgraded": tested, "forgotten": tested}
    old["trained"].append({"before": "base", "after": "stage2", "rows": deepcopy(old["trained"][0]["rows"])})
    for span in old["trained"]:
        for row in span["rows"]:
            row |= {"control": row["share"], "against_control": tested}
    test = old["test"]
    for row in test["by_category"]:
        row |= {key: tested[key] for key in ("low", "high", "mcnemar_p", "holm_p")}
    test["accuracy"] = [
        {"point": row["point"], "shots": row["shots"], **wilson_share(row["count"], row["n"]).to_json()}
        | {"right": row["right"]}
        for row in test["accuracy"]
    ]
    for name, keys in (("differences", ("shots", "before", "after")), ("by_type", ("group", "shots", "accuracy"))):
        test[name] = [
            {key: row[key] for key in keys}
            | paired_difference_of_counts(
                **{cell: row[cell] for cell in ("both", "lost", "gained", "neither")}
            ).to_json()
            | {"holm_p": 1.0}
            for row in test[name]
        ]
    del test["trained_on"], test["groups"], old["run"]["settings"]["protocols"]
    del old["run"]["settings"]["evaluation"]["other_type"], old["repeat"]["seeds"]["test"]
    share = old["stages"][0]["epochs"][0]
    old["verdict"]["validation"] = {"before": share, "after": share}
    return old


def test_an_old_report_is_rendered_without_the_tests_that_it_should_not_have_made(report: dict[str, Any]) -> None:
    text = render_report(old_report(report))
    assert not re.search(r"0\.004|by chance|more than in the control|77\.0", text)
    assert "base → stage2. In brackets" not in text  # a span over the stages that chose the questions
    assert "| 4 | right | 50.0 % (21.5–78.5) |" in text
    assert "| empty |" not in text
    assert "How many answers were empty was not counted in this run." in text
    assert "Its intervals and p values take the questions as independent." in text
    assert re.search(r"\+25\.0 percentage points \(95 % interval [^:]*, Holm-corrected McNemar p = 1\.000\)\. ", text)


def test_test_accuracy_and_its_paired_change(report: dict[str, Any]) -> None:
    test = report["test"]
    assert test["n"] == 8
    found = {(row["point"], row["shots"]): row["count"] for row in test["accuracy"]}
    assert found == {
        ("base", 4): 4,
        ("stage1", 4): 5,
        ("stage2", 4): 6,
        ("base", 0): 2,
        ("stage1", 0): 3,
        ("stage2", 0): 2,
    }
    row = next(
        row for row in test["differences"] if (row["shots"], row["before"], row["after"]) == (4, "base", "stage2")
    )
    assert [row[key] for key in ("both", "lost", "gained", "neither")] == [3, 1, 3, 1]
    assert (row["difference"], row["mcnemar_p"], row["holm_p"]) == (0.25, 0.625, 1.0)
    assert report["verdict"]["test"] == [
        {"shots": 4, "outcome": "no clear change"},
        {"shots": 0, "outcome": "no clear change"},
    ]


def test_test_accuracy_by_first_category_and_type(report: dict[str, Any]) -> None:
    rows = [row for row in report["test"]["by_category"] if row["shots"] == 4]
    assert [(row["group"], row["n"], row["gained"], row["lost"]) for row in rows] == [
        ("HighlyKnown", 2, 0, 1),
        ("MaybeKnown", 3, 1, 0),
        ("WeaklyKnown", 1, 1, 0),
        ("Unknown", 2, 1, 0),
    ]
    assert [(row["group"], row["n"]) for row in report["test"]["by_type"]] == [("capital", 8), ("capital", 8)]


def test_no_test_is_printed_where_a_row_is_all_or_nothing_by_construction(report: dict[str, Any]) -> None:
    assert not [row for row in report["test"]["by_category"] if {"mcnemar_p", "holm_p", "clustered"} & set(row)]
    for one in (report, old_report(report)):
        shown = section(render_report(one), "Test accuracy")
        shown = shown[shown.index("**By first category**") : shown.index("**By type of question**")]
        heads = next(line for line in shown.splitlines() if line.startswith("| exemplars"))
        assert heads == "| exemplars | first category | n | base | stage1 | stage2 |"
        assert "no change is tested here" in shown
        assert not re.search(r"Holm|< 0\.001| to [+−]", shown)


def test_stages_tell_what_they_trained_on_and_which_epoch_was_kept(report: dict[str, Any]) -> None:
    first, second = report["stages"]
    assert first["parts"] == [
        {"name": "maybe_known", "available": 3, "taken": 3, "reasons": {"MaybeKnown now": 3}},
    ]
    assert [(part["name"], part["available"], part["taken"]) for part in second["parts"]] == [
        ("still_maybe_known", 1, 1),
        ("upgraded", 1, 1),
        ("replay", 4, 0),
    ]
    assert (first["chosen_epoch"], first["better_than_start"], counts(first["epochs"][2])) == (2, True, (26, 50))
    assert (second["chosen_epoch"], second["better_than_start"]) == (1, False)


def test_trained_and_untrained_questions_are_told_apart(report: dict[str, Any]) -> None:
    span = report["trained"][0]
    found = {(row["trained"], row["category"]): (row["movement"], counts(row["share"])) for row in span["rows"]}
    assert found == {
        (True, "MaybeKnown"): ("upgraded", (2, 3)),
        (False, "HighlyKnown"): ("forgotten", (1, 3)),
        (False, "WeaklyKnown"): ("upgraded", (1, 2)),
        (False, "Unknown"): ("upgraded", (1, 2)),
        (False, "all below HighlyKnown"): ("upgraded", (2, 4)),
    }
    # no span over both stages: stage 2 trains on questions because they rose in stage 1
    assert [(span["before"], span["after"]) for span in report["trained"]] == [("base", "stage1"), ("stage1", "stage2")]


def test_examples_show_the_answers_given(report: dict[str, Any]) -> None:
    examples = report["examples"]
    assert (examples["upgraded"]["n"], examples["forgotten"]["n"]) == (6, 2)
    by_id = {example["id"]: example for example in examples["upgraded"]["shown"]}
    assert by_id["train-0006"]["before"]["given"] == [{"answer": "wrong", "times": 4}]
    assert by_id["train-0006"]["after"]["given"] == [{"answer": "gold 6", "times": 1}, {"answer": "wrong", "times": 1}]
    assert by_id["train-0006"]["trained_in"] == ["stage2"]
    assert by_id["train-0003"]["trained_in"] == ["stage1"]


def test_cost_is_summed_over_all_steps(report: dict[str, Any]) -> None:
    cost = report["cost"]
    assert [row["step"] for row in cost["steps"]] == [
        "detect-base",
        "retest-base",
        "test-categories",
        "evaluate-base",
        "stage1",
        "detect-stage1",
        "evaluate-stage1",
        "stage2",
        "detect-stage2",
        "evaluate-stage2",
    ]
    assert cost["total"]["seconds"] == 183.0
    assert (cost["total"]["made"], cost["total"]["saved"], cost["total"]["trained"]) == (508, 3640, 10_000)


def test_the_report_is_json_and_says_how_to_repeat_the_run(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report)) == report
    repeat = report["repeat"]
    assert repeat["command"] == "kft run tiny.yaml --output runs/tiny"
    assert repeat["seeds"] == {"recipe": 3, "protocol": 3, "measurement": 4, "test": 3}
    assert repeat["digests"]["adapter after stage2"] == "02" * 32
    assert "name: tiny" in repeat["recipe"]


def test_markdown_has_all_sections_in_order_and_no_raw_html(report: dict[str, Any]) -> None:
    text = render_report(report)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "What was run",
        "What the model knows: categories of the training questions",
        "What moved: category before and after",
        "Test accuracy",
        "What each stage trained on",
        "Trained and untrained questions",
        "Examples",
        "Cost",
        "How to repeat this run",
        "The paper's counts, for orientation",
    ]
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    assert not [token for token in tokens if "html" in token.type]
    assert "**Test accuracy did not clearly change from the base model to stage2.**" in text
    assert "This stage did not beat its starting point" in text
    assert "None" not in text
    assert "nan" not in text.lower().split()


def test_a_clear_rise_is_called_one_and_a_clear_fall_too(tmp_path: Path) -> None:
    detections = {point: [H, M, W, U] for point in ("base", "stage1", "stage2")}
    worse, better = [False] * 20, [True] * 20
    answers = {
        "base": {4: worse, 0: better},
        "stage1": {4: worse, 0: better},
        "stage2": {4: better, 0: worse},
    }
    report = build_report(make_run(tmp_path / "run", detections, answers))
    assert [row["outcome"] for row in report["verdict"]["test"]] == ["rose", "fell"]
    text = render_report(report)
    assert "test accuracy rose with 4 exemplars in the prompt and fell with no exemplars." in text
    assert "+100.0 percentage points" in text


def test_a_gain_without_exemplars_that_may_be_form_is_not_sold_as_knowledge(tmp_path: Path) -> None:
    detections = {point: [H, M, W, U] for point in ("base", "stage1", "stage2")}
    few, none = [True] * 18 + [False] * 2, [False] * 20
    answers = {"base": {4: few, 0: none}, "stage1": {4: few, 0: few}, "stage2": {4: few, 0: few}}
    text = render_report(build_report(make_run(tmp_path / "run", detections, answers)))
    headline = text.split("**")[1]
    assert "test accuracy did not clearly change with 4 exemplars in the prompt." in headline
    assert "rose" not in headline
    assert "The gain with no exemplars may be the form of the answers rather than knowledge" in headline
    assert "answered 0.0 % of 20 questions right without exemplars and already 90.0 % with 4." in headline


@pytest.mark.parametrize(
    ("nothing", "wrong", "words"),
    [
        (20, 0, "is mostly the form of the answers: 20 of 20 answers of the base model were empty."),
        (12, 8, "is mostly the form of the answers: 12 of 20 answers of the base model were empty."),
        (2, 18, "is in part the form of the answers: 2 of 20 answers of the base model were empty."),
        (1, 19, None),
    ],
)
def test_a_gain_over_empty_answers_is_called_form_in_the_headline(
    tmp_path: Path, nothing: int, wrong: int, words: str | None
) -> None:
    detections = {point: [H, M, W, U] for point in ("base", "stage1", "stage2")}
    base: list[bool | None] = [*[None] * nothing, *[False] * wrong]
    few, right = [False] * 20, [True] * 20  # as few right with exemplars: only the empty answers tell
    answers = {"base": {4: few, 0: base}, "stage1": {4: few, 0: right}, "stage2": {4: few, 0: right}}
    report = build_report(make_run(tmp_path / "run", detections, answers))
    empty = {(row["point"], row["shots"]): row["empty"] for row in report["test"]["accuracy"]}
    assert (empty["base", 0], empty["base", 4], empty["stage2", 0]) == (nothing, 0, 0)
    headline = render_report(report).split("**")[1]
    assert ("rose with no exemplars" in headline) is (words is None)
    assert words is None or f"The gain with no exemplars {words}" in headline


def test_empty_answers_are_shown_at_every_point_and_number_of_exemplars(report: dict[str, Any]) -> None:
    text = render_report(report)
    assert "| 4 | empty | 0 of 8: 0.0 % | 0 of 8: 0.0 % | 0 of 8: 0.0 % |" in text


def test_the_verdict_describes_what_moved_and_what_moves_by_measurement_alone(tmp_path: Path) -> None:
    text = render_report(build_report(large_run(tmp_path / "run")))
    assert "Of the 352 training questions whose mastery category could rise, 164 (46.6 %) were upgraded." in text
    lead = text.split("## What was run")[0]
    assert "Categories also change by measurement alone" in lead
    assert "A fair comparison with training would need independent draws at every point" in lead
    assert not re.search("control|by chance|upgraded more|forgot more", lead)


def test_validation_chose_the_epochs_and_is_no_evidence(report: dict[str, Any]) -> None:
    assert "validation" not in report["verdict"]  # the best of four epochs rises in 83 % of runs that change nothing
    text = render_report(report)
    lead = text.split("## What was run")[0]
    said = "Epochs were chosen on 50 validation questions; the scores there are not evidence."
    assert [line for line in lead.splitlines() if "validation" in line.lower()] == [said]
    told = [line for line in text.splitlines() if "validation" in line.lower() or "Epoch " in line]
    assert not [line for line in told if re.search(r"\b(rose|rises|risen|up from|improved)\b", line)]
    assert "Epoch 2 was kept, because it has the most right answers: 26 of 50. Before the stage there were 20." in text


def test_a_missing_retest_is_stated_with_the_command_that_makes_it(tmp_path: Path) -> None:
    report = build_report(small_run(tmp_path / "run", retest=None, first=None))
    assert report["control"] is None
    assert report["test"]["by_category"] is None
    text = render_report(report)
    assert text.count("**The base model was detected only once.**") == 1
    assert text.count("**The base model was detected only once**") == 1
    assert "kft run tiny.yaml --output runs/tiny --set evaluation.retest=true" in text
    assert "--set evaluation.first_categories=true" in text
    assert "by chance |" not in text


def test_a_run_of_one_stage_has_one_transition(tmp_path: Path) -> None:
    recipe = make_recipe(
        stages=[{"name": "only", "mixture": [{"name": "all"}]}],
        evaluation={"shots": [0], "measurement": False, "other_type": False},
    )
    answers = {"base": {0: [True, False]}, "only": {0: [True, True]}}
    run = make_run(
        tmp_path / "run",
        {"base": [M, U], "only": [H, U]},
        answers,
        recipe=recipe,
        validation={"only": [10, 20]},
    )
    report = build_report(run)
    assert [(step["before"], step["after"]) for step in report["transitions"]] == [("base", "only")]
    assert len(report["trained"]) == 1
    text = render_report(report)
    assert "none of 0" in text  # nothing was HighlyKnown, so nothing could be forgotten
    assert write_report(run).is_file()


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = large_run(tmp_path / "run")
    first = write_report(run, tmp_path / "one").parent
    shutil.copytree(run, tmp_path / "elsewhere")
    second = write_report(tmp_path / "elsewhere", tmp_path / "two").parent
    names = ["report.json", "report.md", "report.html", *(f"figures/{name}" for name in FIGURES)]
    assert filecmp.cmpfiles(first, second, names, shallow=False) == (names, [], [])
    found = sorted(str(path.relative_to(first)) for path in first.rglob("*") if path.is_file())
    assert found == sorted(names)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.usefixtures("no_figures")
def test_a_report_can_be_rendered_again_from_its_json(tmp_path: Path) -> None:
    path = write_report(small_run(tmp_path / "run"))
    assert path == tmp_path / "run" / "report" / "report.md"
    assert render_report(read_report(path.with_name("report.json"))) == path.read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_figures")
def test_an_old_report_is_replaced_and_a_foreign_folder_is_not(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    report = write_report(run).parent
    (report / "old.png").touch()
    write_report(run)
    assert not (report / "old.png").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(StateError, match="not a report"):
        write_report(run, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text(encoding="utf-8") == "keep"


HOSTILE = "a|b\n\n# x <script>alert(1)</script> \u202e ```\n[l](http://e) " + "z" * 10_000


def test_a_report_is_readable_for_others_as_the_umask_says(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    before = os.umask(0o027)
    try:
        page = write_report(run)
    finally:
        os.umask(before)
    rights = {stat.S_IMODE(one.stat().st_mode) for one in page.parent.rglob("*") if one.is_file()}
    assert rights == {0o640}
    assert stat.S_IMODE(page.parent.stat().st_mode) == 0o750
    assert [one.name for one in page.parent.parent.iterdir() if one.name.startswith(".report")] == []


@pytest.mark.usefixtures("no_figures")
def test_hostile_answers_do_not_break_the_report(tmp_path: Path) -> None:
    path = write_report(small_run(tmp_path / "run", wrong=HOSTILE, types=("cap|ital <b>",)))
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "\u202e" not in text
    assert "z" * 200 not in text
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    assert not [token for token in tokens if "html" in token.type]
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == 10
    shown = [token.content for token in tokens if token.type == "inline" and "script" in token.content]
    assert shown
    assert len(json.dumps(read_report(path.with_name("report.json")))) < 100_000


@pytest.mark.parametrize(
    "name",
    [
        "recipe.yaml",
        "detect-stage1/categories.jsonl",
        "evaluate-stage2/answers.jsonl",
        "stage1/mixture.jsonl",
        "stage2/training.json",
        "detect-base/step.json",
    ],
)
def test_a_missing_part_is_named_with_the_command_that_makes_it(tmp_path: Path, name: str) -> None:
    run = small_run(tmp_path / "run")
    (run / name).unlink()
    with pytest.raises(DataError, match=re.escape(name)) as error:
        build_report(run)
    assert "kft run tiny.yaml --output runs/tiny" in str(error.value)


@pytest.mark.parametrize("content", ["[]", "{}", '{"better_than_start": true, "cost": {}, "epochs": []}'])
def test_a_broken_training_log_is_named(tmp_path: Path, content: str) -> None:
    run = small_run(tmp_path / "run")
    (run / "stage1" / "training.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="not the log of a training stage"):
        build_report(run)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run\.json"):
        build_report(tmp_path)


def test_parts_of_another_run_are_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    other = large_run(tmp_path / "other")
    shutil.rmtree(run / "detect-stage1")
    shutil.copytree(other / "detect-stage1", run / "detect-stage1")
    with pytest.raises(DataError, match=r"detect-stage1.*different set of questions"):
        build_report(run)


def test_other_test_questions_at_one_point_are_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    shutil.copy(large_run(tmp_path / "other") / "evaluate-stage1" / "answers.jsonl", run / "evaluate-stage1")
    with pytest.raises(DataError, match="test questions .* differ"):
        build_report(run)


def test_other_numbers_of_exemplar_sets_at_one_point_are_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    path = run / "evaluate-stage2" / "answers.jsonl"
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    again = json.dumps({**first, "exemplar_set": 1})
    path.write_text(path.read_text(encoding="utf-8") + again + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="evaluate-stage2"):
        build_report(run)


def test_a_test_question_in_a_mixture_is_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    path = run / "stage1" / "mixture.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("train-0003", "test-0003"), encoding="utf-8")
    with pytest.raises(DataError, match="test-0003"):
        build_report(run)


def test_a_retest_with_the_same_seed_is_called_no_retest(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    shutil.copy(run / "detect-base" / "categories.jsonl", run / "retest-base" / "categories.jsonl")
    assert "it is no retest" in render_report(build_report(run))


def test_the_summary_fits_a_terminal(report: dict[str, Any]) -> None:
    text = summarize(report, 100)
    assert "Test accuracy did not clearly change" in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "**" not in text


def test_importing_report_and_comparison_loads_no_heavy_library() -> None:
    code = "import sys, kft_cli.report.report, kft_cli.comparison.compare; print({'torch', 'jinja2', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
