"""Headers of the pages of a Parquet column: what a reader would have to allocate, without decompressing anything.

A header is a struct of Thrift's compact protocol (https://github.com/apache/parquet-format, ``PageHeader``); pyarrow
reads these headers itself and does not show them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

_FIRST_READ, _LAST_READ = 1 << 10, 1 << 24  # statistics in a header may hold long values
_MAX_DEPTH = 16
_DICTIONARY_PAGE = 2
_DICTIONARY_ENCODINGS = (2, 8)
_PREFIX_ENCODING = 7  # DELTA_BYTE_ARRAY


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        size: bytes once decompressed.
        values: number of values, nulls included; of a dictionary, its entries.
        holds: ``dictionary`` entries, ``numbers`` of entries, ``prefixed`` values, of which each may repeat the one
            before it, or ``plain`` values.
    """

    size: int
    values: int
    holds: str


def read_pages(stream: IO[bytes], start: int, length: int, most: int) -> list[Page]:
    """Read the headers of all pages of a column chunk.

    Args:
        stream: the file.
        start: where the chunk starts, in bytes.
        length: of the chunk, in bytes.
        most: number of pages after which to give up.

    Raises:
        ValueError: a damaged header, or more pages.
    """
    pages: list[Page] = []
    at, end = start, start + length
    while at < end:
        if len(pages) >= most:
            raise ValueError("more pages than fit in the file")
        fields, taken = _read_header(stream, at)
        compressed, size = _number(fields, 3), _number(fields, 2)
        pages.append(_page(fields, size))
        at += taken + compressed
    return pages


def _page(fields: dict[int, Any], size: int) -> Page:
    if _number(fields, 1) == _DICTIONARY_PAGE:
        return Page(size, _number(_struct(fields, 7), 1), "dictionary")
    old, new = _struct(fields, 5), _struct(fields, 8)
    encoding = _number(new, 4) if new else _number(old, 2) if old else 0
    holds = "numbers" if encoding in _DICTIONARY_ENCODINGS else "prefixed" if encoding == _PREFIX_ENCODING else "plain"
    values = max((_number(part, 1) for part in (old, new) if part), default=0)
    return Page(size, values, holds)


def _struct(fields: dict[int, Any], key: int) -> dict[int, Any]:
    value = fields.get(key, {})
    if not isinstance(value, dict):
        raise ValueError("a damaged page header")
    return value


def _number(fields: dict[int, Any], key: int) -> int:
    value = fields.get(key, 0)
    if not isinstance(value, int) or value < 0:
        raise ValueError("a damaged page header")
    return value


def _read_header(stream: IO[bytes], at: int) -> tuple[dict[int, Any], int]:
    """Fields of the header by number, and its length."""
    size = _FIRST_READ
    while True:
        stream.seek(at)
        data = stream.read(size)
        reader = _Compact(data)
        try:
            return reader.struct(0), reader.at
        except IndexError:
            if len(data) < size or size >= _LAST_READ:
                raise ValueError("a page header that is cut off") from None
            size *= 16


class _Compact:
    """A reader of Thrift's compact protocol. Texts, lists and maps are skipped."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, depth: int) -> dict[int, Any]:
        """Fields by number.

        Raises:
            IndexError: the data end too early.
            ValueError: nested too deep, or a type that does not exist.
        """
        if depth > _MAX_DEPTH:
            raise ValueError("a page header that is nested too deep")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            return self._skip(8)
        if kind == 8:
            return self._skip(self._varint())
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return self._skip_items(count, (head & 15,), depth)
        if kind == 11:
            count = self._varint()
            kinds = self._byte() if count else 0
            return self._skip_items(count, (kinds >> 4, kinds & 15), depth)
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError("a damaged page header")

    def _skip_items(self, count: int, kinds: tuple[int, ...], depth: int) -> None:
        for _ in range(count):
            for kind in kinds:
                if kind in (1, 2):  # inside lists, truth values take a byte
                    self._byte()
                else:
                    self._value(kind, depth + 1)
                    if depth > _MAX_DEPTH:
                        raise ValueError("a page header that is nested too deep")

    def _byte(self) -> int:
        value = self._data[self.at]
        self.at += 1
        return value

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                return value
            if shift > 63:
                raise ValueError("a damaged page header")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
