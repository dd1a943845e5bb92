"""Parts of a video are the same frames as those of the whole."""

from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from expnet.media.video_reader import read_video


def film(path: Path, rate: Fraction, *, seconds: float = 12.0, key_frames: int = 250) -> Path:
    """Write a film whose brightness tells the frame; with key frames every 31 frames, each seventh is missing."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "4", "g": str(key_frames)})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.time_base = 1 / rate
        for index in range(round(seconds * rate)):
            if key_frames == 31 and index % 7 == 3 and path.suffix != ".avi":  # which has no variable rate
                continue
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 + index % 200, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30), Fraction(30000, 1001)])
@pytest.mark.parametrize("key_frames", [31, 250])
def test_a_part_is_those_frames_of_the_whole(tmp_path: Path, suffix: str, rate: Fraction, key_frames: int) -> None:
    path = film(tmp_path / f"film{suffix}", rate, key_frames=key_frames)
    whole = list(read_video(path))
    for start, end in ((0.0, 2.0), (1.0, 1.04), (4.96, 7.0), (9.0, None), (11.0, 40.0)):
        part = list(read_video(path, start=start, end=end))
        expected = list(islice(whole, round(start * 25), None if end is None else round(end * 25)))
        assert len(part) == len(expected)
        np.testing.assert_array_equal([frame[0, 0, 0] for frame in part], [frame[0, 0, 0] for frame in expected])
    assert list(read_video(path, start=30.0)) == []


def test_parts_are_of_a_constant_rate(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", Fraction(25), seconds=1.0)
    with pytest.raises(ValueError, match="start and end need a constant frame rate"):
        next(read_video(path, fps=None, start=0.5))
