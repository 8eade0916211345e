from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kft_tasks import limits, strict_json
from kft_tasks.strict_json import check_memory, iterate_array, parse_json, parse_json_leniently

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_sound_json_is_read_as_the_standard_library_reads_it(value: Any, escaped: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=indent)
    assert parse_json(text) == parse_json_leniently(text) == json.loads(text)


@pytest.fixture(scope="module", params=[1 << 20, 0], ids=["short", "long"])
def step(request: pytest.FixtureRequest) -> Iterator[None]:
    """All texts count as short, which are decoded as a whole, or as long ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "_STEP", request.param)
        yield


@pytest.mark.usefixtures("step")
@given(st.lists(VALUES), st.sampled_from([None, 1]))
def test_an_array_is_read_entry_by_entry(values: list[Any], indent: int | None) -> None:
    text = " \n" + json.dumps(values, indent=indent) + "\n"
    assert list(iterate_array(text)) == values


@pytest.mark.usefixtures("step")
@given(st.lists(VALUES, min_size=1), st.integers(0), st.integers(0, 255))
@example([{"\U00013c00": 0}], 3, 32)
def test_a_damaged_array_is_refused_or_what_the_standard_library_reads(values: list[Any], at: int, byte: int) -> None:
    text = json.dumps(values)
    at %= len(text)
    text = text[:at] + chr(byte) + text[at + 1 :]
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            list(iterate_array(text))
        return
    try:
        assert list(iterate_array(text)) == expected
    except (ValueError, TypeError):  # NaN, a huge number; no longer an array; half of a pair of surrogates
        half = any("\ud800" <= char <= "\udfff" for char in json.dumps(expected, ensure_ascii=False))
        assert "NaN" in text or "E" in text.upper() or not isinstance(expected, list) or half


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "NaN is not a number of JSON"),
        ('{"a": [-Infinity]}', "-Infinity is not a number of JSON"),
        ("[1e999]", "the number 1e999 is too large"),
        ('{"a": "\\ud800"}', "half a surrogate pair"),
        ('{"\\uDFFF": 1}', "half a surrogate pair"),
        ("1" * 5000, "Exceeds the limit"),
        ("[" * 100_000, "brackets nested deeper than 100"),
        ('["]",' * 101 + "1" + "]" * 101, "brackets nested deeper than 100"),
        ('["\\"]",' * 101 + "1" + "]" * 101, "brackets nested deeper than 100"),
        ('{"a":' * 101 + "1" + "}" * 101, "brackets nested deeper than 100"),
    ],
)
def test_what_json_has_no_value_for_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize(
    "entry", ["NaN", "1e999", '"\\ud800"', "[" * 300 + "]" * 300, "[" * 100_000, "1" * 5000, "nul", '"', "{", "1 2"]
)
def test_entries_are_held_to_the_same(entry: str) -> None:
    with pytest.raises(ValueError):
        list(iterate_array(f'[{{"a": "\\u00e9"}}, {entry}, 1]'))


def test_what_is_just_allowed() -> None:
    assert parse_json('"\\ud83d\\ude00"') == "\U0001f600"
    assert parse_json("[" * 100 + "]" * 100)
    assert len(parse_json("[" + "[]," * 500 + "[]]")) == 501  # many brackets, but not within each other
    assert str(parse_json_leniently("[NaN, Infinity]")) == "[nan, inf]"


def test_small_lists_without_number_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_JSON_MEMORY", 1 << 20)
    check_memory("[" + "[1]," * 5_000 + "1]")
    with pytest.raises(ValueError, match="would take over 1 MiB of memory"):
        check_memory("[" + "[1]," * 15_000 + "1]")


def test_a_long_array_is_read_through_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_LINE_BYTES", 40)
    monkeypatch.setattr(strict_json, "_STEP", 20)
    entries = [{"a": "x" * (number % 20)} for number in range(100)]
    text = json.dumps(entries, indent=0)
    assert list(iterate_array(text)) == entries
    broken = text[:-1] + ', {"a": nul}]' + " " * 100
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(broken)
    with pytest.raises(json.JSONDecodeError) as found:
        list(iterate_array(broken))
    assert str(found.value) == str(expected.value)  # the place in the file, not in the window
    with pytest.raises(ValueError, match="an entry of over 0 MiB"):
        list(iterate_array(text[:-1] + ',"' + "y" * 100 + '"]'))
