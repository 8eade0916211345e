"""A report is written of whole files only: a missing or damaged one is named, with the command that makes it again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kft_cli.report.run_data import read_run
from kft_cli.report.run_outputs import describe_outputs, digest_of
from kft_tasks.errors import DataError
from kft_tasks.files import read_json, sha256_of_file, write_json
from report_helpers import small_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose steps have recorded their files; the stages have adapters, which a report does not read."""
    folder = small_run(tmp_path / "a run")
    shutil.rmtree(folder / "retest-base")
    for stage in ("stage1", "stage2"):
        (folder / stage / "adapter").mkdir()
        (folder / stage / "adapter" / "adapter_model.safetensors").write_bytes(bytes(1000))
    for record in folder.glob("*/step.json"):
        write_json(record, {**read_json(record), "outputs": describe_outputs(record.parent)})
    read_run(folder)
    return folder


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


FILES = (
    "detect-base/categories.jsonl",
    "test-categories/categories.jsonl",
    "evaluate-stage1/answers.jsonl",
    "stage1/mixture.jsonl",
    "stage2/training.json",
    "stage2/adapter/adapter_model.safetensors",
)


@pytest.mark.parametrize("harm", [flip, shorten, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_or_missing_output_is_one_error_with_the_remedy(
    run: Path, name: str, harm: Callable[[Path], None]
) -> None:
    harm(run / name)
    with pytest.raises(DataError) as caught:
        read_run(run)
    said = str(caught.value)
    assert said.startswith(f"{run / name}: {'missing' if harm is Path.unlink else 'damaged'}")
    assert said.endswith(f"Make it again with: kft run '{run}/recipe.yaml' --output '{run}'")
    assert "\n" not in said


@pytest.mark.parametrize("name", ["test-categories", "evaluate-base", "stage1"])
def test_no_section_vanishes_with_its_folder(run: Path, name: str) -> None:
    shutil.rmtree(run / name)
    with pytest.raises(DataError, match=f"{name}/step.json: missing"):
        read_run(run)


def test_a_run_of_an_earlier_version_recorded_no_outputs_and_is_read(tmp_path: Path) -> None:
    folder = small_run(tmp_path / "run")
    shutil.rmtree(folder / "test-categories")  # was optional
    assert read_run(folder).first_categories is None


def test_outputs_are_all_files_of_a_step_but_what_served_to_make_it(tmp_path: Path) -> None:
    for name in ("categories.jsonl", "step.json", ".x.json.0123abcd", "adapter/a", "categories.jsonl.journal/0.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    outputs = describe_outputs(tmp_path)
    assert list(outputs) == ["adapter/a", "categories.jsonl"]
    assert outputs["adapter/a"] == {"bytes": 9, "sha256": sha256_of_file(tmp_path / "adapter" / "a")}


def test_a_file_is_read_once_as_long_as_it_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    path = tmp_path / "partial" / "weights"
    path.parent.mkdir()
    path.write_bytes(b"one")

    def digest(one: Path) -> str:
        read.append(one)
        return sha256_of_file(one)

    monkeypatch.setattr("kft_cli.report.run_outputs.sha256_of_file", digest)
    first = digest_of(path)
    path = path.parent.rename(tmp_path / "step") / path.name
    assert digest_of(path) == first
    assert len(read) == 1
    path.write_bytes(b"two")
    assert digest_of(path) == sha256_of_file(path) != first
