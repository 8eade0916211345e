"""Files that an earlier version wrote are still read: see tests/fixtures/version_0_1_0/README.md."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kft_cli.report.render import render_report
from kft_cli.report.report import build_report, read_report
from kft_cli.report.run_data import read_run
from kft_tasks.categories.category_file import CategoryFile, write_category_file
from kft_tasks.errors import StateError
from kft_tasks.files import read_json, sha256_of_json
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.question_sets.registry import open_set
from task_helpers import ListSet, ScriptedAnswerer, make_question, mixed_table, scripted_detection

OLDER = Path(__file__).parents[1] / "fixtures" / "version_0_1_0"
CATEGORY_FILES = sorted(str(file.relative_to(OLDER)) for file in OLDER.rglob("*categories.jsonl") if file.is_file())
PROTOCOL = Protocol(exemplar_sets=4, shots=2, samples=3, max_tokens=4, skip_blank_lines=False)
QUESTIONS = ListSet([make_question(f"q{number}") for number in range(12)])
INTERRUPTED = "interrupted.categories.jsonl"


class Resuming(ScriptedAnswerer):
    """Its answers do not depend on what is asked together, so that a chunk can resume in the middle."""

    resumes_mid_chunk = True


def test_there_are_category_files_of_every_kind() -> None:
    headers = [CategoryFile(OLDER / name).header for name in CATEGORY_FILES]
    assert len(headers) == 8
    assert {header.exhaustive for header in headers} == {False, True}
    assert any(header.rescored for header in headers)
    assert any(header.model.adapter for header in headers)
    assert not any(header.protocol.skip_blank_lines for header in headers)


@pytest.mark.parametrize("name", CATEGORY_FILES)
def test_a_category_file_loads_and_is_the_same_after_a_rewrite(name: str, tmp_path: Path) -> None:
    file = CategoryFile(OLDER / name)
    items = list(file)
    assert len(items) == file.header.questions.count > 0
    write_category_file(tmp_path / "again.jsonl", file.header, items)
    assert (tmp_path / "again.jsonl").read_bytes() == file.path.read_bytes()


@pytest.mark.parametrize(("answerer_class", "repeated"), [(Resuming, False), (ScriptedAnswerer, True)])
def test_a_journal_resumes_and_what_it_holds_is_not_asked_again(
    answerer_class: type[ScriptedAnswerer], repeated: bool, tmp_path: Path
) -> None:
    """An engine whose answers depend on the batch repeats the chunk it was interrupted in; finished chunks stay."""
    journal = OLDER / "detection" / f"{INTERRUPTED}.journal"
    shutil.copytree(journal, tmp_path / journal.name)
    rows = [json.loads(line.partition(" ")[2]) for line in (journal / "0.jsonl").read_text().splitlines()]
    finished = {row["chunk"] for row in rows if "finished" in row}
    assert finished == {0}
    answerer = answerer_class(mixed_table, PROTOCOL)

    result = scripted_detection(QUESTIONS, PROTOCOL, tmp_path / INTERRUPTED, answerer)

    assert list(CategoryFile(result.path)) == list(CategoryFile(OLDER / "detection" / "lazy.categories.jsonl"))
    answered = {"greedy": answerer.greedy_asked, "sampled": answerer.sampled_asked}
    for row in rows:
        if "kind" in row and (row["chunk"] in finished or not repeated):
            asked = {(f"q{4 * row['chunk'] + index}", number) for index, number in row["of"]}
            assert not asked & set(answered[row["kind"]])
    assert answerer.made == result.count.made - _generations(rows, finished if repeated else None)
    assert not (tmp_path / journal.name).exists()


def test_a_journal_is_not_resumed_with_the_default_protocol_of_this_version(tmp_path: Path) -> None:
    """Half of the answers would be what a model said on the first line, half what it said on the first that has text."""
    journal = OLDER / "detection" / f"{INTERRUPTED}.journal"
    shutil.copytree(journal, tmp_path / journal.name)
    protocol = dataclasses.replace(PROTOCOL, skip_blank_lines=True)
    with pytest.raises(StateError, match=r'something else: protocol is {}, now {"skip_blank_lines": true}\.'):
        scripted_detection(QUESTIONS, protocol, tmp_path / INTERRUPTED, Resuming(mixed_table, protocol))
    assert (tmp_path / journal.name / "0.jsonl").read_bytes() == (journal / "0.jsonl").read_bytes()


def test_a_finished_step_stays_finished_for_a_protocol_that_does_not_skip_blank_lines() -> None:
    """What the pipeline compares: a run that is resumed with ``protocol.skip_blank_lines=false`` redoes nothing."""
    header = CategoryFile(OLDER / "tiny-run" / "detect-base" / "categories.jsonl").header
    inputs = {
        "model": dataclasses.asdict(header.model),
        "protocol": header.protocol.stored(),
        "split": header.questions.split,
        "questions": header.questions.digest,
        "exemplars": header.questions.exemplars,
    }
    assert read_json(OLDER / "tiny-run" / "detect-base" / "step.json")["inputs"] == sha256_of_json(inputs)


def _generations(rows: list[dict[str, Any]], chunks: set[int] | None) -> int:
    """Generations in a journal, of these chunks only (all if None)."""
    answers = [row for row in rows if "kind" in row and (chunks is None or row["chunk"] in chunks)]
    return sum(len(row["of"]) * (1 if row["kind"] == "greedy" else PROTOCOL.samples) for row in answers)


def test_a_question_file_is_read() -> None:
    source = open_set("questions", OLDER / "questions.jsonl")
    assert {split: len(list(source.split(split))) for split in source.splits()} == {
        "train": 12,
        "validation": 4,
        "test": 6,
        "exemplars": 12,
    }


def _only(row: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: row[key] for key in keys}


def test_a_run_folder_is_read_and_reported_although_its_model_is_gone() -> None:
    data = read_run(OLDER / "tiny-run")
    assert data.points == ("base", "stage1", "stage2")
    assert data.recipe.model.id == "/tmp/kft-0.1.0/model"
    assert data.recipe.protocol_object() == data.base.header.protocol
    assert not data.recipe.protocol_object().skip_blank_lines
    older = read_report(OLDER / "tiny-run" / "report" / "report.json")
    report = build_report(OLDER / "tiny-run")
    assert report["stages"] == older["stages"]
    assert {key: report["control"][key] for key in ("matrix", "movement", "seed")} == {
        key: older["control"][key] for key in ("matrix", "movement", "seed")
    }
    counted = [
        {name: [share[key] for key in ("count", "n", "share")] for name, share in shares.items()}
        for one in (report, older)
        for shares in (*one["categories"].values(), one["control"]["shares"])
    ]
    assert counted[:4] == counted[4:]  # the intervals know of types and subjects by now
    for part, keys in (
        (lambda one: one["transitions"], ("before", "after", "matrix", "movement")),
        (lambda one: one["test"]["accuracy"], ("point", "shots", "count", "n", "share", "right")),
        (lambda one: one["test"]["differences"], ("n", "gained", "lost", "difference", "mcnemar_p")),
    ):
        assert [_only(row, keys) for row in part(report)] == [_only(row, keys) for row in part(older)]
    assert render_report(report).startswith("# Report of run tiny")


@pytest.mark.parametrize("path", [OLDER / "tiny-run" / "report" / "report.json", OLDER / "demo-run" / "report.json"])
def test_a_published_report_is_rendered(path: Path) -> None:
    report = read_report(path)
    assert f"Report of run {report['run']['name']}" in render_report(report)
