"""The published prompt of the grader: a text file of this folder, with a version and a digest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

from kft_tasks.protocol.protocol import Protocol

VERSION = "1"
"""Of the prompt that is in use; its text is in ``prompt_<version>.txt``. Another text is another version."""

MOST_ANSWERS = 12
"""Accepted answers that the prompt shows, the first ones: some sets have hundreds of aliases for one answer."""

PROTOCOL = Protocol(exemplar_sets=1, shots=0, samples=0, max_tokens=12)
"""How a grader is asked: greedily (temperature 0), a few tokens, up to the end of the line."""

_PLACE = re.compile(r"\{(question|answers|given)\}")


@dataclass(frozen=True)
class GradedPair:
    """One answer with what it is graded by, as the prompt shows them: every text is on one line.

    Attributes:
        answers: the accepted answers, at most :data:`MOST_ANSWERS`.
    """

    question: str
    answers: tuple[str, ...]
    given: str


def make_pair(question: str, answers: tuple[str, ...], given: str) -> GradedPair:
    """The pair of a question and an answer: white space becomes single spaces, so that no text looks like a line."""
    return GradedPair(_line(question), tuple(map(_line, answers[:MOST_ANSWERS])), _line(given))


def _line(text: str) -> str:
    return " ".join(text.split())


@dataclass(frozen=True)
class GraderPrompt:
    """A prompt with places for a question, its accepted answers and the given answer."""

    version: str
    template: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, as 64 hex digits."""
        return hashlib.sha256(self.template.encode()).hexdigest()

    def text(self, pair: GradedPair) -> str:
        """The prompt for one answer; it ends where the verdict is to be written."""
        values = {"question": pair.question, "answers": "; ".join(pair.answers), "given": pair.given}
        return _PLACE.sub(lambda place: values[place[1]], self.template).rstrip()


def published_prompt() -> GraderPrompt:
    """The prompt that comes with kft."""
    file = resources.files("kft_tasks.grading") / f"prompt_{VERSION}.txt"
    return GraderPrompt(VERSION, file.read_text(encoding="utf-8"))
