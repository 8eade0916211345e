"""What is written into a page: the numbers of the Markdown, the questions of the run, and nothing that acts."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import measure_page
from kft_cli.display.svg import CATEGORY_COLOURS
from kft_cli.html.assets import digest, script, style
from kft_cli.html.collect import MAX_CHARACTERS, Collection, drawn
from kft_cli.html.page import Page, render_page
from kft_cli.html.record import AskingRecord, PageData, data_of_page
from kft_cli.html.run_questions import questions_of_run
from kft_cli.report.page import render_report_page
from kft_cli.report.render import render_report
from kft_cli.report.report import read_report
from kft_cli.report.run_data import read_run
from kft_tasks.errors import DataError
from kft_tasks.evaluation.evaluate import TestQuestion
from page_helpers import HOSTILE, hostile_run, many_questions, page_of
from report_helpers import large_run, small_run

RESULTS = Path(__file__).parents[2] / "results"


class _Reader(HTMLParser):
    """Tags with their attributes, the text outside of scripts, and the cells of tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.cells: list[str] = []
        self._within = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within = tag
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within in ("td", "th"):
            self.cells[-1] += data
        if self._within not in ("script", "style"):
            self.text.append(data)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> PageData:
    return questions_of_run(read_run(hostile_run(tmp_path_factory.mktemp("run") / "run")))


@pytest.mark.parametrize("name", ["worldfacts-full", "demo-small"])
def test_every_number_and_cell_of_the_markdown_is_on_the_page(name: str) -> None:
    report = read_report(RESULTS / name / "report.json")
    markdown, page = render_report(report), _Reader(render_report_page(report, None))
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
    pieces = [child.content for token in tokens for child in token.children or [token] if child.type in ("text", "fence", "code_inline")]  # fmt: skip
    inside = [tokens[place + 1] for place, token in enumerate(tokens) if token.type in ("td_open", "th_open")]
    cells = Counter("".join(child.content for child in cell.children or ()) for cell in inside)
    assert not cells - Counter(page.cells)
    numbers = Counter(number for piece in pieces for number in re.findall(r"\d[\d.,]*", piece))
    assert sum(numbers.values()) > 1000
    assert not numbers - Counter(number for text in page.text for number in re.findall(r"\d[\d.,]*", text))


def test_the_policy_names_the_pages_own_parts_and_nothing_else(questions: PageData) -> None:
    html = page_of(questions)
    found = _Reader(html)
    (policy,) = (attributes["content"] for tag, attributes in found.tags if attributes.get("http-equiv"))
    assert policy == (
        f"default-src 'none'; script-src '{digest(script())}'; style-src '{digest(style())}'; base-uri 'none'; "
        "form-action 'none'"
    )
    assert f"<style>{style()}</style>" in html
    assert f'<script type="module">{script()}</script>' in html
    assert not [name for _, attributes in found.tags for name in attributes if name == "style" or name.startswith("on")]
    links = [attributes[key] or "" for _, attributes in found.tags for key in ("src", "href") if key in attributes]
    assert all(link.startswith("#") for link in links)
    assert "</script" not in script()
    assert "import " not in script()
    for colour in CATEGORY_COLOURS.values():
        assert colour.lower() in style()


def test_names_of_the_modules_are_all_different() -> None:
    names = re.findall(r"^(?:async )?(?:function|class|const) (\w+)", script(), re.MULTILINE)
    assert Counter(names).most_common(1)[0][1] == 1
    assert len(names) > 40


def test_questions_have_their_categories_answers_reasons_and_trainings(questions: PageData) -> None:
    assert [view.label for view in questions.views] == [
        "base (measured)",
        "stage1 (measured)",
        "stage2 (measured)",
        "base (detection)",
        "stage1 (detection)",
        "base (test questions)",
    ]
    assert questions.views[0].levels[2:] == ["never right"] * 2
    assert questions.views[3].levels[2] == "WeaklyKnown"
    assert [test.label for test in questions.tests][:3] == ["base, 4 exemplars", "stage1, 4 exemplars", "stage2, 4 exemplars"]  # fmt: skip
    by_id = {one.id: one for one in questions.questions}
    assert len(by_id) == questions.of == 12
    one = by_id["train-0002"]
    assert [entry and entry.p for entry in one.sorted] == [(2, 4, 0, 0), (4, 4, 0, 0), (4, 4, 0, 0), (1, 2, 0, 0), (4, 4, 0, 0), None]  # fmt: skip
    assert one.sorted[3].g[2:] == [-1, -1]  # not asked: two answers had settled it
    assert [questions.stages[stage] for stage in one.trained] == ["stage1"]
    assert [(answer.text, answer.ok) for answer in one.answers] == [("gold 2", True), ("wrong", False), (one.answers[2].text, False)]  # fmt: skip
    assert all(answer.rule is not None for answer in one.answers)
    assert 0 < one.sorted[0].r < 1
    assert one.sorted[3].r is None
    sampled = by_id["train-0004"].sorted[3]
    assert [(by_id["train-0004"].answers[number].ok, times) for number, times in sampled.s] == [(False, 7), (True, 1)]
    assert questions.intervals["4/4"] == (0.5101, 1.0)
    assert by_id["test-0003"].tested[3] is not None
    assert by_id["test-0003"].answers[by_id["test-0003"].tested[3][0]].text == ""


def test_a_run_of_an_older_version_is_told_by_its_detections(tmp_path: Path) -> None:
    found = questions_of_run(read_run(small_run(tmp_path / "run")))
    assert [(view.label, view.told) for view in found.views] == [
        ("base", True),
        ("stage1", True),
        ("stage2", True),
        ("base (retest)", False),
        ("base (test questions)", False),
    ]
    assert [move.label for move in found.moves] == ["base → stage2", "base → stage1", "stage1 → stage2"]


def test_the_same_run_gives_the_same_page_and_the_page_gives_its_questions_back(questions: PageData) -> None:
    html = page_of(questions)
    assert html == page_of(PageData.model_validate_json(questions.model_dump_json()))
    assert data_of_page(html, "here") == questions
    assert data_of_page(render_page(Page("x", "Run", "y", (), (), {})), "here") is None


@pytest.mark.parametrize("damage", ["H4sIAAAA", "bm90IGd6aXA=", "*"])
def test_damaged_questions_are_named(questions: PageData, damage: str) -> None:
    html = re.sub(r'(type="application/gzip">)[^<]*', rf"\g<1>{damage.replace('*', 'AAA')}", page_of(questions))
    with pytest.raises(DataError, match=r"here: broken questions .* Write the page again"):
        data_of_page(html, "here")


def test_hidden_characters_and_endless_lines_are_shown_as_such(tmp_path: Path) -> None:
    found = Collection([("test", "a\x1b")])
    given = (HOSTILE, "\u202e" + "z" * 1_000_000, "\ud800")
    item = TestQuestion("a\x1b", "t\x00", "", "Who?\u200b", ("\x9b1m",), given, (False, False, False))
    found.add_test(AskingRecord(label="base", point="base", asked="4", scorer="answer_stated"), [item])
    made = found.data("x")
    (one,) = made.questions
    texts = [one.id, one.question, *one.accepted, *made.types, *(answer.text for answer in one.answers)]
    assert [char for text in texts for char in text if not char.isprintable()] == []
    assert all(len(text) < MAX_CHARACTERS + 200 for text in texts)
    assert one.answers[1].text.endswith("… (+998,001 characters)")
    assert "</script>" not in page_of(made).partition('id="questions"')[2].partition("</script>")[0]


def test_of_very_many_questions_some_are_drawn_by_their_ids() -> None:
    keys = [("train", str(number)) for number in range(50)]
    some = drawn(keys, 10)
    assert len(some) == 10
    assert some == drawn(keys, 10) == sorted(some, key=keys.index)
    assert set(some) == set(drawn(reversed(keys), 10))
    assert drawn(keys) == keys


def test_the_page_of_the_usual_size_is_small(tmp_path: Path) -> None:
    run = large_run(tmp_path / "run")
    html = page_of(questions_of_run(read_run(run)))
    assert len(html) < 200_000
    assert len(page_of(many_questions(2000))) < 500_000


def test_the_published_measurement_of_the_page_is_not_stale() -> None:
    data = json.loads((RESULTS / "page" / "page.json").read_text(encoding="utf-8"))
    assert (RESULTS / "page" / "README.md").read_text(encoding="utf-8") == measure_page.render(data)
    largest = data["results"][-1]
    assert largest["questions"] == 10_000
    assert largest["bytes"] < 5_000_000
    assert largest["first_paint_ms"] < 1000
    assert largest["filter_ms"] < 100
