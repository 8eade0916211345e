"""The comparison as a page: what became of each question between the runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from comparison_runs import run_with, worded_run

from kft_cli.comparison.compare import compare_loaded, load_named
from kft_cli.comparison.page import comparison_page, headline, write_comparison
from kft_cli.display.tables import Table
from kft_cli.html.record import PageData, data_of_page
from kft_cli.report.report import write_report


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    first = run_with(folder / "first", [True] * 8 + [False] * 2, seed=1)
    return [first, run_with(folder / "second", [True] * 6 + [False] * 3 + [True], seed=1)]


def test_every_question_has_the_answers_of_each_run_and_the_pair_says_what_became_of_it(
    runs: list[Path], tmp_path: Path
) -> None:
    loaded = load_named(runs)
    comparison = compare_loaded(loaded, None, with_paper=True)
    page = write_comparison(tmp_path / "out", comparison, loaded)
    assert {path.name for path in page.parent.iterdir()} == {"comparison.json", "comparison.md", "comparison.html"}
    html = page.read_text(encoding="utf-8")
    assert html.index("Settings that differ") < html.index('id="test-accuracy"')
    assert "169,164" in html
    data = data_of_page(html, "page")
    assert data is not None
    assert [test.label for test in data.tests] == ["first, 4 exemplars", "second, 4 exemplars", "first, no exemplars", "second, no exemplars"]  # fmt: skip
    pair = data.pairs[0]
    assert (pair.label, pair.gained, pair.lost) == ("first → second, 4 exemplars", "fixed", "regressed")
    right = [
        tuple(one.answers[one.tested[number][0]].ok for number in (pair.before, pair.after)) for one in data.questions
    ]
    assert (right.count((False, True)), right.count((True, False)), right.count((False, False))) == (1, 2, 1)
    (table,) = [block for block in comparison_page(comparison, loaded).opening if isinstance(block, Table)]
    assert table.rows[0][:7] == ("first → second", "4", "1", "2", "1", "6", "0")
    words = headline(comparison)
    assert words.startswith("second against first, with 4 exemplars: ")
    assert words.endswith("Of 10 test questions it does better on 1 and worse on 2.")


def test_answers_are_those_of_the_rule_that_compares(tmp_path: Path) -> None:
    """Answers in a sentence are right for the first run's rule and wrong for the other's."""
    first = worded_run(tmp_path / "first", "answer_stated")
    second = worded_run(tmp_path / "second", "exact_match")
    loaded = load_named([first, second])
    data = comparison_page(compare_loaded(loaded, None, with_paper=False), loaded).questions
    assert data is not None
    assert {one.answers[one.tested[1][0]].ok for one in data.questions} == {True}
    assert {test.scorer for test in data.tests} == {"answer_stated"}


def test_the_page_beside_a_report_lends_its_answers_unless_it_is_of_another_run(
    runs: list[Path], tmp_path: Path
) -> None:
    def questions(*paths: Path) -> PageData | None:
        loaded = load_named(paths)
        return comparison_page(compare_loaded(loaded, None, with_paper=False), loaded).questions

    published = write_report(runs[1], tmp_path / "published").parent
    found, wanted = questions(runs[0], published), questions(*runs)
    assert found is not None
    assert wanted is not None
    assert found.questions == wanted.questions
    other = write_report(runs[0], tmp_path / "other").with_name("report.html")
    (published / "report.html").write_bytes(other.read_bytes())
    assert questions(runs[0], published) is None
    (published / "report.html").unlink()
    assert questions(runs[0], published) is None


def test_where_nothing_can_be_paired_the_page_says_why(runs: list[Path], tmp_path: Path) -> None:
    other = run_with(tmp_path / "other", [True] * 8)
    loaded = load_named([runs[0], other])
    comparison = compare_loaded(loaded, None, with_paper=False)
    page = comparison_page(comparison, loaded)
    assert page.questions is None
    assert "different test questions" in page.answer
    (table,) = [block for block in page.opening if isinstance(block, Table)]
    assert table.rows[0][2:] == (*["–"] * 6, "not paired: different test questions")
    assert "holds numbers only" in page.why_none
    alone = load_named([other])
    assert headline(compare_loaded(alone, None, with_paper=False)) == "There is only other, so no runs are compared."
