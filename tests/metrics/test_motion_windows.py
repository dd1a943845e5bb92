"""Windows of motion: features, Frechet distance, neighbours and diversity, against slow versions and cases by hand."""

import json
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.fft import dct
from torch import nn

from expnet.metrics import (
    MotionFrechetDistance,
    MotionNeighbours,
    NamedMetric,
    SampleDiversityRatio,
    SampledMouthCorrelation,
)
from expnet.metrics.functional import (
    Moments,
    frechet_distance,
    motion_windows,
    mouth_opening,
    neighbour_scores,
    pearson,
    region_measures,
    sample_diversity_ratio,
    standardised_frechet_distance,
)

WORKER = Path(__file__).with_name("motion_windows_worker.py")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def heads(clips: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    """Smooth random rotations (clips, 80, 3) in radians."""
    return 0.02 * scale * draw(clips, 80, 3, seed=seed).cumsum(1)


def set_metrics() -> dict[str, Any]:
    """The metrics of sets, for sets as small as those of these tests."""
    metrics: dict[str, Any] = {"frechet": MotionFrechetDistance("head", fewest=10)}
    for score in ("precision", "recall", "density", "coverage"):
        metrics[score] = MotionNeighbours("head", score=score, neighbours=2, fewest=10)
    return metrics


def sample_metrics() -> dict[str, Any]:
    return {
        "lips": SampleDiversityRatio("lips"),
        "head": SampleDiversityRatio("head"),
        "one": SampledMouthCorrelation(of="one"),
        "mean": SampledMouthCorrelation(of="mean"),
    }


def drawn(name: str, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three samples, a real clip and its valid frames."""
    shape = (60, 3) if name == "head" else (60, 68, 3)
    return draw(3, *shape, seed=seed), draw(*shape, seed=seed + 100), torch.arange(60) != 55


def test_a_window_equals_scipys_cosine_transform_of_each_measure() -> None:
    measures = draw(80, 3)
    features = motion_windows(measures)
    centred = (measures - measures.mean(0)).numpy()
    for window in range(3):
        part = centred[25 * window : 25 * window + 25]
        expected = dct(part, type=2, norm="ortho", axis=0)[:10].T.reshape(-1)  # measure by measure
        np.testing.assert_allclose(features[window].numpy(), expected, atol=1e-12)
    assert features.shape == (3, 30)
    both = motion_windows(torch.stack([measures, 2 * measures]))
    np.testing.assert_allclose(both[1].numpy(), 2 * features.numpy(), atol=1e-12)


def test_a_constant_is_no_motion_and_a_low_cosine_keeps_its_energy() -> None:
    time = torch.arange(50.0, dtype=torch.float64)
    wave = torch.cos(math.pi * (2 * time + 1) * 4 / 50)  # order 4 of both windows, mean 0
    features = motion_windows(torch.stack([wave, torch.full_like(wave, 7.0), 5.0 + 3 * wave], -1))
    expected = torch.zeros(30, dtype=torch.float64)
    expected[4], expected[24] = math.sqrt(12.5), 3 * math.sqrt(12.5)
    for window in features:
        np.testing.assert_allclose(window.numpy(), expected.numpy(), atol=1e-12)


def test_windows_with_an_invalid_frame_and_the_rest_are_left_out() -> None:
    measures = draw(80, 3)
    valid = torch.ones(80, dtype=torch.bool)
    valid[30] = False
    lost = measures.clone()
    lost[30] = torch.nan
    features = motion_windows(lost, valid=valid)
    assert features.shape == (2, 30)
    mean = measures[valid].mean(0)
    alone = dct((measures[50:75] - mean).numpy(), type=2, norm="ortho", axis=0)[:10].T.reshape(-1)
    np.testing.assert_allclose(features[1].numpy(), alone, atol=1e-12)
    assert motion_windows(measures[:24]).shape == (0, 30)
    assert motion_windows(torch.stack([measures] * 4)[:, :24]).shape == (4, 0, 30)
    with pytest.raises(ValueError, match="measures"):
        motion_windows(draw(80, 4))


def test_measures_are_those_of_the_landmarks_whatever_the_pose_and_scale() -> None:
    points = torch.zeros(1, 68, 3, dtype=torch.float64)
    points[0, 36, 0], points[0, 45, 0] = -2.0, 2.0  # 4 between the outer eye corners
    points[0, 8, 1], points[0, 27, 1] = -5.0, 0.0
    points[0, 62, 1], points[0, 66, 1] = -2.0, -3.0
    points[0, 48, 0], points[0, 54, 0] = -1.0, 1.0
    points[0, 48, 1], points[0, 54, 1] = -2.0, -2.0
    points[0, 33, 1] = -1.0
    lips = region_measures(points, "lips")[0]
    assert lips.tolist() == pytest.approx([1 / 4, 2 / 4, math.sqrt(2) / 4])
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        points[0, upper, 1], points[0, lower, 1] = 0.3, -0.1
    for brow, corner in ((20, 39), (21, 39), (22, 42), (23, 42)):
        points[0, brow] = points[0, corner] + torch.tensor([0.0, 0.8, 0.0])
    for brow, corner in ((18, 36), (25, 45)):
        points[0, brow] = points[0, corner] + torch.tensor([0.0, 0.0, 0.6])
    upper_face = region_measures(points, "upper_face")[0]
    assert upper_face.tolist() == pytest.approx([0.1, 0.2, 0.15])
    turn = torch.linalg.matrix_exp(torch.tensor([[0.0, 0.3, -0.2], [-0.3, 0.0, 0.5], [0.2, -0.5, 0.0]])).double()
    moved = 3 * points @ turn.T + 7
    for region in ("lips", "upper_face"):
        same = region_measures(points, region)[0].tolist()
        assert region_measures(moved, region)[0].tolist() == pytest.approx(same, rel=1e-6)
    assert region_measures(torch.full((1, 3), math.pi, dtype=torch.float64), "head").tolist() == [[180.0] * 3]
    with pytest.raises(ValueError, match="region"):
        region_measures(points, "ears")


def test_standardised_distance_identities() -> None:
    real = draw(200, 6) * torch.tensor([1.0, 2, 3, 4, 5, 600])
    moments = Moments.of(real)
    assert standardised_frechet_distance(moments, moments).item() == pytest.approx(0, abs=1e-12)
    still = Moments.of(real.mean(0).expand(50, 6))
    assert standardised_frechet_distance(moments, still).item() == pytest.approx(1)
    spread = real.mean(0) + 3 * (real - real.mean(0))
    assert standardised_frechet_distance(moments, Moments.of(spread)).item() == pytest.approx(4)  # (3 - 1)^2
    by_hand = frechet_distance(Moments.of(real / real.std(0)), Moments.of(spread[:70] / real.std(0))) / 6
    assert standardised_frechet_distance(moments, Moments.of(spread[:70])).item() == pytest.approx(by_hand.item())
    flat = real.clone()
    flat[:, 2] = 0.0
    assert standardised_frechet_distance(Moments.of(flat), moments).isnan()
    rest = moments - Moments.of(real[:80])
    np.testing.assert_allclose(rest.covariance, Moments.of(real[80:]).covariance, rtol=1e-9)


def slow_neighbours(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """The definitions of Kynkaanniemi et al. and Naeem et al., vector by vector."""

    def radius(vectors: np.ndarray, place: int) -> float:
        return float(np.sort([np.linalg.norm(vectors[place] - v) for v in np.delete(vectors, place, 0)])[k - 1])

    balls = [radius(real, place) for place in range(len(real))]
    own = [radius(fake, place) for place in range(len(fake))]
    near = np.array([[np.linalg.norm(x - y) <= ball for y in fake] for x, ball in zip(real, balls, strict=True)])
    other = np.array([[np.linalg.norm(x - y) <= ball for y, ball in zip(fake, own, strict=True)] for x in real])
    return {
        "precision": float(near.any(0).mean()),
        "recall": float(other.any(1).mean()),
        "density": float(near.sum() / (k * len(fake))),
        "coverage": float(near.any(1).mean()),
    }


@pytest.mark.parametrize("k", [1, 3])
def test_neighbours_equal_the_definitions(k: int) -> None:
    real, fake = draw(30, 4), 0.7 * draw(25, 4, seed=1) + 0.2
    found = neighbour_scores(real, fake, neighbours=k)
    for name, value in slow_neighbours(real.numpy(), fake.numpy(), k).items():
        assert getattr(found, name).item() == pytest.approx(value), name


def test_neighbours_see_copies_collapse_and_noise() -> None:
    real = draw(60, 5)
    same = neighbour_scores(real, real)
    assert (same.precision.item(), same.coverage.item(), same.recall.item()) == (1, 1, 1)
    collapsed = neighbour_scores(real, real[:1].expand(60, 5))
    assert collapsed.precision.item() == 1
    assert collapsed.coverage.item() < 0.5
    assert neighbour_scores(real, real + 100).precision.item() == 0
    assert neighbour_scores(real[:5], real).coverage.isnan()
    with pytest.raises(ValueError, match="both sets"):
        neighbour_scores(real, real[:, :4])


def test_metrics_equal_their_features_however_they_arrive() -> None:
    real, generated = heads(5, 0), heads(6, 1, 0.6)
    features = [torch.cat([motion_windows(clip * 180 / math.pi) for clip in part]) for part in (real, generated)]
    assert [len(part) for part in features] == [15, 18]
    deviation = features[0].std(0)
    scores = neighbour_scores(features[0] / deviation, features[1] / deviation, neighbours=2)
    distance = standardised_frechet_distance(*(Moments.of(part) for part in features))
    for name, metric in set_metrics().items():
        metric.update(real[:2], real=True)
        metric.update(real[2:], torch.ones(3, 80, dtype=torch.bool), real=True)
        metric.update(generated, real=False)
        expected = distance if name == "frechet" else getattr(scores, name)
        assert metric.compute().item() == pytest.approx(expected.item(), rel=1e-12), name
        assert metric.compute().dtype is torch.float64
        json.dumps(metric.protocol)


def test_too_few_windows_are_refused() -> None:
    for metric in (MotionFrechetDistance("head"), MotionNeighbours("head")):
        assert metric.fewest == 60
        metric.update(heads(19, 0), real=True)  # 57 windows
        metric.update(heads(20, 1), real=False)
        assert metric.compute().isnan()
        metric.update(heads(1, 2), real=True)
        assert metric.compute().isfinite()
    with pytest.raises(ValueError, match="region"):
        MotionFrechetDistance("ears")
    with pytest.raises(ValueError, match="score"):
        MotionNeighbours("lips", score="accuracy")


def test_diversity_ratio_by_pairs_and_identities() -> None:
    samples, target = draw(4, 110, 3), 2 * draw(110, 3, seed=1)
    seeds, real = motion_windows(samples), motion_windows(target)
    between = [(seeds[i, w] - seeds[j, w]).square().sum() for w in range(4) for i in range(4) for j in range(i)]
    takes = [(real[v] - real[w]).square().sum() for v in range(4) for w in range(v)]
    ratio, weight = sample_diversity_ratio(samples, target)
    assert weight.item() == pytest.approx(float(torch.stack(takes).mean().sqrt()))
    assert ratio.item() == pytest.approx(float((torch.stack(between).mean() / torch.stack(takes).mean()).sqrt()))
    assert sample_diversity_ratio(samples[:1].expand(3, 110, 3), target)[0].item() == 0.0  # a collapsed generator
    assert sample_diversity_ratio(samples[:, :49], target[:49])[0].isnan()
    with pytest.raises(ValueError, match="N >= 2"):
        sample_diversity_ratio(samples[:1], target)
    metric = SampleDiversityRatio("head")
    metric.update(samples, target)
    assert metric.compute().item() == pytest.approx(ratio.item())


def test_mouth_correlation_of_one_sample_and_of_the_mean() -> None:
    target = draw(60, 68, 3)
    samples = target + 0.5 * draw(5, 60, 68, 3, seed=1)
    real, openings = mouth_opening(target), mouth_opening(samples)
    metrics = {of: SampledMouthCorrelation(of=of) for of in ("one", "mean")}
    for metric in metrics.values():
        metric.update(samples, target)
    single = [np.corrcoef(opening, real)[0, 1] for opening in openings.numpy()]
    assert metrics["one"].compute().item() == pytest.approx(np.mean(single))
    assert metrics["mean"].compute().item() == pytest.approx(np.corrcoef(openings.mean(0), real)[0, 1])
    assert metrics["mean"].compute() > metrics["one"].compute()
    alone = SampledMouthCorrelation(of="mean")
    alone.update(samples[:1], target)
    assert alone.compute().item() == pytest.approx(pearson(openings[0], real).item())
    with pytest.raises(ValueError, match="one or mean"):
        SampledMouthCorrelation(of="best")


@pytest.mark.parametrize("name", ["frechet", "precision", "recall", "density", "coverage"])
def test_bfloat16_parent_reset_pickle_forward_and_no_checkpoint(name: str) -> None:
    def feed(metric: NamedMetric) -> float:
        metric.update(heads(5, 0), real=True)
        metric.update(heads(6, 1, 0.6), real=False)
        return float(metric.compute())

    expected = feed(set_metrics()[name])
    parent, metric = nn.Module(), set_metrics()[name]
    parent.metric = metric
    parent.to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert feed(metric) == expected
    assert not parent.state_dict()
    assert pickle.loads(pickle.dumps(metric)).compute().item() == expected
    with torch.inference_mode():
        metric.reset()
    assert feed(metric) == expected
    forwarded = set_metrics()[name]
    with torch.no_grad():
        forwarded(heads(5, 0), real=True)
        forwarded(heads(6, 1, 0.6), real=False)
    assert forwarded.compute().item() == pytest.approx(expected, rel=1e-12)


def test_two_processes_equal_one(tmp_path: Path) -> None:
    outputs = [tmp_path / f"{rank}.json" for rank in range(2)]
    workers = [
        subprocess.Popen([sys.executable, str(WORKER), str(rank), str(tmp_path / "meet"), str(output)])
        for rank, output in enumerate(outputs)
    ]
    try:
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    expected: dict[str, list[Any]] = {}
    for name, metric in set_metrics().items():
        metric.update(heads(5, 0), real=True)
        metric.update(heads(6, 1, 0.6), real=False)
        expected[name] = [pytest.approx(metric.compute().item(), rel=1e-9)] * 2
    for name, metric in sample_metrics().items():
        for seed in range(5):
            metric.update(*drawn(name, seed))
        # Clips are counted after `compute`, when each process again has only its own.
        expected[name] = [pytest.approx(metric.compute().item(), rel=1e-12)]
    for output in outputs:
        got = json.loads(output.read_text())
        for split in ("uneven", "empty"):
            for name, values in expected.items():
                assert got[f"{split} {name}"][: len(values)] == values, (split, name)
