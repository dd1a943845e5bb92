import pytest
import torch

from expnet.metrics import BilabialClosure

FRAMES = 60


def face(*shut: int) -> torch.Tensor:
    """Landmarks (60, 68, 2) of a mouth that is half open, once wide open, and shut for two frames at each place."""
    opening = torch.full((FRAMES,), 0.1)
    opening[-6:] = 0.2
    for frame in shut:
        opening[frame : frame + 2] = 0.0
    points = torch.zeros(FRAMES, 68, 2)
    points[:, 45, 0] = 1.0  # between the outer eye corners
    points[:, 8, 1] = 2.0  # the chin is below the bridge of the nose
    points[:, 66, 1] = opening
    return points


def test_closures_by_hand_and_pooled_over_events() -> None:
    windows = (slice(9, 13), slice(29, 33), slice(44, 48))
    real, predicted = face(10, 30, 45), face(10, 20)
    metrics = {what: BilabialClosure(what=what) for what in ("opening", "recall", "precision")}
    for metric in metrics.values():
        metric.update(predicted, real, windows)
    assert metrics["recall"].compute().item() == pytest.approx(1 / 3)
    assert metrics["precision"].compute().item() == pytest.approx(1 / 2)  # the real mouth has no closure at frame 20
    assert metrics["opening"].compute().item() == pytest.approx((0 + 0.5 + 0.5) / 3, abs=0.02)
    metrics["recall"].update(face(10, 30), face(10, 30), windows[:1])  # one closure more, which is found
    assert metrics["recall"].compute().item() == pytest.approx(2 / 4)
    metrics["recall"].update(face(10, 30), face(10, 30), ())
    assert (int(metrics["recall"].clips), int(metrics["recall"].unscored)) == (2, 1)
    with pytest.raises(ValueError, match="what"):
        BilabialClosure(what="charm")


def test_lost_frames_and_the_bfloat16_parent() -> None:
    valid = torch.ones(FRAMES, dtype=torch.bool)
    valid[10] = False
    parent = torch.nn.Module()
    parent.metric = metric = BilabialClosure()
    parent.to(torch.bfloat16)
    metric.update(face(10, 30, 45), face(10, 30, 45), (slice(9, 13), slice(29, 33)), valid)
    assert metric.total.dtype is torch.float64
    assert (metric.compute().item(), metric.weight.item()) == (1.0, 1.0)  # the first one has an untracked frame
