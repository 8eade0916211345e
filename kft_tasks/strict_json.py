"""JSON that anyone may have written: finite numbers, valid Unicode, bounded depth and memory."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from kft_tasks import limits

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SPACE = re.compile(r"[ \t\n\r]*")
_STEP = 8 << 20  # characters that the window on a long text moves at least
_COMMA = re.compile(r"[ \t\n\r]*,[ \t\n\r]*")


def parse_json(text: str) -> Any:
    """Decode one JSON value.

    Raises:
        ValueError: not JSON (``json.JSONDecodeError``, which knows the place), NaN or Infinity, a number of over 4,300
            digits, half a surrogate pair, or brackets nested deeper than ``limits.MAX_JSON_DEPTH``.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _check_value(value, text, 0, len(text))
    return value


def parse_json_leniently(text: str) -> Any:
    """Decode one JSON value as :func:`parse_json` does, but keep NaN and Infinity, which training logs may hold."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _check_value(value, text, 0, len(text))
    return value


def iterate_array(text: str) -> Iterator[Any]:
    """Decode the entries of a JSON array one by one; none is kept.

    Raises:
        TypeError: the text is JSON, but not an array.
        ValueError: see :func:`parse_json`; or an entry has over ``limits.MAX_LINE_BYTES`` characters or would take too
            much memory.
    """
    start = _after_space(text, 0)
    if text[start : start + 1] != "[":
        check_memory(text)
        parse_json(text)
        raise TypeError("not an array")
    at = _after_space(text, start + 1)
    if text[at : at + 1] == "]":
        _check_end(text, at + 1)
        return
    window = _Window(text)
    while True:
        value, end = window.decode(at)
        yield value
        comma = _COMMA.match(text, end)
        if comma is None:
            break
        at = comma.end()
    at = _after_space(text, end)
    if text[at : at + 1] != "]":
        raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
    _check_end(text, at + 1)


class _Window:
    """A part of a long text, of which no entry can be decoded beyond: how long an entry is shows only afterwards."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._length = limits.MAX_LINE_BYTES + _STEP
        self._start = 0
        self._part = ""

    def decode(self, at: int) -> tuple[Any, int]:
        """The entry that starts at ``at``, and where it ends."""
        if not self._part or at - self._start > _STEP:
            whole = len(self._text) <= self._length
            self._start, self._part = (0, self._text) if whole else (at, self._text[at : at + self._length])
            check_memory(self._part)
        try:
            value, end = _decode_at(self._part, at - self._start)
        except json.JSONDecodeError as error:
            cut = self._start + len(self._part) < len(self._text)
            if cut and (error.msg.startswith("Unterminated") or error.pos >= len(self._part) - 1):
                raise ValueError(f"an entry of over {limits.MAX_LINE_BYTES >> 20} MiB") from None
            raise json.JSONDecodeError(error.msg, self._text, self._start + error.pos) from None
        return value, self._start + end


def check_memory(text: str) -> None:
    """Refuse a text that would take too much memory once decoded: many small lists and objects.

    Raises:
        ValueError: over ``limits.MAX_JSON_MEMORY``.
    """
    # sizes of an object with one key, of a list with one entry, and of a number, in CPython
    taken = sys.getsizeof(text) + 240 * text.count("{") + 72 * text.count("[") + 32 * text.count(",")
    if taken > limits.MAX_JSON_MEMORY:
        raise ValueError(f"would take over {limits.MAX_JSON_MEMORY >> 20} MiB of memory")


def _decode_at(text: str, at: int) -> tuple[Any, int]:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _check_value(value, text, at, end)
    return value, end


def _check_value(value: Any, text: str, start: int, end: int) -> None:
    """Check what the decoder does not; most texts have few brackets and no escapes, and are not looked at further."""
    deepest = limits.MAX_JSON_DEPTH
    if end - start > 2 * deepest and text.count("[", start, end) + text.count("{", start, end) > deepest:
        _check_depth(value)
    if text.find("\\u", start, end) >= 0 and _SURROGATE.search(text, start, end):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half a surrogate pair, not valid Unicode") from None


def _check_depth(value: Any) -> None:
    level = _containers([value])
    for _ in range(limits.MAX_JSON_DEPTH):
        level = [inner for outer in level for inner in _containers(outer.values() if type(outer) is dict else outer)]
        if not level:
            return
    raise ValueError(_too_deep())


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if type(value) in (dict, list)]


def _too_deep() -> str:
    return f"brackets nested deeper than {limits.MAX_JSON_DEPTH}"


def _check_end(text: str, at: int) -> None:
    end = _after_space(text, at)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the number {number[:20]} is too large")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
