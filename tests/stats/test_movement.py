from __future__ import annotations

import pytest

from kft_cli.stats.movement import category_shares, movement, transition_matrix
from kft_tasks.errors import UsageError
from report_helpers import H, M, U, W

BEFORE = dict(zip("abcdefg", (H, H, M, M, W, U, U), strict=True))
AFTER = dict(zip("abcdefg", (H, W, H, U, M, W, U), strict=True))


def test_transition_matrix_has_all_sixteen_cells_and_counts_every_question() -> None:
    matrix = transition_matrix(BEFORE, AFTER)
    assert {row: sum(line.values()) for row, line in matrix.items()} == {H: 2, M: 2, W: 1, U: 2}
    assert all(len(line) == 4 for line in matrix.values())
    assert (matrix[H][H], matrix[H][W], matrix[M][H], matrix[M][U], matrix[W][M], matrix[U][W]) == (1, 1, 1, 1, 1, 1)


def test_transition_of_different_questions_is_refused() -> None:
    with pytest.raises(UsageError, match="different questions"):
        transition_matrix(BEFORE, {"z": H})


def test_movement_counts_each_kind_among_those_that_could_move_so() -> None:
    moved = movement(transition_matrix(BEFORE, AFTER))
    assert moved.n == 7
    assert (moved.upgraded.count, moved.upgraded.n) == (3, 5)
    assert (moved.downgraded.count, moved.downgraded.n) == (2, 5)
    assert (moved.forgotten.count, moved.forgotten.n) == (1, 2)
    assert (moved.never_right_any_more.count, moved.never_right_any_more.n) == (1, 2)
    assert (moved.unchanged.count, moved.unchanged.n) == (2, 7)


def test_nothing_moves_between_a_detection_and_itself() -> None:
    moved = movement(transition_matrix(BEFORE, BEFORE))
    assert moved.upgraded.count == moved.downgraded.count == moved.forgotten.count == 0
    assert moved.unchanged.count == 7


def test_category_shares_name_all_four() -> None:
    shares = category_shares({"a": H, "b": H, "c": U})
    assert {category: share.count for category, share in shares.items()} == {H: 2, M: 0, W: 0, U: 1}
    assert {share.n for share in shares.values()} == {3}
