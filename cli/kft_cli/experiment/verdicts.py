"""What the data say about each hypothesis: supported, contradicted or not settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kft_cli.experiment.differences import Difference, Place, Quantity, Runs, compare, growth_of_gain
from kft_cli.experiment.hypothesis import Hypothesis
from kft_cli.stats.intervals import ALPHA, holm, is_clear
from kft_cli.stats.power import detectable_over_seeds
from kft_cli.stats.seeds import SeedsChange, t_test_p
from kft_cli.stats.sign_flips import sign_flip_test, smallest_p

Verdict = Literal["supported", "contradicted", "not settled"]


@dataclass(frozen=True)
class Answer:
    """The answer to one hypothesis.

    Attributes:
        difference: what was compared.
        p: of "no difference", by the test of the hypothesis; None where it cannot be tested.
        p_small: of "a difference of just the smallest size of interest"; None where that is 0.
        holm_p, holm_p_small: each corrected over all hypotheses.
        p_sign_flips, p_crossed_t: of "no difference", by both tests.
        smallest_p: that the test could have reached; 0 for Student's t.
        detectable: difference whose interval would have excluded 0 in 80 % of repetitions; None if unknown.
        large_enough: whether the interval is wholly beyond the smallest difference of interest.
        why: what decided, in a few words.
    """

    hypothesis: Hypothesis
    difference: Difference
    p: float | None
    p_small: float | None
    holm_p: float | None
    holm_p_small: float | None
    p_sign_flips: float | None
    p_crossed_t: float | None
    smallest_p: float
    detectable: float | None
    large_enough: bool
    verdict: Verdict
    why: str


def answer_all(hypotheses: Sequence[Hypothesis], runs: Runs) -> list[Answer]:
    """Answer every hypothesis; p is corrected (Holm) over all of them.

    Two errors are possible, and each happens to any of the hypotheses in at most 5 % of experiments: to take no
    difference for one (``p``), and to take one of the smallest size of interest for a smaller one (``p_small``). A
    hypothesis is supported if its corrected p is below .05, its interval excludes 0, and the difference has the right
    direction; it is contradicted by as clear a difference in the other direction, or if p and interval exclude a
    difference as large as the smallest of interest.
    """
    tested = [_tested(one, runs) for one in hypotheses]
    corrected = _corrected([one.p for one in tested])
    corrected_small = _corrected([one.p_small for one in tested])
    return [_decided(one, p, small) for one, p, small in zip(tested, corrected, corrected_small, strict=True)]


@dataclass(frozen=True)
class _Tested:
    hypothesis: Hypothesis
    difference: Difference
    p: float | None
    p_small: float | None
    p_sign_flips: float | None
    p_crossed_t: float | None
    smallest_p: float


def difference_of(hypothesis: Hypothesis, runs: Runs) -> Difference:
    """What a hypothesis compares."""
    if hypothesis.measure == "growth_of_gain":
        return growth_of_gain(runs, hypothesis.arm)
    against = hypothesis.against
    assert against is not None  # checked when it was read
    other = Place(against.arm or hypothesis.arm, against.point)
    return compare(Quantity.of(hypothesis), runs, Place(hypothesis.arm, hypothesis.point), other)


def smallest_of(hypothesis: Hypothesis) -> float:
    """The smallest difference of interest with its sign: a share; nats per token of text_loss."""
    size = hypothesis.smallest if hypothesis.measure == "text_loss" else hypothesis.smallest / 100
    return size if hypothesis.direction == "higher" else -size


def _tested(hypothesis: Hypothesis, runs: Runs) -> _Tested:
    difference = difference_of(hypothesis, runs)
    smallest = smallest_of(hypothesis)
    by_signs = hypothesis.test == "sign_flips"
    flips, crossed = _sign_flips(difference, 0.0), _crossed_t(difference, 0.0)
    small = None
    if smallest:
        small = _sign_flips(difference, smallest) if by_signs else _crossed_t(difference, smallest)
    reach = smallest_p(len(difference.shifted(0.0))) if by_signs else 0.0
    return _Tested(hypothesis, difference, flips if by_signs else crossed, small, flips, crossed, reach)


def _sign_flips(difference: Difference, value: float) -> float | None:
    shifted = difference.shifted(value)
    return sign_flip_test(shifted).p if len(shifted) > 1 else None


def _crossed_t(difference: Difference, value: float) -> float | None:
    change = difference.deciding
    return None if change is None or change.mean is None else t_test_p(change.mean - value, change)


def _corrected(ps: Sequence[float | None]) -> list[float | None]:
    found = iter(holm([p for p in ps if p is not None]))
    return [None if p is None else next(found) for p in ps]


def _decided(tested: _Tested, holm_p: float | None, holm_small: float | None) -> Answer:
    change = tested.difference.deciding
    verdict, why = _verdict(tested, change, holm_p, holm_small)
    return Answer(
        **{key: getattr(tested, key) for key in tested.__dataclass_fields__},
        holm_p=holm_p,
        holm_p_small=holm_small,
        detectable=None if change is None else detectable_over_seeds(change).effect,
        large_enough=_beyond(change, smallest_of(tested.hypothesis)),
        verdict=verdict,
        why=why,
    )


def _verdict(
    tested: _Tested, change: SeedsChange | None, holm_p: float | None, holm_small: float | None
) -> tuple[Verdict, str]:
    if change is None or change.mean is None:
        return "not settled", tested.difference.reason or "Nothing was compared."
    if change.low is None or change.high is None or holm_p is None:
        return "not settled", change.reason or "There are too few seeds for a test."
    sign = 1 if tested.hypothesis.direction == "higher" else -1
    smallest = abs(smallest_of(tested.hypothesis))
    clear = is_clear(holm_p, change.low, change.high)
    if clear and sign * change.mean < 0:
        return "contradicted", "a clear difference in the other direction"
    far = change.high if sign > 0 else -change.low
    if holm_small is not None and holm_small < ALPHA and far < smallest:
        return "contradicted", "clearly smaller than the smallest difference of interest"
    if clear and smallest and not _beyond(change, smallest_of(tested.hypothesis)):
        return "supported", "a clear difference in this direction; it may be smaller than the one of interest"
    if clear:
        return "supported", "a clear difference in this direction"
    return "not settled", _unsettled(tested, change, holm_p)


def _unsettled(tested: _Tested, change: SeedsChange, holm_p: float) -> str:
    inside = change.low is not None and change.high is not None and change.low <= 0 <= change.high
    if inside:
        return "the interval contains 0"
    if tested.p is not None and tested.p <= tested.smallest_p * (1 + 1e-9) and holm_p >= ALPHA:
        return "all seeds agree, and so few of them cannot show more after the correction"
    return "p is not below .05 after the correction"


def _beyond(change: SeedsChange | None, smallest: float) -> bool:
    if change is None or change.low is None or change.high is None:
        return False
    return change.low >= smallest if smallest > 0 else change.high <= smallest if smallest < 0 else False


def reach_sentence(answers: Sequence[Answer]) -> str | None:
    """Why no sign-flip test over so few seeds could have supported any of so many hypotheses; None where one could."""
    by_signs = [one for one in answers if one.hypothesis.test == "sign_flips" and one.p is not None]
    count = sum(one.p is not None for one in answers)
    if not by_signs:
        return None
    reached = min(one.smallest_p for one in by_signs) * count
    if reached < ALPHA:
        return None
    needed = next(seeds for seeds in range(2, 60) if smallest_p(seeds) * count < ALPHA)
    return (
        f"With so few seeds the sign-flip test cannot support any of {count} hypotheses: its smallest p, corrected for "
        f"all of them, is {min(1.0, reached):.3g}. {needed} seeds can."
    )
