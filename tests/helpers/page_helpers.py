"""Pages for tests: of a small run with hostile answers, and of many scripted questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kft_cli.html.page import Page, render_page
from kft_cli.html.record import (  # fmt: skip
    FORMAT,
    AskingRecord,
    GivenAnswer,
    MoveRecord,
    PageData,
    PairRecord,
    QuestionRecord,
    SortedRecord,
    ViewRecord,
)
from kft_tasks.categories.category import KnowledgeCategory
from report_helpers import H, M, U, W, make_run

HOSTILE = (
    "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2></style>]]>--><svg onload=window.pwned=3>"
    "javascript:alert(1) \x1b[31m\x00\u202eabc {{ 7*7 }} ${7*7} &lt;b&gt; \"'`"
)
NAMES = [category.value for category in KnowledgeCategory]


def hostile_run(folder: Path) -> Path:
    """A measured run whose wrong answers and types attack the page."""
    rights = {"base": [4, 3, 2, 2, 0, 0, 0, 0], "stage1": [4, 4, 4, 2, 1, 0, 0, 0], "stage2": [4, 2, 4, 4, 2, 1, 0, 0]}
    answers = {
        point: {
            4: [(True, False), (True, True), (False, False), (False, True)],
            0: [True, point != "base", False, None],
        }
        for point in rights
    }
    return make_run(
        folder,
        {"base": [H, H, M, M, W, W, U, U], "stage1": [H, H, H, M, M, W, U, U]},
        answers,
        measurements=rights,
        wrong=HOSTILE,
        types=("capital", "river <b>"),
        first=[H, M, W, U],
    )


def many_questions(count: int = 10_000) -> PageData:
    """Questions with seven different answers each, at three points and two tests."""
    rules = ["the same words in another spelling", "no accepted answer is in it"]
    return PageData(
        format=FORMAT,
        name="many",
        views=[ViewRecord(label=point, point=point, told=True, scorer="answer_stated", levels=NAMES) for point in ("base", "stage1", "stage2")],
        tests=[AskingRecord(label=f"{point}, 4 exemplars", point=point, asked="4 exemplars", scorer="answer_stated") for point in ("base", "stage2")],
        moves=[MoveRecord(label="base → stage2", before=0, after=2)],
        pairs=[PairRecord(label="base → stage2", before=0, after=1, gained="gained", lost="lost", right="right both times", wrong="wrong both times")],
        stages=["stage1", "stage2"],
        types=[f"type {number}" for number in range(24)],
        rules=rules,
        intervals={f"{right}/4": (0.0, 1.0) for right in range(5)},
        of=count,
        questions=[_question(number) for number in range(count)],
    )  # fmt: skip


def _question(number: int) -> QuestionRecord:
    mixed = (number * 2654435761) % 2**32
    answers = [GivenAnswer(text=f"Answer {number}", ok=True, rule=0, words=f"answer {number}")]
    answers += [
        GivenAnswer(text=f"Guess {(mixed >> place) % 9973}", ok=False, rule=1, words="guess") for place in range(6)
    ]
    test = number % 4 == 3
    categories = [(mixed >> (4 * place)) % 4 for place in range(3)]
    sorted_: list[Any] = [
        SortedRecord(c=c, g=[0 if place < (4, 2, 0, 0)[c] else 1 + place for place in range(4)], s=[(5, 7), (6, 1)] if c > 1 else [], p=((4, 2, 0, 0)[c], 4, 0, 8 if c > 1 else 0), r=0.1)
        for c in categories
    ]  # fmt: skip
    return QuestionRecord(
        id=f"question-{number}",
        split="test" if test else "train",
        type=number % 24,
        question=f"Who or what is number {number} of the scripted things, asked in a sentence of the usual length?",
        accepted=[f"Answer {number}"],
        answers=answers,
        sorted=[None] * 3 if test else sorted_,
        tested=[[0 if mixed & 1 else 1], [0 if mixed & 2 else 2]] if test else [None, None],
        trained=[] if test else [place for place in range(2) if mixed & (1 << place + 9)],
    )


def page_of(questions: PageData) -> str:
    """A page that holds questions and little else."""
    return render_page(Page("many", "Run", "Many questions.", (), (), {}, questions))
