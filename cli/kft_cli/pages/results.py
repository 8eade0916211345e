"""The published results: every run in ``results/``, rendered from its own ``report.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kft_cli.display.tables import Section, make_table, markdown_document
from kft_cli.report.report import read_report
from kft_tasks.errors import DataError
from kft_tasks.files import atomic_write, read_json

_LEAD = """Each folder holds one published run: its `report.json` (every number, right or wrong for each test
question, versions, digests, seeds), the `report.md` and figures rendered from it. This page is rendered by
`kft report --results results`; a test fails where it, or a report, is stale. Repeat a row with its command; compare
your run with `kft compare runs/mine results/demo paper`. The paper's counts, with their source, are in
`cli/kft_cli/report/paper.json`."""


def render_results(folder: Path) -> str:
    """Markdown of ``results/README.md`` from the ``report.json`` files below ``folder``.

    Raises:
        DataError: there is none.
    """
    reports = {file.parent.name: read_report(file) for file in sorted(folder.glob("*/report.json"))}
    if not reports:
        raise DataError(f"{folder}: holds no published run (*/report.json). Copy a run's report folder there.")
    sections = [
        Section("Runs", (_runs(reports),)),
        Section("Categories of the training questions", (_categories(reports),)),
        Section("Test accuracy", (_accuracy(reports),)),
    ]
    pages = [f"- [{name}]({name}/report.md)" for name in reports]
    sections.append(Section("Reports", ("\n".join(pages),)))
    others = [f"- [{file.parent.name}]({file.parent.name}/{file.name})" for file in _other_pages(folder)]
    if others:
        sections.append(Section("Other measurements", ("\n".join(others),)))
    return markdown_document("Results", sections, _LEAD)


def write_results(folder: Path) -> Path:
    """Render ``README.md`` and every report again; returns the page."""
    from kft_cli.pages import certainty_page
    from kft_cli.report.render import render_report
    from kft_cli.studies import benchmark

    for file in sorted(folder.glob("*/report.json")):
        with atomic_write(file.with_name("report.md")) as stream:
            stream.write(render_report(read_json(file)))
    for kind, render in (("benchmark", benchmark.render), ("certainty", certainty_page.render)):
        for file in sorted(folder.glob(f"*/{kind}.json")):
            with atomic_write(file.with_suffix(".md")) as stream:
                stream.write(render(read_json(file), markdown=True))
    page = folder / "README.md"
    text = render_results(folder)
    with atomic_write(page) as stream:
        stream.write(text)
    return page


def _other_pages(folder: Path) -> list[Path]:
    pages = [page for name in ("benchmark", "certainty", "README") for page in folder.glob(f"*/{name}.md")]
    return sorted(page for page in pages if not (page.parent / "report.json").exists())


def _runs(reports: dict[str, dict[str, Any]]) -> Any:
    rows = []
    for name, report in reports.items():
        run, repeat = report["run"], report["repeat"]
        questions = " / ".join(str(run["questions"][split]) for split in ("train", "validation", "test"))
        date = str(repeat["created"] or "")[:10]
        rows.append(
            [
                name,
                run["model"],
                run["question_set"],
                questions,
                date,
                repeat["command"],
            ]
        )
    return make_table("run | model | questions | train / validation / test > | date | command", rows)


def _categories(reports: dict[str, dict[str, Any]]) -> Any:
    rows = []
    for name, report in reports.items():
        for point, shares in report["categories"].items():
            cells = [f"{share['count']:,} ({share['share']:.1%})" for share in shares.values()]
            rows.append([name, point, *cells])
    return make_table("run | point | HighlyKnown > | MaybeKnown > | WeaklyKnown > | Unknown >", rows)


def _accuracy(reports: dict[str, dict[str, Any]]) -> Any:
    rows = [
        [
            name,
            one["point"],
            str(one["shots"]),
            f"{one['n']:,}",
            f"{one['share']:.1%}",
            f"{one['low']:.1%} to {one['high']:.1%}",
        ]
        for name, report in reports.items()
        for one in report["test"]["accuracy"]
    ]
    return make_table("run | point | exemplars > | n > | accuracy > | 95 % interval (Wilson) >", rows)
