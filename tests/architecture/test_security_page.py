"""Every promise of SECURITY.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def _tests_of(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_tests_that_exist() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "held by" not in line]
    assert len(rows) >= 10
    for row in rows:
        named = re.findall(r"`(tests/[^`]+)::(test_\w+)`", row)
        assert named, row
        for file, test in named:
            assert test in _tests_of(ROOT / file), f"{file}::{test}"


def test_the_page_is_linked() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        assert "](SECURITY.md)" in (ROOT / name).read_text(encoding="utf-8")
