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
_OTHER_BYTES = bytes(set(range(256)) - set(b'[]{}"'))
_SHALLOW = 10
_STEP = 8 << 20  # characters: shorter texts are decoded as a whole, of longer ones about as many at a time
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
    """Decode the entries of a JSON array; of a long one, one by one, so that none is kept.

    Raises:
        TypeError: the text is JSON, but not an array.
        ValueError: see :func:`parse_json`; or an entry has over ``limits.MAX_LINE_BYTES`` characters or would take too
            much memory.
    """
    start = _after_space(text, 0)
    if len(text) <= _STEP or text[start : start + 1] != "[":
        check_memory(text)
        value = parse_json(text)
        if not isinstance(value, list):
            raise TypeError("not an array")
        yield from value
        return
    at = _after_space(text, start + 1)
    if text[at : at + 1] == "]":
        _check_end(text, at + 1)
        return
    scan: Any = vars(_DECODER)["scan_once"]  # what raw_decode calls, which costs as much again for short entries
    part, start, move_at, escaped = "", at, at, False
    while True:
        if at >= move_at:  # how long an entry is shows only afterwards: none can reach beyond the part
            part, start, move_at = _part_from(text, at)
            check_memory(part)
            escaped = _SURROGATE.search(part) is not None
        try:
            value, end = scan(part, at - start)
        except (StopIteration, ValueError, RecursionError) as error:
            raise _entry_error(error, text, part, start) from None
        if escaped or end - (at - start) > 2 * limits.MAX_JSON_DEPTH:
            _check_value(value, part, at - start, end)
        yield value
        comma = _COMMA.match(text, start + end)
        if comma is None:
            break
        at = comma.end()
    at = _after_space(text, start + end)
    if text[at : at + 1] != "]":
        raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
    _check_end(text, at + 1)


def _part_from(text: str, at: int) -> tuple[str, int, int]:
    """A part of the text, where it starts, and where entries start of which it may not hold all."""
    length = limits.MAX_LINE_BYTES + _STEP
    if len(text) <= length:
        return text, 0, len(text) + 1
    return text[at : at + length], at, at + _STEP


def _entry_error(error: Exception, text: str, part: str, start: int) -> ValueError:
    """What is wrong with an entry, with its place in the whole text."""
    if isinstance(error, RecursionError):
        return ValueError(_too_deep())
    if isinstance(error, StopIteration):
        error = json.JSONDecodeError("Expecting value", part, int(error.value))
    if not isinstance(error, json.JSONDecodeError):
        return ValueError(str(error))
    cut = start + len(part) < len(text)
    if cut and (error.msg.startswith("Unterminated") or error.pos >= len(part) - 1):
        return ValueError(f"an entry of over {limits.MAX_LINE_BYTES >> 20} MiB")
    return json.JSONDecodeError(error.msg, text, start + error.pos)


def check_memory(text: str) -> None:
    """Refuse a text that would take too much memory once decoded: many small lists and objects.

    Raises:
        ValueError: over ``limits.MAX_JSON_MEMORY``.
    """
    # sizes of an object with one key, of a list with one entry, and of a number, in CPython
    taken = sys.getsizeof(text) + 240 * text.count("{") + 72 * text.count("[") + 32 * text.count(",")
    if taken > limits.MAX_JSON_MEMORY:
        raise ValueError(f"would take over {limits.MAX_JSON_MEMORY >> 20} MiB of memory")


def _check_value(value: Any, text: str, start: int, end: int) -> None:
    """Check what the decoder does not; most texts have few brackets and no escapes, and are not looked at further."""
    deepest = limits.MAX_JSON_DEPTH
    many = end - start > 2 * deepest and text.count("[", start, end) + text.count("{", start, end) > deepest
    if many and not _is_plainly_shallow(text[start:end]):
        _check_depth(value)
    if text.find("\\u", start, end) >= 0 and _SURROGATE.search(text, start, end):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half a surrogate pair, not valid Unicode") from None


def _is_plainly_shallow(text: str) -> bool:
    """Whether brackets are nested little; False too where texts have brackets in them, and a closer look is needed."""
    marks = text.encode("utf-8", "surrogatepass").translate(None, _OTHER_BYTES).replace(b'""', b"")
    if b'"' in marks:
        return False
    for _ in range(_SHALLOW):
        if not marks:
            return True
        marks = marks.replace(b"[]", b"").replace(b"{}", b"")  # the innermost ones
    return not marks


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
