"""``kft grade``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kft_cli.commands.options import json_option, model_options, remedy
from kft_cli.commands.output_paths import InputPath, OutputFile, WritingCommand, checked, overwrite_option
from kft_cli.commands.rescore import summarize
from kft_cli.display.console import narrate, print_json, print_text, progress_bar
from kft_cli.display.tables import Section, make_table, share, terminal_text
from kft_cli.stats.grading import agreement_shares
from kft_cli.stats.intervals import wilson_share
from kft_tasks.answering.answerer import Answerer
from kft_tasks.categories.rescore import UNDECIDED, Rescoring
from kft_tasks.errors import DataError, UnavailableError, UsageError
from kft_tasks.grading.agreement import (
    Agreement,
    Confusion,
    VerdictCounts,
    agreement_file,
    known_agreement,
    measure_agreement,
    packaged_pairs,
    read_judged_pairs,
)
from kft_tasks.grading.apply import apply_verdicts, check_measured, check_source
from kft_tasks.grading.graded_file import GradedFile, GradedRow, write_graded_file
from kft_tasks.grading.grader import Grader, GraderIdentity
from kft_tasks.grading.prompt import PROTOCOL, GradedPair, published_prompt
from kft_tasks.grading.stored import StoredAnswers, open_stored
from kft_tasks.grading.verdict import Verdict
from kft_tasks.models.backends import identify_choice
from kft_tasks.models.choice import ModelChoice
from kft_tasks.models.loading import load_model
from kft_tasks.progress import ProgressCallback
from kft_tasks.protocol.render import ChatRenderer
from kft_tasks.visible_text import visible

_CELL = 60  # characters of a question or an answer in the terminal
_SUFFIXES = (".categories.jsonl", ".jsonl")
_MEASURE = "Measure it with `kft grade --measure` and the same model options."


@click.command("grade", cls=WritingCommand)
@click.argument("file", required=False, type=InputPath())
@model_options
@click.option("--chat", is_flag=True, help="Put the prompt through the grader's chat template.")
@click.option("--measure", is_flag=True, help="Measure the grader on judged answers, before anything else.")
@click.option(
    "--pairs",
    type=InputPath(),
    help="JSONL file of judged answers: question, answers, given, right.  "
    "[default: results/scoring/pairs.jsonl of kft's repository]",
)
@click.option(
    "--output",
    "-o",
    type=OutputFile(),
    help="File for the verdicts.  [default: NAME.graded.jsonl next to FILE]",
)
@click.option(
    "--apply",
    "applied",
    is_flag=True,
    help="Write a category file by the verdicts too: NAME.graded.categories.jsonl next to the output.",
)
@click.option(
    "--allow-undecided", is_flag=True, help="With --apply, leave out questions that the verdicts do not decide."
)
@overwrite_option
@click.option(
    "--examples",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Answers to show for each kind of disagreement.",
)
@json_option
def command(
    file: Path | None,
    choice: ModelChoice,
    chat: bool,
    measure: bool,
    pairs: Path | None,
    output: Path | None,
    applied: bool,
    allow_undecided: bool,
    overwrite: bool,
    examples: int,
    as_json: bool,
) -> None:
    """Let a model grade the stored answers in FILE as CORRECT, INCORRECT or NOT_ATTEMPTED.

    FILE is a category file, or answers of `kft eval -o` or of a run. --model names the grader. It is asked once per
    different answer, greedily and with a published prompt; its replies are kept, and an interrupted command resumes. A
    reply that is none of the three words is counted as unreadable, never guessed.

    How well the grader agrees with judged answers is shown with every use. Until --measure has been run for it, its
    verdicts make no categories.

    \b
    Example: kft grade worldfacts-train.categories.jsonl --backend local-completions \\
      --model my-model --backend-args base_url=http://HOST:PORT/v1/completions
    """
    _check_use(file, measure=measure, pairs=pairs, output=output, applied=applied)
    stored = None if file is None else open_stored(file)
    places = None if file is None else _places(file, output)
    if applied and stored is not None:
        check_source(stored)
    if places is not None:
        for path in (places.graded, *([places.categories] if applied else [])):
            checked(path)
    prompt = published_prompt()
    identity = GraderIdentity(identify_choice(choice), prompt.version, prompt.digest, chat)
    agreement = known_agreement(identity)
    if applied and not measure:  # before anything is asked
        with remedy(UsageError, "--measure", _MEASURE):
            check_measured(identity, agreement)
    with identity.open_cache() as cache:
        grader = Grader(prompt, cache, lambda: _open(choice, chat=chat))
        if measure:
            agreement = _measured(grader, identity, pairs)
        result = None
        if stored is not None and places is not None:
            with progress_bar(f"grade {stored.path.name}") as progress:
                grader.ask(_shown(stored, progress))
            write_graded_file(places.graded, stored, grader, identity, agreement)
            if applied:
                result = _apply(
                    stored, places.categories, grader, identity, agreement, allow_undecided, overwrite, examples
                )
        asked, known = grader.asked, len(cache)
    found = None if places is None else _survey(GradedFile(places.graded), examples)
    if as_json:
        print_json(_document(identity, agreement, found, result, asked))
    else:
        sections = [_agreement_section(identity, agreement)]
        sections += [] if found is None else _graded_sections(found)
        print_text(terminal_text(sections))
        if result is not None:
            print_text(summarize(result))
    narrate(
        f"{asked:,} answers asked, the others known from before; {known:,} replies are in {identity.file('.replies')}"
    )
    if agreement is None:
        narrate(f"{_UNMEASURED} {_MEASURE}")
    if places is not None:
        narrate(f"Verdicts: {places.graded}")
    if result is not None:
        narrate(f"Category file: {result.output}")


_UNMEASURED = "NOT MEASURED: nobody knows how well this grader judges. Do not rest a claim on its verdicts."


@dataclass(frozen=True)
class _Places:
    """Where the verdicts go, and the category file that rests on them."""

    graded: Path
    categories: Path


def _check_use(file: Path | None, *, measure: bool, pairs: Path | None, output: Path | None, applied: bool) -> None:
    """Refuse options that have nothing to work on."""
    if file is None and not measure:
        raise UsageError("Nothing to grade. Name a FILE of stored answers, or measure the grader with --measure.")
    if file is None and (output or applied):
        raise UsageError("--output and --apply need a FILE of stored answers. Name one.")
    if pairs is not None and not measure:
        raise UsageError("--pairs is read by --measure only. Add --measure.")


def _places(file: Path, output: Path | None) -> _Places:
    name = (output or file).name
    for suffix in (".graded.jsonl", *_SUFFIXES):
        if name.endswith(suffix) and name != suffix:
            name = name.removesuffix(suffix)
            break
    graded = output or file.with_name(f"{name}.graded.jsonl")
    return _Places(graded, graded.with_name(f"{name}.graded.categories.jsonl"))


def _open(choice: ModelChoice, *, chat: bool) -> tuple[Answerer, ChatRenderer | None]:
    model = load_model(choice)
    return model.answerer(PROTOCOL), model.lm.apply_chat_template if chat else None


def _measured(grader: Grader, identity: GraderIdentity, path: Path | None) -> Agreement:
    with remedy(UnavailableError, "--pairs", "Use --pairs to name a copy.", applies=lambda error: path is None):
        path = path or packaged_pairs()
    judged = read_judged_pairs(path)
    with progress_bar(f"measure {identity.model.id}") as progress:
        return measure_agreement(grader, identity, judged, path.name, progress)


def _shown(stored: StoredAnswers, progress: ProgressCallback) -> Iterator[GradedPair]:
    """The pairs of all answers, with progress by questions."""
    done, last = 0, None
    for answer in stored.read():
        if answer.id != last:
            progress(done, stored.questions, "questions")
            done, last = done + 1, answer.id
        yield answer.pair
    progress(done, stored.questions, "questions")


def _apply(
    stored: StoredAnswers,
    output: Path,
    grader: Grader,
    identity: GraderIdentity,
    agreement: Agreement | None,
    allow_undecided: bool,
    overwrite: bool,
    examples: int,
) -> Rescoring:
    hint = "Use --allow-undecided to leave these questions out."
    with remedy(DataError, "--allow-undecided", hint, applies=lambda error: UNDECIDED in str(error)):
        return apply_verdicts(
            stored,
            output,
            grader,
            identity,
            agreement,
            allow_undecided=allow_undecided,
            overwrite=overwrite,
            examples=examples,
        )


@dataclass(frozen=True)
class _Found:
    """What a graded file says: numbers from its header, and examples with the lines where they stand."""

    file: GradedFile
    disagreements: int
    examples: list[tuple[int, GradedRow]]
    different: Confusion


def _survey(file: GradedFile, most: int) -> _Found:
    """Read a graded file: examples of each kind of disagreement, and of unreadable replies."""
    different, disagreements = Confusion(), 0
    examples: dict[tuple[bool, Verdict], list[tuple[int, GradedRow]]] = {}
    for line, row in file:
        different = different.plus(row.right, row.verdict)
        disagreements += row.disagrees
        if row.disagrees or row.verdict is Verdict.UNREADABLE:
            some = examples.setdefault((row.right, row.verdict), [])
            if len(some) < most:
                some.append((line, row))
    chosen = [pair for key in sorted(examples, key=str) for pair in examples[key]]
    return _Found(file, disagreements, chosen, different)


def _agreement_section(identity: GraderIdentity, agreement: Agreement | None) -> Section:
    """How far the grader can be trusted: beside every use."""
    title = f"Grader {identity.model.id}, prompt {identity.prompt_version}" + (", chat" if identity.chat else "")
    if agreement is None:
        return Section(f"{title}: NOT MEASURED", (_UNMEASURED,))
    numbers, rule = agreement.verdicts, agreement.rule
    right, wrong = numbers.right.total, numbers.wrong.total
    rows = [
        [
            "grader",
            *(share(value) for value in agreement_shares(numbers).values()),
            f"{numbers.unreadable:,}",
        ],
        [
            f"rule {rule.scorer}",
            share(wilson_share(rule.right + wrong - rule.wrong, numbers.total).to_json()),
            share(wilson_share(rule.right, rule.right + rule.wrong).to_json()),
            share(wilson_share(rule.right, right).to_json()),
            "0",
        ],
    ]
    caption = (
        f"On {numbers.total:,} judged answers ({agreement.pairs.name}), {right:,} of them right. In "
        "brackets: 95 % Wilson intervals. An unreadable reply agrees with nobody."
    )
    columns = "verdicts of | accuracy, % > | precision of CORRECT, % > | recall of CORRECT, % > | unreadable >"
    return Section(title, (make_table(columns, rows, caption),))


def _graded_sections(found: _Found) -> list[Section]:
    header = found.file.header
    numbers, source = header.answers, header.source
    rule = source.scorer or "the file's rule"
    rows = [_verdict_row(f"right by {rule}", numbers.right), _verdict_row(f"wrong by {rule}", numbers.wrong)]
    rows.append(_verdict_row("all", _both(numbers)))
    rows.append(_verdict_row("different answers", _both(found.different)))
    readable = numbers.total - numbers.unreadable
    same = share(wilson_share(numbers.agreed, readable).to_json())
    caption = (
        f"Grader and rule say the same of {same} of the {readable:,} "
        f"stored answers with a readable verdict; they disagree on {found.disagreements:,} different ones."
    )
    columns = "stored answers | CORRECT > | INCORRECT > | NOT_ATTEMPTED > | unreadable > | all >"
    sections = [Section(source.name, (make_table(columns, rows, caption),))]
    if found.examples:
        shown = [
            [
                f"{found.file.path.name}:{line}",
                visible(row.question, _CELL),
                visible("; ".join(row.answers), _CELL),
                visible(row.given, _CELL),
                "right" if row.right else "wrong",
                row.verdict.value
                if row.verdict is not Verdict.UNREADABLE
                else f"unreadable: {visible(row.reply or '', 30)}",
            ]
            for line, row in found.examples
        ]
        table = make_table("where | question | accepted | given | rule | grader", shown)
        sections.append(Section("Disagreements", (table,)))
    return sections


def _verdict_row(label: str, counts: VerdictCounts) -> list[str]:
    numbers = (counts.correct, counts.incorrect, counts.not_attempted, counts.unreadable, counts.total)
    return [label, *(f"{number:,}" for number in numbers)]


def _both(numbers: Confusion) -> VerdictCounts:
    names = VerdictCounts.model_fields
    return VerdictCounts(**{name: getattr(numbers.right, name) + getattr(numbers.wrong, name) for name in names})


def _document(
    identity: GraderIdentity,
    agreement: Agreement | None,
    found: _Found | None,
    result: Rescoring | None,
    asked: int,
) -> dict[str, Any]:
    """Everything as JSON values."""
    document: dict[str, Any] = {
        "grader": identity.cache_header() | {"id": identity.model.id},
        "asked": asked,
        "agreement": None,
    }
    if agreement is not None:
        measured = agreement.model_dump(mode="json")
        document["agreement"] = {
            **measured,
            **agreement_shares(agreement.verdicts),
            "file": str(agreement_file(identity)),
        }
    if found is not None:
        numbers = found.file.header.answers
        document |= {
            "source": found.file.header.source.model_dump(mode="json"),
            "file": str(found.file.path),
            "answers": {"right": numbers.right.model_dump(), "wrong": numbers.wrong.model_dump()},
            "agrees_with_rule": wilson_share(numbers.agreed, numbers.total - numbers.unreadable).to_json(),
            "disagreements": found.disagreements,
            "examples": [{"line": line, **row.model_dump(mode="json")} for line, row in found.examples],
        }
    if result is not None:
        document["categories"] = result.to_json()
    return document
