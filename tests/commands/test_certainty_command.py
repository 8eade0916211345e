from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from certainty_helpers import Pattern, write_file
from kft_cli.main import main
from kft_tasks.protocol.protocol import Protocol

PROTOCOL = Protocol(exemplar_sets=4, samples=4)

Run = Callable[..., tuple[int, str, str]]


def random_patterns(seed: int) -> dict[str, Pattern]:
    rng = random.Random(seed)

    def pattern() -> Pattern:
        p, q = rng.betavariate(0.3, 0.5), rng.betavariate(0.3, 0.5)
        return [int(rng.random() < p) for _ in range(4)], [sum(rng.random() < q for _ in range(4)) for _ in range(4)]

    return {f"q{number}": pattern() for number in range(60)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_file(tmp_path / "full.jsonl", random_patterns(0), PROTOCOL)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["kft", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def test_terminal_shows_grid_and_retest_and_writes_figure_and_numbers(path: Path, tmp_path: Path, run: Run) -> None:
    code, out, err = run("certainty", path, "-o", tmp_path / "out", "--per-question", tmp_path / "chances.jsonl")

    assert code == 0
    assert "Cheaper protocols: model, n = 60 questions" in out
    assert "Categories that a re-test is expected to change" in out
    assert "100.0 %" in out
    assert (tmp_path / "out" / "certainty.svg").read_bytes().startswith(b"<svg ")
    assert json.loads((tmp_path / "out" / "certainty.json").read_text())["questions"] == 60
    assert len((tmp_path / "chances.jsonl").read_text().splitlines()) == 60
    assert str(tmp_path / "out" / "certainty.svg") in err
    page = (tmp_path / "out" / "certainty.md").read_text(encoding="utf-8")
    assert "# The price of certainty" in page
    assert "(certainty.svg)" in page


def test_figure_is_the_same_bytes_again(path: Path, tmp_path: Path, run: Run) -> None:
    for folder in ("a", "b"):
        run("certainty", path, "-o", tmp_path / folder)

    assert (tmp_path / "a" / "certainty.svg").read_bytes() == (tmp_path / "b" / "certainty.svg").read_bytes()


@pytest.mark.parametrize("protocol", [Protocol(exemplar_sets=1, samples=0), Protocol(exemplar_sets=30, samples=1)])
def test_figure_of_an_unusual_protocol(tmp_path: Path, run: Run, protocol: Protocol) -> None:
    sets = protocol.exemplar_sets
    path = write_file(tmp_path / "f", {"h": ([1] * sets, [0] * sets), "u": ([0] * sets, [0] * sets)}, protocol)

    code, _, _ = run("certainty", path, "-o", tmp_path / "out", "--sets", ",".join(map(str, range(1, sets + 1))))

    assert code == 0
    assert (tmp_path / "out" / "certainty.svg").is_file()


def test_json_is_the_whole_result(path: Path, run: Run) -> None:
    code, out, _ = run("certainty", path, "--sets", "1,2", "--samples", "0", "--json")

    data: dict[str, Any] = json.loads(out)
    assert code == 0
    assert [(cell["sets"], cell["samples"]) for cell in data["grid"]] == [
        (1, 0),
        (1, 4),
        (2, 0),
        (2, 4),
        (4, 0),
        (4, 4),
    ]
    changes = data["retest"]["fitted"]["changes"]
    assert changes["low"] <= changes["expected"] <= changes["high"]


def test_retest_adds_the_observed_changes(path: Path, tmp_path: Path, run: Run) -> None:
    again = write_file(tmp_path / "again.jsonl", random_patterns(0), Protocol(exemplar_sets=4, samples=4, seed=1))

    code, out, _ = run("certainty", path, "--retest", again)

    assert code == 0
    assert "observed" in out
    assert "0 questions are in one of the two files only" in out


def test_lazy_file_exits_1_and_says_so_in_json(tmp_path: Path, run: Run) -> None:
    lazy = write_file(tmp_path / "lazy.jsonl", random_patterns(0), PROTOCOL, exhaustive=False)

    code, out, err = run("certainty", lazy, "--json")

    assert code == 1
    assert "exhaustively" in json.loads(out)["error"]
    assert "Traceback" not in err


@pytest.mark.parametrize("sets", ["5", "0", "one", "1;2", ""])
def test_wrong_grid_exits_2(path: Path, run: Run, sets: str) -> None:
    code, _, err = run("certainty", path, "--sets", sets)

    assert code == 2
    assert "Error" in err
