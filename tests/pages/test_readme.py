"""The root README: its headline is the published run's, its commands run."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kft_cli.pages.readme import update_headlines, with_headlines
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.errors import DataError
from kft_tasks.questions import Question, write_questions

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "results"


def test_the_headline_is_that_of_the_published_experiment() -> None:
    assert "<!-- headline: worldfacts-core," in README
    assert with_headlines(README, RESULTS) == README


def test_a_stale_headline_is_rendered_again_and_a_page_without_one_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(README.replace("| no-training |", "| stale |"), encoding="utf-8")
    update_headlines(page, RESULTS)
    assert page.read_text(encoding="utf-8") == README
    page.write_text("# Something else\n", encoding="utf-8")
    update_headlines(page, RESULTS)
    assert page.read_text(encoding="utf-8") == "# Something else\n"
    page.write_text(README.replace("headline: worldfacts-core,", "headline: nothing,"), encoding="utf-8")
    with pytest.raises(DataError, match="nothing"):
        update_headlines(page, RESULTS)


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), target


def _kft(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kft_cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, (arguments, done.stderr[-2000:])


def _half_known_questions(folder: Path) -> list[Question]:
    """Questions that the model in ``folder`` answers right under its first exemplar set: its own answers are accepted."""
    questions = [
        Question(f"{split} {number}", f"What is number {number} of {split}?", (f"n{number}",), "ab"[number % 2], split)
        for split, count in (("train", 16), ("validation", 4), ("test", 6), ("exemplars", 20))
        for number in range(count)
    ]
    asked = [one if one.split == "exemplars" else dataclasses.replace(one, split="test") for one in questions]
    write_questions(folder / "asked.jsonl", asked)
    chosen = ["--model", "my-model", "--set", "questions", "--path", "asked.jsonl", "--split", "test"]
    protocol = ["--exemplar-sets", "4", "--samples", "0", "--max-tokens", "10"]
    _kft(folder, "detect", *chosen, *protocol, "--exhaustive", "-o", "given.jsonl")
    given = {item.question.id: item.greedy_answers[0] or "" for item in CategoryFile(folder / "given.jsonl")}
    return [
        dataclasses.replace(question, answers=(answer,))
        if any(map(str.isalnum, answer := given.get(question.id, "")))
        else question
        for question in questions
    ]


def test_the_commands_for_your_own_model_and_questions_run(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Every line of the block is run as it stands, with a tiny model."""
    (tmp_path / "my-model").symlink_to(tiny_folder("llama"))
    write_questions(tmp_path / "my.jsonl", _half_known_questions(tmp_path))
    (block,) = re.findall(r"<!-- tested -->\n```bash\n(.*?)```", README, re.DOTALL)
    lines = [line.partition("#")[0].split() for line in block.splitlines()]
    assert [line[:2] for line in lines] == [["kft", name] for name in ("data", "detect", "run", "report", "compare")]
    for _, *arguments in lines:
        _kft(tmp_path, *arguments)
    assert (tmp_path / "my-run" / "report" / "report.md").is_file()
