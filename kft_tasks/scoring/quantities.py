"""One spelling of numbers, units, prices and dates, as a step of :mod:`kft_tasks.scoring.normalization`.

text2num reads number words, dateutil reads dates. A numeric date whose order is open ("9/11/1989") is read as day and
month; nothing is converted from one unit into another.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_WEEKDAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,? (?:the )?)?"
_DATE = re.compile(
    rf"\b{_WEEKDAY}(?:{_DAY}(?: day)?(?: of)? {_MONTH}(?:,?(?: in)? \d{{3,4}})?|"
    rf"{_MONTH} (?:{_DAY}(?:,? \d{{4}})?|\d{{4}})|\d{{4}}-\d\d-\d\d)\b"
)
_NUMERIC_DATE = re.compile(
    r"(?<![\d./-])(?:(\d{1,2})([./-])(\d{1,2})\2(\d{4})|(\d{4})([./])(\d{1,2})\6(\d{1,2}))(?![\d/-])"
)
_NOT_READ = re.compile(r"\b(?:day of|day|in)\b")  # words that dateutil does not know
_NUMBER_WORD = re.compile(
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ninth|ten|eleven|twel|thir|teen|twent|fort|fift|hundred|"
    r"thousand|illion|first|second)"
)
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALED = re.compile(rf"\b(\d+(?:\.\d+)?)[ -]({'|'.join(_SCALES)})\b")
_FACTOR = re.compile(r"\b(\d+\.\d+) (1(?:000)+)\b")  # "two point one million" comes out as "2.1 1000000"
_DIGIT = re.compile(r"\d")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_GROUPED_OTHERWISE = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:[ \u00a0\u2009\u202f]\d{3})+|(?:\.\d{3}){2,})(?![\d.,]*\d)")
_DECIMAL_COMMA = re.compile(r"(?<![\d,.])(\d+),(\d{1,2})(?![\d,]*\d)")
_PRICE = re.compile(rf"(?:([$€£])|\b(EUR|USD|GBP))\s?(\d+(?:\.\d+)?(?: (?:{'|'.join(_SCALES)})\b)?)", re.I)
_PRICE_AFTER = re.compile(rf"(\d(?: (?:{'|'.join(_SCALES)}))?)\s?([€£]|(?:EUR|USD|GBP)\b)", re.I)
_US_DOLLAR = re.compile(r"\b(?:u\.?s\.?|american) dollars?\b", re.I)
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound", "usd": "dollar", "eur": "euro", "gbp": "pound"}
_ROMAN = re.compile(r"(?<=[A-Za-z] )(?:(?=[XVIL]{2})(?P<upper>[XVIL]+)|(?=[xvi]{2})(?P<lower>[xvi]+))\b(?!['’.]\w)")
_SINGLE_ROMAN = re.compile(r"(\b[A-Z][a-z]+ )([VX]|I(?=\s*(?:$|[,.;)])))\b(?!['’.]\w)")
_ROMAN_NUMBER = re.compile(r"(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})$")
_REGNAL = re.compile(r"\b([A-Z][a-z]+ )the ([A-Z][a-z]+(?:-[a-z]+)?|\d+(?:st|nd|rd|th))\b(?! [A-Za-z])")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)$")
_NUMERO = re.compile(r"(?:\b(?:no|nr)\.? ?|#)(?=\d)")
_UNITS = {
    "cm": "centimeter", "ft": "foot", "feet": "foot", "g": "gram", "gb": "gigabyte", "ghz": "gigahertz",
    "gramme": "gram",
    "ha": "hectare", "hz": "hertz", "kb": "kilobyte", "kg": "kilogram", "khz": "kilohertz", "kilo": "kilogram",
    "kilogramme": "kilogram", "km": "kilometer", "kmh": "kilometer per hour", "kph": "kilometer per hour",
    "kw": "kilowatt", "l": "liter", "lb": "pound", "m": "meter", "mb": "megabyte", "mg": "milligram",
    "mhz": "megahertz", "mi": "mile", "ml": "milliliter", "mm": "millimeter", "mph": "mile per hour", "mw": "megawatt",
    "tb": "terabyte", "v": "volt", "w": "watt", "yd": "yard", "bce": "bc", "c": "celsius", "f": "fahrenheit",
}  # fmt: skip
_BRITISH = re.compile(r"(met|lit)re$")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?$")
_NUMBER_AND_UNIT = re.compile(rf"\b(\d+(?:\.\d+)?)({'|'.join(_UNITS)})\b")
_TIME = r"(s|sec|seconds?|h|hr|hours?|min|minutes?)\b"
_PER = re.compile(rf"(?<=[a-z])(?:/| per ){_TIME}")
_AN = re.compile(rf"\b(miles?|(?:kilo)?met(?:er|re)s?|km|feet) an? {_TIME}")
_PER_WHAT = {"s": "sec", "h": "hour", "m": "minute"}  # "second" would be read as a rank
_AREA = re.compile(r"\b(square|sq\.?|cubic) ([a-z]+)")
_POWER = re.compile(r"\b((?:k|c|m)?m|ft|mi)\^?([23])\b")
_DEGREES = re.compile(r"(?<=\d)\s*(?:deg(?:rees?)?\s+|°\s*)(celsius|centigrade|fahrenheit|c|f)\b")
_TEMPERATURES = {"c": "celsius", "f": "fahrenheit", "centigrade": "celsius"}


def unified_signs(text: str) -> str:
    """Group separators, decimal commas, prices and Roman numerals, in a text that still has its case and its signs."""
    if _DIGIT.search(text):
        text = _GROUPED_OTHERWISE.sub(lambda match: re.sub(r"\D", "", match[0]), _GROUPED.sub("", text))
        text = _DECIMAL_COMMA.sub(r"\1.\2", text)
        text = _PRICE.sub(lambda match: f"{match[3]} {_CURRENCIES[(match[1] or match[2]).lower()]}", text)
        text = _PRICE_AFTER.sub(lambda match: f"{match[1]} {_CURRENCIES[match[2].lower()]}", text)
        text = _US_DOLLAR.sub("dollar", text)
    if " " not in text:
        return text
    text = _ROMAN.sub(_roman, text)
    text = _SINGLE_ROMAN.sub(lambda match: f"{match[1]}{'I   V    X'.index(match[2]) + 1}", text)
    return _REGNAL.sub(_regnal, text)


def _roman(match: re.Match[str]) -> str:
    numeral = match[0].upper()
    if not _ROMAN_NUMBER.match(numeral):
        return match[0]
    values = [{"I": 1, "V": 5, "X": 10, "L": 50}[letter] for letter in numeral]
    return str(sum(-one if one < next_ else one for one, next_ in zip(values, [*values[1:], 0], strict=True)))


def _regnal(match: re.Match[str]) -> str:
    """A ruler's number in digits: "Henry 8" for "Henry the Eighth"."""
    rank = _ORDINAL.match(_number_words(match[2].lower()))
    return f"{match[1]}{rank[1]}" if rank else match[0]


def unified_quantities(text: str) -> str:
    """Digits for number words, one name for each unit, dates from large to small, in a lower-case text.

    Example:
        >>> unified_quantities("100 °c"), unified_quantities("seventy miles an hour"), unified_quantities("14/07/1789")
        ('100 celsius', '70 miles per hour', '1789 m7 d14')
    """
    if not _DIGIT.search(text) and not _NUMBER_WORD.search(text):
        return text
    text = _PER.sub(lambda match: f" per {_PER_WHAT[match[1][0]]}", text)
    text = _AN.sub(lambda match: f"{match[1]} per {_PER_WHAT[match[2][0]]}", text)
    text = _NUMERO.sub("number ", _NUMERIC_DATE.sub(_numeric_date, text))
    text = _number_words(_SCALED.sub(lambda match: f"{Decimal(match[1]) * _SCALES[match[2]]:f}", text))
    text = _DEGREES.sub(lambda match: f" {_TEMPERATURES.get(match[1], match[1])}", text)
    text = _POWER.sub(lambda match: f"{'square' if match[2] == '2' else 'cubic'} {match[1]}", text)
    text = _AREA.sub(lambda match: f"{'cubic' if match[1] == 'cubic' else 'square'} {_unit(match[2])}", text)
    return _DATE.sub(_date, _NUMBER_AND_UNIT.sub(r"\1 \2", text))


def _number_words(text: str) -> str:
    if not _NUMBER_WORD.search(text):
        return text
    from text_to_num import alpha2digit

    return _FACTOR.sub(lambda match: f"{Decimal(match[1]) * int(match[2]):f}", alpha2digit(text, "en", threshold=-1))


def _numeric_date(match: re.Match[str]) -> str:
    """Day before month, unless there is no such month."""
    if match[1]:
        day, month, year = int(match[1]), int(match[3]), int(match[4])
        if month > 12:
            day, month = month, day
    else:
        year, month, day = int(match[5]), int(match[7]), int(match[8])
    try:
        datetime(year, month, day)
    except ValueError:
        return match[0]
    return f"{year} m{month} d{day}"


def _date(match: re.Match[str]) -> str:
    """Year, month and day as separate words, from large to small: a date contains its year and its month."""
    from dateutil import parser

    fields = []
    for filler in (datetime(1904, 1, 1), datetime(1908, 2, 2)):  # fields that differ were not in the text; leap years
        try:
            fields.append(parser.parse(_NOT_READ.sub(" ", match[0]), default=filler))
        except (ValueError, OverflowError):
            return match[0]
    one, two = fields
    parts = [(one.year, two.year, ""), (one.month, two.month, "m"), (one.day, two.day, "d")]
    return " ".join(f"{prefix}{value}" for value, other, prefix in parts if value == other)


def is_number(word: str) -> bool:
    """Whether a word is a number in digits."""
    return bool(_NUMBER.match(word))


def unit_name(word: str) -> str:
    """The full name of a unit that follows a number, in the singular; other words lose an "s" at the end too."""
    return _unit(word if word.endswith(("us", "ss")) else word.removesuffix("s") or word)


def _unit(word: str) -> str:
    if word not in _UNITS:
        word = _BRITISH.sub(r"\1er", word if word.endswith(("us", "ss")) else word.removesuffix("s"))
    return _UNITS.get(word, word)
