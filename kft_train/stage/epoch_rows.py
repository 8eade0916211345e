"""Training rows that change with the epoch, for mixtures with redrawn parts."""

from __future__ import annotations

from typing import Any

from kft_train.data.mixture import Mixture
from kft_train.data.rows import Rows


class EpochRows:
    """A map-style data set of one epoch's rows. Its length is the same in every epoch.

    Args:
        mixture: the stage's mixture.
        rows: rows of the mixture's ``all_items``, in that order.
    """

    def __init__(self, mixture: Mixture, rows: Rows) -> None:
        self._mixture = mixture
        self._rows = rows
        self._index = {item.question.id: index for index, item in enumerate(mixture.all_items)}
        self._current: list[int] = []
        self.draw(0)

    def draw(self, epoch: int) -> None:
        """Switch to the rows of an epoch, counted from 0."""
        self._current = [self._index[item.question.id] for item in self._mixture.items_of(epoch)]

    def __len__(self) -> int:
        return len(self._current)

    def __getitem__(self, position: int) -> dict[str, Any]:
        return self._rows.row(self._current[position])
