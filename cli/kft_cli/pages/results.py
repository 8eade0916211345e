"""The page of published results: every run in ``results/``, rendered from its own ``report.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kft_cli.display.tables import (
    NONE,
    Block,
    Code,
    Links,
    Section,
    Table,
    make_table,
    markdown_document,
    number,
    percent,
    plain,
    share,
)
from kft_cli.experiment.page import render_experiment_page
from kft_cli.experiment.record import read_experiment
from kft_cli.experiment.render import opening, render_experiment
from kft_cli.experiment.sections import hypotheses
from kft_cli.html.record import PageData, data_of_page
from kft_cli.pages import certainty_page
from kft_cli.pages.certainty_figure import write_certainty_figure
from kft_cli.pages.engines_page import read_engines, render_engines, update_engines
from kft_cli.pages.page_records import read_measurement
from kft_cli.pages.published_page import render_published
from kft_cli.pages.readme import update_headlines
from kft_cli.report.figures import draw_figures
from kft_cli.report.page import render_report_page
from kft_cli.report.render import render_report
from kft_cli.report.report import PAGE, read_report
from kft_cli.report.sections.words import asking_cell, category_heads
from kft_cli.studies import benchmark, train_benchmark
from kft_tasks import limits
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.errors import DataError, StateError
from kft_tasks.files import atomic_write, read_text, read_whole

_KFT_PAGE = '<meta name="generator" content="kft">'
Reports = Mapping[str, dict[str, Any]]

PUBLISHED = "published"
"""Folder of published numbers of others, rendered from what comes with kft."""

NOTES = "notes.md"
"""What the people who ran an experiment read in it: words without numbers, beside its ``experiment.json``."""

_LEAD: tuple[Block, ...] = (
    """This folder holds published runs of kft, and measurements of kft itself. No number on this page or in a
report is typed by hand: each is rendered from a file in this folder.

**What a run is.** kft asks a language model every training question with several prompts and sorts the questions into
four categories, from HighlyKnown (every prompt gets the right answer) to Unknown (no answer is right). Then it trains
the model in stages. `base` is the untrained model, `stage1` and `stage2` are the model after each stage. After each
stage the training questions are asked again, with exemplars that chose none of them, to see what changed, and separate
test questions measure accuracy.

**What is here.** Each run has a folder. Read `report.md` first: it starts with a verdict in words and ends with what is
needed to repeat the run. `report.html` is the same as a page to save and open in a browser; where the answers were
kept, it shows every question with every answer; those of demo-small come from a repetition of the run in which every
measured number was the same. `figures/` holds the figures. `report.json` holds every number, whether each test question
was answered right, and all versions, digests and seeds.

**How to repeat a run.** Install kft and run the command in the table below. The section "How to repeat this run" of
`report.md` lists the recipe, the versions and the machine. With other versions or on another machine,
numbers can differ slightly.

**How to compare.** This puts your run next to a published one and next to the paper's counts. Test answers are compared
question by question where both runs have the same test questions.""",
    Code("kft compare runs/mine results/worldfacts-full paper", "sh"),
    """The paper's counts and their sources are in `published/README.md`.

**How to add a run.** Copy the `report` folder of a finished run to `results/NAME`, then run
`kft report --results results`. It renders this page and every report again. A test fails where a page
is out of date.""",
)


def render_results(folder: Path) -> str:
    """Markdown of ``results/README.md`` from the ``report.json`` files below ``folder``.

    Raises:
        DataError: there are none.
    """
    reports = {file.parent.name: read_report(file) for file in sorted(folder.glob("*/report.json"))}
    if not reports:
        raise DataError(f"{folder}: no published run (*/report.json). Copy the report folder of a run to it.")
    sections = [
        Section("Runs", (_runs(reports), Links(tuple((name, f"{name}/report.md") for name in reports), "Reports"))),
        Section("Categories of the training questions", (_categories(reports),)),
        Section("Test accuracy", (_accuracy(reports),)),
    ]
    if experiments := experiment_files(folder):
        sections.append(Section("Experiments", tuple(_experiments(experiments))))
    if (published := folder / PUBLISHED / "README.md").is_file():
        links = Links(((PUBLISHED, f"{PUBLISHED}/{published.name}"),))
        sections.append(Section("Published numbers of others", ("For orientation, with their sources:", links)))
    others = _other_pages(folder)
    if others:
        links = Links(tuple((page.parent.name, f"{page.parent.name}/{page.name}") for page in others))
        intro = "Speed, the price of certainty, other engines, and how well scoring rules agree with people:"
        sections.append(Section("Measurements of kft itself", (intro, links)))
    return markdown_document("Results", sections, _LEAD)


def write_results(folder: Path) -> Path:
    """Render ``README.md``, every report and every other page of numbers again.

    Returns:
        The path of ``README.md``.

    Raises:
        DataError: there are no published runs.
    """
    for file in sorted(folder.glob("*/report.json")):
        report = read_report(file)
        _write(file.with_name("report.md"), render_report(report))
        _write(file.with_name(PAGE), render_report_page(report, published_questions(file)))
        draw_figures(report, file.with_name("figures"))
    for file in experiment_files(folder):
        record = read_experiment(file)
        _write(file.with_suffix(".md"), render_experiment(record))
        _write(file.with_suffix(".html"), render_experiment_page(record))
    for file in measurement_files(folder):
        _write(file.with_suffix(".md"), render_measurement(file))
        if file.stem == "certainty":
            write_certainty_figure(read_measurement("certainty", file), file.parent)
    if (folder / PUBLISHED).is_dir():
        _write(folder / PUBLISHED / "README.md", render_published())
    page = folder / "README.md"
    _write(page, render_results(folder))
    update_headlines(folder.parent / "README.md", folder)
    update_engines(folder.parent / "kft_tasks" / "README.md", folder)
    return page


def experiment_files(folder: Path) -> list[Path]:
    """Experiments below a folder of results."""
    return sorted(folder.glob("*/experiment.json"))


def published_questions(file: Path) -> PageData | None:
    """The questions in the page beside a ``report.json``; None where there is no page, or it holds none.

    Raises:
        DataError: they are broken.
    """
    page = file.with_name(PAGE)
    return data_of_page(read_text(page, limits.MAX_JSON_BYTES), str(page)) if page.exists() else None


def measurement_files(folder: Path) -> list[Path]:
    """Measurements of kft itself below a folder of results."""
    return sorted(file for kind in ("benchmark", "certainty", "engines") for file in folder.glob(f"*/{kind}.json"))


def render_measurement(file: Path) -> str:
    """Markdown of one of :func:`measurement_files`.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    if file.stem == "engines":
        return render_engines(read_engines(file))
    if file.stem == "certainty":
        return certainty_page.render(read_measurement("certainty", file), markdown=True)
    data = read_measurement("benchmark", file)
    return (train_benchmark.render_training if "pairs" in data else benchmark.render)(data, markdown=True)


def _write(path: Path, text: str) -> None:
    """Write a page; one that is there must be an older version of it, by its heading.

    Raises:
        StateError: it is something else.
    """
    if path.exists():
        old = read_whole(path, limits.MAX_LINE_BYTES).decode("utf-8", "replace")
        foreign = not text.startswith("#") and _KFT_PAGE not in old
        if foreign or old.split()[:2] != text.split()[:2] or (text.startswith("# Results") and "kft" not in old):
            raise StateError(f"{path}: is not a page that kft wrote. Move it away, or choose another folder.")
    with atomic_write(path) as stream:
        stream.write(text)


def _other_pages(folder: Path) -> list[Path]:
    pages = [page for name in ("benchmark", "certainty", "engines", "README") for page in folder.glob(f"*/{name}.md")]
    runs = ("report.json", "experiment.json")
    own = [page for page in pages if not any((page.parent / name).exists() for name in runs)]
    return sorted(page for page in own if page.parent.name != PUBLISHED)


def _experiments(files: Sequence[Path]) -> Iterator[Block]:
    """What each experiment found, in words and by hypothesis; those with most seeds first."""
    yield (
        "Arms against arms under several seeds, with hypotheses that were written before the run. `kft experiment "
        "NAME` repeats one; the page of each has all its tables, also those that nobody asked for before."
    )
    read = {file: read_experiment(file) for file in files}
    for file, record in sorted(read.items(), key=lambda pair: -len(pair[1].seeds)):
        first, *others = opening(record)
        yield f"**{plain(record.name)}.** {first}"
        if (notes := file.with_name(NOTES)).is_file():
            yield read_text(notes, limits.MAX_LINE_BYTES).strip()
        yield from others
        yield from (block for block in hypotheses(record) if isinstance(block, Table))
    yield Links(tuple((file.parent.name, f"{file.parent.name}/{file.stem}.md") for file in files), "Pages")


def _runs(reports: Reports) -> Table:
    rows = []
    for name, report in reports.items():
        run, repeat = report["run"], report["repeat"]
        questions = " / ".join(number(run["questions"][split]) for split in ("train", "validation", "test"))
        date = str(repeat["created"] or "")[:10]
        rows.append([name, run["model"], run["question_set"], questions, date, repeat["command"]])
    heads = "run | model | question set | train / validation / test questions > | date | command"
    return make_table(heads, rows)


def _categories(reports: Reports) -> Table:
    rows = [
        [name, point, *_category_cells(shares, greedy_only=bool(report.get("greedy_only")))]
        for name, report in reports.items()
        for point, shares in report["categories"].items()
    ]
    caption = "Number of questions and share of all."
    if any(report.get("greedy_only") for report in reports.values()):
        caption += (
            " Where WeaklyKnown is a dash, only greedy answers were asked after the first detection: Unknown then is "
            "all questions that were never right."
        )
    return make_table(f"run | point | {category_heads()}", rows, caption)


def _category_cells(shares: Mapping[str, Mapping[str, Any]], *, greedy_only: bool) -> list[str]:
    weakly = KnowledgeCategory.WEAKLY_KNOWN.value
    return [
        NONE if greedy_only and name == weakly else f"{number(one['count'])} ({percent(one['share'])})"
        for name, one in shares.items()
    ]


def _accuracy(reports: Reports) -> Table:
    rows = [
        [name, one["point"], asking_cell(one), number(one["n"]), share(one), _empty(one)]
        for name, report in reports.items()
        for one in report["test"]["accuracy"]
    ]
    caption = (
        "Right answers as a share of n questions, with the 95 % interval in brackets; the run's report says what it is "
        "for. *Exemplars*: worked examples in the prompt; with several sets of them, the mean over all sets. *Empty*: "
        "share of answers with nothing in them; a dash where they were not counted."
    )
    return make_table("run | point | exemplars > | n > | accuracy > | empty >", rows, caption)


def _empty(row: Mapping[str, Any]) -> str:
    return percent(row["empty"] / (row["n"] * row.get("sets", 1)) if "empty" in row else None)
