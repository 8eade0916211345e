"""A model that is ready to be asked: who answers, and prompts with or without its chat template."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kft_cli.pipeline import asking
from kft_tasks.models.choice import ModelChoice
from kft_tasks.protocol.exemplars import ExemplarPool
from kft_tasks.protocol.protocol import Protocol
from kft_tasks.questions import Question


@pytest.mark.parametrize("chat", [False, True])
def test_prompts_go_through_the_chat_template_where_the_protocol_says_so(
    chat: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []

    def load(choice: ModelChoice) -> Any:
        opened.append(choice)
        lm = SimpleNamespace(apply_chat_template=lambda messages: f"<chat>{messages[-1]['content']}")
        return SimpleNamespace(lm=lm, answerer=lambda protocol: ("answers under", protocol))

    monkeypatch.setattr(asking, "load_model", load)
    protocol = Protocol(exemplar_sets=1, shots=1, chat=chat)
    questions = [Question(f"e{n}", f"Exemplar {n}?", ("yes",), "t", "exemplars", f"s{n}") for n in range(3)]
    choice, pool = ModelChoice("m"), ExemplarPool(questions, protocol)

    answerer, prompts = asking.open_model(choice, protocol, pool)

    assert opened == [choice]
    assert answerer == ("answers under", protocol)
    prompt = prompts.prompt(Question("q", "Who?", ("me",), "t", "test", "s"), 0)
    assert "Who?" in prompt
    assert prompt.startswith("<chat>") is chat
