"""The page in a real browser, opened from the disk."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arm_runs import make_arm
from kft_cli.experiment.report import write_experiment
from kft_cli.main import main
from kft_tasks.files import write_json
from page_helpers import many_questions, page_of

Opener = Callable[..., Any]
AXE = Path(__file__).parents[1] / "vendor" / "axe-core" / "axe.min.js"
AXE_DIGEST = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"


def _found(page: Any) -> str:
    return str(page.inner_text("#found"))


def _count(page: Any, facet: str, value: str) -> str:
    line = page.locator(".facet", has=page.get_by_text(facet, exact=True)).locator("label", has_text=value)
    return str(line.first.locator(".count").text_content())


def test_it_opens_with_the_answer_and_a_band_leads_to_its_questions(opened: Opener) -> None:
    page = opened()
    assert page.locator("h1.answer").bounding_box()["y"] < 300
    assert page.locator("#explorer").is_hidden()
    band = page.get_by_role("button", name="Show 2 from MaybeKnown at base to HighlyKnown at stage1")
    band.focus()
    page.keyboard.press("Enter")
    assert page.locator("#report").is_hidden()
    assert _found(page) == "2 of 12 questions"


def test_search_filters_and_order_show_counts_and_stand_in_the_address(opened: Opener) -> None:
    page = opened("#questions")
    assert _found(page) == "12 of 12 questions"
    assert _count(page, "Moved: base → stage2", "upgraded") == "4"
    page.get_by_label("upgraded").first.check()
    assert _found(page) == "4 of 12 questions"
    assert _count(page, "Moved: base → stage2", "unchanged") == "4"  # a filter does not count for its own values
    assert _count(page, "Questions", "test") == "0"
    page.locator("#sort").select_option("question, A to Z")
    page.locator("#search").fill("FACT 4")
    assert page.locator("#rows [role=option]").all_inner_texts()[0].startswith("What is train fact 4?")
    again = opened(page.evaluate("location.hash"))
    assert again.locator("#search").input_value() == "FACT 4"
    assert again.locator("#sort").input_value() == "question, A to Z"
    assert _found(again) == "1 of 12 questions"
    again.locator("#clear").click()
    assert _found(again) == "12 of 12 questions"


def test_a_question_shows_every_answer_with_its_reason_and_hostile_text_stays_text(opened: Opener) -> None:
    page = opened("#questions?open=train/train-0004")
    text = page.inner_text("#detail")
    assert "gold 4" in text
    assert "0 of 4 greedy answers right: P_correct 0.00 (95 % interval 0.00–0.49)" in text
    assert "the category would change with a chance of" in text
    assert "no accepted answer is in it" in text
    assert "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2>" in text
    assert "⟨U+202E⟩" in text
    assert "⟨U+0000⟩" in text
    assert "{{ 7*7 }} ${7*7} &lt;b&gt;" in text
    assert page.evaluate("window.pwned") is None
    assert page.locator("#detail img, #detail svg, #rows script, #report img").count() == 0
    page.goto(page.url.replace("train/train-0004", "test/test-0003"))
    page.wait_for_function("document.querySelector('#detail-title')?.textContent.includes('test fact 3')")
    assert "(empty)" in page.inner_text("#detail")


def test_the_policy_stops_what_is_not_of_the_page(written: Path, browser: Any, tmp_path: Path) -> None:
    html = written.read_text(encoding="utf-8")
    planted = html.replace("<footer>", "<script>window.pwned=1</script><p id=p style='color:red'></p><footer>")
    (tmp_path / "page.html").write_text(planted, encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("getComputedStyle(document.getElementById('p')).color") != "rgb(255, 0, 0)"
    assert page.evaluate("fetch('http://127.0.0.1:9').then(() => 'sent', (error) => error.name)") == "TypeError"
    page.close()


def test_the_keyboard_is_enough(opened: Opener) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-questions"
    page.locator("#rows").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    row = page.evaluate("document.getElementById('rows').getAttribute('aria-activedescendant')")
    wanted = page.locator(f"#{row} .text").inner_text()
    page.keyboard.press("Enter")
    assert page.locator("#detail-title").inner_text() == wanted
    assert page.evaluate("document.activeElement.id") == "detail"
    page.keyboard.press("Escape")
    assert page.locator("#detail").is_hidden()
    assert page.evaluate("document.activeElement.id") == "rows"


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 360)])
def test_axe_finds_nothing_and_nothing_sticks_out(opened: Opener, scheme: str, width: int) -> None:
    script = AXE.read_bytes()
    assert hashlib.sha256(script).hexdigest() == AXE_DIGEST
    for address in ("", "#questions?open=train/train-0004"):
        page = opened(address, width=width, scheme=scheme)
        page.evaluate(script.decode("utf-8"))
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations)")
        shown = {one["id"]: [node["html"][:200] for node in one["nodes"]][:3] for one in found}
        assert shown == {}
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_colours_follow_the_system_and_can_be_switched(opened: Opener) -> None:
    page = opened(scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light


def test_it_prints_the_report_and_not_the_questions(opened: Opener) -> None:
    page = opened("#questions")
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator("#report").is_visible()
    assert page.locator("#explorer").is_hidden()


def test_what_was_found_can_be_saved(opened: Opener, tmp_path: Path) -> None:
    page = opened("#questions?questions=training&q=fact+4")
    for button, name in (("#save-csv", "questions.csv"), ("#save-jsonl", "questions.jsonl")):
        with page.expect_download() as saved:
            page.locator(button).click()
        saved.value.save_as(tmp_path / name)
    with (tmp_path / "questions.csv").open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["id"], row["category: base (measured)"], row["greedy right: base (measured)"]) == ("train-0004", "never right", "0")  # fmt: skip
    (line,) = (tmp_path / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    found = json.loads(line)["categories"][0]
    assert (found["view"], len(found["greedy"]), found["greedy"][0]["right"]) == ("base (measured)", 4, False)


def test_ten_thousand_questions_are_filtered_at_once_and_few_are_in_the_page(opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "many.html").write_text(page_of(many_questions()), encoding="utf-8")
    page = opened("#questions", file=tmp_path / "many.html")
    assert _found(page) == "10,000 of 10,000 questions"
    took = page.evaluate(
        "() => { const start = performance.now(); document.getElementById('facet-1-0').click(); return performance.now() - start; }"
    )
    assert took < 1000  # 100 ms is what is wanted; see the benchmark
    assert _found(page) != "10,000 of 10,000 questions"
    page.locator("#rows").focus()
    page.keyboard.press("End")
    assert page.locator("#rows [role=option]").count() < 60
    size = page.evaluate("Number(document.querySelector('#rows [role=option]').getAttribute('aria-setsize'))")
    assert page.locator("#rows .active").get_attribute("aria-posinset") == str(size)


def test_the_pages_of_a_comparison_and_of_an_experiment_open_in_the_browser_too(opened: Opener, tmp_path: Path) -> None:
    folder = tmp_path / "core"
    for seed in (0, 1):
        make_arm(folder / f"runs/one/seed-{seed}", seed, gained=2, stages=1)
        make_arm(folder / f"runs/two/seed-{seed}", seed, gained=6, stages=2)
    file = {"name": "core", "recipe": "demo", "arms": {"one": None, "two": None}, "seeds": [0, 1]}
    write_json(folder / "experiment.yaml", file)
    write_experiment(folder)
    runs = [str(folder / f"runs/{arm}/seed-1") for arm in ("one", "two")]
    with pytest.raises(SystemExit, match="0"):
        main(["compare", *runs, "-o", str(tmp_path / "both")])
    for path, width in ((folder / "experiment.html", 360), (tmp_path / "both" / "comparison.html", 1280)):
        page = opened(file=path, width=width)
        assert page.locator("h1.answer").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations)")
        assert [(one["id"], one["help"]) for one in found] == []
    page.get_by_text("Questions", exact=False).first.click()
    assert page.locator("#explorer").is_visible()
    assert _found(page) == "24 of 24 questions"
