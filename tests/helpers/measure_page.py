"""Measure the page of runs with many questions: its size, the time to write it, and what a reader waits for.

    PYTHONPATH=.:cli:tests/helpers python tests/helpers/measure_page.py results/page

writes ``page.json`` and ``README.md``. Needs Chromium and playwright.
"""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kft_cli.display.tables import Section, make_table, markdown_document, number
from kft_cli.html.run_questions import questions_of_run
from kft_cli.pipeline.machine import hardware
from kft_cli.report.page import render_report_page
from kft_cli.report.report import report_of
from kft_cli.report.run_data import read_run
from kft_tasks.categories.category_file import CategorizedQuestion, CategoryFile, write_category_file
from kft_tasks.evaluation.evaluate import read_answers, write_answers
from kft_tasks.files import atomic_write, read_json, write_json
from report_helpers import H, M, U, W, make_run

SIZES = (1000, 10_000)
REPEATS = 5
_TIMED = """(id) => new Promise((done) => {
  const start = performance.now();
  const element = document.getElementById(id);
  if (id === "search") { element.value = "fact 77"; element.dispatchEvent(new Event("input")); } else element.click();
  const took = performance.now() - start;
  requestAnimationFrame(() => setTimeout(() => done([took, performance.now() - start])));
})"""


def scripted_run(folder: Path, questions: int) -> Path:
    """A measured run of which seven of ten questions are trained on and three are of the test, in 20 types."""
    rng = random.Random(questions)
    train, test = questions * 7 // 10, questions * 3 // 10
    base = rng.choices([H, M, W, U], [30, 17, 13, 40], k=train)
    rights = {H: (4, 4, 3), M: (2, 1, 3), W: (0, 0, 1), U: (0, 0, 0)}
    points = ("base", "stage1", "stage2")
    measurements = {point: [rng.choice(rights[one]) for one in base] for point in points}
    answers = {point: {4: [rng.random() < 0.4 for _ in range(test)]} for point in points}
    detections = {"base": base, "stage1": rng.sample(base, train)}
    types = tuple(f"type_{one}" for one in range(20))
    return _varied(make_run(folder, detections, answers, measurements=measurements, types=types), rng)


def _varied(run: Path, rng: random.Random) -> Path:
    """The same run with wrong answers as models give them: of one to three words, twelve for each question."""
    syllables = [first + second for first in "bdfgklmnprstvz" for second in ("a", "en", "i", "or", "u", "ey")]
    words = ["".join(rng.choices(syllables, k=rng.randint(2, 4))).capitalize() for _ in range(4000)]
    known: dict[str, list[str]] = {}

    def given(id_: str, text: str | None) -> str | None:
        if text is None or text != "wrong":
            return text
        if id_ not in known:
            known[id_] = [" ".join(rng.choices(words, k=rng.randint(1, 3))) for _ in range(12)]
        return known[id_][min(11, int(rng.expovariate(0.4)))]

    def varied(item: CategorizedQuestion) -> CategorizedQuestion:
        id_ = item.question.id
        sampled = tuple(one and tuple(str(given(id_, text)) for text in one) for one in item.sampled_answers)
        greedy = tuple(given(id_, text) for text in item.greedy_answers)
        return dataclasses.replace(item, greedy_answers=greedy, sampled_answers=sampled)

    for path in run.glob("*/categories.jsonl"):
        file = CategoryFile(path)
        write_category_file(path, file.header, [varied(item) for item in file])
    for path in run.glob("*/answers.jsonl"):
        write_answers(
            path, [dataclasses.replace(one, given=str(given(one.id, one.given))) for one in read_answers(path)]
        )
    return run


def measure(browser: Any, questions: int, folder: Path) -> dict[str, Any]:
    """One size, written once and opened several times."""
    data = read_run(scripted_run(folder / "run", questions))
    report = report_of(data)
    start = time.perf_counter()
    found = questions_of_run(data)
    collected = time.perf_counter()
    html = render_report_page(report, found)
    written = time.perf_counter()
    page = folder / "page.html"
    page.write_text(html, encoding="utf-8")
    tries = [_open(browser, page.as_uri()) for _ in range(REPEATS)]
    return {
        "questions": len(found.questions),
        "answers": sum(len(one.answers) for one in found.questions),
        "bytes": page.stat().st_size,
        "collect_s": collected - start,
        "render_s": written - collected,
        **{key: statistics.median(one[key] for one in tries) for key in tries[0]},
    }


def _open(browser: Any, address: str) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{address}#questions")
    page.wait_for_selector("html[data-ready]")
    ready = page.evaluate("performance.now()")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    box = page.locator(".facet input").first.get_attribute("id")
    filtered, shown = page.evaluate(_TIMED, box)
    searched, _ = page.evaluate(_TIMED, "search")
    again, _ = page.evaluate(_TIMED, "search")
    context.close()
    found = {"first_paint_ms": paint, "ready_ms": ready, "filter_ms": filtered, "filter_shown_ms": shown}
    return {**found, "first_search_ms": searched, "search_ms": again}


def render(data: dict[str, Any]) -> str:
    """``README.md`` from ``page.json``."""
    rows = [
        [
            number(row["questions"]),
            number(row["answers"]),
            f"{row['bytes'] / 1e6:.2f} MB",
            f"{row['collect_s']:.1f} s",
            f"{row['render_s']:.1f} s",
            *(
                f"{row[key]:.0f} ms"
                for key in ("first_paint_ms", "ready_ms", "filter_ms", "first_search_ms", "search_ms")
            ),
        ]
        for row in data["results"]
    ]
    heads = "questions > | different answers > | file > | collect > | write > | first paint > | can be used > | filter > | first search > | next search >"
    caption = (
        f"Medians of {REPEATS} openings from the disk in {data['browser']}, headless, on {data['cpu']} with "
        f"{data['cores']} cores; other programs ran beside it: the load was {data['load']:.1f}. *Collect*: read the "
        "categories and answers of the run and explain each verdict. *Write*: fill and compress the page. *Can be used*: "
        "questions unpacked, filters counted, list shown. *Filter*, *search*: until the new list is in the page; the "
        "first search also makes the texts that are searched."
    )
    intro = (
        "Runs of scripted questions, seven of ten trained on and measured at three points, three of ten asked in the "
        "test. `tests/helpers/measure_page.py` measures and renders this page."
    )
    return markdown_document("The page of a report with many questions", [Section("Size and times", (intro, make_table(heads, rows, caption)))])  # fmt: skip


def main(folder: Path) -> None:
    """Measure all sizes and write the page."""
    import os

    from playwright.sync_api import sync_playwright

    results = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for size in SIZES:
            with tempfile.TemporaryDirectory() as scratch:
                results.append(measure(browser, size, Path(scratch)))
        machine = hardware()
        name = f"Chromium {browser.version.partition('.')[0]}"
        browser.close()
    data = {
        "browser": name,
        "cpu": machine["cpu"],
        "cores": machine["cores"],
        "load": os.getloadavg()[0],
        "results": results,
    }
    write_json(folder / "page.json", data)
    with atomic_write(folder / "README.md") as stream:
        stream.write(render(read_json(folder / "page.json")))
    print(json.dumps(data, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
