"""The report of a run: everything measured, as JSON values; and the folder with its pages and figures."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kft_cli.display.tables import terminal_text
from kft_cli.html.run_questions import questions_of_run
from kft_cli.report import figures
from kft_cli.report.measures.accuracy import measure_test
from kft_cli.report.measures.elsewhere import measure_elsewhere
from kft_cli.report.measures.examples import draw_examples
from kft_cli.report.measures.mastery import (
    greedy_only,
    measure_comparable,
    measure_control,
    measure_points,
    measure_transitions,
)
from kft_cli.report.measures.measured import measure_measured
from kft_cli.report.measures.overview import describe_run, measure_verdict
from kft_cli.report.measures.repetition import describe_repetition, measure_cost
from kft_cli.report.measures.rounding import rounded
from kft_cli.report.measures.training import describe_stage, measure_trained
from kft_cli.report.page import render_report_page
from kft_cli.report.paper import load_paper, paper_runs
from kft_cli.report.record import check_report
from kft_cli.report.render import render_report, summary_sections
from kft_cli.report.run_data import RunData, read_run
from kft_cli.report.run_layout import RunLayout
from kft_cli.report.scratch import scratch_folder
from kft_cli.report.times_and_machine import put_back, set_apart
from kft_tasks.errors import DataError, StateError
from kft_tasks.files import atomic_write, read_json, unwritable, write_json

FORMAT = "kft-report/1"
PAGE = "report.html"


def build_report(run: Path) -> dict[str, Any]:
    """Everything measured in a finished run, as JSON values; every share comes with its n.

    Raises:
        DataError: a part of the run is missing or does not belong to it.
    """
    return report_of(read_run(run))


def report_of(data: RunData) -> dict[str, Any]:
    """The same of a run that was read."""
    if not data.stages:
        raise DataError(
            f"{data.layout.folder}: a run without stages has no report, as nothing changed. Report a run with stages."
        )
    transitions = measure_transitions(data)
    test = measure_test(data)
    report = {
        "format": FORMAT,
        "run": describe_run(data),
        "verdict": measure_verdict(data, test),
        "greedy_only": greedy_only(data),
        "categories": measure_points(data),
        "transitions": transitions,
        "control": measure_control(data),
        "measured": measure_measured(data),
        "test": test,
        "elsewhere": measure_elsewhere(data),
        "stages": [describe_stage(data, stage) for stage in data.stages],
        "trained": measure_trained(data),
        "examples": draw_examples(data),
        "cost": measure_cost(data),
        "repeat": describe_repetition(data),
        "comparable": measure_comparable(data, transitions),
        "paper": {"citation": load_paper()["citation"], "runs": paper_runs()},
    }
    result: dict[str, Any] = rounded(report)
    return result


def write_report(run: Path, target: Path | None = None) -> Path:
    """Write ``report.json``, ``report.md``, ``report.html`` and ``figures/`` into ``target``, all or nothing.

    The same run folder gives the same bytes; identical runs give the same ``report.json`` but for its
    ``times_and_machine``. An earlier report in ``target`` is replaced, also one of which a file was lost.

    Args:
        run: folder of a finished run.
        target: ``RUN/report`` where it is not given.

    Returns:
        The path of ``report.md``.

    Raises:
        DataError: a part of the run is missing, or the folder cannot be written.
        StateError: ``target`` holds something other than a report.
    """
    target = target or RunLayout(run).report
    _check_target(target)
    data = read_run(run)
    report = report_of(data)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(target) as private:
            scratch = private / target.name
            scratch.mkdir()  # with the rights that the umask leaves
            write_json(scratch / "report.json", set_apart(report))
            figures.draw_figures(report, scratch / "figures")
            with atomic_write(scratch / "report.md") as stream:
                stream.write(render_report(report))
            with atomic_write(scratch / PAGE) as stream:
                stream.write(render_report_page(report, questions_of_run(data)))
            _put_in_place(scratch, target)
    except OSError as error:
        raise unwritable(target, error) from error
    return target / "report.md"


def summarize(report: Mapping[str, Any], width: int | None = None) -> str:
    """The verdict and the main tables as text for a terminal."""
    return terminal_text(summary_sections(report), width)


def read_report(path: Path) -> dict[str, Any]:
    """Read a ``report.json``.

    Raises:
        DataError: it is not a report of this format, or a key is missing, unknown or of the wrong type.
    """
    report = read_json(path)
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise DataError(f"{path}: not a report of format {FORMAT}. Write it again with `kft report RUN`.")
    report = put_back(report, path)
    check_report(report, path)
    return report


def _check_target(target: Path) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        whole = str(read_json(target / "report.json", dict).get("format", "")).startswith("kft-report/")
    except DataError:
        whole = False
    if not whole and not _has_only_own_files(target):
        raise StateError(f"{target}: exists and is not a report of kft. Choose another folder.")


def _has_only_own_files(target: Path) -> bool:
    """Whether a folder holds nothing but files named as those of a report, some of them lost or damaged."""
    drawn = (f"figures/{name}" for name in (*figures.FIGURES, *figures.OLD_FIGURES))
    own = {"report.json", "report.md", PAGE, "figures", *drawn}
    return target.is_dir() and all(path.relative_to(target).as_posix() in own for path in target.rglob("*"))


def _put_in_place(scratch: Path, target: Path) -> None:
    old = scratch.with_name(f"{scratch.name}.old")
    if target.exists():
        target.rename(old)
    scratch.rename(target)
    shutil.rmtree(old, ignore_errors=True)
