"""The sign-flip test: would the signs of whole clusters, or of seeds, come out like this by chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SEED = 20_240_505
"""Of every random draw here, unless a caller passes another."""

SIGN_FLIPS = 9_999  # with the observed signs 10,000; up to 13 clusters that change, all 2**13 patterns are enumerated


@dataclass(frozen=True)
class SignFlip:
    """A two-sided sign-flip test: its p, the smallest p in reach, and whether all patterns of signs were enumerated."""

    p: float
    smallest_p: float
    exact: bool

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)


def sign_flip_test(sums: Sequence[float] | Floats, *, flips: int = SIGN_FLIPS, seed: int = SEED) -> SignFlip:
    """Two-sided p of "before and after are interchangeable": the signs of whole clusters (or seeds) are coins.

    Source: Fisher 1935, *The Design of Experiments*, section 21. Exact by ``scipy.stats.permutation_test`` where all
    patterns fit into ``flips``; otherwise that many random patterns and the observed one (Phipson and Smyth 2010,
    Statistical Applications in Genetics 9: (1 + extreme) / (1 + flips), never 0). Drawn here, since scipy takes 0.4
    seconds for 300 clusters and 3.3 for 2,000. Clusters whose sum is 0 say nothing, as in McNemar's test.
    Measured level at 5 % with shares of ten exemplar sets, 4,000 data sets each: 4.5 with 8 types, 4.5 with 21, 5.0
    with 300. With right and wrong answers ties make it careful: 3.2, 4.1 and 4.4.

    Args:
        sums: total change per cluster, shape (clusters,), or mean change per seed, shape (seeds,).
        flips: number of random patterns.
        seed: of the random patterns.
    """
    import numpy as np

    values = np.asarray(sums, dtype=float)
    values = values[abs(values) > 1e-12]
    count = len(values)
    if count == 0:
        return SignFlip(1.0, 1.0, True)
    if 2**count <= flips:
        return SignFlip(_exact_sign_flip_p(tuple(values.tolist())), smallest_p(count), True)
    rng = np.random.default_rng(seed)
    observed = abs(values.sum()) * (1 - 1e-9)  # sums that differ by rounding alone are equal
    sizes = np.sort(abs(values))  # so that p does not depend on the order of the clusters
    extreme = 0
    rows = max(1, 20_000_000 // count)
    for start in range(0, flips, rows):
        signs = rng.integers(0, 2, (min(rows, flips - start), count), dtype=np.int8)
        extreme += int((abs(2 * (signs @ sizes) - sizes.sum()) >= observed).sum())
    return SignFlip((1 + extreme) / (1 + flips), max(smallest_p(count), 1 / (1 + flips)), False)


@lru_cache(maxsize=65536)  # a call takes some milliseconds, and the same seeds are asked about more than once
def _exact_sign_flip_p(values: tuple[float, ...]) -> float:
    import numpy as np
    from scipy.stats import permutation_test

    if len(values) == 1:
        return 1.0  # scipy asks for two observations; one sign is a coin that says nothing
    found = permutation_test(
        (np.array(values),),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
        alternative="two-sided",
    )
    return min(1.0, float(found.pvalue))


def smallest_p(count: int) -> float:
    """The smallest two-sided p of a sign-flip test with this many clusters or seeds: ``2 / 2**count``."""
    return min(1.0, 2.0 ** (1 - count))
