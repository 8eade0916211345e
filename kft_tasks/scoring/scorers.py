"""Scorers: pure functions ``(given answer, accepted answers, question) -> bool``, named for what they compute."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from kft_tasks.errors import UsageError, shortened, suggest
from kft_tasks.scoring.answer_rules import answer_in_sentence, answer_match, answer_stated
from kft_tasks.scoring.normalization import canonical_words


class Scorer(Protocol):
    """Compares a given answer with the accepted answers; some rules also read the question."""

    def __call__(self, given: str, answers: Sequence[str], question: str = "") -> bool:
        """Whether the answer is right."""
        ...


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "\u2018\u2019\u201c\u201d\u2013\u2014\u2026")


_SQUAD_PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad_normalize(text: str) -> str:
    """SQuAD's normalisation to the letter: lower case, no ASCII punctuation, no articles, single spaces.

    It joins what punctuation separates: "-5" becomes "5", "3.5" becomes "35", "1-2" becomes "12". Source: Rajpurkar et
    al. 2016, evaluation script of SQuAD v1.1.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_SQUAD_PUNCTUATION)).split())


def squad_exact_match(given: str, answers: Sequence[str], question: str = "") -> bool:
    """Exact match as SQuAD's evaluation script computes it: to compare with published numbers.

    The signs of numbers and decimal points do not count ("-5" is right for "5"), and an answer of punctuation only is
    equal to an empty one, in both as in the script.
    """
    normal = squad_normalize(given)
    return any(normal == squad_normalize(answer) for answer in answers)


def normalize(text: str) -> str:
    """SQuAD's normalisation, see :func:`squad_normalize`; typographic quotes and dashes count as punctuation too."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(given: str, answers: Sequence[str], question: str = "") -> bool:
    """Whether the normalised answer equals one of the accepted answers.

    This is SQuAD's rule with two additions, which files of all versions have: typographic quotes and dashes count as
    punctuation, and an accepted answer that normalises to nothing ("The", "?") is compared verbatim, so that an empty
    generation is never right. Like SQuAD's rule it accepts "-5" for "5", "3.5" for "35" and "1-2" for "12". For the
    rule without additions see :func:`squad_exact_match`.
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
    "squad_exact_match": squad_exact_match,
    "spelled_match": spelled_match,
    "answer_match": answer_match,
    "answer_stated": answer_stated,
    "answer_contained": answer_contained,
    "f1_at_least_half": f1_at_least_half,
    "paper_substring": paper_substring,
    "answer_in_sentence": answer_in_sentence,
}


GRADED = "graded:"
"""Begins the name of a scorer that is no rule: a model gave the verdicts; its name follows."""


def is_graded(name: str) -> bool:
    """Whether this names a model that gave verdicts, see :mod:`kft_tasks.grading`."""
    return name.startswith(GRADED) and name != GRADED


def get_scorer(name: str) -> Scorer:
    """Look up a scorer by name.

    Raises:
        UsageError: there is no scorer of that name, or it is a model and no rule.
    """
    if is_graded(name):
        raise UsageError(
            f"Scorer {shortened(name)!r}: a model gave these verdicts, and no rule computes them. Name a rule, or "
            "grade the answers with `kft grade`."
        )
    if name not in SCORERS:
        raise UsageError(f"Unknown scorer {name!r}. {suggest(name, SCORERS)}")
    return SCORERS[name]
