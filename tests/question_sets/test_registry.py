from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kft_tasks.errors import UnavailableError, UsageError
from kft_tasks.files import cache_folder
from kft_tasks.question_sets.loaders import worldfacts
from kft_tasks.question_sets.registry import SETS, open_set
from kft_tasks.question_sets.splits.splitting import question_word
from kft_tasks.questions import SPLITS, read_questions

Write = Callable[..., Path]
ROWS = [{"question": f"Q{n}?", "answers": ["A"], "type": "t", "split": "train"} for n in range(3)]


def test_sets_are_named_described_and_complete() -> None:
    assert list(SETS) == [
        "worldfacts",
        "entityquestions",
        "wikiqa",
        "questions",
        "popqa",
        "triviaqa",
        "nq_open",
        "simpleqa",
    ]
    for name, info in SETS.items():
        assert info.name == name
        assert all((info.title, info.description, info.source, info.licence, info.types, info.version))
        assert set(info.splits) <= set(SPLITS)
        assert all(option.help for option in info.options)


def test_unknown_set_and_option_suggest_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no question set 'popqq'. Did you mean 'popqa'"):
        open_set("popqq")
    with pytest.raises(UsageError, match=r"unknown option 'relations'. Did you mean 'relation'"):
        open_set("entityquestions", options={"relations": "P17"})
    with pytest.raises(UsageError, match=r"popqa: unknown option 'x'. Known: deduplicate, remove_overlap"):
        open_set("popqa", options={"x": 1})
    with pytest.raises(UsageError, match="Use true or false"):
        open_set("entityquestions", options={"single_answer": "maybe"})
    with pytest.raises(UsageError, match=r"is empty. Name at least one"):
        open_set("entityquestions", options={"relation": " , "})
    with pytest.raises(UsageError, match="Write it as text"):
        open_set("simpleqa", options={"exemplars_from": 3})
    with pytest.raises(UsageError, match="Write names separated by commas"):
        open_set("entityquestions", options={"relation": 17})


@pytest.mark.skipif(not worldfacts.PACKAGED.exists(), reason="the packaged file is not built")
def test_worldfacts_needs_nothing() -> None:
    questions = open_set("worldfacts")
    counts = {split: sum(1 for _ in questions.split(split)) for split in SPLITS}
    assert counts == dict(SETS["worldfacts"].sizes)
    assert sum(counts.values()) == sum(1 for _ in read_questions(worldfacts.PACKAGED))


def test_explicit_path_wins_over_environment(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    own = write(tmp_path / "own" / "a.jsonl", ROWS[:1])
    named = write(tmp_path / "named" / "b.jsonl", ROWS[:2])
    write(tmp_path / "all" / "questions" / "c.jsonl", ROWS)

    def count(path: Path | None = None) -> int:
        questions = open_set("questions", path)
        return sum(1 for split in ("train", "exemplars") for _ in questions.split(split))

    monkeypatch.setenv("KFT_DATA", str(tmp_path / "all"))
    assert count() == 3
    monkeypatch.setenv("KFT_DATA_QUESTIONS", str(named))
    assert count() == 2
    assert count(own) == 1
    monkeypatch.setenv("KFT_DATA_QUESTIONS", str(tmp_path / "gone"))
    with pytest.raises(UnavailableError, match=r"KFT_DATA_QUESTIONS: .*gone does not exist"):
        count()


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("KFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "kft"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Who is it?", "who"),
        ("To whom was it given?", "who"),
        ("In which year did it happen?", "which"),
        ("how much is it", "how_many"),
        ("How many are there?", "how_many"),
        ("How is it?", "how"),
        ("Name the capital.", "other"),
        ("whatever happened", "other"),
        ("When and where?", "when"),
    ],
)
def test_question_words(text: str, word: str) -> None:
    assert question_word(text) == word


def test_importing_the_sets_loads_nothing_heavy() -> None:
    code = (
        "import sys, kft_tasks.question_sets.registry\n"
        "heavy = {'datasets', 'pyarrow', 'huggingface_hub', 'torch', 'transformers', 'lm_eval', 'requests'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
