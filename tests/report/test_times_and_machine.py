"""Identical runs give identical reports but for one block; reports without the block are read as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kft_cli.report.report import build_report, read_report, write_report
from kft_cli.report.times_and_machine import BLOCK, put_back, set_apart
from kft_tasks.errors import DataError
from kft_tasks.files import read_json, write_json
from mutating import try_all
from report_helpers import small_run


def slower_elsewhere(run: Path) -> None:
    """The same run on another machine, at another time, by another command."""
    for path in run.glob("*/step.json"):
        step = read_json(path)
        write_json(path, {**step, "seconds": 3 * step["seconds"], "cpu_seconds": 7.0, "finished": "2031"})
    for path in run.glob("*/training.json"):
        training = read_json(path)
        training["cost"] |= {"seconds": 1234.5, "cpu_seconds": 99.0}
        write_json(path, training)
    about = read_json(run / "run.json")
    about |= {"created": "2031", "command": ["kft", "run", "x"], "versions": {"python": "3.99"}}
    about["hardware"] = {"cpu": "Another", "cores": 99}
    write_json(run / "run.json", about)


@pytest.mark.usefixtures("no_figures")
def test_two_identical_runs_differ_in_one_block_only(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        run = small_run(tmp_path / name)
        if name == "two":
            slower_elsewhere(run)
        report = json.loads(write_report(run).with_name("report.json").read_text(encoding="utf-8"))
        block = report.pop(BLOCK)
        texts.append((json.dumps(report), json.dumps(block)))
        assert "seconds" not in json.dumps(report)
        assert "hardware" not in report["repeat"]
        assert set(block["training"]) == {"stage1", "stage2"}
        assert list(block["files"]) == ["stage1/training.json", "stage2/training.json"]
    assert texts[0][0] == texts[1][0]
    assert texts[0][1] != texts[1][1]


@pytest.mark.usefixtures("no_figures")
def test_what_is_read_is_what_was_built(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    built = build_report(run)
    assert read_report(write_report(run).with_name("report.json")) == built
    assert put_back(set_apart(built), tmp_path) == built
    assert put_back(dict(built), tmp_path) == built  # of an earlier version


@pytest.mark.usefixtures("no_figures")
def test_a_changed_block_is_refused_or_read_without_a_traceback(tmp_path: Path) -> None:
    path = write_report(small_run(tmp_path / "run")).with_name("report.json")
    report = json.loads(path.read_text(encoding="utf-8"))

    def read(block: Any) -> None:
        json.dumps(put_back({**report, BLOCK: block}, path))

    outcome = try_all(report[BLOCK], read, "report.json")
    assert not outcome.wrong, str(outcome)
    assert outcome.refused > 100
    path.write_text(json.dumps({**report, BLOCK: {**report[BLOCK], "command": 5}}), encoding="utf-8")
    with pytest.raises(DataError, match=r"report\.json: broken times_and_machine \(command"):
        read_report(path)
    del report["cost"]["steps"][0]["step"]
    with pytest.raises(DataError, match="times_and_machine is not that of its other sections"):
        read(report[BLOCK])


@pytest.mark.usefixtures("no_figures")
def test_a_report_of_which_a_file_was_lost_or_damaged_is_written_again(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    path = write_report(run)
    expected = {file.name: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()}
    for harm in ("report.json", "report.md"):
        (path.parent / harm).unlink()
        write_report(run)
        (path.parent / harm).write_bytes(b"{")
        write_report(run)
        assert {file.name: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()} == expected
