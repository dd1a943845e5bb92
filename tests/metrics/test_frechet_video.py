"""Frechet video distance: cases by hand, the frames and crops of published code, processes, precision, refusals."""

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

from expnet.metrics import (
    ExpressionFrechetDistance,
    ExtrapolatedVideoDistance,
    FrechetVideoDistance,
    Moments,
    UnscorableClipError,
)
from expnet.metrics.functional.frechet import frechet_distance
from expnet.metrics.functional.frechet_extrapolation import extrapolated_frechet_distance, fold_moments
from expnet.metrics.functional.video_clips import DETECTOR_MARGINS, mesh_boxes, video_input
from expnet.metrics.moments import MomentMetric

ROOT = Path(__file__).resolve().parents[2]
VIDEO_KINDS: list[Any] = [FrechetVideoDistance, ExtrapolatedVideoDistance]
KINDS: list[Any] = [*VIDEO_KINDS, ExpressionFrechetDistance]


class Brightness(nn.Module):
    """Stands in for I3D: the mean of each colour."""

    def forward(self, videos: torch.Tensor) -> torch.Tensor:
        return videos.mean((2, 3, 4))


def small_metric(kind: Any) -> MomentMetric:
    if kind is ExpressionFrechetDistance:
        return ExpressionFrechetDistance(face_model="made up", features=3)
    return kind(Brightness(), protocol_name="stylegan_v", features=3, fewest=4)


def vectors(count: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) * scale + seed


def movie(frames: int = 40, height: int = 60, width: int = 80, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, 3, height, width), dtype=torch.uint8, generator=generator)


def test_the_distance_is_scipys_and_that_of_published_code() -> None:
    metric = small_metric(FrechetVideoDistance)
    real, generated = vectors(30, 0), vectors(26, 1, 0.6)
    metric.add_features(real, real=True)
    metric.add_features(generated, real=False)
    # LatentSync eval/fvd.py
    first, second = real.double().numpy(), generated.double().numpy()
    sigma, other = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = scipy.linalg.sqrtm(np.dot(other, sigma))
    expected = np.square(second.mean(0) - first.mean(0)).sum() + np.trace(other + sigma - np.real(root) * 2)
    assert metric.compute().item() == pytest.approx(expected, rel=1e-9)


def test_shifted_brightness_by_hand() -> None:
    """Grey videos of levels v: every feature is 2 v / 255 - 1, so a shift by 51 moves each of three by 0.4."""
    metric = small_metric(FrechetVideoDistance)
    levels = torch.tensor([0, 50, 100, 150, 204], dtype=torch.uint8).reshape(-1, 1, 1, 1, 1)
    grey = levels.expand(-1, 16, 3, 8, 8)
    metric.update(grey, real=True)
    metric.update(grey + 51, real=False)
    assert metric.compute().item() == pytest.approx(3 * 0.4**2, abs=1e-6)


def test_latentsync_sees_the_face_of_frames_20_to_35() -> None:
    frames = movie()
    boxes = torch.tensor([10.7, 5.2, 50.9, 48.6]).double().expand(40, 4).clone()
    boxes[:, 0] -= torch.arange(40) * 0.5  # the box reaches over the edge of the frame
    seen = video_input(frames, "latentsync", boxes=boxes)
    assert seen.shape == (3, 16, 224, 224)
    for place, index in ((0, 20), (15, 35)):
        image = frames[index].permute(1, 2, 0).numpy()
        left, top = int(boxes[index, 0]), int(boxes[index, 1])
        right, bottom = left + int(boxes[index, 2] - boxes[index, 0]), top + int(boxes[index, 3] - boxes[index, 1])
        face = np.ascontiguousarray(image[max(0, top) : min(60, bottom), max(0, left) : min(80, right)])
        expected = cv2.resize(face, (224, 224), interpolation=cv2.INTER_AREA) / 255.0
        assert np.abs(seen[:, place].permute(1, 2, 0).numpy() - expected).max() < 1e-6


def test_stylegan_v_sees_the_first_16_frames_whole_in_the_range_of_the_network() -> None:
    frames = movie(16, 224, 224)
    seen = video_input(frames, "stylegan_v")
    torch.testing.assert_close(seen, frames.transpose(0, 1).float() / 127.5 - 1)


def test_videos_that_cannot_be_scored_are_named() -> None:
    boxes = torch.full((40, 4), 5.0)
    boxes[:, 2:] = 40.0
    with pytest.raises(UnscorableClipError, match=r"has 30 frames, FVD \(latentsync\) needs 36"):
        video_input(movie(30), "latentsync", boxes=boxes[:30])
    boxes[22] = torch.nan
    with pytest.raises(UnscorableClipError, match="needs a face in each of its 16 frames"):
        video_input(movie(), "latentsync", boxes=boxes)
    boxes[22] = torch.tensor([200.0, 5.0, 240.0, 40.0])
    with pytest.raises(UnscorableClipError, match="outside of the frame"):
        video_input(movie(), "latentsync", boxes=boxes)
    with pytest.raises(ValueError, match="protocol must be one of"):
        video_input(movie(), "16 frames")
    with pytest.raises(ValueError, match="needs face boxes"):
        video_input(movie(), "latentsync")
    with pytest.raises(ValueError, match="uint8"):
        video_input(movie().float(), "stylegan_v")


def test_boxes_follow_the_mesh() -> None:
    points = torch.zeros(2, 478, 2, dtype=torch.float64)
    points[:, :468] = torch.rand(2, 468, 2, generator=torch.Generator().manual_seed(0))
    points[:, 0], points[:, 1] = torch.tensor([0.0, 10.0]), torch.tensor([100.0, 210.0])
    points[1] = points[0] + 7
    boxes = mesh_boxes(points)
    low = points[0, :468].amin(0)
    left, top, right, bottom = DETECTOR_MARGINS
    height = 210 - low[1].item()
    expected = [100 * left, low[1].item() + height * top, 100 + 100 * right, 210 + height * bottom]
    assert boxes[0].tolist() == pytest.approx(expected, rel=1e-5)
    assert (boxes[1] - boxes[0]).tolist() == pytest.approx([7.0] * 4, rel=1e-5)
    points[1] = torch.nan
    assert mesh_boxes(points)[1].isnan().all()


@pytest.mark.parametrize("kind", VIDEO_KINDS)
def test_too_few_videos_are_refused(kind: Any) -> None:
    metric = kind(Brightness(), features=3)
    metric.add_features(vectors(40, 0), real=True)
    metric.add_features(vectors(31, 1), real=False)
    assert metric.compute().isnan()
    metric.add_features(vectors(1, 2), real=False)
    assert metric.compute().isfinite()
    assert metric.protocol["fewest"] == 32


def test_extrapolation_removes_the_bias_of_few_vectors() -> None:
    """Two sets of one distribution in ten dimensions, shifted by 1 in the first: the distance is 1."""
    generator = torch.Generator().manual_seed(0)
    plain, better = [], []
    for _ in range(10):
        first, second = torch.randn(2, 100, 10, generator=generator, dtype=torch.float64)
        second[:, 0] += 1
        plain.append(frechet_distance(Moments.of(first), Moments.of(second)).item())
        better.append(extrapolated_frechet_distance(fold_moments(first), fold_moments(second)).item())
    assert np.mean(plain) - 1 > 0.4
    assert abs(np.mean(better) - 1) < 0.2


def test_extrapolation_does_not_depend_on_the_order() -> None:
    first, second = vectors(60, 0), vectors(50, 1)
    expected = extrapolated_frechet_distance(fold_moments(first), fold_moments(second))
    turned = extrapolated_frechet_distance(fold_moments(first.flip(0)), fold_moments(second.flip(0)))
    assert turned.item() == pytest.approx(expected.item(), rel=1e-12)
    merged = [a + b for a, b in zip(fold_moments(first[:7]), fold_moments(first[7:]), strict=True)]
    assert extrapolated_frechet_distance(merged, fold_moments(second)).item() == pytest.approx(
        expected.item(), rel=1e-12
    )
    assert extrapolated_frechet_distance(fold_moments(first[:3]), fold_moments(second)).isnan()


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_equal_one(kind: Any, two_processes: list[dict[str, list[float]]]) -> None:
    single = small_metric(kind)
    single.add_features(vectors(30, 0), real=True)
    single.add_features(vectors(26, 1, 0.6), real=False)
    for report in two_processes:
        for split in ("uneven", "empty"):
            assert report[f"{split} {kind.__name__}"] == pytest.approx([single.compute().item()] * 2, rel=1e-12)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[float]]]:
    folder = tmp_path_factory.mktemp("gloo")
    worker = Path(__file__).with_name("frechet_video_worker.py")
    outputs = [folder / f"{rank}.json" for rank in range(2)]
    workers = [
        subprocess.Popen([sys.executable, str(worker), str(rank), str(folder / "meet"), str(output)], cwd=ROOT)
        for rank, output in enumerate(outputs)
    ]
    try:
        codes = [worker.wait(timeout=100) for worker in workers]
    finally:
        for process in workers:
            process.kill()
    assert codes == [0, 0]
    return [json.loads(output.read_text()) for output in outputs]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bfloat16_parent_reset_and_copies_change_nothing(kind: Any) -> None:
    single = small_metric(kind)
    single.add_features(vectors(30, 0), real=True)
    single.add_features(vectors(26, 1), real=False)
    parent = nn.Module()
    parent.metric = small_metric(kind)
    parent.linear = nn.Linear(2, 2)
    parent.to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(2):
            parent.metric.add_features(vectors(30, 0), real=True)
            parent.metric.add_features(vectors(26, 1), real=False)
            value = parent.metric.compute()
            assert value.dtype is torch.float64
            assert value.item() == pytest.approx(single.compute().item(), rel=1e-12)
            copy = pickle.loads(pickle.dumps(parent.metric.clone()))
            assert copy.compute().item() == value.item()
            parent.metric.reset()
    assert "metric" not in "".join(parent.state_dict())
    assert "extractor" not in dict(parent.named_modules())


def test_the_moments_of_a_whole_set_cannot_be_extrapolated() -> None:
    metric = small_metric(ExtrapolatedVideoDistance)
    with pytest.raises(ValueError, match="needs the videos themselves"):
        metric.load_moments(Moments.of(vectors(9, 0)))
    with pytest.raises(ValueError, match="protocol_name must be one of"):
        FrechetVideoDistance(Brightness(), protocol_name="other")
