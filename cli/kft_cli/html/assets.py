"""Style and scripts of a page, as they come with kft: readable files, put into the page as they are."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files

SCRIPTS = ("unpack", "address", "facets", "rows", "detail", "export", "explorer", "figures", "frame")
"""Modules of the page, each after those that it imports."""

_IMPORT = re.compile(r"^import \{[^}]*\} from \"\./[a-z]+\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=function|const|class|async)", re.MULTILINE)


@lru_cache(maxsize=1)
def style() -> str:
    """The style sheet."""
    return _read("page.css")


@lru_cache(maxsize=1)
def script() -> str:
    """All modules as one: a page opened from a disk cannot import others. Their names are all different."""
    modules = [_EXPORT.sub("", _IMPORT.sub("", _read(f"scripts/{name}.js"))) for name in SCRIPTS]
    return "\n".join(['"use strict";', *modules])


def digest(text: str) -> str:
    """What a Content-Security-Policy calls an inline part: ``sha256-`` and base64."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def policy() -> str:
    """The page may run and show its own parts, and load or send nothing."""
    return (
        f"default-src 'none'; script-src '{digest(script())}'; style-src '{digest(style())}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _read(name: str) -> str:
    return (files("kft_cli.html") / name).read_text(encoding="utf-8")
