"""Commands that write a page: where it is, and --open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kft_cli.commands import demo
from kft_cli.commands.report import show_report
from kft_cli.main import main
from report_helpers import small_run

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["kft", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    addresses: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: addresses.append(address) or True)
    return addresses


def test_report_ends_with_the_path_of_its_page_and_opens_it_when_asked(
    tmp_path: Path, run: Run, opened: list[str]
) -> None:
    folder = small_run(tmp_path / "my run")
    code, _, err = run("report", folder, "--open")
    page = folder / "report" / "report.html"
    assert code == 0
    assert err.splitlines()[-1] == f"Page: {page}"
    assert page.is_file()
    assert opened == [page.as_uri()]
    assert "my%20run" in opened[0]


def test_demo_shows_its_report_as_every_run_does(
    tmp_path: Path, run: Run, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.md"
    monkeypatch.setattr("kft_cli.commands.report.read_json", lambda file: {})
    monkeypatch.setattr(demo, "execute", lambda *_, as_json, opened, **__: show_report(path, as_json=as_json, opened=opened))  # fmt: skip
    code, _, err = run("demo", "-o", tmp_path / "run", "--size", "small", "--json", "--open")
    assert code == 0
    assert err.splitlines()[-1] == f"Page: {path.with_name('report.html')}"
    assert opened == [path.with_name("report.html").as_uri()]


def test_a_machine_without_a_browser_says_so_and_goes_on(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    folder = small_run(tmp_path / "run")
    code, _, err = run("compare", folder, "-o", tmp_path / "out", "--open")
    assert code == 0
    assert f"{tmp_path / 'out' / 'comparison.html'}: there is no browser here." in err


def test_compare_has_nothing_to_open_without_a_folder(tmp_path: Path, run: Run) -> None:
    code, _, err = run("compare", tmp_path, "--open")
    assert code == 2
    assert "Name a folder for it with -o FOLDER." in err


def test_a_comparison_is_written_again_and_nothing_else_is_written_over(tmp_path: Path, run: Run) -> None:
    folder = small_run(tmp_path / "run")
    assert run("compare", folder, "-o", tmp_path / "out")[0] == 0
    assert run("compare", folder, "-o", tmp_path / "out")[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "comparison.json").write_text('{"mine": 1}', encoding="utf-8")
    code, _, err = run("compare", folder, "-o", tmp_path / "mine")
    assert code == 1
    assert "comparison.json" in err
    assert (tmp_path / "mine" / "comparison.json").read_text(encoding="utf-8") == '{"mine": 1}'
