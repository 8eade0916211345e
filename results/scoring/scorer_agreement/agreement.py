"""Agreement of the scorers with people.

Run with ``PYTHONPATH=results/scoring python -m scorer_agreement.agreement results/scoring``. It reads the folder's
``pairs.jsonl`` (answers judged by hand), scores them by every rule, writes ``agreement.json`` and renders its tables
into ``README.md``. With ``--wikiqa`` the WikiQA corpus is measured again, see
:mod:`scorer_agreement.agreement_wikiqa`; without it, its numbers are kept. ``--keep-as-before NAME`` keeps the numbers
of the present rules, so that they can be compared with those of the next ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kft_cli.display.tables import NONE, make_table, markdown_table, share
from kft_cli.stats.intervals import wilson_share
from kft_tasks.errors import DataError
from kft_tasks.files import atomic_write, read_json, read_jsonl, sha256_of_json, write_json
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.scoring.scorers import SCORERS

# Rules for accepted sentences say nothing about accepted answers.
PAIR_SCORERS = tuple(name for name in SCORERS if name != "answer_in_sentence")
OLD_PARTS = ("development", "held-out", "written")
NEW_PARTS = ("adversarial", "adversarial held-out")
PARTS = OLD_PARTS + NEW_PARTS
NEVER = ("negation", "hedge", "refusal", "list", "empty")
"""Kinds of wrong answers that do not give the answer, though they often contain its words."""
_BEGIN, _END = "<!-- rendered: begin -->", "<!-- rendered: end -->"


@dataclass(frozen=True)
class Pair:
    """A given answer and a person's judgement of it. The README describes the fields."""

    question: str
    answers: tuple[str, ...]
    given: str
    right: bool
    kind: str
    origin: str
    note: str
    set: str
    part: str


def read_pairs(path: Path) -> list[Pair]:
    """Read judged pairs.

    Raises:
        DataError: a field is missing or unknown, or a pair is judged twice.
    """
    pairs = []
    seen = set()
    for line, row in read_jsonl(path):
        try:
            pair = Pair(**{**row, "answers": tuple(row["answers"])})
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}:{line}: {error}. Give every pair the fields of the README.") from error
        key = (pair.question, pair.answers, pair.given)
        if key in seen:
            raise DataError(f"{path}:{line}: this answer was judged before. Remove one of the two lines.")
        seen.add(key)
        pairs.append(pair)
    return pairs


def measure(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Every scorer's precision and recall against the judgement: overall, by part and by kind."""
    verdicts = {
        name: [SCORERS[name](pair.given, pair.answers, pair.question) for pair in pairs] for name in PAIR_SCORERS
    }
    kinds = sorted({pair.kind for pair in pairs})
    return {
        "pairs": {
            "count": len(pairs),
            "right": sum(pair.right for pair in pairs),
            "digest": sha256_of_json([[pair.question, pair.answers, pair.given, pair.right] for pair in pairs]),
            "kinds": {kind: _numbers([pair.right for pair in pairs if pair.kind == kind]) for kind in kinds},
            "parts": {part: _numbers([pair.right for pair in pairs if pair.part == part]) for part in PARTS},
        },
        "scorers": {
            name: {
                "all": _agreement(pairs, accepted),
                "parts": {part: _agreement(pairs, accepted, part=part) for part in PARTS},
                "kinds": {kind: _agreement(pairs, accepted, kind=kind) for kind in kinds},
            }
            for name, accepted in verdicts.items()
        },
        "best": best_scorer(pairs, verdicts),
        "default": Protocol().scorer,
    }


def kept_as_before(result: Mapping[str, Any], label: str) -> dict[str, Any]:
    """The numbers by part of the present rules, to stand beside those of later rules on the same pairs.

    Args:
        label: the version or commit of the rules.
    """
    return {
        "label": label,
        "digest": result["pairs"]["digest"],
        "scorers": {name: values["parts"] for name, values in result["scorers"].items()},
    }


def kept_generations(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The part of WikiQA's numbers that needs a model's answers, with the name of the rules that it was measured by."""
    names = ("generations", "generations_by_phrase", "generations_rules")
    found = {name: kept["wikiqa"][name] for name in names if name in kept.get("wikiqa", {})}
    if "generations" in found and "before" in kept:
        found.setdefault("generations_rules", kept["before"]["label"])
    return found


def best_scorer(pairs: Sequence[Pair], verdicts: Mapping[str, Sequence[bool]]) -> str:
    """The scorer with the best F1 among those that never accept a wrong answer of kind "negation"."""
    scores = {}
    for name, accepted in verdicts.items():
        agreement = _agreement(pairs, accepted)
        if not _agreement(pairs, accepted, kind="negation")["wrong_accepted"]["count"]:
            scores[name] = agreement["f1"]
    return max(scores, key=lambda name: scores[name])


def _numbers(right: Sequence[bool]) -> dict[str, int]:
    return {"n": len(right), "right": sum(right)}


def _agreement(pairs: Sequence[Pair], accepted: Sequence[bool], *, part: str = "", kind: str = "") -> dict[str, Any]:
    chosen = [
        (pair.right, verdict)
        for pair, verdict in zip(pairs, accepted, strict=True)
        if part in ("", pair.part) and kind in ("", pair.kind)
    ]
    hits = sum(right and verdict for right, verdict in chosen)
    said = sum(verdict for _, verdict in chosen)
    right = sum(right for right, _ in chosen)
    return {
        "precision": wilson_share(hits, said).to_json(),
        "recall": wilson_share(hits, right).to_json(),
        "f1": 2 * hits / (said + right) if said + right else None,
        "wrong_accepted": wilson_share(said - hits, len(chosen) - right).to_json(),
    }


def render(result: Mapping[str, Any]) -> str:
    """The tables of ``agreement.json`` as Markdown."""
    from scorer_agreement.agreement_wikiqa import render_wikiqa

    pairs = result["pairs"]
    title = f"### Against hand judgement: {pairs['count']} pairs, {pairs['right']} of them right"
    parts = [title, _main_table(result), "### By part", _part_table(result)]
    if "before" in result:
        parts += ["### Before and after the last change of the rules", _before_table(result)]
    parts += ["### By kind", _kind_table(result)]
    if "wikiqa" in result:
        parts += ["### Against the phrases of WikiQA's annotators", render_wikiqa(result["wikiqa"])]
    return "\n\n".join(parts)


def _main_table(result: Mapping[str, Any]) -> str:
    rows = []
    for name, values in result["scorers"].items():
        every, kinds = values["all"], values["kinds"]
        wrong = [_wrong(kinds[kind]) if kind in kinds else "" for kind in NEVER]
        label = f"{name} (default)" if name == result["default"] else name
        rows.append((label, share(every["precision"]), share(every["recall"]), _three(every["f1"]), *wrong))
    columns = "scorer | precision > | recall > | F1 > | " + " | ".join(f"{kind} >" for kind in NEVER)
    return markdown_table(
        make_table(
            columns,
            rows,
            "In brackets: 95 % Wilson intervals. Last columns: wrong answers of that kind that the rule accepts.",
        )
    )


def _part_table(result: Mapping[str, Any]) -> str:
    sizes = result["pairs"]["parts"]
    rows = []
    for name, values in result["scorers"].items():
        cells = []
        for part in PARTS:
            agreement = values["parts"][part]
            cells += [share(agreement["precision"]), share(agreement["recall"]), _three(agreement["f1"])]
        rows.append((name, *cells))
    columns = " | ".join(f"{part} ({sizes[part]['n']}): precision > | recall > | F1 >" for part in PARTS)
    return markdown_table(make_table(f"scorer | {columns}", rows))


def _before_table(result: Mapping[str, Any]) -> str:
    """Two rows for each rule that changed, one for each that did not or is new."""
    groups = {"older parts": OLD_PARTS, **{part: (part,) for part in NEW_PARTS}}
    sizes = {name: sum(result["pairs"]["parts"][part]["n"] for part in parts) for name, parts in groups.items()}
    before = result["before"]
    rows = []
    for name, values in result["scorers"].items():
        then = before["scorers"].get(name)
        labels = {"new": values["parts"]} if then is None else {"before": then, "after": values["parts"]}
        if then == values["parts"]:
            labels = {"unchanged": then}
        for label, numbers in labels.items():
            cells = [
                share(_pooled(numbers, parts, measure))
                for parts in groups.values()
                for measure in ("precision", "recall")
            ]
            rows.append((name, label, *cells))
    columns = " | ".join(f"{name} ({sizes[name]}): precision > | recall >" for name in groups)
    caption = f"Before: the rules of {before['label']} on the same pairs. Older parts: {', '.join(OLD_PARTS)}."
    return markdown_table(make_table(f"scorer | rules | {columns}", rows, caption))


def _pooled(numbers: Mapping[str, Any], parts: Sequence[str], measure: str) -> dict[str, Any]:
    """Precision or recall over several parts."""
    chosen = [numbers[part][measure] for part in parts]
    return wilson_share(sum(one["count"] for one in chosen), sum(one["n"] for one in chosen)).to_json()


def _kind_table(result: Mapping[str, Any]) -> str:
    rows = []
    for kind, sizes in result["pairs"]["kinds"].items():
        for label, which, n in (("right", "recall", sizes["right"]), ("wrong", "wrong_accepted", None)):
            n = sizes["n"] - sizes["right"] if n is None else n
            if n:
                counts = [str(values["kinds"][kind][which]["count"]) for values in result["scorers"].values()]
                rows.append((kind, label, str(n), *counts))
    columns = " | ".join(f"{name} >" for name in result["scorers"])
    return markdown_table(
        make_table(
            f"kind | judged | n > | {columns}",
            rows,
            "Each cell: how many the rule accepts, ideally all of the right answers and none of the wrong ones.",
        )
    )


def _three(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _wrong(agreement: Mapping[str, Any]) -> str:
    wrong = agreement["wrong_accepted"]
    return f"{wrong['count']} of {wrong['n']}"


def insert(page: str, text: str) -> str:
    """The page with ``text`` between its two marks.

    Raises:
        DataError: the page does not have each mark once.
    """
    if page.count(_BEGIN) != 1 or page.count(_END) != 1:
        raise DataError(f"README.md: there is no place for the tables. Add the lines {_BEGIN} and {_END}.")
    return f"{page.partition(_BEGIN)[0]}{_BEGIN}\n\n{text}\n\n{_END}{page.partition(_END)[2]}"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--wikiqa", type=click.Path(path_type=Path, exists=True), help="Folder of the WikiQA corpus.")
@click.option(
    "--answers",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="Category file of a detection on WikiQA whose generations are to be measured too; repeatable.",
)
@click.option("--keep-as-before", metavar="NAME", help="Keep the numbers of the present rules, under this name.")
def main(folder: Path, wikiqa: Path | None, answers: tuple[Path, ...], keep_as_before: str | None) -> None:
    """Measure the scorers on the judged pairs in FOLDER and render its README.

    Example: PYTHONPATH=results/scoring python -m scorer_agreement.agreement results/scoring
    """
    from scorer_agreement.agreement_wikiqa import measure_wikiqa

    target = folder / "agreement.json"
    kept = read_json(target) if target.exists() else {}
    result = measure(read_pairs(folder / "pairs.jsonl"))
    if keep_as_before is not None:
        result["before"] = kept_as_before(result, keep_as_before)
    elif "before" in kept:
        result["before"] = kept["before"]
    if wikiqa is not None:
        result["wikiqa"] = measure_wikiqa(wikiqa, answers)
        if not answers:
            result["wikiqa"] |= kept_generations(kept)
    elif "wikiqa" in kept:
        result["wikiqa"] = kept["wikiqa"]
    write_json(target, result)
    readme = folder / "README.md"
    page = insert(readme.read_text(encoding="utf-8"), render(result))
    with atomic_write(readme) as stream:
        stream.write(page)
    click.echo(f"{target}: best F1 without accepted negations has {result['best']}; the default is {result['default']}")


if __name__ == "__main__":
    main()
