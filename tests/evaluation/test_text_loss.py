"""Held-out text under a tiny model: the same number as lm-eval's, also where a passage is longer than the context."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from kft_tasks.errors import DataError
from kft_tasks.evaluation.text_loss import (
    PASSAGES,
    Passage,
    digest_passages,
    held_out_passages,
    measure_text,
    read_text_loss,
    write_text_loss,
)

SHORT = Passage(id="a", type="speech", source="test", text="The sea was calm, and nobody spoke.")
LONG = Passage(id="b", type="novel", source="test", text="It rained. " * 40)


def stock(lm: Any, passages: list[Passage]) -> list[float]:
    requests = [Instance("loglikelihood_rolling", {}, (passage.text,), i) for i, passage in enumerate(passages)]
    return [-value for value in lm.loglikelihood_rolling(requests, disable_tqdm=True)]


@pytest.mark.parametrize("longest", [2048, 50])
def test_loss_is_that_of_lm_eval(tiny_lm: Callable[..., Any], longest: int) -> None:
    lm = tiny_lm(max_length=longest)
    found = measure_text([SHORT, LONG], lm)
    assert [passage.tokens for passage in found.passages] == [35, 440]  # one token per byte
    if longest > 440:
        assert [passage.nats for passage in found.passages] == pytest.approx(stock(lm, [SHORT, LONG]), rel=1e-4)
    else:  # lm-eval lets the last piece of a long text see more than one token before it
        assert found.passages[0].nats == pytest.approx(stock(lm, [SHORT])[0], rel=1e-4)
        whole = measure_text([LONG], tiny_lm(max_length=2048)).passages[0].nats
        assert found.passages[1].nats != whole
        assert found.passages[1].nats == pytest.approx(whole, rel=0.5)


def test_file_is_read_back_and_a_broken_one_is_named(tiny_lm: Callable[..., Any], tmp_path: Path) -> None:
    found = measure_text([SHORT], tiny_lm())
    write_text_loss(tmp_path / "loss.json", found)
    assert read_text_loss(tmp_path / "loss.json", "Again.") == found
    text = (tmp_path / "loss.json").read_text(encoding="utf-8")
    (tmp_path / "loss.json").write_text(text.replace('"tokens": 35', '"tokens": 0'), encoding="utf-8")
    with pytest.raises(DataError, match=r"loss\.json: not a loss of held-out text \(passages\.0\.tokens"):
        read_text_loss(tmp_path / "loss.json", "Again.")


def test_packaged_passages_are_the_pinned_ones() -> None:
    passages = held_out_passages()
    assert len({passage.id for passage in passages}) == len(passages) == 40
    assert {passage.type for passage in passages} == {"speech", "novel"}
    assert all(80 <= len(passage.text.split()) <= 200 for passage in passages)
    assert hashlib.sha256(PASSAGES.read_bytes()).hexdigest() == FILE
    assert digest_passages(passages) != digest_passages(passages[:-1])


FILE = "496095068d7eae3cfd79dff9294a19a0057e0775e60d5bd527bbe46afe502f08"
