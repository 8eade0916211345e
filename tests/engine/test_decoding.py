from __future__ import annotations

import numpy as np
import pytest

from kft_tasks.engine.decoding import context_key, gumbel, sample_keys

# Recorded once: another value here means that every published sample changes.
RECORDED_KEY = 15154794305374657790
RECORDED_NOISE = [0.7300861851536199, 0.9598241938466762, -0.07759966579984857, 0.8985111715809945]


def test_noise_is_the_same_everywhere() -> None:
    key = context_key(0, "capital-1", 3)
    assert key == RECORDED_KEY
    noise = gumbel(sample_keys(key, 2), 5, np.array([[0, 1], [7, 49_151]]))
    assert noise.ravel().tolist() == pytest.approx(RECORDED_NOISE, rel=1e-14)


def test_a_key_depends_on_seed_question_and_exemplar_set() -> None:
    keys = {
        context_key(seed, id_, number) for seed in range(5) for id_ in ("a", "b", "1", "1|1") for number in range(5)
    }
    assert len(keys) == 5 * 4 * 5
    assert all(0 <= key < 1 << 64 for key in keys)


def test_noise_does_not_depend_on_what_it_is_computed_with() -> None:
    keys = sample_keys(context_key(0, "q", 0), 8)
    tokens = np.arange(8 * 5).reshape(8, 5)
    whole = gumbel(keys, 3, tokens)
    assert np.array_equal(gumbel(keys[5:6], 3, tokens[5:6, ::-1])[:, ::-1], whole[5:6])
    assert np.array_equal(sample_keys(context_key(0, "q", 0), 20)[:8], keys)


@pytest.mark.parametrize("over", ["keys", "samples", "steps", "tokens"])
def test_noise_is_standard_gumbel_and_independent_along(over: str) -> None:
    from scipy.stats import kstest

    size = 20_000
    key = context_key(1, "q", 0)
    if over == "keys":
        keys = np.concatenate([sample_keys(context_key(1, f"q{number}", 0), 1) for number in range(size)])
        noise = gumbel(keys, 0, np.full((size, 2), [3, 9]))
    elif over == "samples":
        noise = gumbel(sample_keys(key, size), 0, np.full((size, 2), [3, 9]))
    elif over == "steps":
        one = sample_keys(key, 1)
        noise = np.concatenate([gumbel(one, step, np.array([[3, 9]])) for step in range(size)])
    else:
        noise = gumbel(sample_keys(key, 2), 0, np.tile(np.arange(size), (2, 1))).T
    first, second = noise.T
    assert kstest(first, "gumbel_r").pvalue > 1e-3
    assert kstest(second, "gumbel_r").pvalue > 1e-3
    assert first.mean() == pytest.approx(np.euler_gamma, abs=4 * np.pi / np.sqrt(6 * size))
    assert first.var() == pytest.approx(np.pi**2 / 6, rel=0.06)
    limit = 4 / np.sqrt(size)  # four standard deviations of the correlation of independent values
    assert abs(np.corrcoef(first, second)[0, 1]) < limit
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < limit
    assert abs(np.corrcoef(first[1:], second[:-1])[0, 1]) < limit


def _unmix(value: int) -> int:
    """The inverse of SplitMix64's finaliser."""
    mask = (1 << 64) - 1

    def unshift(number: int, by: int) -> int:
        result = number
        for _ in range(64 // by + 1):
            result = number ^ (result >> by)
        return result

    value = unshift(value, 31) * pow(0x94D049BB133111EB, -1, 1 << 64) & mask
    value = unshift(value, 27) * pow(0xBF58476D1CE4E5B9, -1, 1 << 64) & mask
    return unshift(value, 30)


@pytest.mark.parametrize("bits", [0, (1 << 64) - 1, (1 << 63) - 1])
def test_noise_is_finite_at_both_ends_of_the_hash(bits: int) -> None:
    """The hash is a bijection, so every value occurs for some token."""
    golden, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    state = _unmix(_unmix(bits))
    key = _unmix(0) - golden & mask  # its state at step 0 is 0
    token = state * pow(golden, -1, 1 << 64) & mask
    tokens = np.array([[token]], dtype=np.uint64).astype(np.int64)
    noise = gumbel(np.array([key], dtype=np.uint64), 0, tokens)[0, 0]
    assert np.isfinite(noise)
    assert (noise < -3.5) if bits == 0 else (noise > 36 if bits == mask else 0 < noise < 1)
