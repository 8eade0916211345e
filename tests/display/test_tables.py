from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from kft_cli.display.tables import (
    Code,
    Figure,
    Section,
    change,
    count_and_share,
    difference,
    duration,
    make_table,
    markdown_document,
    markdown_table,
    number,
    p_value,
    percent,
    plain,
    points,
    share,
    terminal_text,
)
from kft_tasks.visible_text import visible

HOSTILE = (
    "a|b",
    "<script>alert(1)</script>",
    "\u202egnp.exe",
    "line\nbreak\r\n\r\n# heading",
    "`code` *bold* __init__ ~~gone~~ $x$",
    "[link](http://evil.example) ![x](y) www.evil.example http://evil.example <http://evil.example>",
    "&lt;b&gt; &#124; \\| \\\\|",
    "\x00\x1b[31mred\x7f\u200b\ufeff",
    "x" * 10_000,
    "",
    "---",
    "  ",
)


def cells_of(markdown: str) -> list[list[str]]:
    """Texts of the table cells, as a renderer for GitHub's Markdown reads them."""
    rows: list[list[str]] = []
    inline = False
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(markdown):
        if token.type == "tr_open":
            rows.append([])
        inline = token.type in ("td_open", "th_open") or inline
        if token.type == "inline" and inline:
            kinds = {child.type for child in token.children or []}
            assert kinds <= {"text", "text_special"}, (token.content, kinds)
            rows[-1].append("".join(child.content for child in token.children or []))
            inline = False
    return rows


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_cell_shows_as_itself_and_breaks_nothing(text: str) -> None:
    table = make_table("what | n >", [[visible(text, 80), "1"], ["next", "2"]])
    rows = cells_of(markdown_table(table))
    assert rows == [["what", "n"], [visible(text, 80), "1"], ["next", "2"]]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_paragraph_holds_no_markup(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(f"before {plain(text, 80)} after")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in tokens[1].children or []} <= {"text", "text_special"}


def test_hidden_characters_are_named_and_long_text_is_cut() -> None:
    assert visible("a\u202eb\u200bc") == "a⟨U+202E⟩b⟨U+200B⟩c"
    assert visible("x" * 10_000, 5) == "xxxxx … (+9,995 characters)"
    assert visible("naïve – «日本» é") == "naïve – «日本» é"
    assert visible("\ud800") == "⟨U+D800⟩"


def test_ordinary_text_stays_readable() -> None:
    for text in ("capital_of_country", "148: 29.6 % (25.8–33.7)", "< 0.001", "stage1 → stage2", "a #1, 2 + 3"):
        assert plain(text) == text


def test_links_do_not_come_alive() -> None:
    assert plain("http://x.org www.x.org") == "http\\://x.org www\\.x.org"


def test_a_code_block_cannot_be_ended_from_within() -> None:
    text = markdown_document("t", [Section("s", (Code("a: 1\n```\n<b>\u202e", "yaml"),))])
    fences = [token for token in MarkdownIt().parse(text) if token.type == "fence"]
    assert [fence.content for fence in fences] == ["a: 1\n```\n<b>⟨U+202E⟩\n"]


def test_a_row_of_the_wrong_width_is_refused() -> None:
    with pytest.raises(ValueError, match="3 cells under 2"):
        make_table("a | b", [["1", "2", "3"]])


def test_the_terminal_shows_the_same_cells_as_markdown() -> None:
    table = make_table("what | n >", [["<b>|[red]x[/red]", "1,234"]], "*Caption.*")
    text = terminal_text([Section("Title", ("A **bold** word.", table, Figure("a.png", "not shown")))], 60)
    assert "<b>|[red]x[/red]" in text
    assert "1,234" in text
    assert "A bold word." in text
    assert "Caption." in text
    assert "not shown" not in text
    assert "\x1b" not in text


def test_numbers_are_written_one_way() -> None:
    assert [number(1234), number(0.5), number(1234.0), number(None)] == ["1,234", "0.5", "1,234", "–"]
    assert [percent(0.1234), percent(None)] == ["12.3 %", "–"]
    assert [points(0.012), points(-0.004), points(-0.0001), points(None)] == ["+1.2", "−0.4", "0.0", "–"]
    assert change(-0.13) == "−13.0 %"
    assert [p_value(0.0001), p_value(0.0123), p_value(1.0)] == ["< 0.001", "0.012", "1.000"]
    assert [duration(0.84), duration(42), duration(59.7), duration(3725)] == [
        "0.8 s",
        "42 s",
        "1 min 00 s",
        "1 h 02 min",
    ]
    values = {"count": 31, "n": 120, "share": 31 / 120, "low": 0.189, "high": 0.343}
    assert share(values) == "25.8 % (18.9–34.3)"
    assert count_and_share(values) == "31 of 120: 25.8 % (18.9–34.3)"
    assert share({"share": None}) == "–"
    assert difference({"difference": 0.044, "low": -0.011, "high": 0.098}) == "+4.4 (−1.1 to +9.8)"
    assert difference(None) == "–"
