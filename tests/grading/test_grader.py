"""Asking a grader: once for each different pair, in batches that are kept, and never for an empty answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from grading_helpers import ScriptedGrader, by_word, given_in, identity, make_grader, pair
from kft_tasks.grading.grader import Grade, Grader
from kft_tasks.grading.prompt import published_prompt
from kft_tasks.grading.verdict import Verdict


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFT_CACHE", str(tmp_path / "cache"))


def verdicts(grader: Grader, texts: Sequence[str]) -> list[str]:
    return [grader.grade(pair(text)).verdict.value for text in texts]


def test_verdicts_are_the_models_and_the_reply_is_kept() -> None:
    with identity().open_cache() as cache:
        grader, _ = make_grader(cache, ScriptedGrader(lambda given: by_word(given).lower() + "."))
        texts = ["yes", "no", "what?"]
        grader.ask(map(pair, texts))
        assert verdicts(grader, texts) == ["CORRECT", "INCORRECT", "NOT_ATTEMPTED"]
        assert grader.grade(pair("yes")) == Grade(Verdict.CORRECT, "correct.")


def test_each_different_pair_is_asked_once_also_across_runs() -> None:
    with identity().open_cache() as cache:
        grader, answerer = make_grader(cache)
        grader.ask(map(pair, ["yes", "no", "yes", " yes "]))
        grader.ask(map(pair, ["no", "never"]))
        assert sorted(map(given_in, answerer.prompts)) == ["never", "no", "yes"]
        assert grader.asked == 3

    def refuse() -> Any:
        raise AssertionError("the model was loaded")

    with identity().open_cache() as cache:
        again = Grader(published_prompt(), cache, refuse)
        again.ask(map(pair, ["yes", "no", "never", ""]))
        assert verdicts(again, ["yes", "no", "never"]) == ["CORRECT", "INCORRECT", "INCORRECT"]
        assert again.asked == 0


def test_an_empty_answer_is_no_attempt_and_is_not_asked() -> None:
    with identity().open_cache() as cache:
        grader, answerer = make_grader(cache)
        grader.ask([pair(""), pair(" \n ")])
        assert not answerer.prompts
        assert grader.grade(pair(" \n")) == Grade(Verdict.NOT_ATTEMPTED, None)


def test_nonsense_is_unreadable_and_not_asked_again() -> None:
    for _ in range(2):
        with identity().open_cache() as cache:
            grader, answerer = make_grader(cache, ScriptedGrader(lambda given: "I think it is CORRECT"))
            grader.ask([pair("yes")])
            assert grader.grade(pair("yes")) == Grade(Verdict.UNREADABLE, "I think it is CORRECT")
    assert not answerer.prompts


def test_batches_are_kept_one_by_one_and_as_small_as_the_engine_wants() -> None:
    class Fragile(ScriptedGrader):
        max_batch = 4

        def open(self, requests: Sequence[Any]) -> Any:
            assert len(requests) <= 4
            if len(self.prompts) >= 8:
                raise KeyboardInterrupt
            return super().open(requests)

    texts = [f"answer {number}" for number in range(15)]
    with identity().open_cache() as cache:
        grader, _ = make_grader(cache, Fragile())
        with pytest.raises(KeyboardInterrupt):
            grader.ask(map(pair, texts))
    with identity().open_cache() as cache:
        assert len(cache) == 8
        grader, answerer = make_grader(cache)
        grader.ask(map(pair, texts))
        assert list(map(given_in, answerer.prompts)) == texts[8:]


def test_with_a_chat_template_the_prompt_is_one_message_of_the_user() -> None:
    seen: list[Any] = []

    def render(messages: list[dict[str, str]]) -> str:
        seen.append(messages)
        return messages[0]["content"]

    with identity(chat=True).open_cache() as cache:
        answerer = ScriptedGrader()
        grader = Grader(published_prompt(), cache, lambda: (answerer, render))  # type: ignore[arg-type,return-value]
        grader.ask([pair("yes")])
    assert seen == [[{"role": "user", "content": published_prompt().text(pair("yes"))}]]
