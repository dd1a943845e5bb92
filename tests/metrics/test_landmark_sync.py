import pytest
import torch

from expnet.metrics import LandmarkSyncConfidence, LandmarkSyncDistance, LandmarkSyncOffset

METRICS = (LandmarkSyncDistance, LandmarkSyncConfidence, LandmarkSyncOffset)


class Planted(torch.nn.Module):
    """An expert whose similarities are stored in the mel spectrogram."""

    name = "planted"

    def forward(self, landmarks: torch.Tensor, mel: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        return mel[:, 0, :31]


def clips(*curves: torch.Tensor, frames: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    mel = torch.zeros(len(curves), 80, 200)
    mel[:, 0, :31] = torch.stack(curves)
    return torch.zeros(len(curves), frames, 68, 3), mel


def peak(lag: int, height: float, base: float = 0.1) -> torch.Tensor:
    curve = torch.full((31,), base)
    curve[lag + 15] = height
    return curve


def test_numbers_by_hand() -> None:
    landmarks, mel = clips(peak(0, 0.7), peak(-4, 0.5))
    distance, confidence, offset = (kind(Planted()) for kind in METRICS)
    for metric in (distance, confidence, offset):
        metric.update(landmarks, mel)
    assert distance.compute().item() == pytest.approx((0.3 + 0.5) / 2)
    assert confidence.compute().item() == pytest.approx((0.6 + 0.4) / 2)
    assert offset.compute().item() == -2.0
    assert offset.score(landmarks, mel)[0].tolist() == [0.0, -4.0]


def test_one_measurement_serves_all() -> None:
    landmarks, mel = clips(peak(3, 0.9))
    curve = LandmarkSyncDistance(Planted()).measure(landmarks, mel)
    for kind in METRICS:
        measured, added = kind(Planted()), kind(Planted())
        measured.update(landmarks, mel)
        added.add(curve)
        assert measured.compute() == added.compute()


@pytest.mark.parametrize("kind", METRICS)
def test_short_clips_are_not_scored(kind: type) -> None:
    metric = kind(Planted())
    metric.update(*clips(peak(0, 0.7), frames=20))
    landmarks, mel = clips(peak(0, 0.7), peak(0, 0.7))
    valid = torch.ones(2, 40, dtype=torch.bool)
    valid[1, 10:] = False
    metric.update(landmarks, mel, valid)
    assert (int(metric.clips), int(metric.unscored)) == (1, 2)


def test_protocol_and_shapes() -> None:
    protocol = LandmarkSyncDistance(Planted()).protocol
    assert (protocol["metric"], protocol["extractor"], protocol["shortest"]) == ("LandmarkSyncDistance", "planted", 25)
    assert len({kind.name for kind in METRICS}) == 3
    landmarks, mel = clips(peak(0, 0.7))
    with pytest.raises(ValueError, match="as many clips"):
        LandmarkSyncDistance(Planted()).update(landmarks[0], mel)
