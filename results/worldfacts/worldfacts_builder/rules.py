"""What makes a question fit for `worldfacts`: pure functions of strings."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from kft_tasks.scoring.scorers import normalize
from worldfacts_builder.sources import fold_accents

# Words that say nothing about which place is meant: question and answer may share them.
_GENERIC_WORDS = "and city islands new north of port republic saint san santa south the united west east st"
_GENERIC = frozenset(_GENERIC_WORDS.split())


def spellings(names: Iterable[str]) -> list[str]:
    """Returns `names` plus plain spellings (no accents, "&", "St.", space for hyphen), one per normalised form."""
    every = []
    for name in names:
        every.append(name)
        every.append(fold_accents(name))
        every.append(name.replace(" and ", " & "))
        for form in (name, fold_accents(name)):
            every.append(re.sub(r"^Saint[ -]", "St. ", form))
            every.append(re.sub(r"^St\. ", "Saint ", form))
            every.append(form.replace("-", " "))
    unique: dict[str, str] = {}
    for spelling in every:
        unique.setdefault(normalize(spelling), spelling)
    return list(unique.values())


def tokens(text: str) -> list[str]:
    """Returns accent-folded lower-case words: "What's in U.S. cities?" -> ["whats", "in", "us", "cities"]."""
    return re.findall(r"[^\W_]+", re.sub(r"['.]", "", fold_accents(text).casefold()))


def answer_in_question(question: str, answer: str) -> bool:
    """Returns whether the words of `answer` appear in `question`, one after another."""
    words, sought = tokens(question), tokens(answer)
    return bool(sought) and any(words[i : i + len(sought)] == sought for i in range(len(words) - len(sought) + 1))


def shares_stem(asked: str, answer: str) -> bool:
    """Says whether a telling word of `answer` equals or resembles one of `asked`: Tunis/Tunisia, Algiers/Algeria."""
    for word in set(tokens(asked)) - _GENERIC:
        for other in set(tokens(answer)) - _GENERIC:
            if word == other or _alike(word, other):
                return True
    return False


def _alike(word: str, other: str) -> bool:
    """Returns whether two words of four letters or more start alike or have nearly the same letters."""
    if min(len(word), len(other)) < 4:
        return False
    if word[:2] != other[:2]:  # Rica/America, Jamaica/America
        return False
    if word.startswith(other) or other.startswith(word) or word[:5] == other[:5]:
        return True
    # 0.7 catches Algiers/Algeria and Brasília/Brazil; order of the arguments matters to difflib, so fix it.
    first, second = sorted((word, other))
    return SequenceMatcher(None, first, second, autojunk=False).ratio() >= 0.7
