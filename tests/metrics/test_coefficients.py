import pytest
import torch

from expnet.metrics import WithinClipR2
from expnet.metrics.functional import within_clip_r2


def clips(batch: int = 3, frames: int = 25, size: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, frames, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_identities() -> None:
    target = clips()
    r2, weight = within_clip_r2(target + 5.0, target)  # a constant offset is removed with the clip mean
    assert torch.allclose(r2, torch.ones(3, dtype=torch.float64))
    assert (weight > 0).all()
    mean = target.mean(1, keepdim=True).expand_as(target)
    assert torch.allclose(within_clip_r2(mean, target)[0], torch.zeros(3, dtype=torch.float64))
    hold = target[:, :1].expand_as(target)
    assert torch.allclose(within_clip_r2(hold, target)[0], torch.zeros(3, dtype=torch.float64))
    assert torch.allclose(within_clip_r2(-target, target)[0], torch.full((3,), -3.0, dtype=torch.float64))


def test_equals_the_displacement_of_vertices() -> None:
    """With M = B^T B / V the score is the R2 of the mesh itself."""
    basis = torch.randn(30, 3, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    flat = basis.reshape(-1, 6)
    metric = flat.T @ flat / 30
    target, predicted = clips(seed=1), clips(seed=2)
    r2, weight = within_clip_r2(predicted, target, metric=metric)
    for clip in range(3):
        mesh = target[clip] @ flat.T
        guess = predicted[clip] @ flat.T
        mesh, guess = mesh - mesh.mean(0), guess - guess.mean(0)
        assert r2[clip].item() == pytest.approx(1 - float((guess - mesh).square().sum() / mesh.square().sum()))
        assert weight[clip].item() == pytest.approx(float(mesh.square().sum()) / 30)


def test_mask_equals_cutting() -> None:
    target, predicted = clips(1, seed=3), clips(1, seed=4)
    valid = torch.ones(1, 25, dtype=torch.bool)
    valid[0, 10:] = False
    padded = predicted.clone()
    padded[0, 10:] = torch.nan
    assert torch.allclose(
        within_clip_r2(padded, target, valid=valid)[0], within_clip_r2(predicted[:, :10], target[:, :10])[0]
    )


def test_class_pools_over_clips() -> None:
    target, predicted = clips(seed=6), clips(seed=7)
    target[0] *= 10
    metric = WithinClipR2(metric=torch.eye(6), metric_name="unit")
    metric.update(predicted, target)
    centred = target - target.mean(1, keepdim=True)
    error = predicted - predicted.mean(1, keepdim=True) - centred
    pooled = 1 - error.square().sum() / centred.square().sum()
    assert metric.compute().item() == pytest.approx(pooled.item())
    assert metric.protocol == {"metric": "WithinClipR2", "metric_name": "unit"}
    assert not metric.state_dict()


def test_still_clip_and_wrong_sizes() -> None:
    still = torch.zeros(1, 10, 6)
    r2, weight = within_clip_r2(still, still)
    assert torch.isnan(r2).all()
    assert weight.item() == 0.0
    with pytest.raises(ValueError, match=r"\(6, 6\)"):
        within_clip_r2(still, still, metric=torch.eye(5))
    with pytest.raises(ValueError, match="differ in shape"):
        within_clip_r2(still, still[:, :5])
