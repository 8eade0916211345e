"""Graders that were measured on the judged pairs: the published numbers are those of the published replies."""

from __future__ import annotations

from pathlib import Path

import pytest

from kft_tasks.checked_lines import parse_checked_line
from kft_tasks.files import sha256_of_json
from kft_tasks.grading.agreement import Agreement, Confusion
from kft_tasks.grading.prompt import make_pair, published_prompt
from kft_tasks.grading.reply_cache import pair_key
from kft_tasks.grading.verdict import Verdict, read_verdict
from scorer_agreement.agreement import Pair, read_pairs
from scorer_agreement.graders import insert_graders, read_agreements, render_graders

FOLDER = Path(__file__).parents[2] / "results" / "scoring"
NAMES = [path.name.removesuffix(".agreement.json") for path in sorted((FOLDER / "graders").glob("*.agreement.json"))]


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return read_pairs(FOLDER / "pairs.jsonl")


def test_something_was_measured() -> None:
    assert "smollm2-135m" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_are_those_of_the_replies_to_all_pairs(name: str, pairs: list[Pair]) -> None:
    agreement: Agreement = read_agreements(FOLDER)[NAMES.index(name)]
    lines = (FOLDER / "graders" / f"{name}.replies").read_bytes().splitlines(keepends=True)
    header, *rows = [parse_checked_line(line) or {} for line in lines]
    assert header["prompt"]["digest"] == agreement.grader.prompt_digest == published_prompt().digest
    assert header["model"]["weights"] == agreement.grader.model.weights
    replies = {row["pair"]: row["reply"] for row in rows}
    counts = Confusion()
    for pair in pairs:
        shown = make_pair(pair.question, pair.answers, pair.given)
        verdict = read_verdict(replies[pair_key(shown)]) if shown.given else Verdict.NOT_ATTEMPTED
        counts = counts.plus(pair.right, verdict)
    assert counts == agreement.verdicts
    judged = [[pair.question, pair.answers, pair.given, pair.right] for pair in pairs]
    assert (agreement.pairs.count, agreement.pairs.digest) == (len(pairs), sha256_of_json(judged))


def test_readme_is_rendered_from_what_was_measured() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert insert_graders(page, render_graders(read_agreements(FOLDER))) == page
