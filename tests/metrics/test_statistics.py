import math

import numpy as np
import pytest
import scipy.stats

from expnet.metrics.functional import bootstrap_difference, bootstrap_interval, bootstrap_peak


def test_agrees_with_scipy_and_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 200)
    ours = bootstrap_interval(values, resamples=5000)
    reference = scipy.stats.bootstrap((values,), np.mean, method="percentile", n_resamples=5000, rng=1)
    assert ours.mean == pytest.approx(values.mean())
    assert ours.low == pytest.approx(reference.confidence_interval.low, abs=0.03)
    assert ours.high == pytest.approx(reference.confidence_interval.high, abs=0.03)
    assert ours.count == ours.units == 200


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        interval = bootstrap_interval(generator.exponential(1.0, 40), resamples=300, seed=trial)
        hits += interval.low <= 1.0 <= interval.high
    assert 0.86 <= hits / 200 <= 0.98


def test_people_are_the_units_when_given() -> None:
    generator = np.random.default_rng(2)
    speakers = np.repeat(np.arange(10), 20)
    values = generator.normal(0, 1, 10)[speakers] + generator.normal(0, 0.1, 200)
    by_clip = bootstrap_interval(values)
    by_person = bootstrap_interval(values, groups=[str(speaker) for speaker in speakers])
    assert by_person.units == 10
    assert by_person.mean == pytest.approx(by_clip.mean)
    assert by_person.high - by_person.low > 2.5 * (by_clip.high - by_clip.low)


def test_weights_give_a_ratio_of_sums_and_nan_is_left_out() -> None:
    interval = bootstrap_interval([0.25, 900.0, math.nan], weights=[1e6, 1.0, 5.0])
    assert interval.mean == pytest.approx((0.25e6 + 900) / (1e6 + 1))
    assert interval.count == 2
    assert bootstrap_interval([math.nan]).count == 0
    assert bootstrap_interval([]).low is None
    alone = bootstrap_interval([4.0, 5.0], groups=["a", "a"])
    assert (alone.mean, alone.low, alone.high) == (4.5, None, None)


def test_same_seed_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=30)
    assert bootstrap_interval(values, seed=4) == bootstrap_interval(values, seed=4)
    assert bootstrap_interval(values, seed=4) != bootstrap_interval(values, seed=5)


def test_paired_difference_is_sharper_than_two_intervals() -> None:
    generator = np.random.default_rng(5)
    difficulty = generator.normal(0, 1, 60)
    first = difficulty + 0.1 + generator.normal(0, 0.05, 60)
    second = difficulty + generator.normal(0, 0.05, 60)
    paired = bootstrap_difference(first, second)
    assert paired.low > 0  # clearly better, although the separate intervals overlap widely
    assert bootstrap_interval(first).low < bootstrap_interval(second).high
    second[0] = math.nan
    assert bootstrap_difference(first, second).count == 59


def test_peak_of_the_mean_curve() -> None:
    generator = np.random.default_rng(6)
    curves = 0.1 * generator.normal(size=(40, 7))
    curves[:, 5] += 0.5  # lag +2
    curves[3] = math.nan
    interval = bootstrap_peak(curves)
    assert (interval.mean, interval.low, interval.high, interval.count) == (2.0, 2.0, 2.0, 39)
    assert bootstrap_peak(np.zeros((2, 5))).mean == 0.0  # a flat curve has no meaningful lag
    assert bootstrap_peak(np.full((2, 5), math.nan)).count == 0
    assert bootstrap_peak(curves[:1]).low is None
