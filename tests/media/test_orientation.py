"""Every display matrix shows a video as a player does."""

import gc
import itertools
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from expnet.media.orientation import orientation_of
from expnet.media.video_reader import probe_video, read_video

ONE = 1 << 16
MATRICES = [
    *((a * ONE, 0, 0, d * ONE) for a, d in itertools.product((1, -1), repeat=2)),
    *((0, b * ONE, c * ONE, 0) for b, c in itertools.product((1, -1), repeat=2)),
]


def shown_by_definition(image: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """Pixel by pixel: (p, q) goes to (a p + c q, b p + d q), then the whole is moved into the positive quadrant."""
    height, width = image.shape[:2]
    places = {(p, q): ((a * p + c * q) // ONE, (b * p + d * q) // ONE) for p in range(width) for q in range(height)}
    left, top = (min(place[axis] for place in places.values()) for axis in (0, 1))
    size = (width, height) if a else (height, width)
    shown = np.zeros((size[1], size[0], 3), np.uint8)
    for (p, q), (x, y) in places.items():
        shown[y - top, x - left] = image[q, p]
    return shown


@pytest.mark.parametrize("matrix", MATRICES)
def test_the_whole_matrix_is_applied(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    image = np.zeros((32, 48, 3), np.uint8)
    image[:16, :24], image[:16, 24:], image[16:, :24] = (200, 30, 30), (30, 200, 30), (30, 30, 200)
    a, b, c, d = matrix
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv444p"
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    expected = shown_by_definition(image, a, b, c, d)
    shown = next(read_video(tmp_path / "clip.mp4"))
    assert shown.shape == expected.shape == (*probe_video(tmp_path / "clip.mp4").size, 3)
    inner = np.abs(shown.astype(int) - expected)  # the codec smears the edges between the quarters
    assert np.median(inner) <= 4
    for y, x in ((8, 8), (8, -8), (-8, 8), (-8, -8)):
        assert inner[y, x].max() <= 12


def test_a_frame_without_a_matrix_stays_as_it_is() -> None:
    image = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    assert orientation_of(av.VideoFrame.from_ndarray(image, format="rgb24")).apply(image) is image


def test_a_frame_does_not_outlive_its_use() -> None:
    frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
    gc.disable()
    try:
        before = sys.getrefcount(frame)
        orientation_of(frame)
        assert sys.getrefcount(frame) == before
    finally:
        gc.enable()
