"""Names of countries, continents, languages and some cities in the official languages of the world, from CLDR (Babel).

Cities are those that CLDR names a time zone after, which most capitals are. Loaded when the first wrong answer is
compared with such a name: half a second and 65 MB once per process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from kft_tasks.scoring.normalization import Words, canonical_words

_CONTINENTS = frozenset({"002", "003", "005", "009", "019", "142", "150"})
_SHORTEST = 3  # letters: shorter forms are words of other languages more often than names
_LONGEST = 6  # words of a name
_Key = tuple[str, str]
"""Kind ("territory", "language", "city") and CLDR's code."""


def names_said(given: str, answers: Sequence[str]) -> tuple[str, ...]:
    """Names in other languages of the accepted answers that occur in the given answer, in canonical spelling.

    Example:
        >>> names_said("It is Москва", ["Moscow"]), names_said("Nigeria", ["Niger"])
        (('moskva',), ())
    """
    known = [names for answer in answers if (names := _in_other_languages(answer))]
    if not known:
        return ()
    words = canonical_words(given)
    runs = {
        words[start:end]
        for start in range(len(words))
        for end in range(start + 1, min(start + _LONGEST, len(words)) + 1)
    }
    return tuple(" ".join(name) for names in known for name in sorted(runs & names))


@lru_cache(maxsize=1 << 14)
def _in_other_languages(answer: str) -> frozenset[Words]:
    names = _english_names()
    keys = names.get(canonical_words(answer), frozenset())
    texts = {_name(locale, key) for key in keys for locale in _locales()}
    found = {canonical_words(text) for text in texts if text}
    # A name that means something else in English is not taken for another language's.
    return frozenset(name for name in found if len("".join(name)) >= _SHORTEST and name not in names)


def is_country(words: Words) -> bool:
    """Whether the words are the English name of a country or territory."""
    keys = _english_names().get(words, frozenset())
    return any(kind == "territory" and code not in _CONTINENTS for kind, code in keys)


@lru_cache(maxsize=1)
def _english_names() -> dict[Words, frozenset[_Key]]:
    from babel import Locale

    english = Locale("en")
    names: dict[Words, set[_Key]] = defaultdict(set)
    for key in _keys(english):
        text = _name(english, key) or _city_of_zone(key)
        for form in (text, text.partition(" (")[0]):
            if words := canonical_words(form):
                names[words].add(key)
    return {words: frozenset(keys) for words, keys in names.items()}


def _keys(english: Any) -> Iterator[_Key]:
    from babel.core import get_global

    yield from (("territory", code) for code in english.territories if len(code) == 2 or code in _CONTINENTS)
    yield from (("language", code) for code in english.languages if "_" not in code)
    yield from (
        ("city", zone) for zone in get_global("zone_territories") if "/" in zone and not zone.startswith("Etc/")
    )


def _city_of_zone(key: _Key) -> str:
    """CLDR's rule for the city of a zone without a name of its own: the last part of the zone's identifier."""
    return key[1].rpartition("/")[2].replace("_", " ")


def _name(locale: Any, key: _Key) -> str:
    kind, code = key
    if kind == "city":
        return str(locale.time_zones.get(code, {}).get("city") or "")
    return str((locale.territories if kind == "territory" else locale.languages).get(code) or "")


@lru_cache(maxsize=1)
def _locales() -> tuple[Any, ...]:
    """One locale for every language that is official somewhere and that CLDR describes, without English."""
    from babel import Locale, localedata
    from babel.core import get_global
    from babel.languages import get_official_languages

    territories = sorted(get_global("territory_languages"))
    official = {name for code in territories for name in get_official_languages(code, de_facto=True)}
    tags = sorted(official | {name.partition("_")[0] for name in official})
    return tuple(Locale.parse(tag) for tag in tags if tag != "en" and localedata.exists(tag))
