from __future__ import annotations

import pytest

from kft_cli.report.paper import load_paper, paper_runs


def test_every_number_has_a_source_and_the_rows_add_up() -> None:
    paper = load_paper()
    for run in paper["runs"]:
        first = run["first_detection"]
        assert "2410.05802" in first["source"]
        assert sum(first["counts"].values()) == run["n"] == 169_164
        for step in run["transitions"]:
            assert "2410.05802" in step["source"]
            if step["before"] == "base":
                assert {row: sum(line.values()) for row, line in step["matrix"].items()} == first["counts"]


def test_the_papers_rates_follow_from_its_counts() -> None:
    a, b, c = paper_runs()
    assert a["stages"][0]["never_right_any_more"]["share"] == pytest.approx(0.0927, abs=1e-4)
    assert b["stages"][0]["never_right_any_more"]["share"] == pytest.approx(0.0254, abs=1e-4)
    assert a["highly_known"] == [34_426, 49_959, 53_691]
    assert a["growth_of_gain"] == pytest.approx(19_265 / 15_533 - 1)
    assert (a["stages"][0]["greedy_upgraded"]["count"], a["stages"][0]["greedy_upgraded"]["n"]) == (29_498, 134_738)
    assert b["growth_of_gain"] is None
    assert c["stages"] == []
