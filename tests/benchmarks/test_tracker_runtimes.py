"""The benchmark of the tracker's runtimes: distances, and the yardsticks of one tracker used twice."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

import tracker_runtimes as benchmark
from expnet.face.tracker import LandmarkTrack


class ColumnTracker:
    """Finds all points at the column of the brightest pixel, plus the number of the frame in its row."""

    def track(self, frames: Iterable[np.ndarray]) -> LandmarkTrack:
        """Track a white column."""
        points = []
        for number, frame in enumerate(frames):
            column = float(frame[0, :, 0].argmax())
            points.append(np.full((478, 3), (column, number, 0.0), np.float32))
        return LandmarkTrack(np.stack(points), np.full(len(points), True), frame.shape[:2])


@pytest.fixture
def frames() -> list[np.ndarray]:
    made = np.zeros((4, 8, 16, 3), np.uint8)
    for number, frame in enumerate(made):
        frame[:, 3 + 2 * number] = 255
    return list(made)


def test_moved_frames_give_points_that_are_moved_back(frames: list[np.ndarray]) -> None:
    reference = ColumnTracker().track(frames)
    np.testing.assert_array_equal(benchmark.moved(ColumnTracker(), frames).points, reference.points)
    assert benchmark.distances(reference, benchmark.moved(ColumnTracker(), frames)).max() == 0


def test_a_later_start_is_compared_frame_by_frame(frames: list[np.ndarray]) -> None:
    later = benchmark.begun_later(ColumnTracker(), frames)
    assert later.found.tolist() == [False, True, True, True]
    apart = benchmark.distances(ColumnTracker().track(frames), later)
    assert len(apart) == 3 * 478
    np.testing.assert_allclose(apart, 1)  # the rows count from the first frame that was tracked


def test_litert_is_always_among_the_trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "has_solutions", lambda: False)
    assert list(benchmark.trackers(None)) == ["litert"]
    monkeypatch.setattr(benchmark, "has_solutions", lambda: True)
    assert list(benchmark.trackers(None)) == ["mediapipe", "litert"]
