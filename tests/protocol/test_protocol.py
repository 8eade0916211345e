from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from kft_tasks.errors import UsageError
from kft_tasks.protocol.protocol import EARLIER, Protocol


def test_defaults_are_slicks() -> None:
    protocol = Protocol()
    assert (protocol.exemplar_sets, protocol.shots, protocol.samples) == (10, 4, 16)
    assert (protocol.temperature, protocol.top_k) == (0.5, 40)
    assert protocol.sampled_total == 160


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exemplar_sets": 0}, "exemplar_sets is 0. Use 1 or more."),
        ({"shots": -1}, "shots is -1. Use 0 or more."),
        ({"samples": -1}, "samples is -1. Use 0 or more."),
        ({"top_k": 0}, "top_k is 0. Use 1 or more."),
        ({"max_tokens": 0}, "max_tokens is 0. Use 1 or more."),
        ({"seed": -1}, "seed -1 is out of range. Use 0 to"),
        ({"seed": 1 << 63}, "out of range"),
        ({"temperature": 10**400}, "temperature is out of range"),
        ({"shots": -(10**5000)}, "shots is out of range"),
        ({"temperature": 0}, "temperature is 0.0. Use a number above 0"),
        ({"temperature": -0.5}, "temperature is -0.5"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"shots": 0}, "with 0 shots all exemplar sets are the same. Set exemplar_sets to 1."),
        ({"scorer": "exact"}, "Did you mean 'exact_match'"),
        ({"template": "qaa"}, "Did you mean 'qa'"),
        ({"exemplar_sets": True}, "exemplar_sets is True. Use a value like 10."),
        ({"samples": False}, "samples is False"),
        ({"seed": True}, "seed is True"),
        ({"temperature": True}, "temperature is True"),
        ({"chat": 1}, "chat is 1. Use a value like False."),
        ({"chat": "no"}, "chat is 'no'"),
        ({"skip_blank_lines": "yes"}, "skip_blank_lines is 'yes'. Use a value like True."),
        ({"samples": 4.0}, "samples is 4.0"),
        ({"samples": "4"}, "samples is '4'"),
        ({"samples": None}, "samples is None"),
        ({"temperature": "0.5"}, "temperature is '0.5'"),
        ({"system": None}, "system is None"),
        ({"scorer": ["exact_match"]}, "scorer is"),
        ({"exemplars": "each"}, "exemplars is 'each'. Use fixed or per_question."),
    ],
)
def test_wrong_values_are_refused_and_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match="Protocol|Unknown") as caught:
        Protocol(**changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"exemplar_sets": 1, "shots": 0},
        {"samples": 0},
        {"seed": (1 << 63) - 1},
        {"temperature": 1e-9},
        {"top_k": 1, "max_tokens": 1},
        {"temperature": 2},
    ],
)
def test_values_at_the_border_are_taken(changes: dict[str, Any]) -> None:
    protocol = Protocol(**changes)
    assert Protocol.from_mapping(protocol.to_json()) == protocol


@pytest.mark.parametrize(("key", "near"), [("sample", "samples"), ("Temperature", "temperature"), ("topk", "top_k")])
def test_unknown_key_suggests_the_nearest(key: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"recipe.yaml: unknown key '{key}'. Did you mean '{near}'"):
        Protocol.from_mapping({key: 1}, "recipe.yaml")


def test_unknown_key_that_is_like_nothing_lists_what_is_known() -> None:
    with pytest.raises(UsageError, match=r"unknown key 'zzz'. Known: chat, exemplar_sets, exemplars, max_tokens"):
        Protocol.from_mapping({"zzz": 1})


OTHER: dict[str, Any] = {
    "exemplar_sets": 9,
    "shots": 3,
    "samples": 15,
    "temperature": 0.6,
    "top_k": 39,
    "max_tokens": 17,
    "scorer": "f1_at_least_half",
    "seed": 1,
    "template": "slick",
    "chat": True,
    "system": "Be brief.",
    "skip_blank_lines": False,
}
NEWER: dict[str, Any] = {"exemplars": "per_question"}  # left out of digests and files while they have their defaults


def test_a_digest_stays_what_it_was() -> None:
    """If it changed, existing journals and category files would be refused."""
    assert Protocol(**OTHER).digest() == "613adaaa471512734249d0639240f686d6b7508ea0635fc0f3ef38d12aafd99a"


def test_what_version_0_1_0_stored_is_the_same_protocol_and_not_todays_default() -> None:
    older = {name: value for name, value in Protocol().to_json().items() if name not in EARLIER}
    read = Protocol.from_stored(older)
    assert read == Protocol(skip_blank_lines=False)
    assert read.stored() == older
    assert read.digest() == "6702faea52660c6be0e2ecd3e36658b58ac8fb23d823b6ee53ef4577d495b69d"
    assert read.digest() != Protocol().digest()


@pytest.mark.parametrize("protocol", [Protocol(), Protocol(**OTHER)], ids=["default", "other"])
def test_a_stored_protocol_is_read_back(protocol: Protocol) -> None:
    assert Protocol.from_stored(protocol.stored()) == protocol
    assert Protocol.from_stored(protocol.to_json()) == protocol
    assert protocol.to_json().keys() == {field.name for field in dataclasses.fields(Protocol)}


def test_a_stored_protocol_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown key 'skip_blank_line'. Did you mean 'skip_blank_lines'"):
        Protocol.from_stored({"skip_blank_line": True})


def test_every_field_changes_the_digest() -> None:
    others = {**OTHER, **NEWER}
    assert set(others) == {field.name for field in dataclasses.fields(Protocol)}
    digests = {Protocol(**{name: value}).digest() for name, value in others.items()}
    assert len(digests) == len(others)
    assert Protocol().digest() not in digests


def test_digest_knows_values_not_spelling() -> None:
    assert Protocol(temperature=1).digest() == Protocol(temperature=1.0).digest()
    backwards = dict(reversed(Protocol(**OTHER).to_json().items()))
    assert Protocol.from_mapping(backwards).digest() == Protocol(**OTHER).digest()


def test_with_system_none_keeps_the_protocols_own() -> None:
    protocol = Protocol(system="Be brief.")
    assert protocol.with_system(None) is protocol
    assert protocol.with_system("").system == ""


def test_exemplars_per_question_are_written_and_the_usual_ones_are_not() -> None:
    assert "exemplars" not in Protocol().stored()
    own = Protocol(exemplars="per_question")
    assert Protocol.from_stored(own.stored()) == own
