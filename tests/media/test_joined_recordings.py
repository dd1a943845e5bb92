"""Recordings joined byte by byte: nothing of either is lost, and audio and video stay in sync."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from expnet.audio.wave import load_audio
from expnet.errors import InputError
from expnet.media.video_reader import _constant_rate, read_video

RATE = 48_000


def write_recording(path: Path, level: int, *, frames: int = 75) -> None:
    """Three seconds: grey frames of one level, and a click in the audio at the start of every second."""
    with av.open(str(path), "w", format="mpegts") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        samples = np.zeros(frames * RATE // 25, np.float32)
        for second in range(frames // 25):
            samples[second * RATE : second * RATE + 2400] = 0.9 * np.sin(np.arange(2400) * 0.3)
        for index in range(frames):
            image = np.full((64, 64, 3), level + index % 25 * 2, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
            part = av.AudioFrame.from_ndarray(
                samples[None, index * RATE // 25 : (index + 1) * RATE // 25].copy(), format="fltp", layout="mono"
            )
            part.sample_rate, part.pts, part.time_base = RATE, index * RATE // 25, Fraction(1, RATE)
            container.mux(audio.encode(part))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joined")
    write_recording(folder / "a.ts", 40)
    write_recording(folder / "b.ts", 150)
    (folder / "both.ts").write_bytes((folder / "a.ts").read_bytes() + (folder / "b.ts").read_bytes())
    return folder / "both.ts"


def test_every_frame_of_both_is_kept(joined: Path) -> None:
    levels = [int(image.mean()) for image in read_video(joined)]
    assert abs(len(levels) - 150) <= 1
    assert sum(level < 120 for level in levels) in (74, 75, 76)
    assert sum(level >= 120 for level in levels) in (74, 75, 76)


def test_audio_of_both_is_kept_in_sync_with_the_frames(joined: Path) -> None:
    samples = load_audio(joined)
    assert abs(len(samples) / 16_000 - 6.0) < 0.1
    loud = np.abs(samples) > 0.2
    clicks = np.flatnonzero(loud & ~np.concatenate([[False], loud[:-1]]))
    starts = [clicks[0], *(click for last, click in itertools.pairwise(clicks) if click - last > 8000)]
    levels = np.array([int(image.mean()) for image in read_video(joined)])
    # A click is at the start of every second, where the grey level jumps back by 48.
    jumps = [0, *(int(k) + 1 for k in np.flatnonzero(np.diff(levels) < -20))]
    second = int(np.flatnonzero(levels >= 120)[0])
    expected = sorted({*jumps, second})
    assert len(starts) == len(expected) == 6
    assert np.abs(np.array(starts) / 640 - expected).max() < 1.0


def test_time_stamps_that_repeat_throughout_are_refused() -> None:
    """No muxer writes such a file, so the frames are given with their times."""
    frame = av.VideoFrame(16, 16, "rgb24")
    doubled = [(frame, index // 2 / 25, index // 2 / 25 + 0.04) for index in range(50)]
    with pytest.raises(InputError, match="25 of 50 frames have time stamps that repeat"):
        list(_constant_rate(doubled, 25.0, "clip.avi"))
    once = [(frame, min(index, 38) / 25, min(index, 38) / 25 + 0.04) for index in range(40)]
    assert sum(copies for _, copies in _constant_rate(once, 25.0, "clip.avi")) == 39
