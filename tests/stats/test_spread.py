from __future__ import annotations

import pytest

from kft_cli.stats.spread import spread
from kft_tasks.errors import UsageError


def test_spread_describes_the_values() -> None:
    found = spread([0.1, 0.2, 0.3])
    assert (found.n, found.least, found.most) == (3, 0.1, 0.3)
    assert (found.mean, found.deviation) == pytest.approx((0.2, 0.1))


def test_one_run_has_no_deviation_and_equal_runs_have_none_to_speak_of() -> None:
    assert spread([0.4]).deviation is None
    assert spread([0.4, 0.4]).deviation == 0.0


def test_spread_of_no_runs_is_refused() -> None:
    with pytest.raises(UsageError, match="no values"):
        spread([])
