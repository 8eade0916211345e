"""From run folders to the page: an experiment's folder whose runs are made by hand."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
import yaml

from arm_runs import TYPES, make_arm
from kft_cli.experiment.page import render_experiment_page
from kft_cli.experiment.record import read_experiment
from kft_cli.experiment.render import render_experiment, supported
from kft_cli.experiment.report import is_experiment, write_experiment
from kft_cli.experiment.tables import measure_accuracy
from kft_cli.experiment.values import read_values
from kft_cli.main import main
from kft_cli.pages.readme import with_headlines
from kft_cli.pages.results import render_results, write_results
from kft_cli.report import run_data
from kft_cli.report.run_data import SharedFiles
from kft_tasks.errors import DataError
from kft_tasks.evaluation.evaluate import Asking

RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    folder = tmp_path / "core"
    for seed in (0, 1, 2):
        make_arm(folder / f"runs/one/seed-{seed}", seed, gained=2, stages=1)
        make_arm(folder / f"runs/two/seed-{seed}", seed, gained=6 + seed, stages=2)
    file = {
        "name": "core",
        "recipe": "demo",
        "arms": {"one": {"description": "one stage"}, "two": {"description": "two *stages*"}},
        "seeds": [0, 1, 2],
        "hypotheses": [
            {"name": "more", "sentence": "Two stages beat one.", "measure": "test_accuracy", "shots": 4, "arm": "two"}
            | {"against": "one", "test": "crossed_t"},
        ],
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(file), encoding="utf-8")
    return folder


def test_values_of_a_run_are_those_of_its_files(experiment: Path) -> None:
    run = read_values(experiment / "runs/two/seed-1")
    assert run.points == ("base", "stage1", "stage2")
    base, last = (run.test.right[point, Asking(4)] for point in ("base", "stage2"))
    assert (last - base).sum() == 7
    assert run.train is not None
    assert [int((run.train.level["base"] == level).sum()) for level in range(3)] == [8, 8, 8]
    assert list(run.train.detected[:6]) == [3, 3, 2, 2, 1, 0]
    assert int(run.train.trained_until("stage1").sum()) == 8
    assert int(run.train.trained_until("base").sum()) == 0
    assert run.train.groups.types[:4] == list(TYPES)
    assert run.test.category is not None
    assert [stage.steps for stage in run.stages] == [10, 10]


def test_an_experiments_folder_is_reported_from_its_runs(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_experiment(experiment)
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(experiment)])
    assert "The data support" in capsys.readouterr().out
    record = read_experiment(experiment / "experiment.json")
    (answer,) = record.hypotheses
    assert answer.change.per_seed == pytest.approx([4 / 24, 5 / 24, 6 / 24], abs=1e-5)
    assert answer.verdict == "supported"
    assert record.graph[0].nodes > 0
    text = (experiment / "experiment.md").read_text(encoding="utf-8")
    assert text == render_experiment(record)
    page = (experiment / "experiment.html").read_text(encoding="utf-8")
    assert page == render_experiment_page(record)
    cells = re.findall(r"(?<=\| )[^|\n]+(?= \|)", text.replace("\\", ""))
    missing = [cell for cell in cells if "---" not in cell and f">{html.escape(cell)}<" not in page]
    assert missing == []
    assert "two \\*stages\\*" in text  # what a file says is shown as it is
    assert "| more | supported | test accuracy, 4 exemplars |" in text
    first = write_experiment(experiment).read_bytes()
    assert write_experiment(experiment).read_bytes() == first


def test_unfinished_runs_are_named_and_damaged_ones_refused(experiment: Path) -> None:
    (experiment / "runs/two/seed-2/stage2/step.json").unlink()
    page = write_experiment(experiment)
    record = read_experiment(page.with_suffix(".json"))
    assert record.missing == ["two, seed 2"]
    assert "**Not finished:** two, seed 2." in page.read_text(encoding="utf-8")
    assert record.hypotheses[0].seeds == [0, 1]
    (experiment / "runs/two/seed-1/evaluate-stage2/answers.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(DataError, match="seed-1/evaluate-stage2/answers.jsonl"):
        write_experiment(experiment)


def test_a_published_experiment_is_rendered_again_from_its_record(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_experiment(experiment)
    published = tmp_path / "results" / "core"
    published.mkdir(parents=True)
    for name in ("experiment.json", "experiment.md"):
        (published / name).write_bytes((experiment / name).read_bytes())
    (published / "experiment.md").write_text("# Experiment core\n\nolder\n", encoding="utf-8")
    monkeypatch.setattr("kft_cli.pages.results.render_results", lambda folder: "# Results\n\nkft\n")
    monkeypatch.setattr("kft_cli.pages.results.update_headlines", lambda page, folder: None)
    write_results(tmp_path / "results")
    for name in ("experiment.md", "experiment.html"):
        assert (published / name).read_bytes() == (experiment / name).read_bytes()


def test_experiments_stand_beside_one_another_and_beside_the_paper(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_experiment(experiment)
    with pytest.raises(SystemExit, match="0"):
        main(["compare", str(experiment), "paper"])
    shown = capsys.readouterr().out
    assert "core, two (mean of 3)" in shown
    assert "paper, run A" in shown
    assert "natural mix" in shown  # of SliCK's table
    with pytest.raises(SystemExit, match="0"):
        main(["compare", str(experiment / "experiment.json"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["paper"] is None
    two = next(one for one in found["experiments"][0]["comparable"] if "two" in one["name"])
    assert two["n"] == 24
    assert two["shares"]["HighlyKnown"]["count"] == 8
    assert [stage["after"] for stage in two["stages"]] == ["stage1", "stage2"]
    assert two["stages"][0]["forgotten"]["share"] == 0
    for wrong, words in (
        ([str(tmp_path)], "not an experiment with a report"),
        (["--scorer", "exact_match"], "is for runs"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["compare", str(experiment), *wrong])
        assert words in capsys.readouterr().err


def test_files_that_runs_share_are_read_once(experiment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = run_data.CategoryFile
    opened: list[Path] = []
    monkeypatch.setattr(run_data, "CategoryFile", lambda path: opened.append(path) or read(path))
    folder = experiment / "runs/two/seed-1"
    alone = read_values(folder)
    assert len(opened) == 6
    shared = SharedFiles()
    first, second = read_values(folder, shared), read_values(folder, shared)
    assert len(opened) == 12  # the second run reads none again
    for run in (first, second):
        assert run.train is not None
        assert alone.train is not None
        assert (run.train.level["stage2"] == alone.train.level["stage2"]).all()
        assert run.detected == alone.detected


def test_a_claim_whose_size_is_not_shown_is_quoted_with_that(experiment: Path) -> None:
    write_experiment(experiment)
    row = read_experiment(experiment / "experiment.json").hypotheses[0]
    sized = row.hypothesis.model_copy(update={"smallest": 24.0})
    shown = row.model_copy(update={"verdict": "supported", "hypothesis": sized, "large_enough": True})
    assert supported([shown]) == "The data support “Two stages beat one”."
    open_ = shown.model_copy(update={"large_enough": False})
    assert supported([open_]) == "The data support “Two stages beat one” (in its direction; it may be smaller)."


def test_readmes_say_what_the_data_support_and_link_to_the_tables(experiment: Path, tmp_path: Path) -> None:
    write_experiment(experiment)
    results = tmp_path / "results"
    run = RESULTS / "demo-small" / "report.json"
    for source, target in ((experiment / "experiment.json", "core/experiment.json"), (run, "small/report.json")):
        (results / target).parent.mkdir(parents=True)
        (results / target).write_bytes(source.read_bytes())
    (results / "core" / "notes.md").write_text("In plain words: more is better.\n", encoding="utf-8")
    record = read_experiment(experiment / "experiment.json")
    page = render_results(results)
    assert "\n\nIn plain words: more is better.\n\n" in page
    assert f"**core.** **{supported(record.hypotheses)}**" in page
    assert "**What it does not show:**" in page
    assert "| more | " in page
    assert "(core/experiment.md)" in page
    text = "# x\n\n<!-- headline: core, rendered -->\n\nolder\n\n<!-- /headline -->\n"
    headline = with_headlines(text, results)
    assert supported(record.hypotheses) in headline
    assert "older" not in headline
    last = {row.arm: row for row in record.accuracy if row.point in ("stage1", "stage2") and row.shots == 4}
    assert f"| two | {100 * last['two'].level.mean:.1f} %" in headline
    assert headline.count("\n| two |") == 1
    assert "mean over 3 seeds" in headline


@pytest.mark.parametrize("gained", [2, 5])
def test_a_point_that_arms_share_stands_once_in_the_tables(tmp_path: Path, gained: int) -> None:
    for seed in (0, 1):
        make_arm(tmp_path / f"one/seed-{seed}", seed, gained=2, stages=1)
        make_arm(tmp_path / f"two/seed-{seed}", seed, gained=gained, stages=2)
    runs = {(arm, seed): read_values(tmp_path / arm / f"seed-{seed}") for arm in ("one", "two") for seed in (0, 1)}
    shown = [(row.arm, row.point) for row in measure_accuracy(runs, ["one", "two"])]
    own = [] if gained == 2 else [("two", "stage1")]
    assert shown == [("one", "base"), ("one", "stage1"), *own, ("two", "stage2")]
    shown = [(row.arm, row.point) for row in measure_accuracy(runs, ["two", "one"])]
    assert shown == [("two", "base"), ("two", "stage1"), ("two", "stage2"), ("one", "stage1")]  # its last point
    del runs["two", 1]
    assert ("two", "stage1") in [(row.arm, row.point) for row in measure_accuracy(runs, ["one", "two"])]
