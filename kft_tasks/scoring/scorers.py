"""Scorers: pure functions ``(given answer, accepted answers, question) -> bool``, named for what they compute."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from kft_tasks.errors import UsageError, suggest
from kft_tasks.scoring.answer_rules import answer_in_sentence, answer_match, answer_stated
from kft_tasks.scoring.normalization import canonical_words


class Scorer(Protocol):
    """Compares a given answer with the accepted answers; some rules also read the question."""

    def __call__(self, given: str, answers: Sequence[str], question: str = "") -> bool:
        """Whether the answer is right."""
        ...


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "\u2018\u2019\u201c\u201d\u2013\u2014\u2026")


def normalize(text: str) -> str:
    """SQuAD normalisation: lower case, no punctuation, no articles, single spaces.

    Source: Rajpurkar et al. 2016, evaluation script of SQuAD v1.1; here typographic quotes and dashes count as
    punctuation too.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(given: str, answers: Sequence[str], question: str = "") -> bool:
    """Whether the normalised answer equals one of the accepted answers.

    An accepted answer that normalises to nothing ("The", "?") is compared verbatim, so that an empty generation is
    never right.
    """
    normal = normalize(given)
    return any(normal == normalize(answer) if normalize(answer) else given.strip() == answer for answer in answers)


def answer_contained(given: str, answers: Sequence[str], question: str = "") -> bool:
    """Whether the given answer contains all words of one accepted answer, in order ("17" is not in "1789")."""
    padded = f" {normalize(given)} "
    return any(normal and f" {normal} " in padded for normal in map(normalize, answers))


def token_f1(given: str, answer: str) -> float:
    """SQuAD F1 between two texts: harmonic mean of word precision and recall, in [0, 1]."""
    left, right = normalize(given).split(), normalize(answer).split()
    shared = sum((Counter(left) & Counter(right)).values())
    return 2 * shared / (len(left) + len(right)) if shared else 0.0


def f1_at_least_half(given: str, answers: Sequence[str], question: str = "") -> bool:
    """Whether the SQuAD F1 with one accepted answer is at least 0.5."""
    return any(token_f1(given, answer) >= 0.5 for answer in answers)


def paper_substring(given: str, answers: Sequence[str], question: str = "") -> bool:
    """Whether the first accepted answer is a substring, lower-cased: the Gradual Learning scripts' rule, to compare.

    It counts "not Mark Twain" as "Mark Twain" and finds "17" in "1789".
    """
    return answers[0].lower() in given.lower()


def spelled_match(given: str, answers: Sequence[str], question: str = "") -> bool:
    """Whether the given answer is one of the accepted answers, possibly spelled differently."""
    words = canonical_words(given)
    return bool(words) and any(words == canonical_words(answer) for answer in answers)


SCORERS: dict[str, Scorer] = {
    "exact_match": exact_match,
    "spelled_match": spelled_match,
    "answer_match": answer_match,
    "answer_stated": answer_stated,
    "answer_contained": answer_contained,
    "f1_at_least_half": f1_at_least_half,
    "paper_substring": paper_substring,
    "answer_in_sentence": answer_in_sentence,
}


def get_scorer(name: str) -> Scorer:
    """Look up a scorer by name.

    Raises:
        UsageError: there is no scorer of that name.
    """
    if name not in SCORERS:
        raise UsageError(f"Unknown scorer {name!r}. {suggest(name, SCORERS)}")
    return SCORERS[name]
