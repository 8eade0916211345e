"""Which questions belong together: types and subjects, and the clusters that they make under each reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kft_tasks.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.intp]


class Reading(str, Enum):
    """What a result speaks of; the value is the phrase that a report prints.

    Attributes:
        THESE_TYPES: the types are fixed and keep their shares; other subjects of the same types could have been asked.
        TYPES_LIKE_THESE: other types could have been asked; a type comes or goes with all of its questions.
    """

    THESE_TYPES = "these types"
    TYPES_LIKE_THESE = "types like these"


@dataclass(frozen=True)
class Clusters:
    """Clusters of one reading: which cluster each question is in, and which stratum each cluster is in.

    Attributes:
        of_question: cluster per question, shape (questions,).
        stratum: stratum per cluster, shape (clusters,); each stratum has two or more, unless there is but one.
        sizes: questions per cluster, shape (clusters,).
    """

    of_question: Codes
    stratum: Codes
    sizes: Floats

    @property
    def count(self) -> int:
        """Number of clusters."""
        return len(self.sizes)

    @cached_property
    def strata(self) -> int:
        """Number of strata."""
        return int(self.stratum.max()) + 1 if self.count else 0

    @property
    def comparable(self) -> bool:
        """Whether some stratum has two clusters, so that they can be seen to differ."""
        return self.count > self.strata

    @cached_property
    def degrees_of_freedom(self) -> float:
        """Effective clusters less one, summed over strata: clusters less strata where all are of one size; at least 1.

        Source: Carter, Schnepel and Steigerwald 2017 (Rev. Economics and Statistics 99) on the effective number.
        """
        members = self._members
        effective = (self.sizes @ members) ** 2 / (self.sizes**2 @ members)
        return max(1.0, float((effective - 1).sum()))

    @property
    def effective(self) -> float:
        """How many clusters of equal size say as much (Kish 1965, *Survey Sampling*): at most ``count``."""
        return float(self.sizes.sum() ** 2 / (self.sizes**2).sum())

    def sums(self, values: Floats) -> Floats:
        """Sum of the values of each cluster, shape (clusters,)."""
        import numpy as np

        return np.bincount(self.of_question, weights=values, minlength=self.count).astype(float)

    def variance(self, sums: Floats) -> Floats:
        """Jackknife variance of the mean over questions, from cluster sums of shape (..., clusters).

        Each cluster is left out in turn; a stratum keeps its share of the questions. Zero degrees of freedom give NaN.
        """
        import numpy as np

        members = self._members
        per_stratum = members.sum(axis=0)
        questions = self.sizes @ members
        means = (sums @ members) / questions
        rest = questions[self.stratum] - self.sizes
        with np.errstate(divide="ignore", invalid="ignore"):
            shifts = (sums - self.sizes * means[..., self.stratum]) / rest
        scale = (questions / questions.sum()) ** 2 * (per_stratum - 1) / per_stratum
        variance: Floats = (shifts**2) @ scale[self.stratum]
        return variance

    @cached_property
    def _members(self) -> Floats:
        import numpy as np

        members: Floats = (self.stratum[:, None] == np.arange(self.strata)).astype(float)
        return members


_SUBSETS_KEPT = 64


@dataclass(frozen=True)
class QuestionGroups:
    """Type and subject of each question, in the order of the values; a subject is one within its type."""

    types: Sequence[str]
    subjects: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.types) != len(self.subjects):
            raise UsageError(
                f"{len(self.types)} types and {len(self.subjects)} subjects do not describe the same questions. "
                "Pass one of each per question."
            )

    def __len__(self) -> int:
        return len(self.types)

    def clusters(self, reading: Reading) -> Clusters:
        """Clusters and strata of a reading."""
        return self._these_types if reading is Reading.THESE_TYPES else self._types_like_these

    def subset(self, indices: Sequence[int]) -> QuestionGroups:
        """Groups of some of the questions."""
        key = tuple(indices)
        if key not in self._subsets:
            if len(self._subsets) > _SUBSETS_KEPT:
                self._subsets.clear()
            self._subsets[key] = QuestionGroups([self.types[i] for i in key], [self.subjects[i] for i in key])
        return self._subsets[key]

    @cached_property
    def _subsets(self) -> dict[tuple[int, ...], QuestionGroups]:
        """Subsets that were asked for: finding their clusters takes longer than what is then done with them."""
        return {}

    @cached_property
    def _types_like_these(self) -> Clusters:
        import numpy as np

        types = _codes(list(self.types))
        sizes = np.bincount(types).astype(float)
        return Clusters(types, np.zeros(len(sizes), dtype=np.intp), sizes)

    @cached_property
    def _these_types(self) -> Clusters:
        import numpy as np

        subjects = _codes(list(zip(self.types, self.subjects, strict=True)))
        sizes = np.bincount(subjects).astype(float)
        stratum = np.zeros(len(sizes), dtype=np.intp)
        stratum[subjects] = _codes(list(self.types))
        return Clusters(subjects, _collapsed(stratum), sizes)


def _codes(labels: list[Any]) -> Codes:
    """A number per distinct label, by first appearance."""
    import numpy as np

    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.intp)


def _collapsed(stratum: Codes) -> Codes:
    """Strata with the one-cluster ones put together, for one cluster has no spread (Cochran 1977, section 5A.12)."""
    import numpy as np

    if len(stratum) == 0:
        return stratum
    counts = np.bincount(stratum)
    together = counts == 1
    if together.sum() == 1 and len(counts) > 1:  # nothing to join but another stratum: the smallest
        together[np.argmin(np.where(together, counts.max() + 1, counts))] = True
    return _codes([-1 if together[code] else int(code) for code in stratum])
