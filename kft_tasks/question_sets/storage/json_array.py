"""A JSON array of objects, decoded one object at a time: the standard library's decoder wants the whole text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

_BLOCK = 1 << 16
_CUT = 16  # a token that the end of the text cuts is at most so long, except a string


class NotAnArrayError(ValueError):
    """The text does not begin with a bracket."""


def read_array(stream: IO[str], most: int) -> Iterator[dict[str, Any]]:
    """Yield the objects of an array; none may have more than ``most`` characters.

    Raises:
        NotAnArrayError: something else.
        ValueError: broken JSON, an entry that is not an object, or an over-long one.
    """
    text = _Text(stream)
    if text.take() != "[":
        raise NotAnArrayError("not an array")
    mark = text.take()
    while mark != "]":
        if mark != "{":
            raise ValueError("not an object")
        yield text.rest_of_object(most)
        mark = text.take()
        if mark == ",":
            mark = text.take()
            if mark == "]":
                raise ValueError("not JSON (a comma and no entry)")
        elif mark != "]":
            raise ValueError("not JSON (no comma after it)" if mark else "the file ends after it")
    if text.take():
        raise ValueError("something follows the end of the array")


class _Text:
    """A text that is read as it is needed."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def take(self) -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            while self._at < len(self._text):
                self._at += 1
                if not self._text[self._at - 1].isspace():
                    return self._text[self._at - 1]
            self._text, self._at = self._stream.read(_BLOCK), 0
            if not self._text:
                return ""

    def rest_of_object(self, most: int) -> dict[str, Any]:
        """The object whose brace was taken last."""
        self._at -= 1
        while True:
            try:
                value: dict[str, Any]
                value, self._at = self._decoder.raw_decode(self._text, self._at)
                return value
            except json.JSONDecodeError as error:
                broken = error.pos < len(self._text) - _CUT and not error.msg.startswith("Unterminated")
                kept = self._text[self._at :]
                more = "" if broken else self._stream.read(max(_BLOCK, len(kept)))  # twice as much every time
                if not more:
                    raise ValueError(f"not JSON ({error.msg})") from error
                self._text, self._at = kept + more, 0
                if len(self._text) > most + _BLOCK:
                    raise ValueError(f"over {most >> 20} MiB") from error
