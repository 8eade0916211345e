"""What a protocol's requests say about the end of an answer."""

from __future__ import annotations

import pytest

from kft_tasks.protocol.generation import cut_answer, generation_kwargs, stop_strings
from kft_tasks.protocol.protocol import Protocol


@pytest.mark.parametrize("template", ["qa", "slick"])
@pytest.mark.parametrize("sampled", [True, False])
def test_a_request_has_stop_strings_unless_blank_lines_are_skipped(template: str, sampled: bool) -> None:
    skipping, stopping = (Protocol(template=template, skip_blank_lines=skip) for skip in (True, False))
    assert stop_strings(skipping) == stop_strings(stopping) == ["\n"]
    settings = generation_kwargs(skipping, sampled=sampled)
    assert settings["until"] == []
    assert {**settings, "until": ["\n"]} == generation_kwargs(stopping, sampled=sampled)


def test_an_answer_on_the_next_line_is_an_answer_or_none() -> None:
    texts = [" Paris\nQ", "\n\nParis \n", "\n", ""]
    assert [cut_answer(text, Protocol()) for text in texts] == ["Paris", "Paris", "", ""]
    assert [cut_answer(text, Protocol(skip_blank_lines=False)) for text in texts] == ["Paris", "", "", ""]
