"""``kft data``: list, fetch, check, show, export, stats."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kft_cli.commands.options import exemplar_options, json_option, parse_pairs, set_argument
from kft_cli.commands.output_paths import OutputFile, WritingCommand, overwrite_option
from kft_cli.display.console import narrate, print_json, print_path, print_text, progress_bar
from kft_tasks.protocol.protocol import Protocol

if TYPE_CHECKING:
    from kft_tasks.progress import ProgressCallback
    from kft_tasks.question_sets.checks.local_copies import LocalCopy
    from kft_tasks.questions import QuestionSet


@click.group("data", short_help="Question sets.", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List, fetch, check, show, count and export question sets.

    SET is a name from `kft data list`. Every set takes the options deduplicate, remove_overlap and separate_subjects.

    \b
    Example: kft data stats questions --path my.jsonl --option remove_overlap=true
    """


@command.command("list", short_help="List the sets and where their data are.")
@click.option("--count", is_flag=True, help="Read the sets that are on this machine and count their questions.")
@json_option
def list_sets(count: bool, as_json: bool) -> None:
    """List the sets with size, licence, source, and where their data are on this machine. Fetches nothing.

    Sizes are those of the whole published set.

    \b
    Example: kft data list --json
    """
    from kft_cli.pages.data_views import list_text
    from kft_tasks.question_sets.checks.local_copies import find_local_copy
    from kft_tasks.question_sets.registry import SETS

    held = {name: find_local_copy(name) for name in SETS}
    rows = [_list_row(held[name], _count(held[name]) if count else None) for name in SETS]
    if as_json:
        print_json(rows)
    else:
        print_text(list_text(rows))


def _list_row(held: LocalCopy, counted: dict[str, int] | None) -> dict[str, Any]:
    from kft_tasks.question_sets.registry import SETS
    from kft_tasks.question_sets.splits.cleaning import with_shared_options

    info = SETS[held.name]
    return {
        "name": info.name,
        "title": info.title,
        "description": info.description,
        "sizes": dict(info.sizes),
        "published": info.published,
        "counted": counted,
        "licence": info.licence,
        "source": info.source,
        "state": held.state,
        "fetchable": info.name != "questions",
        "origin": held.origin,
        "place": None if held.place is None else str(held.place),
        "bytes": held.size(),
        "options": {option.name: option.help for option in with_shared_options(info).options},
    }


def _count(held: LocalCopy) -> dict[str, int] | None:
    from kft_tasks.question_sets.registry import open_set

    if not held.here:
        return None
    source = open_set(held.name, held.place)
    return {split: sum(1 for _ in source.split(split)) for split in source.splits()}


@command.command("fetch", short_help="Fetch a set's data.")
@click.argument("set_", metavar="SET")
@click.option("--option", "set_options", multiple=True, metavar="KEY=VALUE", help="Option of the set; repeatable.")
@json_option
def fetch_set(set_: str, set_options: tuple[str, ...], as_json: bool) -> None:
    """Fetch the data of SET into the cache and print where they are. If they are already there, only print that.

    An interrupted download resumes where it stopped.

    \b
    Example: kft data fetch entityquestions
    """
    from kft_cli.pages.data_views import size_text
    from kft_tasks.question_sets.checks.local_copies import find_local_copy
    from kft_tasks.question_sets.registry import info_of, open_set

    options, held = parse_pairs(set_options), find_local_copy(set_)
    if held.here:
        narrate(f"{set_}: nothing to fetch.")
    elif set_ != "questions":
        narrate(f"Fetching {info_of(set_).source} ...")
    if options or not held.here:  # an option may also need another set's data
        with _bar_once_it_moves(f"fetch {set_}") as progress:
            open_set(set_, None, options, progress)
        held = find_local_copy(set_)
    if as_json:
        print_json({"set": set_, "state": held.state, "place": str(held.place), "bytes": held.size()})
        return
    narrate(f"{set_}: {held.state}, {size_text(held.size())}")
    if held.place is not None:
        print_path(held.place)


@contextmanager
def _bar_once_it_moves(title: str) -> Iterator[ProgressCallback]:
    """A progress bar that appears with the first report: the hub's client, which reports nothing, draws its own."""
    with ExitStack() as stack:
        bars: list[ProgressCallback] = []

        def report(done: int, total: int, note: str) -> None:
            if not bars:
                bars.append(stack.enter_context(progress_bar(title)))
            bars[0](done, total, note)

        yield report


@command.command("check", short_help="Report what is wrong with a set.")
@set_argument
@exemplar_options
@json_option
def check(set_: str, path: str | None, set_options: tuple[str, ...], as_json: bool, protocol: Protocol) -> int:
    """Read all of SET and report what is wrong; exit with code 1 if anything is.

    Compares downloads with their digests and sizes with the published ones, looks for repeated ids and for answers
    that nothing can match, and draws the exemplar sets of each type.

    \b
    Example: kft data check questions --path my.jsonl --exemplar-sets 4
    """
    from kft_cli.pages.data_views import check_text
    from kft_tasks.question_sets.checks.check import check_set

    options = parse_pairs(set_options)
    with progress_bar(f"read {set_}") as progress:
        result = check_set(set_, path, options, protocol, progress)
    if as_json:
        held = {"state": result.held.state, "place": str(result.held.place), "bytes": result.held.size()}
        found = {"wrong": result.wrong, "notes": result.notes, "verified": result.verified}
        print_json({**result.survey.to_json(), **held, "options": options, **found})
    else:
        print_text(check_text(result))
    return 1 if result.wrong else 0


@command.command("show", short_help="Show questions and prompts.")
@set_argument
@click.option("--split", default="test", show_default=True, help="train, validation, test or exemplars.")
@click.option("--type", "type_", help="Only questions of this type.")
@click.option("--limit", "-n", type=click.IntRange(1), default=5, show_default=True, help="Number of questions.")
@click.option(
    "--prompts", "with_prompts", is_flag=True, help="Also show prompts: for each type shown, one per exemplar set."
)
@exemplar_options
@json_option
def show(
    set_: str,
    path: str | None,
    set_options: tuple[str, ...],
    split: str,
    type_: str | None,
    limit: int,
    with_prompts: bool,
    as_json: bool,
    protocol: Protocol,
) -> None:
    """Show questions of SET and their answers, drawn by --seed.

    \b
    Example: kft data show worldfacts --type capital_of_country --prompts --exemplar-sets 2
    """
    from kft_cli.pages.data_views import prompts_by_type, sample_text
    from kft_tasks.protocol.exemplars import ExemplarPool
    from kft_tasks.protocol.prompt_maker import PromptMaker
    from kft_tasks.question_sets.checks.excerpts import sample

    source = _open(set_, path, set_options)
    drawn = sample(source, split, limit, seed=protocol.seed, type_=type_)
    prompts = {}
    if with_prompts:
        pool = ExemplarPool(source.split("exemplars"), protocol, source.name)
        maker = PromptMaker(protocol, pool)
        prompts = prompts_by_type(drawn.questions, maker.prompt, protocol.exemplar_sets)
    if as_json:
        questions = [question.to_json() for question in drawn.questions]
        print_json({"set": set_, "split": split, "total": drawn.total, "questions": questions, "prompts": prompts})
    else:
        print_text(sample_text(set_, split, drawn, prompts))


@command.command("export", cls=WritingCommand, short_help="Write a set as JSON Lines.")
@set_argument
@click.option(
    "--split", "splits", multiple=True, help="train, validation, test or exemplars; repeatable.  [default: all]"
)
@click.option("--output", "-o", required=True, type=OutputFile(stream=True), help="JSON Lines file (.jsonl).")
@overwrite_option
@json_option
def export_set(
    set_: str,
    path: str | None,
    set_options: tuple[str, ...],
    splits: tuple[str, ...],
    output: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write SET as JSON Lines, which the set `questions` reads back as the same questions with the same ids.

    \b
    Example: kft data export worldfacts -o facts.jsonl, then kft detect --set questions --path facts.jsonl
    """
    from kft_tasks.question_sets.checks.excerpts import export

    source = _open(set_, path, set_options)
    chosen = tuple(dict.fromkeys(splits)) or source.splits()
    counts = export(source, chosen, output, overwrite=overwrite)
    if as_json:
        print_json({"set": set_, "file": str(output), "questions": counts})
        return
    narrate(f"{set_}: " + ", ".join(f"{count:,} {split}" for split, count in counts.items()))
    if "exemplars" not in counts:
        narrate(
            "The file has no exemplars: when it is read back, some of its questions become exemplars. "
            "Add them with --split exemplars."
        )
    print_path(output)


@command.command("stats", short_help="Count a set: answers, repeats, overlap between splits.")
@set_argument
@json_option
def stats(set_: str, path: str | None, set_options: tuple[str, ...], as_json: bool) -> None:
    """Count types, answer lengths, aliases and repeats of SET, and what its splits share.

    \b
    Example: kft data stats entityquestions --option relation=P36
    """
    from kft_cli.pages.data_views import stats_text
    from kft_tasks.question_sets.checks.check import notes
    from kft_tasks.question_sets.checks.survey import survey

    source = _open(set_, path, set_options)
    with progress_bar(f"read {set_}") as progress:
        found = survey(source, progress)
    sentences = list(notes(found))
    if as_json:
        print_json({**found.to_json(), "options": parse_pairs(set_options), "notes": sentences})
    else:
        print_text(stats_text(found, sentences))


def _open(name: str, path: str | None, options: tuple[str, ...]) -> QuestionSet:
    from kft_tasks.question_sets.registry import open_set

    return open_set(name, path, parse_pairs(options))
