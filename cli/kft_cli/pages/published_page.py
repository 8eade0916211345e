"""The page of ``results/published``: published numbers of others, each with its source."""

from __future__ import annotations

from collections.abc import Iterable

from kft_cli.display.tables import Block, Section, make_table, markdown_document, number, percent, plain
from kft_cli.report.paper import growth_of_gain, highly_known_counts
from kft_cli.report.published_record import PublishedRecord, read_published

_NAMES = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
_LEVELS = ("HighlyKnown", "MaybeKnown", "NeverRight")


def render_published() -> str:
    """Markdown of ``results/published/README.md``."""
    lead: list[Block] = [
        "Numbers that others have published, in kft's own format, every one with its source and how sure it is: "
        "*counted* again in what the authors released, or read in *one source*. They come with kft, in "
        "`cli/kft_cli/report/published/`. `kft compare RUN paper` and `kft compare EXPERIMENT paper` set your numbers "
        "beside them."
    ]
    sections = [_section(read_published("gradual-learning")), _section(read_published("slick"))]
    return markdown_document("Published numbers of others", sections, lead)


def _section(record: PublishedRecord) -> Section:
    setting = record.setting.model_dump()
    listed = "\n".join(f"- {name}: {plain(text)}" for name, text in setting.items())
    blocks: list[Block] = [f"{plain(record.citation)}. {plain(record.about)}", listed]
    if record.runs:
        rows = [
            [
                run.name,
                number(run.n),
                *(number(run.first_detection.counts[name]) for name in _NAMES),  # type: ignore[index]
                run.first_detection.mark,
            ]
            for run in record.runs
        ]
        heads = f"run | n > | {' > | '.join(_NAMES)} > | how sure"
        blocks.append(make_table(heads, rows, _sources(run.first_detection.source for run in record.runs)))
    for run in record.runs:
        for step in run.transitions:
            cells = [
                [before, *(number(line[level]) for level in _LEVELS)]  # type: ignore[index]
                for before, line in step.matrix.items()
            ]
            caption = f"{_sources([step.source])} How sure: {step.mark}."
            blocks += [
                f"**Run {plain(run.name)}, {plain(step.before)} → {plain(step.after)}**",
                make_table("before | HighlyKnown > | MaybeKnown > | never right greedily >", cells, caption),
            ]
        counts = highly_known_counts([step.matrix for step in run.transitions])  # type: ignore[misc]
        growth = growth_of_gain(counts)
        if growth is not None:
            blocks.append(
                f"HighlyKnown questions of run {plain(run.name)}: {' → '.join(map(number, counts))}. The gain after "
                f"the last stage is {percent(growth)} larger than that after the first; the count itself grows by "
                f"{percent(counts[-1] / counts[1] - 1)}."
            )
    if record.accuracies:
        rows = [
            [row.trained_on, percent(row.early_stop), percent(row.convergence), row.mark] for row in record.accuracies
        ]
        sources = _sources(row.source for row in record.accuracies)
        blocks.append(make_table("trained on | early stop > | convergence > | how sure", rows, sources))
    return Section(record.title, tuple(blocks))


def _sources(sources: Iterable[str]) -> str:
    return f"Source: {'; '.join(plain(one) for one in dict.fromkeys(sources))}."
