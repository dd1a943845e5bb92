"""One score in the table: its value, its interval, and what is said when a part is missing."""

import pytest
import torch

from expnet.config.benchmark import GROUND_TRUTH, VideoProtocolConfig
from expnet.evaluation.report.results import ScoredClip, SystemResult
from expnet.evaluation.statistics.closeness import KEY, add_closeness
from expnet.metrics import ClosenessScore
from expnet.metrics.closeness import PARTS
from expnet.metrics.functional.closeness import closeness_score

REAL = {part: 1.0 + place for place, part in enumerate(PARTS)}


def row(system: str, clip: int, values: dict[str, float]) -> ScoredClip:
    return ScoredClip(str(clip), system, f"person{clip % 3}", values=values)


def systems(*names: str) -> list[SystemResult]:
    return [SystemResult(name, name, "model", "", {}) for name in names]


@pytest.fixture
def rows() -> list[ScoredClip]:
    """Six real clips, a system at half of every value, and one at the real values of other clips."""
    real = [{part: value * (1 + clip / 10) for part, value in REAL.items()} for clip in range(6)]
    found = [row(GROUND_TRUTH, clip, real[clip]) for clip in range(6)]
    found += [row("half", clip, {part: value / 2 for part, value in real[clip].items()}) for clip in range(6)]
    return found + [row("other", clip, real[5 - clip]) for clip in range(6)]


def test_values_and_intervals(rows: list[ScoredClip]) -> None:
    (real, half, other), notes = add_closeness(systems(GROUND_TRUTH, "half", "other"), rows, VideoProtocolConfig())
    assert notes == []
    assert KEY not in real.metrics
    assert half.metrics[KEY].mean == pytest.approx(0.5)
    assert half.metrics[KEY].ci95 == pytest.approx((0.5, 0.5))  # the same people are drawn on both sides
    assert half.metrics[KEY].n == 6
    low, high = other.metrics[KEY].ci95 or (0.0, 0.0)
    assert low < high <= other.metrics[KEY].mean == pytest.approx(1.0)
    assert other.metrics[KEY].difference_to_first == pytest.approx(0.5)


def test_clips_without_pairs_are_compared_with_all_real_ones(rows: list[ScoredClip]) -> None:
    unpaired = [row(GROUND_TRUTH, 100 + clip, REAL) for clip in range(4)]
    unpaired += [row("a", clip, {part: 2 * value for part, value in REAL.items()}) for clip in range(3)]
    (a,), _ = add_closeness(systems("a"), unpaired, VideoProtocolConfig())
    assert (a.metrics[KEY].mean, a.metrics[KEY].ci95) == (pytest.approx(0.5), None)


def test_a_missing_part_is_named(rows: list[ScoredClip]) -> None:
    lacking = [one for one in rows if one.system != "half"]
    lacking += [row("half", 0, dict.fromkeys(PARTS[1:], 1.0))]
    (half,), notes = add_closeness(systems("half"), lacking, VideoProtocolConfig())
    assert not half.metrics
    assert notes == [f"closeness_score of half needs every part; missing: {PARTS[0]}."]


def test_the_class_gives_the_same_number_for_any_split(rows: list[ScoredClip]) -> None:
    whole, parts = ClosenessScore(), [ClosenessScore(), ClosenessScore()]
    parent = torch.nn.Module()
    parent.metric = whole
    parent.to(torch.bfloat16)
    for number, one in enumerate(rows[:12]):
        for metric in (whole, parts[number % 5 == 0]):
            metric.update(one.values, real=one.system == GROUND_TRUTH)
    assert whole.compute().item() == pytest.approx(0.5)
    assert parts[1].compute().item() != whole.compute().item()
    for name in ("real_sums", "generated_sums"):  # what an all-reduce of two processes does
        setattr(parts[0], name, getattr(parts[0], name) + getattr(parts[1], name))
    assert parts[0].compute().item() == pytest.approx(whole.compute().item(), rel=1e-12)
    weighted = ClosenessScore(("a",))
    weighted.update({"a": 4.0}, real=False, weights={"a": 3.0})
    weighted.update({"a": 0.0}, real=False)
    assert weighted.compute().isnan()  # nothing real yet
    weighted.update({"a": 2.0}, real=True)
    assert weighted.compute().item() == closeness_score({"a": 3.0}, {"a": 2.0}, ("a",))
