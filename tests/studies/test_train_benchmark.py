"""The benchmark of training on a tiny model: both ways train alike, and the tables hold what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kft_cli.main import cli
from kft_cli.studies.train_benchmark import TrainSettings, pairs_of, render_training, worker
from kft_tasks.models.weights import has_native_bfloat16
from kft_tasks.questions import Question, write_questions

pytestmark = pytest.mark.filterwarnings("ignore")  # among the libraries that are compared


def settings_for(model: Path, dropout: float = 0.0) -> TrainSettings:
    return TrainSettings(str(model), "tree", 1, 4, 2, dropout, 1)


@pytest.fixture(scope="module")
def results(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("train-benchmark") / "questions.jsonl"
    names = ("ash", "birch", "cedar", "elm", "fir")
    write_questions(
        path, [Question(f"t{n}", f"Tree {n}?", (names[n % 5],), "tree", "train", f"t{n}") for n in range(10)]
    )
    both = [worker(name, settings_for(tiny_model), path) for name in ("kft", "plain")]
    return [{"round": 1, "load_before": 0.5, **one} for one in both]


def test_both_ways_train_the_same_rows_with_the_same_losses(results: list[dict[str, Any]]) -> None:
    kft, plain = results
    assert [one["contender"] for one in results] == ["kft", "plain"]
    assert kft["steps"] == plain["steps"] == 6
    assert kft["tokens"] == plain["tokens"] > 0
    rounding = 0.02 if has_native_bfloat16() else 1e-4  # where a processor has bfloat16, both train under its autocast
    assert kft["losses"] == pytest.approx(plain["losses"], abs=rounding)
    assert len(set(kft["losses"])) == 6
    assert kft["tokens_per_cpu_second"] == pytest.approx(kft["tokens"] / kft["cpu_seconds"])


def test_a_pair_has_the_ratio_of_its_own_runs(results: list[dict[str, Any]]) -> None:
    changed = [{**one, "round": number} for number in (2, 3) for one in results]
    changed[0] = {**changed[0], "cpu_seconds": 2.0}
    changed[1] = {**changed[1], "cpu_seconds": 5.0, "losses": [loss + 0.25 for loss in changed[0]["losses"]]}
    first, second = pairs_of(changed)
    assert (first["round"], second["round"]) == (2, 3)
    assert first["ratio_cpu_seconds"] == 2.5
    assert first["largest_loss_difference"] == pytest.approx(0.25)
    assert second["ratio_cpu_seconds"] == results[1]["cpu_seconds"] / results[0]["cpu_seconds"]


def test_the_tables_hold_what_was_measured(results: list[dict[str, Any]]) -> None:
    names = ("model", "type_", "threads", "batch_size", "epochs", "dropout", "rounds")
    data = {
        "settings": {**dict(zip(names, ("m", "tree", 1, 4, 2, 0.0, 1), strict=True)), "questions": 10},
        "hardware": {"cpu": "C", "cores": 2, "memory_gb": 1.0, "accelerator": None},
        "versions": {"torch": "9", "trl": "8"},
        "pairs": pairs_of(results),
        "results": results,
    }
    text = render_training(data, markdown=True)
    assert f"{results[0]['tokens']:,}" in text
    assert f"{results[1]['losses'][-1]:.4f}" in text
    assert f"{data['pairs'][0]['ratio_cpu_seconds']:.2f}" in text
    command = text.split("kft benchmark training ")[1].split("\n")[0]
    assert "--dropout 0.0 --rounds 1" in command
    assert "--limit 10" in command


@pytest.mark.slow
def test_the_command_runs_pairs_in_processes_of_their_own(tiny_model: Path, tmp_path: Path) -> None:
    command = ["benchmark", "training", "--model", str(tiny_model), "--limit", "4", "--epochs", "1", "--rounds", "2"]
    done = CliRunner().invoke(cli, [*command, "--batch-size", "2", "--json", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    data = json.loads((tmp_path / "out" / "benchmark.json").read_text("utf-8"))
    assert [one["contender"] for one in data["results"]] == ["kft", "plain", "plain", "kft"]
    assert [one["steps"] for one in data["results"]] == [2] * 4
    assert "## Pairs" in (tmp_path / "out" / "benchmark.md").read_text("utf-8")


def test_a_wrong_request_is_one_clear_error() -> None:
    done = CliRunner().invoke(cli, ["benchmark", "training", "--contender", "stock"])
    assert done.exit_code != 0
    assert "--contender and --against are for detection" in str(done.output) + str(done.exception)
    done = CliRunner().invoke(cli, ["benchmark", "training", "--type", "capital"])
    assert "worldfacts has no such questions" in str(done.output) + str(done.exception)
