"""``kft check``: limits on forgetting, by the estimate or by the interval."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from arm_runs import make_arm
from experiment_runs import ArmEffect, World
from kft_cli.experiment.limits import Limits, check_limits
from kft_cli.experiment.values import RunValues
from kft_cli.main import main
from kft_tasks.errors import DataError, UsageError
from kft_tasks.evaluation.further_tasks import MetricRecord


def metric(value: float, *, higher: bool = True) -> MetricRecord:
    return MetricRecord(metric="acc", filter="none", value=value, stderr=None, higher_is_better=higher, values=None)


def run_of(gain: float, nats: float = 0.0) -> RunValues:
    (run,) = World({"arm": ArmEffect(gain=gain, nats=nats)}, (1,)).runs().values()
    return run


def test_a_loss_beyond_a_limit_is_found_and_a_smaller_one_is_not() -> None:
    run = run_of(-0.3, nats=0.1)
    kept, test, held, text = check_limits(run, Limits(forgotten=3, drop=1, text=0.05))
    assert all(row.passed for row in (kept, test, held, text))
    assert text.loss == pytest.approx(0.1, abs=0.02)
    assert kept.loss == pytest.approx(100 * (kept.before - kept.after))
    assert (kept.low or 0) < kept.loss < (kept.high or 0)
    assert not any(row.passed for row in check_limits(run, Limits(forgotten=99, drop=99, text=1)))
    assert not any(row.passed for row in check_limits(run_of(0.2), Limits(forgotten=0, drop=0)))


def test_confident_asks_for_the_whole_interval() -> None:
    run = run_of(-0.3)
    (row,) = check_limits(run, Limits(forgotten=1))
    assert row.low is not None
    between = (row.low + row.loss) / 2
    assert check_limits(run, Limits(forgotten=between))[0].passed
    assert not check_limits(run, Limits(forgotten=between, confident=True))[0].passed
    assert check_limits(run, Limits(forgotten=max(0, row.low - 0.1), confident=True))[0].passed


def test_further_tasks_fall_in_their_own_direction() -> None:
    tasks = {
        "base": {"acc_task": metric(0.5), "loss_task": metric(2.0, higher=False)},
        "stage1": {"acc_task": metric(0.47), "loss_task": metric(1.9, higher=False)},
    }
    run = dataclasses.replace(run_of(0.1), tasks=tasks)
    rows = {row.what: row for row in check_limits(run, Limits(drop=1)) if "_task" in row.what}
    assert rows["acc_task, acc"].loss == pytest.approx(3)
    assert rows["acc_task, acc"].passed
    assert rows["loss_task, acc"].loss == pytest.approx(-10)
    assert not check_limits(run, Limits(drop=1, confident=True))[-2].passed  # without an interval nothing is certain


def test_what_was_not_measured_is_an_error_and_never_within() -> None:
    run = run_of(0.1)
    with pytest.raises(UsageError, match="no limit to check"):
        check_limits(run, Limits())
    with pytest.raises(DataError, match=r"evaluation\.text: true"):
        check_limits(dataclasses.replace(run, text=None), Limits(text=1))
    with pytest.raises(DataError, match=r"evaluation\.measurement: true"):
        check_limits(dataclasses.replace(run, train=None), Limits(forgotten=1))
    assert run.train is not None
    unknown = dataclasses.replace(run.train, detected=np.zeros_like(run.train.detected))
    with pytest.raises(DataError, match="no HighlyKnown question"):
        check_limits(dataclasses.replace(run, train=unknown), Limits(forgotten=1))
    with pytest.raises(DataError, match="no stage"):
        check_limits(dataclasses.replace(run, points=("base",)), Limits(drop=1))


@pytest.mark.parametrize(("limit", "code"), [("--also-drop=90", 0), ("--also-drop=0", 1)])
def test_the_exit_code_says_whether_a_limit_was_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: str, code: int
) -> None:
    run = make_arm(tmp_path / "run", 0, gained=-4, stages=1)
    with pytest.raises(SystemExit) as ended:
        main(["check", str(run), limit, "--json"])
    assert ended.value.code == code
    found = json.loads(capsys.readouterr().out)
    assert found["within"] == (code == 0)
    assert found["rows"][0]["what"] == "test accuracy, 4 exemplars"
