from __future__ import annotations

import pytest

from kft_cli.stats.spread import spread
from kft_tasks.errors import UsageError


def test_spread_has_students_interval() -> None:
    found = spread([0.1, 0.2, 0.3])
    assert (found.mean, found.deviation) == pytest.approx((0.2, 0.1))
    assert (found.low, found.high) == pytest.approx((0.2 - 4.302653 * 0.1 / 3**0.5, 0.2 + 4.302653 * 0.1 / 3**0.5))
    assert spread([0.4]).low is None


def test_equal_runs_have_an_interval_without_width() -> None:
    found = spread([0.4, 0.4])
    assert (found.deviation, found.low, found.high) == (0.0, 0.4, 0.4)


def test_spread_of_no_runs_is_refused() -> None:
    with pytest.raises(UsageError, match="no values"):
        spread([])
