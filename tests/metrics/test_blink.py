import pytest
import torch

from expnet.metrics import BlinkDuration, BlinkInterval, BlinkRate
from expnet.metrics.functional import blink_duration, blink_interval, blink_rate, blinks, eye_aspect_ratio


def face_with_eyes(openness: torch.Tensor) -> torch.Tensor:
    """Return landmarks (..., 68, 2) whose eyes, 30 wide, have the given aspect ratio (...)."""
    points = torch.zeros(*openness.shape, 68, 2, dtype=torch.float64)
    for first, left in ((36, 0.0), (42, 60.0)):
        columns = torch.tensor([0.0, 10.0, 20.0, 30.0, 20.0, 10.0]) + left
        points[..., first : first + 6, 0] = columns.double()
        for upper in (1, 2):
            points[..., first + upper, 1] = -15.0 * openness
        for lower in (4, 5):
            points[..., first + lower, 1] = 15.0 * openness
    return points


def eyes(frames: int, dips: list[tuple[int, int]], depth: float = 0.2) -> torch.Tensor:
    """Return an aspect ratio (T,) of 0.3 with dips (start, length) to a share of it."""
    openness = torch.full((frames,), 0.3, dtype=torch.float64)
    for start, length in dips:
        openness[start : start + length] *= depth
    return openness


def test_aspect_ratio_is_of_both_eyes_and_scale_free() -> None:
    points = face_with_eyes(torch.tensor([0.3, 0.1], dtype=torch.float64))
    assert eye_aspect_ratio(points).tolist() == pytest.approx([0.3, 0.1])
    assert eye_aspect_ratio(points * 7 - 3).tolist() == pytest.approx([0.3, 0.1])
    points[..., 36:42, 1] *= 2  # one eye twice as open
    assert eye_aspect_ratio(points).tolist() == pytest.approx([0.45, 0.15])


@pytest.mark.parametrize(
    ("dips", "expected"),
    [
        ([], 0),
        ([(10, 4)], 1),
        ([(10, 4), (40, 1), (60, 12)], 3),
        ([(10, 13)], 0),  # longer than half a second: the eye is closed
        ([(0, 3)], 0),  # cut off by the start
        ([(97, 3)], 0),  # cut off by the end
        ([(1, 3), (96, 3)], 2),
        ([(10, 3), (14, 3)], 2),  # one open frame between
    ],
)
def test_dips_are_counted_whole(dips: list[tuple[int, int]], expected: int) -> None:
    assert blinks(eyes(100, dips)).item() == expected
    assert blinks(torch.stack([eyes(100, []), eyes(100, dips)])).tolist() == [0, expected]


def test_half_closed_is_no_blink_and_narrow_eyes_blink_too() -> None:
    assert blinks(eyes(100, [(10, 4)], depth=0.75)).item() == 0
    assert blinks(0.5 * eyes(100, [(10, 4)])).item() == 1


def test_a_lost_face_is_no_blink() -> None:
    openness = eyes(100, [(10, 4), (50, 4)])
    valid = torch.ones(100, dtype=torch.bool)
    valid[12] = False
    assert blinks(openness, valid=valid).item() == 1
    assert blinks(openness.masked_fill(~valid, torch.nan), valid=valid).item() == 1
    assert blinks(openness, valid=torch.zeros(100, dtype=torch.bool)).item() == 0


def test_rate_by_hand_and_pooled_over_time() -> None:
    rate, minutes = blink_rate(face_with_eyes(eyes(750, [(100, 4), (300, 5), (500, 3)])))
    assert rate.item() == pytest.approx(6.0)  # three in half a minute
    assert minutes.item() == pytest.approx(0.5)
    metric = BlinkRate()
    metric.update(face_with_eyes(eyes(750, [(100, 4), (300, 5), (500, 3)]))[None])
    metric.update(face_with_eyes(eyes(50, [(20, 4)]))[None])  # 30 per minute, but within two seconds
    assert metric.compute().item() == pytest.approx(4 / (800 / 1500))
    valid = torch.arange(750)[None] < 375
    metric.reset()
    metric.update(face_with_eyes(eyes(750, [(100, 4), (500, 3)]))[None], valid)
    assert metric.compute().item() == pytest.approx(4.0)


def test_short_and_empty_clips_are_unscored() -> None:
    metric = BlinkRate()
    metric.update(face_with_eyes(eyes(20, [(5, 3)]))[None])
    assert (int(metric.clips), int(metric.unscored)) == (0, 1)
    metric.update(torch.zeros(0, 40, 68, 2))
    assert torch.isnan(metric.compute())


def test_another_frame_rate() -> None:
    fast = eyes(100, [(10, 4), (50, 4)]).repeat_interleave(2)
    assert blink_rate(face_with_eyes(fast), fps=50.0)[0].item() == pytest.approx(30.0)


def test_durations_and_intervals_by_hand() -> None:
    openness = torch.stack([eyes(750, [(100, 4), (300, 6), (550, 2)]), eyes(750, [(20, 5)]), eyes(750, [])])
    landmarks = face_with_eyes(openness)
    duration, blinked = blink_duration(landmarks)
    assert blinked.tolist() == [3, 1, 0]
    assert duration[:2].tolist() == pytest.approx([4 / 25, 5 / 25])
    assert duration[2].isnan()
    interval, between = blink_interval(landmarks)
    assert between.tolist() == [2, 0, 0]  # the last blink of one clip and the first of the next have no interval
    assert interval[0].item() == pytest.approx(225 / 25)
    assert interval[1:].isnan().all()
    metric = BlinkDuration()
    metric.update(landmarks)
    assert metric.compute().item() == pytest.approx(17 / 4 / 25)  # the mean over blinks, not over clips
    assert (int(metric.clips), int(metric.unscored)) == (2, 1)
    gap = BlinkInterval()
    gap.update(landmarks)
    gap.update(face_with_eyes(eyes(100, [(10, 3), (60, 3)]))[None])
    assert gap.compute().item() == pytest.approx((200 + 250 + 50) / 3 / 25)


def test_an_interval_over_lost_frames_is_not_counted() -> None:
    landmarks = face_with_eyes(eyes(750, [(100, 4), (300, 4), (550, 4)]))
    valid = torch.ones(750, dtype=torch.bool)
    valid[200] = False
    interval, between = blink_interval(landmarks, valid=valid)
    assert (interval.item(), between.item()) == (pytest.approx(10.0), 1)
