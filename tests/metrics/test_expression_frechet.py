"""Frechet distance of expression coefficients: by hand, SciPy's, masks and names; processes: test_frechet_video.py."""

import numpy as np
import pytest
import scipy.linalg
import torch

from expnet.metrics import ExpressionFrechetDistance
from expnet.metrics.expression_frechet import DEEP3D


def test_a_distance_by_hand() -> None:
    metric = ExpressionFrechetDistance(face_model="a", features=1)
    metric.update(torch.tensor([[[0.0], [2.0]]]), real=True)
    metric.update(torch.tensor([[[3.0], [7.0]]]), real=False)
    # Means 1 and 5; unbiased deviations sqrt(2) and sqrt(8).
    assert metric.compute().item() == pytest.approx(4**2 + (8**0.5 - 2**0.5) ** 2)


def test_it_is_the_distance_of_all_frames_with_a_face() -> None:
    generator = torch.Generator().manual_seed(0)
    real, made = (torch.randn(3, 40, 6, generator=generator) for _ in range(2))
    valid = torch.rand(3, 40, generator=generator) > 0.2
    metric = ExpressionFrechetDistance(face_model="a", features=6)
    metric.update(real, real=True)
    metric.update(1.5 * made.masked_fill(~valid[..., None], torch.nan), real=False, valid=valid)
    first, second = real.flatten(0, 1).double().numpy(), 1.5 * made[valid].double().numpy()
    sigma, other = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = np.real(scipy.linalg.sqrtm(sigma @ other))
    expected = np.square(first.mean(0) - second.mean(0)).sum() + np.trace(sigma + other - 2 * root)
    assert metric.compute().item() == pytest.approx(expected, rel=1e-6)


def test_order_does_not_count_and_expressions_do() -> None:
    track = torch.randn(1, 60, 4, generator=torch.Generator().manual_seed(1)).cumsum(1)
    scores = []
    for changed in (track[:, torch.randperm(60)], 0.5 * track, track.mean(1, keepdim=True).expand(1, 60, 4)):
        metric = ExpressionFrechetDistance(face_model="a", features=4)
        metric.update(track, real=True)
        metric.update(changed, real=False)
        scores.append(metric.compute().item())
    assert scores[0] == pytest.approx(0, abs=1e-6)
    assert 0.1 < scores[1] < scores[2]


def test_only_deep3dfacerecon_makes_it_e_fid() -> None:
    ours, papers = ExpressionFrechetDistance(face_model="mediapipe468"), ExpressionFrechetDistance(face_model=DEEP3D)
    assert (ours.name, papers.name) == ("expression_frechet_distance", "e_fid")
    assert ours.protocol != papers.protocol
    with pytest.raises(ValueError, match=r"features must be \(N, 64\)"):
        ours.update(torch.zeros(1, 5, 50), real=True)
