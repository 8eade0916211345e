from __future__ import annotations

import pytest

from kft_tasks.engine.stop_strings import cut_at


@pytest.mark.parametrize(
    ("text", "stop", "at_once", "after_blank_lines"),
    [
        (" Paris", ["\n"], " Paris", " Paris"),
        (" Paris\nQuestion", ["\n"], " Paris", " Paris"),
        ("\nParis", ["\n"], "", "\nParis"),
        ("\n\n Paris\n\nQuestion", ["\n"], "", "\n\n Paris"),
        (" \t\r\n\u3000Paris \nx", ["\n"], " \t\r", " \t\r\n\u3000Paris "),
        ("\n \n", ["\n"], "", "\n \n"),  # nothing but blank lines: no answer
        ("", ["\n"], "", ""),
        ("\nParis, END\n", ["\n", "END"], "", "\nParis, "),  # the first one, in any order
        ("\nEND", ["END", "\n"], "", "\n"),  # a stop string that is not white space ends an empty answer
        (" END", ["END"], " ", " "),
        ("\nA\nB", ["\nA"], "", "\nA\nB"),  # one that begins in the blank lines is skipped with them
        ("\nParis\n", [], "\nParis\n", "\nParis\n"),
        ("\nParis\n", [""], "\nParis\n", "\nParis\n"),
    ],
)
def test_where_an_answer_is_cut(text: str, stop: list[str], at_once: str, after_blank_lines: str) -> None:
    assert cut_at(text, stop) == at_once
    assert cut_at(text, stop, skip_blank_lines=True) == after_blank_lines
