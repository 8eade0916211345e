from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from certainty_helpers import Pattern, write_file
from kft_tasks.categories.category import KnowledgeCategory
from kft_tasks.certainty.measure import Certainty, measure_certainty
from kft_tasks.certainty.retest import ExemplarOutcomes, Prior, change_chance
from kft_tasks.errors import DataError, UsageError
from kft_tasks.files import sha256_of_file
from kft_tasks.protocol.protocol import Protocol

H, M, W, U = KnowledgeCategory
PROTOCOL = Protocol(exemplar_sets=2, samples=2)
PATTERNS: dict[str, Pattern] = {
    "h": ((1, 1), (2, 2)),
    "m": ((1, 0), (2, 1)),
    "w": ((0, 0), (0, 1)),
    "u": ((0, 0), (0, 0)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_file(tmp_path / "full.jsonl", PATTERNS, PROTOCOL)


def cell(result: Certainty, sets: int, samples: int) -> dict[str, object]:
    return next(found for found in result.to_json()["grid"] if (found["sets"], found["samples"]) == (sets, samples))


def test_one_set_and_one_sample_by_hand(path: Path) -> None:
    # h stays as it is. m: half HighlyKnown, else one of two samples. w: half the sets have one right sample of two. u stays as it is.
    assert cell(measure_certainty(path), 1, 1) == {
        "sets": 1,
        "samples": 1,
        "counts": {"HighlyKnown": 1.5, "MaybeKnown": 0.0, "WeaklyKnown": 0.5, "Unknown": 2.0},
        "agreement": (1 + 0 + 0.25 + 1) / 4,
        "generations": 2,
        "lazy_generations": (1 + 1.5 + 2 + 2) / 4,
    }


def test_full_protocol_agrees_with_the_file(path: Path) -> None:
    full = cell(measure_certainty(path), 2, 2)

    assert full["counts"] == {"HighlyKnown": 1.0, "MaybeKnown": 1.0, "WeaklyKnown": 1.0, "Unknown": 1.0}
    assert full["agreement"] == 1.0
    assert full["generations"] == 6
    assert full["lazy_generations"] == (2 + 2 + 6 + 6) / 4  # one round: two sets


def test_default_grid_is_cut_to_the_protocol_and_ends_with_it(tmp_path: Path) -> None:
    path = write_file(tmp_path / "f", {"q": ((1,) * 5, (3,) * 5)}, Protocol(exemplar_sets=5, samples=3))

    cells = measure_certainty(path).to_json()["grid"]

    assert sorted({found["sets"] for found in cells}) == [1, 2, 4, 5]
    assert sorted({found["samples"] for found in cells}) == [0, 1, 2, 3]
    assert len(cells) == 16


def test_chosen_grid_always_holds_the_full_protocol(path: Path) -> None:
    cells = measure_certainty(path, sets=(1,), samples=(1, 1)).to_json()["grid"]

    assert [(found["sets"], found["samples"]) for found in cells] == [(1, 1), (1, 2), (2, 1), (2, 2)]


@pytest.mark.parametrize("grid", [{"sets": (0,)}, {"sets": (3,)}, {"samples": (3,)}, {"samples": (-1,)}])
def test_grid_beyond_the_protocol_is_refused(path: Path, grid: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(UsageError, match=rf"^{next(iter(grid))} -?\d: the file has 2"):
        measure_certainty(path, **grid)


def test_protocol_without_samples(tmp_path: Path) -> None:
    patterns: dict[str, Pattern] = {"m": ((1, 0), (0, 0)), "u": ((0, 0), (0, 0))}
    path = write_file(tmp_path / "f", patterns, Protocol(exemplar_sets=2, samples=0))

    result = measure_certainty(path)

    assert [found["samples"] for found in result.to_json()["grid"]] == [0, 0]
    assert all(line[W] == 0 for line in result.fitted.matrix.values())


def test_retest_chances_are_summed_over_questions(path: Path) -> None:
    result = measure_certainty(path)

    kinds = [ExemplarOutcomes(2, 0, 0), ExemplarOutcomes(1, 1, 0), ExemplarOutcomes(0, 1, 1), ExemplarOutcomes(0, 0, 2)]
    chances = [change_chance(one, 2, Prior()) for one in kinds]
    assert result.jeffreys.changes().expected == pytest.approx(sum(chances))
    assert [sum(line.values()) for line in result.jeffreys.matrix.values()] == pytest.approx([1.0] * 4)
    assert sum(result.jeffreys.matrix[H].values()) - result.jeffreys.matrix[H][H] == pytest.approx(chances[0])
    assert result.fitted.prior == Prior()  # four questions teach nothing


def test_per_question_file_holds_every_chance(path: Path, tmp_path: Path) -> None:
    measure_certainty(path, per_question=tmp_path / "new" / "chances.jsonl")

    rows = [json.loads(line) for line in (tmp_path / "new" / "chances.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["h", "m", "w", "u"]
    assert rows[1]["sets"] == {"right": 1, "sampled": 1, "none": 0}
    assert rows[1]["change_jeffreys"] == pytest.approx(change_chance(ExemplarOutcomes(1, 1, 0), 2, Prior()))
    assert rows[1]["change"] == pytest.approx(1 - rows[1]["retest"]["MaybeKnown"])


def test_result_names_its_source(path: Path) -> None:
    data = measure_certainty(path).to_json()

    assert (data["file"], data["file_digest"]) == (str(path), sha256_of_file(path))
    assert (data["questions"], data["protocol"]) == (4, PROTOCOL.to_json())


def test_lazy_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write_file(tmp_path / "lazy.jsonl", PATTERNS, PROTOCOL, exhaustive=False)

    with pytest.raises(DataError, match=r"lazy\.jsonl: was detected lazily.*exhaustively"):
        measure_certainty(path)


def test_file_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no questions"):
        measure_certainty(write_file(tmp_path / "f", {}, PROTOCOL))


def test_missing_answers_in_a_file_called_exhaustive_are_refused(path: Path) -> None:
    text = path.read_text().replace('"sampled": {"right": 4, "asked": 4}', '"sampled": {"right": 0, "asked": 0}')
    path.write_text(text.replace('[["yes", "yes"], ["yes", "yes"]]', "[null, null]"))

    with pytest.raises(DataError, match="question 'h' lacks answers"):
        measure_certainty(path)


def test_counts_that_the_scorer_does_not_give_are_refused(path: Path) -> None:
    path.write_text(path.read_text().replace('["yes", "yes"], "sampled_answers"', '["no", "no"], "sampled_answers"'))

    with pytest.raises(DataError, match=r"question 'h': this version's answer_stated .*Rescore the file"):
        measure_certainty(path)


AGAIN = Protocol(exemplar_sets=2, samples=2, seed=1)


@pytest.fixture
def write_retest(tmp_path: Path) -> Callable[..., Path]:
    def write(patterns: dict[str, Pattern], protocol: Protocol = AGAIN, **values: object) -> Path:
        return write_file(tmp_path / "again.jsonl", patterns, protocol, **values)  # type: ignore[arg-type]

    return write


def test_retest_is_compared_over_the_shared_questions(path: Path, write_retest: Callable[..., Path]) -> None:
    changed: dict[str, Pattern] = {"h": PATTERNS["h"], "m": PATTERNS["h"], "w": PATTERNS["u"], "new": PATTERNS["u"]}

    result = measure_certainty(path, retest=write_retest(changed, exhaustive=False))

    comparison = result.comparison
    assert comparison is not None
    assert comparison.changed == 2
    assert comparison.left_out == 2  # "u" here and "new" there
    assert comparison.observed[M][H] == comparison.observed[W][U] == comparison.observed[H][H] == 1
    data = comparison.to_json()
    assert data["observed"]["changes"] == 2
    assert data["expected"]["fitted"]["questions"] == 3
    assert data["expected"]["jeffreys"]["changes"]["expected"] < result.jeffreys.changes().expected


@pytest.mark.parametrize(
    ("protocol", "values", "message"),
    [
        (PROTOCOL, {}, "same seed.*with seed 1"),
        (Protocol(exemplar_sets=2, samples=2, seed=1, top_k=7), {}, "another top_k"),
        (AGAIN, {"weights": "v" * 64}, "other weights"),
    ],
)
def test_what_is_no_retest_is_refused(
    path: Path, write_retest: Callable[..., Path], protocol: Protocol, values: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        measure_certainty(path, retest=write_retest(PATTERNS, protocol, **values))


def test_retest_of_other_questions_is_refused(path: Path, write_retest: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="none of the questions"):
        measure_certainty(path, retest=write_retest({"x": PATTERNS["h"]}))
