"""Hostile names in every place of a report that may hold text, and every output that shows it."""

from __future__ import annotations

import ast
import json
import re
import sys
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from kft_cli.comparison.compare import compare_runs
from kft_cli.comparison.render import render_comparison
from kft_cli.display.console import json_text, narrate, progress_bar
from kft_cli.display.tables import Code, Links, Section, make_table, markdown_document, terminal_text
from kft_cli.main import main
from kft_cli.pages import certainty_page
from kft_cli.pages.readme import render_headline
from kft_cli.pages.results import render_results
from kft_cli.report import figures
from kft_cli.report.render import render_report
from kft_cli.report.report import build_report, read_report, summarize
from kft_cli.studies import benchmark, train_benchmark
from kft_tasks.errors import DataError, KftError
from kft_tasks.visible_text import visible_message
from report_helpers import H, M, U, W, make_run

ROOT = Path(__file__).parents[2]
HOSTILE = (
    "\x1b[31m\x9b1m\x00\x07\u202e\u2066\u200b\ufeff<script>alert(1)</script><img src=x onerror=alert(1)>"
    "[x](javascript:alert(1))![i](http://e.example/i.png) a|b `c` ```d $e$ **f** www.e.example\n\n# g\n\n- h\n> i\n"
)
SHORT = "\x1b[1m\u202e<b>[x](y)![](z)|`*_$\n\n# g\n\n- h"
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _hidden(text: str) -> list[str]:
    return [ascii(char) for char in text if char != "\n" and unicodedata.category(char) in HIDDEN]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {new if key == old else key: _replaced(one, old, new) for key, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, old, new) for one in value]
    return new if value == old and isinstance(value, str) else value


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A report with every section."""
    points = {"base": [4, 3, 2, 2, 0, 0, 0, 0], "stage1": [4, 4, 4, 2, 1, 0, 0, 0], "stage2": [4, 2, 4, 4, 2, 1, 0, 0]}
    everywhere = {**points, "stage1-continued": [4, 4, 4, 3, 1, 0, 0, 0]}
    sets = [(True, False), (True, True), (False, False), (False, True)]
    answers = {point: {4: sets, 0: [True, point != "base", False, None]} for point in everywhere}
    run = make_run(
        tmp_path_factory.mktemp("run") / "run",
        {"base": [H, H, M, M, W, W, U, U], "stage1": [H, H, H, M, M, W, U, U]},
        answers,
        measurements=everywhere,
        others={point: [True, point != "base", False, None] for point in everywhere},
        types=("capital", "river"),
        first=[H, M, W, U],
    )
    return build_report(run)


@pytest.fixture(scope="module")
def hostile(sound: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report with a hostile text in every place where the reader of reports takes any text."""
    path = tmp_path_factory.mktemp("report") / "report.json"
    report, planted, errors = sound, [], []
    for number, text in enumerate(dict.fromkeys(_texts(sound))):
        for words in (HOSTILE, SHORT):  # some names have a largest length
            changed = _replaced(report, text, f"{text[:8]}{words}{number}")
            path.write_text(json.dumps(changed), encoding="utf-8")
            try:
                read_report(path)
            except KftError as error:
                errors.append(visible_message(str(error)))
            else:
                report = changed
                planted.append(text)
                break
    assert {"tiny", "tiny-model", "capital", "worldfacts"} <= set(planted), planted  # stages have plain names
    assert len(planted) > 40
    assert [error for error in errors if _hidden(error)] == []
    return report


@pytest.fixture(scope="module")
def harmless(hostile: dict[str, Any]) -> dict[str, Any]:
    """The same report with harmless names in the same places."""
    text = json.dumps(hostile)
    for words in (HOSTILE, SHORT):
        text = text.replace(json.dumps(words)[1:-1], "x")
    result: dict[str, Any] = json.loads(text)
    return result


def _shape(markdown: str) -> tuple[list[str], list[str]]:
    """Headings, tables and lists of a page by kind, and what should not be in it."""
    blocks, wrong = [], []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(markdown):
        if token.type.endswith(("_open", "_close")) or token.type == "fence":
            blocks.append(f"{token.type} {token.tag}")
        wrong += ["html"] if "html" in token.type else []
        for child in token.children or []:
            if child.type in ("html_inline", "link_open", "image"):
                target = str(child.attrs.get("href") or child.attrs.get("src") or "")
                if not re.fullmatch(r"(figures/)?[\w%.-]+(/[\w%.-]+)*\.(svg|md)", target):
                    wrong.append(f"{child.type} {target}")
    return blocks, wrong


def _check_page(hostile: str, sound: str) -> None:
    blocks, wrong = _shape(hostile)
    assert wrong == []
    assert blocks == _shape(sound)[0]  # nothing began or ended a heading, list, table or paragraph
    assert _hidden(hostile) == []
    hostile = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", hostile)  # nothing in a fence is a link
    assert re.findall(r"(?<!\\)www\.e|https?:(?=//e)", hostile) == []
    assert "U+202E" in hostile


def test_the_page_and_the_summary_of_a_report(hostile: dict[str, Any], harmless: dict[str, Any]) -> None:
    _check_page(render_report(hostile), render_report(harmless))
    assert _hidden(summarize(hostile)) == []
    assert "U+202E" in summarize(hostile)


def test_a_comparison(hostile: dict[str, Any], harmless: dict[str, Any], tmp_path: Path) -> None:
    paths = {}
    for name, report in (("hostile", hostile), ("sound", harmless)):
        for place in ("one", f"two\x1b<b>[x](y)\n# z {name}" if name == "hostile" else "two"):
            paths[name, place[:3]] = tmp_path / name / place / "report.json"
            paths[name, place[:3]].parent.mkdir(parents=True)
            paths[name, place[:3]].write_text(json.dumps(report), encoding="utf-8")
    data = {name: compare_runs([paths[name, "one"], paths[name, "two"]]) for name in ("hostile", "sound")}
    _check_page(render_comparison(data["hostile"]), render_comparison(data["sound"]))
    assert _hidden(render_comparison(data["hostile"], terminal=True)) == []


def test_the_pages_of_results(hostile: dict[str, Any], harmless: dict[str, Any], tmp_path: Path) -> None:
    for name, report, folder in (("hostile", hostile, "a](b) <b>\u202e"), ("sound", harmless, "a")):
        (tmp_path / name / folder).mkdir(parents=True)
        (tmp_path / name / folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    _check_page(render_results(tmp_path / "hostile"), render_results(tmp_path / "sound"))
    _check_page(render_headline("a](b)", hostile), render_headline("a", harmless))


def _settings(**changes: Any) -> dict[str, Any]:
    return {key: HOSTILE if value == "" else value for key, value in changes.items()}


def test_measurements_of_kft_itself() -> None:
    hardware = {"cpu": HOSTILE, "cores": 2, "memory_gb": 8, "accelerator": HOSTILE}
    versions = dict.fromkeys(("torch", "lm_eval", "transformers", "peft", "trl"), HOSTILE)
    common = _settings(model="", type_="", dtype="", threads=1, device="", batch_size=2, questions=3)
    cost = {"contender": HOSTILE, "questions": 3, "seconds": 1.0, "cpu_seconds": 1.0, "prefilled": 1, "decoded": 1}
    cost |= {"peak_mb": 1.0, "gflops": 1.0, "matmul_gflops": 1.0}
    detection = {"settings": common, "hardware": hardware, "versions": versions, "equality": {}, "results": [cost]}
    pair = {"round": 1, "ratio_cpu_seconds": 1.0, "ratio_seconds": 1.0, "largest_loss_difference": 0.0}
    result = {"round": 1, "cpu_seconds": 1.0, "seconds": 1.0, "steps": 1, "tokens": 1, "tokens_per_cpu_second": 1.0}
    results = [{**result, "contender": name, "load_before": 0.0, "losses": [1.0]} for name in ("kft", "plain")]
    settings = {**common, "epochs": 1, "dropout": 0.0, "rounds": 1}
    training = {"settings": settings, "hardware": hardware, "versions": versions, "pairs": [pair], "results": results}
    for render, data in ((benchmark.render, detection), (train_benchmark.render_training, training)):
        plain = json.loads(json.dumps(data).replace(json.dumps(HOSTILE)[1:-1], "x"))
        _check_page(render(data, markdown=True), render(plain, markdown=True))
        assert _hidden(render(data)) == []


def test_the_page_of_certainty() -> None:
    data = json.loads((ROOT / "results" / "certainty" / "certainty.json").read_text(encoding="utf-8"))
    changed = {**data, "model": HOSTILE, "file": HOSTILE}
    _check_page(certainty_page.render(changed, markdown=True), certainty_page.render(data, markdown=True))
    assert _hidden(certainty_page.render(changed)) == []


def test_figures(hostile: dict[str, Any], sound: dict[str, Any], tmp_path: Path) -> None:
    tags = {drawing.name: [one.tag for one in drawing.root.iter()] for drawing in figures.drawings(sound)}
    for drawing in figures.drawings(hostile):
        tree = ET.parse(drawing.save(tmp_path))  # it is XML
        texts = [text for one in tree.iter() for text in (one.text, *one.attrib.values()) if text]
        assert [found for text in texts for found in _hidden(text)] == []
        assert max(len(one.text or "") for one in tree.iter("{http://www.w3.org/2000/svg}text")) <= 60
        assert [one.tag for one in drawing.root.iter()] == tags[drawing.name]
        assert [cell for row in drawing.table.rows for cell in row]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("prose", [HOSTILE, f"**{HOSTILE}**", f"`a` {HOSTILE}", f"`a\n` {HOSTILE} `", f"\\{HOSTILE}"])
def test_a_paragraph_that_forgot_to_escape_holds_no_markup_that_acts(prose: str) -> None:
    table = make_table(["a|b\x1b"], [[HOSTILE]], prose)
    blocks = (prose, table, Code(HOSTILE), Links(((HOSTILE, "javascript:alert(1)"),)))
    page = markdown_document(HOSTILE, [Section(HOSTILE, blocks)], (prose,))
    assert _hidden(page) == []
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(page)
    kinds = [token.type for token in tokens] + [child.type for token in tokens for child in token.children or []]
    assert not {"html_inline", "html_block", "image", "blockquote_open"} & set(kinds)
    assert kinds.count("heading_open") == 2
    targets = [child.attrs["href"] for token in tokens for child in token.children or [] if child.type == "link_open"]
    assert targets == ["javascript%3Aalert%281%29"]
    assert _hidden(terminal_text([Section(HOSTILE, blocks)])) == []


def test_narration_progress_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    narrate(f"Model {HOSTILE}")
    with progress_bar(HOSTILE, overall=HOSTILE) as progress:
        progress(1, 2, HOSTILE)
    captured = capsys.readouterr()
    assert _hidden(captured.err) == []
    assert "# g" in captured.err
    assert not [line for line in captured.err.splitlines() if line.startswith("# g")]  # no line of its own
    value = {HOSTILE: [HOSTILE, "\ud800", "é", "\U000e0001"]}
    assert _hidden(json_text(value)) == []
    assert json.loads(json_text(value)) == value
    assert "é" in json_text(value)


def test_errors_name_what_was_typed_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31m\u202e\nError: all is well"
    for arguments in (["report", name], ["run", f"{name}/x.yaml"], ["detect", name], ["data", "show", name], [name]):
        with pytest.raises(SystemExit):
            main(arguments)
        err = capsys.readouterr().err
        assert _hidden(err) == []
        assert sum(line.startswith("Error: ") for line in err.splitlines()) == 1, err
        assert "⟨U+001B⟩" in err or name not in err


def test_an_error_in_several_lines_does_not_look_like_two() -> None:
    assert visible_message("a\nError: b\n  c") == "a\n  Error: b\n  c"


def test_lm_evals_face_shows_errors_without_control_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kft_tasks.harness import patches

    monkeypatch.setitem(sys.modules, "lm_eval._cli", sys)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    patches.show_errors_in_one_line()
    sys.excepthook(DataError, DataError(HOSTILE), None)
    assert _hidden(capsys.readouterr().err) == []


def test_commands_print_by_the_functions_that_clean() -> None:
    allowed = {"display/console.py", "main.py"}
    for path in (ROOT / "cli" / "kft_cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or path.relative_to(ROOT / "cli" / "kft_cli").as_posix() in allowed:
                continue
            called = ast.unparse(node.func)
            assert called not in ("click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"), path
            assert called != "print" or "worker(" in ast.unparse(node), path  # a worker answers in JSON
