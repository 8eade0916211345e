"""`kft data`: every action, and every error as one message with what to do."""

from __future__ import annotations

import io
import json
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from kft_cli.main import main
from kft_tasks.question_sets.registry import SETS, open_set

HOSTILE = "\x1b[2J\x9b\u202egone\r"


@pytest.fixture(autouse=True)
def _no_data_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    for name in ("KFT_DATA", *(info.env for info in SETS.values())):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def refuse(*args: object, **kwargs: object) -> str:
        raise OSError("no network in tests")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run_main(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["data", *arguments])
        captured = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, captured.out, captured.err

    return run_main


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def question(number: int, split: str = "train", **more: Any) -> dict[str, Any]:
    return {"question": f"What is {number}?", "answers": [f"n {number}"], "type": "t", "split": split, **more}


@pytest.fixture
def leaky(tmp_path: Path) -> str:
    rows = [question(n) for n in range(4)] + [question(n, "exemplars") for n in range(10, 18)]
    return write(
        tmp_path / "leaky.jsonl", [*rows, {**question(3, "test"), "question": "what is  3"}, question(9, "test")]
    )


def test_list_shows_what_is_here(run: Any, leaky: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFT_DATA_QUESTIONS", leaky)
    code, out, err = run("list")
    assert (code, err) == (0, "")
    for name, info in SETS.items():
        assert f" {name} " in out
        assert name == "worldfacts" or name == "questions" or f"from: {info.source}" in out
    assert "169,164 train, 21,206 test" in out
    assert "14,267 in one split" in out
    assert "local, via KFT_DATA_QUESTIONS" in out
    assert leaky in out
    monkeypatch.setenv("KFT_DATA_POPQA", "/nowhere")
    assert "KFT_DATA_POPQA names a place that does not exist" in run("list")[1]

    rows = {row["name"]: row for row in json.loads(run("list", "--count", "--json")[1])}
    assert rows["questions"]["counted"] == {"train": 4, "test": 2, "exemplars": 8}
    assert rows["worldfacts"]["counted"] == rows["worldfacts"]["sizes"]
    assert rows["worldfacts"]["state"] == "embedded"
    assert (rows["triviaqa"]["state"], rows["triviaqa"]["counted"], rows["triviaqa"]["place"]) == ("absent", None, None)
    assert all({"deduplicate", "remove_overlap"} <= set(row["options"]) for row in rows.values())


def test_stats_warns_of_what_leaks_and_the_option_removes_it(run: Any, leaky: str) -> None:
    code, out, _ = run("stats", "questions", "--path", leaky)
    assert code == 0
    assert "in characters (Unicode code points)" in " ".join(out.split())
    assert "test: 1 of 2 questions (50.0 %) are also asked in train, 1 of them with the same answers." in out
    code, out, _ = run("stats", "questions", "--path", leaky, "--option", "remove_overlap=true", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["options"] == {"remove_overlap": True}
    assert data["notes"] == []
    assert data["left_out"] == {"train": {"also asked in exemplars, validation or test": 1}}
    assert data["splits"]["train"]["questions"] == 3
    assert data["splits"]["test"]["questions"] == 2


def test_check_says_what_is_wrong_and_fails(run: Any, leaky: str, tmp_path: Path) -> None:
    code, out, _ = run("check", "questions", "--path", leaky)
    assert code == 0
    assert "Nothing is wrong." in out
    assert "are also asked in train" in out
    few = write(
        tmp_path / "few.jsonl", [question(1, "test", type=HOSTILE), *(question(n, "exemplars") for n in range(4))]
    )
    code, out, _ = run("check", "questions", "--path", few)
    assert code == 1
    assert "too few for 10 different sets of 4" in out
    assert not set("\x1b\x9b\u202e\r") & set(out)
    code, out, _ = run("check", "questions", "--path", few, "--json")
    data = json.loads(out)
    assert (code, len(data["wrong"]), data["state"]) == (1, 1, "local")
    code, out, _ = run("check", "worldfacts", "--shots", "2")
    assert code == 0
    assert "train 1,411, validation 391" in out


def test_show_gives_the_prompts_that_detection_asks(run: Any) -> None:
    from kft_tasks.protocol.exemplars import ExemplarPool
    from kft_tasks.protocol.prompt_maker import PromptMaker
    from kft_tasks.protocol.protocol import Protocol

    arguments = ("show", "worldfacts", "-n", "2", "--prompts", "--exemplar-sets", "2", "--seed", "3")
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    source, protocol = open_set("worldfacts"), Protocol(exemplar_sets=2, seed=3)
    maker = PromptMaker(protocol, ExemplarPool(source.split("exemplars"), protocol))
    data = json.loads(run(*arguments, "--json")[1])
    assert data["total"] == 824
    by_id = {question.id: question for question in source.split("test")}
    for shown in data["questions"]:
        asked = by_id[shown["id"]]
        assert shown == asked.to_json()
        assert asked.question in out
        assert asked.answers[0] in out
        assert data["prompts"][asked.type] == [maker.prompt(asked, place) for place in range(2)]
        assert all(prompt in out for prompt in data["prompts"][asked.type])


def test_hostile_text_does_not_reach_the_terminal(run: Any, tmp_path: Path) -> None:
    rows = [question(n, "test", type=HOSTILE, subject=HOSTILE, id=f"{n}{HOSTILE}") for n in range(2)]
    rows += [{**question(n, "exemplars", type=HOSTILE), "answers": [HOSTILE, f"b{HOSTILE}"]} for n in range(2, 12)]
    rows = [{**row, "question": f"{HOSTILE} {row['question']}"} for row in rows]
    path = write(tmp_path / "hostile.jsonl", rows)
    for arguments in (
        ("show", "questions", "--prompts"),
        ("show", "questions", "--split", "exemplars"),
        ("show", "questions", "--type", "x"),
        ("stats", "questions"),
        ("check", "questions"),
    ):
        _, out, err = run(*arguments, "--path", path)
        assert not set("\x1b\x9b\u202e\r") & set(out + err), arguments


def test_export_is_read_back(run: Any, leaky: str, tmp_path: Path) -> None:
    code, out, err = run("export", "questions", "--path", leaky, "-o", "new/out.jsonl")
    assert (code, out) == (0, "new/out.jsonl\n")
    assert err == "questions: 4 train, 2 test, 8 exemplars\n"
    left, right = open_set("questions", leaky), open_set("questions", tmp_path / "new" / "out.jsonl")
    assert all(list(left.split(split)) == list(right.split(split)) for split in left.splits())
    code, out, err = run("export", "worldfacts", "--split", "test", "-o", "test.jsonl", "--json")
    assert json.loads(out) == {"set": "worldfacts", "file": "test.jsonl", "questions": {"test": 824}}
    assert (
        "some of its questions become exemplars" in run("export", "worldfacts", "--split", "test", "-o", "t.jsonl")[2]
    )


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("fetch", "popqq"), 2, "Did you mean 'popqa'?"),
        (("check", "popqq"), 2, "Did you mean 'popqa'?"),
        (("stats", "popqa"), 1, "KFT_DATA_POPQA=PLACE"),
        (("fetch", "triviaqa"), 1, "no network in tests"),
        (("fetch", "entityquestions"), 1, "no network in tests"),
        (("fetch", "questions"), 1, "say where your questions are"),
        (("show", "worldfacts", "--split", "tets"), 1, "It has train, validation, test, exemplars."),
        (("show", "worldfacts", "--type", "capital_of_contry"), 2, "Did you mean 'capital_of_country'?"),
        (("show", "worldfacts", "--prompts", "--exemplar-sets", "0"), 2, "Use 1 or more"),
        (("stats", "worldfacts", "--option", "dedup=true"), 2, "Did you mean 'deduplicate'?"),
        (("stats", "worldfacts", "--option", "deduplicate"), 2, "write KEY=VALUE"),
        (("stats", "questions", "--path", "gone.jsonl"), 1, "gone.jsonl does not exist"),
        (("export", "worldfacts", "-o", "/proc/here/out.jsonl"), 1, "cannot be written"),
        (("export", "worldfacts", "-o", "out.csv"), 2, "Name a .jsonl file"),
        (("export", "worldfacts", "-o", "mine.jsonl"), 1, "--overwrite"),
        (("export", "worldfacts", "--split", "x", "-o", "mine.jsonl", "--overwrite"), 1, "there is no split 'x'"),
    ],
)
def test_every_error_is_one_message_with_a_remedy(
    run: Any, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    (tmp_path / "mine.jsonl").write_text("mine", encoding="utf-8")
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert says in err
    assert err.count("Error:") == 1
    assert "Traceback" not in err
    assert (tmp_path / "mine.jsonl").read_text(encoding="utf-8") == "mine"
    found, out, _ = run(*arguments, "--json")
    assert (found, says in json.loads(out)["error"]) == (code, True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """EntityQuestions' zip on loopback; the list has what was asked for."""
    from kft_tasks.question_sets.loaders import entityquestions_source

    asked: list[str] = []
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for part in ("train", "dev", "test"):
            rows = [{"question": f"Which country is {part} {n} located in?", "answers": ["Here"]} for n in range(40)]
            bundle.writestr(f"dataset/{part}/P17.{part}.json", json.dumps(rows))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(buffer.getvalue())))
            self.end_headers()
            half = len(buffer.getvalue()) // 2
            self.wfile.write(buffer.getvalue()[:half])
            self.wfile.flush()
            threading.Event().wait(0.2)
            self.wfile.write(buffer.getvalue()[half:])

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.undo()
    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr(entityquestions_source, "URL", f"http://127.0.0.1:{http.server_address[1]}/dataset.zip")
    yield asked
    http.shutdown()
    thread.join()
    http.server_close()


def test_fetch_downloads_once_and_says_where(
    run: Any, server: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KFT_DATA", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folder = tmp_path / "cache" / "sets" / "entityquestions" / "dataset"
    code, out, err = run("fetch", "entityquestions")
    assert (code, out) == (0, f"{folder}\n")
    assert err.startswith("Fetching https://nlp.cs.princeton.edu")
    assert "entityquestions: cached, " in err
    assert "fetch entityquestions: done in " in err
    assert "dataset.zip: 1 of 1 MB" in err
    code, out, err = run("fetch", "entityquestions")
    assert (code, out) == (0, f"{folder}\n")
    assert "nothing to fetch" in err
    assert server == ["/dataset.zip"]
    data = json.loads(run("fetch", "entityquestions", "--json")[1])
    assert data["state"] == "cached"
    assert json.loads(run("check", "entityquestions", "--json")[1])["wrong"][0].startswith(
        "train: 40 questions instead of the published"
    )
