"""A run that starts while a report is made leaves its scratch folder alone, and removes those of killed processes."""

from __future__ import annotations

from pathlib import Path

from kft_cli.pipeline.run_folder import RunFolder
from kft_cli.report.scratch import is_abandoned, scratch_folder


def test_only_scratch_folders_that_nobody_works_in_are_removed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    for name in (".report.abcdefg1", ".report.abcdefg2"):
        (run.path / name).mkdir()
    (run.path / ".report.abcdefg2" / "lock").touch()
    with scratch_folder(run.layout.report) as private:
        (private / "report.json").write_text("{}", encoding="utf-8")
        with run.locked():
            assert [path for path in run.path.iterdir() if path.is_dir()] == [private]
            assert (private / "report.json").is_file()
        assert not is_abandoned(private)
    assert not private.exists()


def test_a_folder_of_another_name_is_no_scratch_folder(tmp_path: Path) -> None:
    assert not is_abandoned(tmp_path / ".report.d")
    assert not is_abandoned(tmp_path / "report")
