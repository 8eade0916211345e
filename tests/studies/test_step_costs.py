"""The page of results/speed is what its data renders to."""

from __future__ import annotations

from pathlib import Path

from kft_tasks.files import read_json
from step_costs.page import render

FOLDER = Path(__file__).resolve().parents[2] / "results" / "speed"


def test_the_page_is_not_stale() -> None:
    steps, profile = read_json(FOLDER / "steps.json", dict), read_json(FOLDER / "profile.json", dict)
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == render(steps, profile)


def test_steps_of_equal_work_are_summed_and_tests_counted_by_answer() -> None:
    def step(name: str, seconds: float, made: int) -> dict[str, object]:
        return {"step": name, "cpu_seconds": seconds, "generations": {"made": made}}

    first = [step("detect-base", 30, 9), step("retest-base", 99, 9), step("evaluate-base", 4, 2)]
    second = [step("detect-base", 10, 9), step("measure-base", 77, 9), step("evaluate-base", 5, 10)]
    steps = {name: {"commit": name, "command": "x", "steps": each} for name, each in (("a", first), ("b", second))}
    text = render(steps, read_json(FOLDER / "profile.json", dict))
    assert "(detect-base): 30 and 10 CPU-seconds, 3.00 times as many before" in text
    assert "A test answer took 2000 and 500 CPU-milliseconds" in text
