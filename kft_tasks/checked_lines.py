"""Lines of an append-only file that survives a kill: an 8-digit CRC-32, a space, JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from kft_tasks.strict_json import check_memory, parse_json


def checked_line(row: Mapping[str, Any]) -> bytes:
    """A row as a line, with its checksum and its line end."""
    text = json.dumps(row, ensure_ascii=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def parse_checked_line(line: bytes) -> dict[str, Any] | None:
    """The row of a line, or None if the line is torn or damaged.

    Raises:
        ValueError: the line is whole, but no JSON object.
    """
    if not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    text = line[9:-1]
    if line[:8] != b"%08x" % zlib.crc32(text):
        return None
    decoded = text.decode()
    check_memory(decoded)
    row: dict[str, Any] = parse_json(decoded)
    if type(row) is not dict:
        raise ValueError("not an object")
    return row
