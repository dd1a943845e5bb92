"""One score from many: THEval's published leaderboard, and cases by hand."""

import pytest

from expnet.metrics.functional.closeness import (
    THEVAL_PARTS,
    closeness_score,
    ratio_closeness,
    relative_closeness,
    theval_score,
)
from shared.theval_leaderboard import PUBLISHED, REAL
from shared.theval_leaderboard import published_values as values_of


@pytest.mark.parametrize("system", list(PUBLISHED))
def test_the_published_scores_are_reproduced(system: str) -> None:
    # Nine numbers that were rounded to four decimals.
    assert theval_score(values_of(system), REAL) == pytest.approx(PUBLISHED[system][-1], abs=1e-4)
    above = {part: 2 * REAL[part] - value for part, value in values_of(system).items()}
    assert theval_score(above, REAL) == pytest.approx(PUBLISHED[system][-1], abs=1e-4)


def test_the_published_order_is_reproduced() -> None:
    scores = {system: theval_score(values_of(system), REAL) for system in PUBLISHED}
    assert sorted(scores, key=lambda system: -scores[system]) == list(PUBLISHED)


def test_a_mean_pays_for_a_still_head_and_the_geometric_mean_does_not() -> None:
    scores = {system: closeness_score(values_of(system), REAL, THEVAL_PARTS) for system in PUBLISHED}
    assert PUBLISHED["Hallo2"][-1] > PUBLISHED["EmoPortrait"][-1]
    assert scores["Hallo2"] < scores["EmoPortrait"]  # Hallo2's head motion is a quarter of the real one
    assert closeness_score(REAL, REAL, THEVAL_PARTS) == pytest.approx(1.0)
    assert closeness_score({**REAL, "lip_sync": 0.0}, REAL, THEVAL_PARTS) == 0.0


def test_closeness_by_hand() -> None:
    assert [relative_closeness(value, 2.0) for value in (2.0, 1.0, 3.0, 0.0, 6.0)] == [1.0, 0.5, 0.5, 0.0, -1.0]
    assert [ratio_closeness(value, 2.0) for value in (2.0, 1.0, 4.0, 0.0, -2.0)] == [1.0, 0.5, 0.5, 0.0, 0.0]
    assert relative_closeness(-1.0, -2.0) == ratio_closeness(-1.0, -2.0) == 0.5
    assert closeness_score({"a": 1.0, "b": 4.0}, {"a": 4.0, "b": 4.0}, ("a", "b")) == pytest.approx(0.5)


def test_a_missing_part_is_named() -> None:
    with pytest.raises(ValueError, match="missing or not finite: face_quality, lip_sync"):
        theval_score({**REAL, "face_quality": float("nan"), "lip_sync": float("inf")}, REAL)
    with pytest.raises(ValueError, match="mouth_quality"):
        theval_score(REAL, {part: value for part, value in REAL.items() if part != "mouth_quality"})
    with pytest.raises(ValueError, match="must not be 0"):
        theval_score(REAL, {**REAL, "lip_sync": 0.0})
