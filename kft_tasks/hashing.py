"""Hashes of content that draw, order and split: BLAKE2b, so the same on every machine and in every Python.

The bytes hashed and the digest sizes at each call site fix every split, draw, id and sample of the project. Changing
one is a new version of whatever it decides; tests/ground/test_hashing.py pins them.
"""

from __future__ import annotations

import hashlib


def keyed_digest(*parts: object, size: int = 16, key: bytes = b"") -> bytes:
    """Digest of ``parts``, written as text and joined by "|".

    Args:
        parts: such as ("limit", question id); the first ones usually say what the hash is for.
        size: bytes of the digest, 1 to 64.
        key: BLAKE2b's own key, up to 64 bytes.
    """
    text = "|".join(map(str, parts))
    return hashlib.blake2b(text.encode(), digest_size=size, key=key).digest()


def keyed_int(*parts: object, key: bytes = b"") -> int:
    """The 8-byte :func:`keyed_digest` as a whole number from 0 up to 2^64."""
    return int.from_bytes(keyed_digest(*parts, size=8, key=key), "big")
