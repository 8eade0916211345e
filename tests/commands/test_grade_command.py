"""``kft grade`` against a server that grades by a script: table, cache, resume after a kill, nonsense, measurement."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grading_helpers import GradingServer, by_word, category_file, grading_server, judged_pairs
from kft_cli.main import main
from kft_tasks.categories.category_file import CategoryFile
from kft_tasks.evaluation.evaluate import Answered, write_answers
from kft_tasks.files import cache_folder
from kft_tasks.grading.graded_file import GradedFile

Run = Callable[..., tuple[int, str, str]]
TEXTS = {"a": ["yes indeed", "oh yes", "no"], "b": ["no", "", "what?"], "c": ["yes", "no", "nonsense"]}
JUDGED = [("yes", True), ("so it is", True), ("no", False), ("yes and no", False), ("what?", False)]


def server_options(server: GradingServer) -> list[str]:
    return ["--backend", "local-completions", "--model", "judge", "--backend-args", f"base_url={server.url}"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """``kft grade`` with a server; code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(server: GradingServer, *arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["grade", *map(str, arguments), *server_options(server)])
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return category_file(tmp_path / "facts.categories.jsonl", TEXTS)


def cells(out: str) -> list[list[str]]:
    """The lines of the tables, as their cells."""
    return [[cell for cell in line.split("  ") if cell.strip()] for line in out.splitlines()]


def row(out: str, first: str) -> list[str]:
    """The cells of the line that begins with ``first``."""
    return next([cell.strip() for cell in line] for line in cells(out) if line and line[0].strip() == first)


def test_the_verdicts_are_shown_beside_the_rules_and_where_they_differ(run: Run, file: Path) -> None:
    with grading_server() as server:
        code, out, err = run(server, file)
    assert code == 0, err
    assert row(out, "stored answers") == [
        "stored answers",
        "CORRECT",
        "INCORRECT",
        "NOT_ATTEMPTED",
        "unreadable",
        "all",
    ]
    assert row(out, "right by exact_match") == ["right by exact_match", "1", "0", "0", "0", "1"]
    assert row(out, "wrong by exact_match") == ["wrong by exact_match", "2", "6", "3", "0", "11"]
    assert row(out, "different answers") == ["different answers", "3", "4", "2", "0", "9"]
    assert "they disagree on 2 different ones" in " ".join(out.split())
    graded = file.with_name("facts.graded.jsonl")
    lines = graded.read_text().splitlines()
    for name in ("yes indeed", "oh yes"):
        (where,) = [line[0] for line in cells(out) if any(cell.strip() == name for cell in line)]
        number = int(where.strip().removeprefix("facts.graded.jsonl:"))
        assert json.loads(lines[number - 1])["given"] == name
    assert f"Verdicts: {graded}" in err


def test_the_second_run_asks_nothing_and_says_the_same(run: Run, file: Path, tmp_path: Path) -> None:
    with grading_server() as server:
        first = run(server, file, "--json")
        asked = len(server.work)
        again = run(server, file, "--json", "-o", tmp_path / "again.jsonl")
        assert len(server.work) == asked
    different = {(id_, text) for id_, given in TEXTS.items() for text in given if text}
    assert asked == len({body["prompt"] for body in server.work}) == len(different)
    documents = [json.loads(out) for _, out, _ in (first, again)]
    assert [document["asked"] for document in documents] == [asked, 0]
    assert documents[0]["answers"] == documents[1]["answers"]
    assert (tmp_path / "again.jsonl").read_bytes() == file.with_name("facts.graded.jsonl").read_bytes()


def test_it_is_asked_at_temperature_0_for_a_few_tokens(run: Run, file: Path) -> None:
    with grading_server() as server:
        run(server, file)
    assert {body["temperature"] for body in server.work} == {0}
    assert {body["max_tokens"] for body in server.work} == {12}
    assert all("Accepted answers: yes" in body["prompt"] for body in server.work)


def test_a_grader_that_answers_nonsense_is_counted_and_not_guessed(run: Run, file: Path) -> None:
    def script(given: str) -> str:
        return "The answer is CORRECT, I suppose" if given in ("nonsense", "yes indeed") else by_word(given)

    with grading_server(script) as server:
        code, out, _ = run(server, file)
    assert code == 0
    assert row(out, "all") == ["all", "2", "4", "3", "3", "12"]
    assert "of the 9 stored answers with a readable verdict" in " ".join(out.split())
    assert "unreadable: The answer is CORRECT, I suppose" in out or "unreadable: The answer is CORRECT" in out
    graded = {row.given: row for _, row in GradedFile(file.with_name("facts.graded.jsonl"))}
    assert graded["nonsense"].verdict == graded["yes indeed"].verdict == "UNREADABLE"


def test_a_grader_that_was_never_measured_says_so_and_makes_no_categories(run: Run, file: Path) -> None:
    with grading_server() as server:
        code, out, err = run(server, file, "--apply")
        assert code == 2
        assert "never measured on judged answers" in err
        assert "kft grade --measure" in err
        assert not server.asked
        code, out, err = run(server, file)
    assert code == 0
    assert "NOT MEASURED" in out
    assert "NOT MEASURED" in err
    document = GradedFile(file.with_name("facts.graded.jsonl")).header
    assert document.agreement is None
    assert not file.with_name("facts.graded.categories.jsonl").exists()


def test_measuring_gives_accuracy_precision_and_recall_and_every_use_shows_them(
    run: Run, file: Path, tmp_path: Path
) -> None:
    pairs = judged_pairs(tmp_path / "pairs.jsonl", JUDGED)
    with grading_server(lambda given: "hm" if given == "what?" else by_word(given)) as server:
        code, out, _ = run(server, "--measure", "--pairs", pairs)
        assert code == 0
        measured = row(out, "grader")
        code, out, err = run(server, file, "--apply", "--json", "--allow-undecided")
        assert code == 0, err
        document = json.loads(out)
        code, out, err = run(server, file, "-o", tmp_path / "other.jsonl")
    assert measured[1].startswith("40.0 % (")  # "yes" and "no"; "so it is", "yes and no" are wrong, one is unreadable
    assert measured[2].startswith("50.0 % (")
    assert measured[3].startswith("50.0 % (")
    assert measured[4] == "1"
    assert row(out, "grader") == measured
    assert "NOT MEASURED" not in out + err
    for name, count, n in (("accuracy", 2, 5), ("precision", 1, 2), ("recall", 1, 2)):
        found = document["agreement"][name]
        assert (found["count"], found["n"]) == (count, n)
        assert found["low"] < found["share"] < found["high"]
    categories = CategoryFile(file.with_name("facts.graded.categories.jsonl"))
    assert categories.header.protocol.scorer == "graded:judge"
    assert categories.header.graded is not None
    assert categories.header.graded.judged == 5
    assert document["categories"]["file"] == str(categories.path)


def test_measuring_and_grading_in_one_command(run: Run, file: Path, tmp_path: Path) -> None:
    pairs = judged_pairs(tmp_path / "pairs.jsonl", JUDGED)
    with grading_server() as server:
        code, out, err = run(server, file, "--measure", "--pairs", pairs, "--apply")
    assert code == 0, err
    assert row(out, "grader")[1].startswith("60.0 % (")
    assert row(out, "rule answer_stated")[1].startswith("80.0 % (")
    assert "→ graded:judge" in out
    header = GradedFile(file.with_name("facts.graded.jsonl")).header
    assert header.agreement is not None
    assert header.agreement.pairs.name == "pairs.jsonl"


def test_answers_of_an_evaluation_are_graded_too(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    rows = [
        Answered(f"q{number}", "t", f"Is it {number}?", ("yes",), 4, given, right=False)
        for number, given in enumerate(["yes", "no"])
    ]
    write_answers(path, rows)
    with grading_server() as server:
        code, out, _ = run(server, path)
        assert code == 0
        assert row(out, "wrong by the file's rule") == ["wrong by the file's rule", "1", "1", "0", "0", "2"]
        code, _, err = run(server, path, "--apply")
    assert code == 2
    assert "holds no categories" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Nothing to grade"),
        (("--measure", "-o", "x"), "need a FILE"),
        (("--measure", "--apply"), "need a FILE"),
        (("FILE", "--pairs", "x"), "Add --measure"),
        (("--measure", "--pairs", "missing.jsonl"), "missing.jsonl: cannot be read"),
        (("missing.jsonl",), "missing.jsonl: cannot be read"),
    ],
)
def test_wrong_use_is_one_clear_error_before_anything_is_asked(
    arguments: tuple[str, ...], words: str, run: Run, file: Path
) -> None:
    with grading_server() as server:
        code, _, err = run(server, *[file if part == "FILE" else part for part in arguments])
        assert code != 0
        assert words in " ".join(err.split())
        assert "Traceback" not in err
        assert not server.asked


def test_a_backend_that_is_not_installed_says_how_to_install_it(
    file: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["grade", str(file), "--backend", "vllm", "--model", str(tiny_model)])
    assert stop.value.code == 1
    assert "Backend vllm needs vllm. Install it with" in capsys.readouterr().err
    assert not file.with_name("facts.graded.jsonl").exists()


def test_a_chat_template_that_only_the_server_knows_is_refused(run: Run, file: Path) -> None:
    with grading_server() as server:
        code, _, err = run(server, file, "--chat")
        assert code == 2
        assert "chat template is not known here" in err
        assert not server.work


def test_outputs_in_the_way_are_refused_before_anything_is_asked(run: Run, file: Path) -> None:
    graded = file.with_name("facts.graded.jsonl")
    graded.write_text("mine")
    with grading_server() as server:
        code, _, err = run(server, file)
        assert code == 1
        assert "--overwrite" in err
        assert not server.asked
        assert graded.read_text() == "mine"
        assert run(server, file, "--overwrite")[0] == 0


def test_a_killed_command_resumes_with_what_it_had_not_asked(file: Path, tmp_path: Path) -> None:
    texts: dict[str, Any] = {f"q{number}": [f"yes {number}", f"no {number}", "no"] for number in range(20)}
    path = category_file(tmp_path / "many.categories.jsonl", texts)
    environment = {**os.environ, "KFT_CACHE": str(cache_folder()), "CUDA_VISIBLE_DEVICES": ""}

    def slowly(given: str) -> str:
        time.sleep(0.02)
        return by_word(given)

    with grading_server(slowly) as server:
        command = [sys.executable, "-m", "kft_cli.main", "grade", str(path), *server_options(server)]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while len(server.work) < 40 and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        output = child.communicate()[0]
        assert child.returncode == -signal.SIGKILL, output.decode()
        assert not path.with_name("many.graded.jsonl").exists()
        before = [body["prompt"] for body in server.work]
        again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert again.returncode == 0, again.stderr
        after = [body["prompt"] for body in server.work[len(before) :]]
    assert len(set(before) | set(after)) == 60
    assert len(set(after)) == len(after)
    assert 20 <= len(after) <= 60 - 32  # of the 40 asked before the kill, whole batches of 16 were kept
    file_ = GradedFile(path.with_name("many.graded.jsonl"))
    assert all((row.verdict == "CORRECT") is row.given.startswith("yes") for _, row in file_)
    assert file_.header.rows == 60


@pytest.mark.model
def test_the_embedded_model_grades_weak_as_it_is(
    embedded_model: Path,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))
    pairs = judged_pairs(tmp_path / "pairs.jsonl", JUDGED)

    def call(*arguments: object) -> dict[str, Any]:
        with pytest.raises(SystemExit) as stop:
            main(["grade", *map(str, arguments), "--model", str(embedded_model), "--dtype", "float32", "--json"])
        captured = capsys.readouterr()
        assert not stop.value.code, captured.err
        document: dict[str, Any] = json.loads(captured.out)
        return document

    first = call(file, "--measure", "--pairs", pairs)
    again = call(file, "-o", tmp_path / "again.jsonl")
    assert first["asked"] == 8 + len(JUDGED)
    assert again["asked"] == 0
    assert first["agreement"] == again["agreement"]
    assert first["agreement"]["accuracy"]["n"] == len(JUDGED)
    counted = sum(sum(part.values()) for part in first["answers"].values())
    assert counted == 12
    readable = counted - sum(part["unreadable"] for part in first["answers"].values())
    assert readable > 6  # it follows the form; what it says is another matter, which is why it is measured
