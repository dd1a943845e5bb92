"""Sign flips and Holm's correction, against values computed by hand and against scipy."""

import math

import numpy as np
import pytest
from scipy.stats import permutation_test

from expnet.evaluation.statistics.significance import EXACT_UNITS, holm, sign_flip_p_value


def test_p_by_hand() -> None:
    # Of eight flips of three ones, two give a mean as far from 0.
    assert sign_flip_p_value([1.0, 1.0, 1.0]) == pytest.approx(2 / 8)
    # |1 + 1 - 0.5| = 1.5 is reached by +++, ---, ++-, --+: 2.5, 2.5, 1.5, 1.5.
    assert sign_flip_p_value([1.0, 1.0, -0.5]) == pytest.approx(4 / 8)
    assert sign_flip_p_value([0.0, 0.0]) == 1.0


def test_people_are_flipped_whole() -> None:
    assert sign_flip_p_value([1.0] * 6, groups=["a", "a", "a", "b", "b", "b"]) == pytest.approx(2 / 4)
    assert sign_flip_p_value([1.0] * 6, groups=["a"] * 6) == 1.0  # one person is no evidence


def test_weights_and_undefined_values() -> None:
    # Weighted sums 3, 1: flips give 4, 2, -2, -4.
    assert sign_flip_p_value([1.0, 1.0, math.nan], weights=[3.0, 1.0, 5.0]) == pytest.approx(2 / 4)
    assert sign_flip_p_value([3.0, -1.0], weights=[1.0, 1.0]) == 1.0
    assert math.isnan(sign_flip_p_value([math.nan, 1.0], weights=[1.0, 0.0]))


@pytest.mark.parametrize("people", [9, EXACT_UNITS + 8])
def test_agrees_with_scipy(people: int) -> None:
    values = np.random.default_rng(people).normal(0.45, 1.0, people)
    reference = permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0)
    )
    # scipy's two sides are twice the smaller one; the statistic is symmetric, so that both are the same test.
    assert sign_flip_p_value(values) == pytest.approx(reference.pvalue, abs=1e-9 if people <= EXACT_UNITS else 0.015)


def test_a_true_null_is_rarely_rejected() -> None:
    generator = np.random.default_rng(3)
    found = [sign_flip_p_value(generator.normal(size=8)) for _ in range(400)]
    assert 0.02 < np.mean(np.array(found) <= 0.05) < 0.08


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    adjusted = holm([0.02, math.nan, 0.03])
    assert math.isnan(adjusted[1])
    assert [adjusted[0], adjusted[2]] == pytest.approx([0.04, 0.04])  # NaN does not count as a test
