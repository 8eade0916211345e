"""Category files and reports as every-eval-ever records, checked by its own package where that is installed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from certainty_helpers import write_file
from kft_cli.eval_records.record import Evaluation, named
from kft_cli.main import main
from kft_tasks.protocol.protocol import Protocol

REPORT = Path(__file__).parents[2] / "results" / "demo-small" / "report.json"
PROTOCOL = Protocol(exemplar_sets=2, shots=1, samples=2)


def detected(path: Path, *, exhaustive: bool = True) -> Path:
    patterns = {"a": ([1, 1], [2, 2]), "b": ([1, 0], [1, 0]), "c": ([0, 0], [0, 0])}
    return write_file(path, patterns, PROTOCOL, exhaustive=exhaustive)


def export(source: Path, folder: Path) -> tuple[list[dict[str, Any]], list[Path]]:
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(source), "-o", str(folder), "--format", "every-eval-ever", "--organization", "A Lab"])
    assert stopped.value.code == 0
    files = sorted(folder.rglob("*.json*"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.suffix == ".json"], files


def scores(record: dict[str, Any]) -> dict[str, float]:
    return {one["evaluation_result_id"]: one["score_details"]["score"] for one in record["evaluation_results"]}


def test_a_category_file_becomes_one_record_with_a_line_per_question(tmp_path: Path) -> None:
    (record,), files = export(detected(tmp_path / "a.categories.jsonl"), tmp_path / "out")
    found = scores(record)
    assert found == {
        "highly_known": pytest.approx(1 / 3),
        "maybe_known": pytest.approx(1 / 3),
        "weakly_known": 0,
        "unknown": pytest.approx(1 / 3),
        "p_correct_greedy": 0.5,
        "p_correct_sampled": pytest.approx(5 / 12),
    }
    detail = record["detailed_evaluation_results"]
    samples = tmp_path / "out" / detail["file_path"]
    assert samples in files
    assert hashlib.sha256(samples.read_bytes()).hexdigest() == detail["checksum"]
    lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    assert [line["evaluation"]["score"] for line in lines] == [1.0, 0.0, 0.0]
    assert lines[1]["output"]["raw"] == ["yes", "no"]
    assert lines[1]["metadata"]["category"] == "MaybeKnown"


def test_what_was_not_asked_has_no_mean(tmp_path: Path) -> None:
    (record,), _ = export(detected(tmp_path / "a.categories.jsonl"), tmp_path / "whole")
    assert "p_correct_sampled" in scores(record)
    path = tmp_path / "lazy.categories.jsonl"
    lines = (tmp_path / "a.categories.jsonl").read_text(encoding="utf-8").splitlines()
    first = {**json.loads(lines[1]), "sampled": {"right": 0, "asked": 0}, "sampled_answers": [None, None]}
    path.write_text("\n".join([lines[0], json.dumps(first), *lines[2:]]), encoding="utf-8")
    (record,), _ = export(path, tmp_path / "lazy")
    assert "p_correct_sampled" not in scores(record)
    assert "p_correct_greedy" in scores(record)


def test_a_report_becomes_a_record_for_each_point(tmp_path: Path) -> None:
    records, _ = export(REPORT, tmp_path / "out")
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    by_point = {record["model_info"]["additional_details"]["point"]: record for record in records}
    assert list(by_point) != []
    assert set(by_point) == set(report["run"]["points"])
    for point, record in by_point.items():
        rows = [row for row in report["test"]["accuracy"] if row["point"] == point]
        assert rows
        for row in rows:
            name = f"test_accuracy_{row['shots']}_shot{'_other_type' if row.get('other_type') else ''}"
            assert scores(record)[name] == row["share"]
    assert scores(by_point["base"])["highly_known"] == report["categories"]["base"]["HighlyKnown"]["share"]


def test_a_record_is_only_made_for_somebody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = detected(tmp_path / "a.categories.jsonl")
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(source), "-o", str(tmp_path / "out"), "--format", "every-eval-ever"])
    assert stopped.value.code == 2
    assert "--organization" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("org/name", "org/name"),
        ("smollm2-135m", "Lab/smollm2-135m"),
        ("/data/x/m", "Lab/m"),
        ("../m", "Lab/m"),
        ("/", "Lab/model"),
    ],
)
def test_a_model_is_named_as_on_the_hub(model: str, expected: str) -> None:
    assert named(model, "Lab").id == expected


def test_no_name_leaves_the_folder_of_records() -> None:
    path = Evaluation("../..", named("a/..", "Lab"), 0, "s").path()
    assert path.parts[:4] == ("data", "_", "a", "unnamed")


@pytest.mark.parametrize("source", ["categories", "lazy", "report"])
def test_the_records_are_valid_by_the_schemas_own_package(source: str, tmp_path: Path) -> None:
    validation = pytest.importorskip(
        "every_eval_ever.validator.validation_core", reason="every-eval-ever is not installed"
    )
    made = REPORT if source == "report" else detected(tmp_path / "a.categories.jsonl", exhaustive=source != "lazy")
    _, files = export(made, tmp_path / "out")
    assert files
    for file in files:
        report = validation.validate_file(file)
        assert report.valid, report.errors
        assert not report.warnings, report.warnings
