"""``kft run`` killed at random and in front of its file operations, and resumed by the same command.

``KFT_ATTACK_KILLS`` is the number of random kills; ``all`` is one in front of every file operation, and 200 at random.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import kill_runs
from kill_runs import spread


def test_killed_runs_end_as_undisturbed_ones(tmp_path: Path) -> None:
    """Also: two undisturbed runs are the same, report.json to the byte but for its block of times and machine."""
    asked, seed = os.environ.get("KFT_ATTACK_KILLS", "3"), os.environ.get("KFT_ATTACK_SEED", "1")
    kills = ["--sweep", "--kills", "200"] if asked == "all" else ["--kills", asked]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, kill_runs.__file__, str(tmp_path / "project"), "--seed", seed, *kills]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout
    result = json.loads(done.stdout.splitlines()[-1])
    found = {kind: result[kind] for kind in ("differing", "lost", "stuck", "litter", "tracebacks")}
    assert found == {kind: [] for kind in found}
    assert result["kills"] >= (200 if asked == "all" else int(asked))
    assert result["operations"] > 300
    assert result["files"] > 30


def test_the_operations_of_a_sweep_are_all_of_them_in_a_spread_order() -> None:
    for count in (1, 2, 7, 100, 483, 700):
        order = spread(count)
        assert sorted(order) == list(range(1, count + 1))
        assert len({number * 4 // (count + 1) for number in order[:8]}) >= min(count, 4)
