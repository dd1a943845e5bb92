import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import argrelextrema

from expnet.metrics import BeatAlignment
from expnet.metrics.functional import audio_beats, beat_alignment, motion_beats

FPS = 25.0


def nodding(turns: list[float], frames: int = 200) -> torch.Tensor:
    """Return landmarks (T, 68, 2) of a head that moves up and down and stands still at the given times."""
    time = torch.arange(frames, dtype=torch.float64) / FPS + 0.5 / FPS
    speed = torch.ones(frames, dtype=torch.float64)
    for turn in turns:
        speed -= 0.9 * torch.exp(-((time - turn) ** 2) / (2 * 0.12**2))
    points = torch.zeros(frames, 68, 2, dtype=torch.float64)
    points[..., 1] = speed.cumsum(0)[:, None]
    return points


def walk(frames: int, seed: int) -> torch.Tensor:
    draws = torch.randn(frames, 68, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return draws.cumsum(0)


def plainly(points: np.ndarray, beats: list[float], sigma: float) -> float:
    """The formula of the sources, with motion beats between their frames."""
    speed = np.mean(np.sqrt(np.sum((points[1:] - points[:-1]) ** 2, axis=2)), axis=1)
    turns = (argrelextrema(gaussian_filter(speed, 5), np.less)[0] + 1) / FPS
    return float(np.mean([np.exp(-np.min((turns - beat) ** 2) / (2 * sigma**2)) for beat in beats]))


@pytest.mark.parametrize("frames", [7, 30, 301])
def test_motion_beats_are_scipys(frames: int) -> None:
    for seed in range(4):
        points = walk(frames, seed)
        speed = points.diff(dim=0).norm(dim=-1).mean(-1).numpy()
        expected = argrelextrema(gaussian_filter(speed, 5), np.less)[0]
        assert motion_beats(points).nonzero().flatten().tolist() == expected.tolist()


def test_alignment_equals_the_formula_of_the_sources() -> None:
    beats = [0.4, 1.7, 3.3, 5.02, 9.9]
    for seed in range(5):
        points = walk(260, seed)
        value = beat_alignment(points, torch.tensor(beats, dtype=torch.float64), sigma=0.1)
        assert value.item() == pytest.approx(plainly(points.numpy(), beats, 0.1), rel=1e-9)


def test_turns_on_and_off_the_beat() -> None:
    turns = [1.0, 2.0, 3.5, 5.0, 6.0]
    head = nodding(turns)
    on = beat_alignment(head, torch.tensor(turns)).item()
    off = beat_alignment(head, torch.tensor(turns) + 0.25).item()
    assert on > 0.95
    assert off < 0.2
    late = beat_alignment(head, torch.tensor(turns) + 0.1).item()
    assert late == pytest.approx(np.exp(-0.5), abs=0.15)  # one sigma away


def test_the_cases_without_beats_are_defined() -> None:
    still, moving = torch.zeros(100, 68, 2), nodding([1.0, 2.0], 100)
    assert beat_alignment(still, torch.tensor([1.0, 2.0])).item() == 0.0
    assert torch.isnan(beat_alignment(moving, torch.full((3,), torch.nan)))
    assert torch.isnan(beat_alignment(moving, torch.zeros(0)))
    assert torch.isnan(beat_alignment(moving, torch.tensor([99.0])))  # after the clip
    assert beat_alignment(moving[:2], torch.tensor([0.01])).item() == 0.0  # motion cannot reverse within two frames


def test_a_lost_face_does_not_shift_time() -> None:
    turns = [1.0, 2.0, 5.0, 6.0]
    head, valid = nodding(turns), torch.ones(200, dtype=torch.bool)
    valid[70:90] = False
    head[70:90] = torch.nan
    assert beat_alignment(head, torch.tensor(turns), valid=valid).item() > 0.95
    assert (
        beat_alignment(head, torch.tensor([*turns, 3.2]), valid=valid).item() > 0.95
    )  # this beat is at an invalid frame


def test_lips_do_not_move_the_head() -> None:
    head = nodding([1.0, 2.0, 3.5])
    talking = head.clone()
    talking[:, 48:68] += 20 * torch.randn(200, 20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    beats = torch.tensor([[1.0, 2.0, 3.5]])
    rigid, everything = BeatAlignment(), BeatAlignment(points="all")
    assert rigid.score(talking[None], beats)[0].item() == rigid.score(head[None], beats)[0].item()
    assert everything.score(talking[None], beats)[0].item() != everything.score(head[None], beats)[0].item()
    assert rigid.protocol != everything.protocol


def test_padded_beats_and_mean_over_clips() -> None:
    heads = torch.stack([nodding([1.0, 4.0]), nodding([2.0])])
    beats = torch.tensor([[1.0, 4.0, 6.0], [2.0, torch.nan, torch.nan]], dtype=torch.float64)
    metric = BeatAlignment()
    metric.update(heads, beats)
    first, second = beat_alignment(heads[0], beats[0]).item(), beat_alignment(heads[1], beats[1, :1]).item()
    assert metric.compute().item() == pytest.approx((first + second) / 2)
    metric.update(heads[:0], beats[:0])
    assert int(metric.clips) == 2
    with pytest.raises(ValueError, match="points"):
        BeatAlignment(points="mouth")


def test_beats_of_a_click_track() -> None:
    clicks = torch.zeros(16000 * 8)
    for beat in range(16):
        clicks[8000 * beat : 8000 * beat + 200] = 1.0  # 120 per minute
    times = audio_beats(clicks)
    assert len(times) >= 12
    assert times.diff().median().item() == pytest.approx(0.5, abs=0.03)
    assert (times / 0.5 - (times / 0.5).round()).abs().max().item() * 0.5 < 0.07
    assert audio_beats(torch.zeros(16000)).tolist() == []
    assert audio_beats(torch.zeros(0)).tolist() == []
