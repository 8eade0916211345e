"""What `kft data` prints: question sets as tables. Cells may hold anyone's text; tables make it harmless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kft_cli.display.tables import NONE, Section, Table, make_table, number, terminal_text
from kft_tasks.visible_text import visible, visible_lines

if TYPE_CHECKING:
    from kft_tasks.question_sets.checks.check import Check
    from kft_tasks.question_sets.checks.excerpts import Sample
    from kft_tasks.question_sets.checks.survey import Survey
    from kft_tasks.questions import Question

_TYPES = 40  # rows of types in a terminal; --json has them all
_CELL = 120  # characters shown of a cell


def size_text(size: int) -> str:
    """A number of bytes for people, such as "782.0 kB"."""
    from rich.filesize import decimal

    return decimal(size)


def list_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """All sets, one line each, and where their data are or come from."""
    cells = [[row["name"], _sizes(row), row["licence"], _state(row)] for row in rows]
    table = terminal_text([Section("", (make_table("set | questions | licence | data", cells),))])
    width = max(len(row["name"]) for row in rows)
    places = [f"{row['name']:{width}}  {visible(row['place'] or 'from: ' + row['source'])}" for row in rows]
    return "\n".join([table, "", *places])  # outside the table, which would cut long paths


def _state(row: Mapping[str, Any]) -> str:
    if row["state"] == "missing":
        return f"{row['origin']} names a place that does not exist"
    if row["state"] == "absent":
        return "not fetched" if row["fetchable"] else "name yours with --path"
    via = f", via {row['origin']}" if row["origin"] else ""
    return f"{row['state']}{via}, {size_text(row['bytes'])}"


def _sizes(row: Mapping[str, Any]) -> str:
    known = {split: size for split, size in (row["counted"] or row["sizes"]).items() if size is not None}
    if known:
        return ", ".join(f"{size:,} {split}" for split, size in known.items())
    return row["published"] or NONE


def sample_text(name: str, split: str, drawn: Sample, prompts: Mapping[str, Sequence[str]]) -> str:
    """Drawn questions, then the prompts of each type, one per exemplar set."""
    rows = [
        [
            question.type,
            visible(question.question, _CELL),
            visible(question.answers[0], _CELL),
            visible("; ".join(question.answers[1:]), _CELL) or NONE,
        ]
        for question in drawn.questions
    ]
    title = f"{name}, {split}: {len(rows):,} of {drawn.total:,} questions"
    table = make_table("type | question | answer | also accepted", rows)
    parts = [terminal_text([Section(title, (table,))])]
    for type_, texts in prompts.items():
        for place, text in enumerate(texts, start=1):
            parts.append(f"--- {visible(type_)}: exemplar set {place} of {len(texts)} ---\n{visible_lines(text)}")
    return "\n\n".join(parts)


def stats_text(found: Survey, notes: Sequence[str]) -> str:
    """Sizes, answers, repeats and overlap."""
    sections = [
        Section(f"{found.name}: questions and answers", (_answers_table(found),)),
        Section("Repeats", (_repeats_table(found),)),
        Section("Overlap between splits", (_overlap_table(found),)),
    ]
    if found.left_out:
        sections.append(Section("Left out by the set", (_left_out_table(found),)))
    return "\n\n".join([terminal_text(sections), *_list("Note", notes)])


def _answers_table(found: Survey) -> Table:
    rows = []
    for name, split in found.splits.items():
        data = split.to_json()
        characters, words, aliases = data["answer_characters"], data["answer_words"], data["aliases"]
        lengths = (f"{of['median']} / {of['p95']} / {of['most']}" for of in (characters, words))
        more = f"{aliases['mean']:.1f} / {aliases['most']}"
        rows.append([name, number(split.count), number(len(split.types)), *lengths, more])
    caption = (
        "Lengths of the canonical answer, in characters (Unicode code points) and in words (between white space): "
        "median / 95th percentile / maximum. Aliases are the other accepted answers: mean / maximum."
    )
    return make_table("split | questions > | types > | characters > | words > | aliases >", rows, caption)


def _repeats_table(found: Survey) -> Table:
    rows = []
    for name, split in found.splits.items():
        copies = split.keys.copies()
        counts = (copies.exact, copies.other_answers, copies.subject_and_type, split.keys.with_subject)
        rows.append([name, *map(number, counts)])
    caption = (
        "Questions that repeat an earlier one in their split. Texts count as the same if they differ only in letter "
        "case, spacing and the mark at the end."
    )
    heads = "split | text and answers > | text, other answers > | subject and type > | subject known >"
    return make_table(heads, rows, caption)


def _overlap_table(found: Survey) -> Table:
    rows = []
    for pair in found.overlaps:
        counts = (pair.text, pair.text_and_answers, pair.subject, pair.subject_and_type, pair.answer)
        rows.append([f"{pair.of}, in {pair.within}", number(pair.questions), *map(number, counts)])
    caption = (
        "Questions of the first split whose text, text and answers, subject, subject and type, or at least one answer "
        "also occurs in the second."
    )
    return make_table("split | n > | text > | and answers > | subject > | and type > | an answer >", rows, caption)


def _left_out_table(found: Survey) -> Table:
    rows = [[split, reason, number(n)] for split, reasons in found.left_out.items() for reason, n in reasons.items()]
    return make_table("split | reason | rows >", rows)


def check_text(check: Check) -> str:
    """Questions by type and split, and what is wrong."""
    found = check.survey
    sections = [Section(f"{found.name}, version {found.version}", (_types_table(found),))]
    if found.left_out:
        sections.append(Section("Left out by the set", (_left_out_table(found),)))
    parts = [terminal_text(sections)]
    parts += [*_list("Verified", check.verified), *_list("Note", check.notes), *_list("Wrong", check.wrong)]
    return "\n\n".join([*parts, *([] if check.wrong else ["Nothing is wrong."])])


def _types_table(found: Survey) -> Table:
    totals: dict[str, int] = {}
    for split in found.splits.values():
        for type_, count in split.types.items():
            totals[type_] = totals.get(type_, 0) + count
    ordered = sorted(totals, key=lambda type_: (-totals[type_], type_))
    rows = [
        [visible(type_, _CELL), *(number(split.types[type_]) for split in found.splits.values()), number(totals[type_])]
        for type_ in ordered[:_TYPES]
    ]
    sums = [split.count for split in found.splits.values()]
    rows.append(["all", *map(number, [*sums, sum(sums)])])
    more = len(ordered) - _TYPES
    caption = f"and {more:,} more types; --json has them all" if more > 0 else ""
    return make_table(["type", *(f"{name} >" for name in found.splits), "all >"], rows, caption)


def _list(title: str, sentences: Iterable[str]) -> list[str]:
    lines = [f"- {visible(sentence)}" for sentence in sentences]
    return ["\n".join([f"{title}:", *lines])] if lines else []


def prompts_by_type(questions: Iterable[Question], prompt: Any, sets: int) -> dict[str, list[str]]:
    """For the first question of each type, its prompt under every exemplar set."""
    firsts: dict[str, Question] = {}
    for question in questions:
        firsts.setdefault(question.type, question)
    return {type_: [prompt(question, place) for place in range(sets)] for type_, question in firsts.items()}
