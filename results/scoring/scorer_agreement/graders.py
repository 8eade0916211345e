"""The models that were measured as graders of the judged pairs, in a table.

Run with ``PYTHONPATH=results/scoring python -m scorer_agreement.graders results/scoring``. It reads what
``kft grade --measure`` kept (``graders/NAME.agreement.json``) and renders it into the folder's README.
"""

from __future__ import annotations

from pathlib import Path

import click

from kft_cli.display.tables import make_table, markdown_table, share
from kft_cli.stats.grading import agreement_shares
from kft_cli.stats.intervals import wilson_share
from kft_tasks.files import atomic_write
from kft_tasks.grading.agreement import Agreement
from kft_tasks.records import read_record

_BEGIN, _END = "<!-- graders: begin -->", "<!-- graders: end -->"


def read_agreements(folder: Path) -> list[Agreement]:
    """What was measured, by the name of the file.

    Raises:
        DataError: a file is broken.
    """
    return [
        read_record(Agreement, path, "Measure the grader again.", "broken agreement")
        for path in sorted((folder / "graders").glob("*.agreement.json"))
    ]


def render_graders(agreements: list[Agreement]) -> str:
    """A row for each grader, and one for the default rule on the same pairs."""
    rows = []
    for one in agreements:
        numbers = one.verdicts
        name = f"{one.grader.model.id}, prompt {one.grader.prompt_version}" + (", chat" if one.grader.chat else "")
        shares = [share(value) for value in agreement_shares(numbers).values()]
        rows.append([name, *shares, f"{numbers.unreadable:,}", f"{numbers.total:,}"])
    for rule, total, right in {(one.rule, one.verdicts.total, one.verdicts.right.total) for one in agreements}:
        shares = [
            share(wilson_share(count, n).to_json())
            for count, n in (
                (rule.right + total - right - rule.wrong, total),
                (rule.right, rule.right + rule.wrong),
                (rule.right, right),
            )
        ]
        rows.append([f"{rule.scorer}, for comparison", *shares, "0", f"{total:,}"])
    columns = "verdicts of | accuracy > | precision of CORRECT > | recall of CORRECT > | unreadable > | pairs >"
    return markdown_table(make_table(columns, rows, "In brackets: 95 % Wilson intervals."))


def insert_graders(page: str, text: str) -> str:
    """The page with ``text`` between its marks."""
    return f"{page.partition(_BEGIN)[0]}{_BEGIN}\n\n{text}\n\n{_END}{page.partition(_END)[2]}"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path) -> None:
    """Render what was measured of graders into the README of FOLDER.

    Example: PYTHONPATH=results/scoring python -m scorer_agreement.graders results/scoring
    """
    readme = folder / "README.md"
    page = insert_graders(readme.read_text(encoding="utf-8"), render_graders(read_agreements(folder)))
    with atomic_write(readme) as stream:
        stream.write(page)


if __name__ == "__main__":
    main()
