"""constraints.txt: pip refuses a package that is pinned twice, and only on a machine that has not installed it yet."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]


def test_every_package_is_pinned_once() -> None:
    counts = Counter(canonicalize_name(pin.name) for pin in PINS)
    assert [name for name, count in counts.items() if count > 1] == []


def test_every_pin_is_one_version() -> None:
    assert [str(pin) for pin in PINS if [each.operator for each in pin.specifier] != ["=="]] == []


def test_what_the_development_environment_asks_for_is_pinned_within_its_bounds() -> None:
    pins = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in PINS}
    wanted = [Requirement(line) for line in requires("kft") or []]
    environments = [{"extra": extra} for extra in ("", "dev", "build-data")]
    direct = [one for one in wanted if one.marker is None or any(one.marker.evaluate(each) for each in environments)]
    assert len(direct) > 30
    outside = [
        str(one)
        for one in direct
        if canonicalize_name(one.name) != "kft"
        and not one.specifier.contains(pins.get(canonicalize_name(one.name), "0"), prereleases=True)
    ]
    assert outside == []
