import numpy as np
import pytest
import torch

from expnet.metrics import JitterRatio, PoseDiversity, PoseRatio, PoseSampleDiversity
from expnet.metrics.functional import (
    acceleration_energy,
    angular_speed,
    jitter_ratio,
    pose_diversity,
    pose_sample_diversity,
)


def test_acceleration_energy_by_hand() -> None:
    points = torch.zeros(5, 2, 2, dtype=torch.float64)
    points[2, 0, 0] = 1.0  # second differences 1, -2, 1 at one of two points
    assert acceleration_energy(points).item() == pytest.approx((1 + 4 + 1) / 2 / 3)
    ramp = torch.arange(6.0)[:, None, None].expand(6, 3, 2)
    assert acceleration_energy(ramp).item() == 0.0
    assert torch.isnan(acceleration_energy(points[:2]))


def test_differences_never_cross_an_invalid_frame() -> None:
    points = torch.zeros(1, 9, 1, 2, dtype=torch.float64)
    points[0, 4] = 100.0
    valid = torch.ones(1, 9, dtype=torch.bool)
    valid[0, 4] = False
    assert acceleration_energy(points, valid=valid).item() == 0.0


def test_jitter_ratio_is_weighted_by_real_energy() -> None:
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(2, 20, 4, 2, generator=generator, dtype=torch.float64)
    real[1] *= 1e-3  # a nearly still clip
    predicted = real * torch.tensor([0.5, 30.0]).reshape(2, 1, 1, 1)
    ratio, weight = jitter_ratio(predicted, real)
    assert ratio.tolist() == pytest.approx([0.25, 900.0])
    metric = JitterRatio()
    metric.update(predicted, real)
    energies = acceleration_energy(predicted).sum() / acceleration_energy(real).sum()
    assert metric.compute().item() == pytest.approx(energies.item())
    assert metric.compute().item() < 0.26
    assert weight[0] > 1e5 * weight[1]


def test_still_real_clip_is_unscored() -> None:
    metric = JitterRatio()
    metric.update(torch.randn(1, 5, 2, 2), torch.zeros(1, 5, 2, 2))
    assert (int(metric.clips), int(metric.unscored)) == (0, 1)
    assert torch.isnan(metric.compute())


def test_pose_diversity_and_speed_equal_numpy() -> None:
    rotation = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for clip in range(2):
        degrees = np.degrees(rotation[clip].numpy())
        assert pose_diversity(rotation)[clip].item() == pytest.approx(degrees.std(0).mean())
        speed = np.sqrt((np.diff(degrees, axis=0) ** 2).sum(1).mean())
        assert angular_speed(rotation)[clip].item() == pytest.approx(speed)
    metric = PoseDiversity()
    metric.update(rotation)
    assert metric.compute().item() == pytest.approx(np.degrees(rotation.numpy()).std(1).mean())


@pytest.mark.parametrize(("measure", "expected"), [("diversity", 0.5), ("speed", 0.5)])
def test_pose_ratio_identities(measure: str, expected: float) -> None:
    rotation = torch.randn(3, 40, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    metric = PoseRatio(measure=measure)
    metric.update(rotation + 0.3, rotation)  # an offset is neither diversity nor speed
    assert metric.compute().item() == pytest.approx(1.0)
    metric.reset()
    metric.update(expected * rotation, rotation)
    assert metric.compute().item() == pytest.approx(expected)


def test_sample_diversity_against_a_loop() -> None:
    samples = torch.randn(4, 10, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    pairs = [(samples[i] - samples[j]).abs().mean() for i in range(4) for j in range(i)]
    expected = float(torch.stack(pairs).mean()) * 180 / np.pi
    assert pose_sample_diversity(samples).item() == pytest.approx(expected)
    metric = PoseSampleDiversity()
    metric.update(samples[:1].expand(4, 10, 3))
    assert metric.compute().item() == 0.0  # a collapsed generator
    with pytest.raises(ValueError, match="N >= 2"):
        pose_sample_diversity(samples[:1])
