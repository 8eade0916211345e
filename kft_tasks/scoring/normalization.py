"""One spelling for many: the words of a text with case, accents, numbers, dates and abbreviations unified.

Both sides of a comparison go through :func:`canonical_words`, so a rule here only has to be right about which texts
mean the same. Libraries do what they do better: anyascii transliterates, and see
:mod:`kft_tasks.scoring.quantities` for numbers and dates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from kft_tasks.scoring.markup import plain_text
from kft_tasks.scoring.quantities import is_number, unified_quantities, unified_signs, unit_name

Words = tuple[str, ...]

ARTICLES = frozenset({"a", "an", "the"})
# "C++", "C#", "AB-" are words of their own; "A- " is one only as a grade or a blood group.
_TOKEN = re.compile(
    r"-?\d+\.\d+|(?<![a-z\d])-\d+|[a-z]+(?:\+{1,2}|#)(?![a-z\d])|\b(?:ab|[abcdfo])-(?=[\s,;.)]|$)|[a-z\d]+"
)
_PLUS = re.compile(r"\b([a-z]+)((?: plus){1,2})\b")
_SHARP = re.compile(r"\b([a-g]) sharp\b")
_BLOOD_GROUP = re.compile(r"\b(ab|[abo])(?: rh)?[ -](positive|negative)\b")
_VITAMIN = re.compile(r"\b([a-z])[ -](\d{1,2})\b(?=\s*$)")  # "B-12"
_INITIALS = re.compile(r"\b([a-z])\.[ -]?(?=[a-z]\b)")  # "P. G. Wodehouse", "U.S.A."
_SIGNS = str.maketrans({"&": " and ", "%": " percent ", "=": " is ", "'": None, "`": None})
_ALIKE = {
    "st": "saint", "mt": "mount", "jan": "january", "feb": "february", "aug": "august", "sept": "september",
    "oct": "october", "nov": "november", "dec": "december",
}  # fmt: skip
# Names of the same country or city that differ in more than spelling. The gold answer of 4.7 % of EntityQuestions is
# "United States of America"; the other names are each asked for at least a hundred times in the question sets.
_NAMES: dict[Words, str] = {
    ("united", "states", "of", "america"): "usa",
    ("united", "states"): "usa",
    ("us",): "usa",
    ("united", "kingdom"): "uk",
    ("great", "britain"): "uk",
    ("peoples", "republic", "of", "china"): "china",
    ("prc",): "china",
    ("republic", "of", "china"): "taiwan",
    ("russian", "federation"): "russia",
    ("soviet", "union"): "ussr",
    ("republic", "of", "ireland"): "ireland",
    ("republic", "of", "korea"): "southkorea",
    ("south", "korea"): "southkorea",
    ("czech", "republic"): "czechia",
    ("ivory", "coast"): "cotedivoire",
    ("cote", "divoire"): "cotedivoire",
    ("new", "york", "city"): "nyc",
    ("1st", "world", "war"): "ww1",
    ("world", "war", "1"): "ww1",
    ("wwi",): "ww1",
    ("2nd", "world", "war"): "ww2",
    ("world", "war", "2"): "ww2",
    ("wwii",): "ww2",
}
_WHOLE_NAMES: dict[Words, Words] = {("america",): ("usa",), ("britain",): ("uk",)}  # not in "South America"
_LONGEST_NAME = max(map(len, _NAMES))
_FIRST_WORDS = frozenset(words[0] for words in _NAMES)


@lru_cache(maxsize=1 << 16)
def canonical_words(text: str) -> Words:
    """The words of a text in one spelling, without markup and without articles (unless there is nothing else).

    A text of signs only ("!!!", "@") is one word for each run of signs.

    Example:
        >>> canonical_words("The 21st of May, 1789"), canonical_words("U.S.A."), canonical_words("Łódź")
        (('1789', 'm5', 'd21'), ('usa',), ('lodz',))
    """
    text = plain_text(text)
    signs = tuple(text.split())
    text = unified_signs(text)
    if not text.isascii():
        from anyascii import anyascii  # 1 ms and 300 kB, needed by few answers

        text = _ascii_quantities(text)
        text = anyascii(text)
    text = _joined_signs(text.lower()).translate(_SIGNS)
    text = unified_quantities(text)
    raw = _TOKEN.findall(_INITIALS.sub(r"\1", text) if "." in text else text)
    if not raw:
        return signs
    named = _named(_joined(_units([word for word in raw if word not in ARTICLES] or raw)))
    return _WHOLE_NAMES.get(named, named)


def _ascii_quantities(text: str) -> str:
    """Signs that anyascii writes in another way than people: degrees and sharps."""
    return text.replace("\u2103", "°C").replace("\u2109", "°F").replace("°", " degrees ").replace("♯", "#")


def _joined_signs(text: str) -> str:
    """Signs that belong to a name, as signs: "c++" for "c plus plus"."""
    if " " not in text and "-" not in text:
        return text
    if " plus" in text:
        text = _PLUS.sub(lambda match: match[1] + "+" * match[2].count("plus"), text)
    if "itive" in text or "ative" in text:
        text = _BLOOD_GROUP.sub(lambda match: match[1] + ("+" if match[2] == "positive" else "-"), text)
    return _VITAMIN.sub(r"\1\2", _SHARP.sub(r"\1#", text) if " sharp" in text else text)


def _units(words: list[str]) -> list[str]:
    """Expand abbreviations, and units after a number; strip zeros from the end of a fraction."""
    spelled: list[str] = []
    for word in words:
        if spelled and is_number(spelled[-1]):
            word = unit_name(word)
        if "." in word:
            word = word.rstrip("0").rstrip(".")
        spelled += _ALIKE.get(word, word).split()
    return spelled


def _joined(words: list[str]) -> list[str]:
    """Join single letters into one word: "P G Wodehouse" becomes "PG Wodehouse"."""
    joined: list[str] = []
    letters = False
    for word in words:
        single = len(word) == 1 and word.isalpha()
        if single and letters:
            joined[-1] += word
        else:
            joined.append(word)
        letters = single
    return joined


def _named(words: list[str]) -> Words:
    named: list[str] = []
    start = 0
    if _FIRST_WORDS.isdisjoint(words):
        return tuple(words)
    while start < len(words):
        for size in range(_LONGEST_NAME, 0, -1):
            if name := _NAMES.get(tuple(words[start : start + size])):
                named.append(name)
                start += size
                break
        else:
            named.append(words[start])
            start += 1
    return tuple(named)


def singular(word: str) -> str:
    """An English plural without its ending, by rule; a word that only looks like a plural loses its "s" too."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "shes", "ches", "xes")) else word[:-1]


def find_words(words: Sequence[str], sought: Sequence[str], start: int = 0) -> int:
    """The first position from ``start`` at which ``words`` contains all of ``sought`` in order, or -1."""
    size = len(sought)
    for place in range(start, len(words) - size + 1):
        if words[place] == sought[0] and tuple(words[place : place + size]) == tuple(sought):
            return place
    return -1
