"""The root README: its headline is the published run's, its commands run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kft_cli.pages.readme import insert_headline, write_headline
from kft_tasks.detection.target import select
from kft_tasks.errors import DataError
from kft_tasks.question_sets.registry import open_set
from kft_tasks.questions import write_questions

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEMO = json.loads((ROOT / "results" / "demo" / "report.json").read_text(encoding="utf-8"))


def test_the_headline_is_that_of_the_published_run() -> None:
    assert insert_headline(README, "demo", DEMO) == (README, 1)


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Something else\n", encoding="utf-8")
    with pytest.raises(DataError, match="no headline markers"):
        write_headline(tmp_path / "README.md", "demo", DEMO)


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.model
def test_the_commands_for_your_own_model_and_questions_run(embedded_model: Path, tmp_path: Path) -> None:
    """The real small model and 38 real questions of two types; every line of the block is run as it stands."""
    source, types = open_set("worldfacts"), ("capital_of_country", "country_of_city")
    chosen = [
        question
        for split, count in (("train", 24), ("validation", 3), ("test", 4), ("exemplars", 16))
        for type_ in types
        for question in select(lambda: (q for q in source.split(split) if q.type == type_), count)()  # noqa: B023
    ]
    write_questions(tmp_path / "my.jsonl", chosen)
    (tmp_path / "my-model").symlink_to(embedded_model)
    (block,) = re.findall(r"<!-- tested -->\n```bash\n(.*?)```", README, re.DOTALL)
    lines = [line.partition("#")[0].split() for line in block.splitlines()]
    assert [line[:2] for line in lines] == [["kft", name] for name in ("data", "detect", "run", "report", "compare")]
    for _, *arguments in lines:
        done = subprocess.run(
            [sys.executable, "-m", "kft_cli.main", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, (arguments, done.stderr[-2000:])
    assert (tmp_path / "my-run" / "report" / "report.md").is_file()
