"""Why a scorer finds an answer right or wrong: the verdict, the rule that decided, and the words it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kft_tasks.scoring.answer_rules import (
    Reason,
    in_sentence_reason,
    match_reason,
    objection,
    sentence_objection,
    stated_reason,
)
from kft_tasks.scoring.normalization import canonical_words
from kft_tasks.scoring.scorers import (
    get_scorer,
    normalize,
    squad_normalize,
    token_f1,
)


@dataclass(frozen=True)
class Explanation:
    """A verdict and what it rests on.

    Attributes:
        verdict: whether the answer is right; what the scorer itself says.
        rule: the rule that decided, in words.
        words: the words of the given answer, as the rule reads them, or "" if there are none.
    """

    verdict: bool
    rule: str
    words: str

    def to_json(self) -> dict[str, bool | str]:
        """The explanation as JSON values."""
        return {"verdict": self.verdict, "rule": self.rule, "words": self.words}


_Why = Callable[[str, Sequence[str], str], Reason]


def explain(scorer: str, given: str, answers: Sequence[str], question: str = "") -> Explanation:
    """Say why a scorer finds an answer right or wrong; the verdict is always the scorer's own.

    Raises:
        UsageError: there is no scorer of that name.

    Example:
        >>> explain("answer_stated", "It is not Paris.", ["Paris"], "What is the capital of France?").words
        'not'
    """
    verdict = get_scorer(scorer)(given, answers, question)
    accepting, rejecting = _WHY.get(scorer, (_unexplained, _unexplained))
    if not given.strip():
        return Explanation(verdict, "the answer is empty", "")
    reason = (accepting if verdict else rejecting)(given, answers, question)
    return Explanation(verdict, reason.rule, reason.words)


def _unexplained(given: str, answers: Sequence[str], question: str) -> Reason:
    return Reason("the scorer gives no reason", given)


def _equal(rule: str, spell: Callable[[str], str]) -> tuple[_Why, _Why]:
    """Reasons of a rule that wants the same text after normalisation."""

    def same(given: str, answers: Sequence[str], question: str) -> Reason:
        return Reason(f"equal to an accepted answer {rule}", spell(given) or given.strip())

    def other(given: str, answers: Sequence[str], question: str) -> Reason:
        return Reason(f"equal to no accepted answer {rule}", spell(given) or given.strip())

    return same, other


def _contained(given: str, answers: Sequence[str], question: str) -> Reason:
    padded = f" {normalize(given)} "
    return Reason(
        "all words of an accepted answer are in it, in order",
        next(normal for normal in map(normalize, answers) if normal and f" {normal} " in padded),
    )


def _not_contained(given: str, answers: Sequence[str], question: str) -> Reason:
    return Reason("no accepted answer's words are in it, in order", normalize(given) or given)


def _f1(given: str, answers: Sequence[str], question: str) -> Reason:
    best = max(answers, key=lambda answer: token_f1(given, answer))
    theirs = normalize(best).split()
    shared = [word for word in normalize(given).split() if word in theirs]
    return Reason(f"F1 with {best!r} is {token_f1(given, best):.2f}; 0.50 is right", " ".join(shared))


def _substring(given: str, answers: Sequence[str], question: str) -> Reason:
    return Reason("the first accepted answer is a substring", answers[0].lower())


def _no_substring(given: str, answers: Sequence[str], question: str) -> Reason:
    return Reason(f"the first accepted answer, {answers[0]!r}, is no substring", given.lower())


def _from(reason: Callable[[str, Sequence[str], str], Reason | None]) -> _Why:
    """The reason of a rule that accepted the answer."""

    def why(given: str, answers: Sequence[str], question: str) -> Reason:
        return reason(given, answers, question) or _unexplained(given, answers, question)

    return why


_WHY: Mapping[str, tuple[_Why, _Why]] = {
    "exact_match": _equal("after SQuAD's normalisation with typographic punctuation", normalize),
    "squad_exact_match": _equal("after SQuAD's normalisation", squad_normalize),
    "spelled_match": _equal("in canonical spelling", lambda text: " ".join(canonical_words(text))),
    "answer_match": (_from(match_reason), objection),
    "answer_stated": (_from(stated_reason), objection),
    "answer_contained": (_contained, _not_contained),
    "f1_at_least_half": (_f1, _f1),
    "paper_substring": (_substring, _no_substring),
    "answer_in_sentence": (_from(in_sentence_reason), sentence_objection),
}
"""By scorer: why it accepts and why it rejects."""
