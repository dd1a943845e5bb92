"""``benchmarks/score_agreement.py``: the bounds hold for any ranking, and impossible correlations are refused."""

import numpy as np
import pytest

from expnet.errors import DataError
from expnet.metrics.functional.closeness import THEVAL_PARTS
from score_agreement import agreement_bounds, arithmetic, geometric, over_systems, rows, unit_ranks
from shared.theval_leaderboard import AGREEMENT, PUBLISHED


@pytest.mark.parametrize("seed", range(5))
def test_bounds_hold_for_any_ranking(seed: int) -> None:
    people = unit_ranks(np.random.default_rng(seed).permutation(len(PUBLISHED)).tolist())
    known = {parts: float(people @ over_systems(arithmetic, parts)) for parts in AGREEMENT}
    for parts in (THEVAL_PARTS, THEVAL_PARTS[3:], ("lip_sync",)):
        ranks = over_systems(geometric, parts)
        low, high = agreement_bounds(ranks, known)
        assert low - 1e-12 <= people @ ranks <= high + 1e-12
        assert high - low < agreement_width_without_knowledge(ranks)


def agreement_width_without_knowledge(ranks: np.ndarray) -> float:
    low, high = agreement_bounds(ranks, {("global_aesthetics",): 0.0})
    return high - low


def test_bounds_by_hand() -> None:
    # A score at 60 degrees from one that agrees by .5: the angle to people is 60 degrees, too, so it is 0 to 120.
    known = over_systems(arithmetic, THEVAL_PARTS)
    other = np.zeros_like(known)
    other[:2] = 1.0, -1.0
    other -= (other @ known) * known
    turned = 0.5 * known + np.sqrt(0.75) * other / np.linalg.norm(other)
    assert agreement_bounds(turned, {THEVAL_PARTS: 0.5}) == pytest.approx((-0.5, 1.0))
    assert agreement_bounds(known, {THEVAL_PARTS: 0.87}) == pytest.approx((0.87, 0.87))


def test_correlations_that_no_ranking_has() -> None:
    with pytest.raises(DataError, match="no ranking of 17 systems"):
        agreement_bounds(over_systems(geometric, THEVAL_PARTS), {THEVAL_PARTS: 0.9, ("head_motion_dynamics",): -0.9})


def test_published_scores_have_their_published_agreement() -> None:
    table = {(name, kind): bounds for name, kind, _, bounds in rows()}
    assert table["all eight", "mean"] == "0.87"
    assert len(table) == 10
