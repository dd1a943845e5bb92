"""Long videos in parts: the same frames and audio as the whole, named by their seconds, in the memory of one part."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from expnet.config.benchmark import GROUND_TRUTH
from expnet.errors import ConfigError, InputError
from expnet.evaluation.main import main
from expnet.evaluation.videos.clip_parts import in_parts
from expnet.evaluation.videos.pairing import PairedClip
from expnet.evaluation.videos.reader import VideoReader
from expnet.media.video_reader import write_video


@pytest.fixture(scope="module")
def long_clip(talking: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 3.84 s: three times the same motion."""
    frames, sound = talking["anna/one"]
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    write_video(path, frames * 3, audio=np.tile(sound, 3))
    return path


def clip_of(path: Path) -> PairedClip:
    return PairedClip("long", "anna", {GROUND_TRUTH: path})


@pytest.mark.parametrize(
    ("part", "limit", "starts", "last"),
    [
        (0.0, 0.0, [0.0], None),
        (10.0, 0.0, [0.0], None),
        (1.0, 0.0, [0.0, 1.0, 2.0, 3.0], float("inf")),  # the last part has .84 s
        (1.1, 0.0, [0.0, 1.1, 2.2], float("inf")),  # 3.49 parts: the last one takes the rest
        (1.0, 2.0, [0.0, 1.0], 2.0),
    ],
)
def test_parts_follow_one_another(
    long_clip: Path, part: float, limit: float, starts: list[float], last: float | None
) -> None:
    found = list(in_parts([clip_of(long_clip)], part, limit))
    assert [clip.start for clip in found] == pytest.approx(starts)
    assert [clip.end for clip in found[:-1]] == pytest.approx(starts[1:])
    assert found[-1].end == last
    assert len({clip.clip_id for clip in found}) == len(found)


def test_a_part_has_the_frames_and_the_audio_of_the_whole(long_clip: Path) -> None:
    reader = VideoReader()
    whole, part = reader(long_clip), reader(long_clip, 1.0, 2.2)
    assert torch.equal(part.frames, whole.frames[25:55])
    assert part.audio is not None
    assert whole.audio is not None
    assert torch.equal(part.audio, whole.audio[25 * 640 : 55 * 640])
    rest = reader(long_clip, 3.0, float("inf"))
    assert torch.equal(rest.frames, whole.frames[75:])
    with pytest.raises(InputError, match=r"ends before second 9"):
        reader(long_clip, 9.0, 10.0)


def test_the_first_frame_is_left_out_with_its_audio(long_clip: Path) -> None:
    whole, later = VideoReader()(long_clip), VideoReader(first_frame=5, seconds=0.4)(long_clip)
    assert torch.equal(later.frames, whole.frames[5:15])
    assert later.audio is not None
    assert whole.audio is not None
    assert torch.equal(later.audio, whole.audio[5 * 640 : 15 * 640])


def test_a_long_clip_is_scored_in_parts(
    long_clip: Path, videos: SimpleNamespace, tmp_path: Path, write_folder: Callable[..., Path]
) -> None:
    options = [f"systems.ours={long_clip.parent}", "metrics=[pose_diversity,beat_alignment]", "protocol.part_seconds=1"]
    assert main([*options, f"output={tmp_path}", "devices=1", "protocol.resamples=20"]) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert [(row["clip_id"], row["frames"]) for row in found["clips"]] == [
        ("long@0s", 25),
        ("long@1s", 25),
        ("long@2s", 25),
        ("long@3s", 21),
    ]
    assert {row["speaker"] for row in found["clips"]} == {"long"}
    assert found["protocol"]["part_seconds"] == 1.0
    assert (tmp_path / "videos" / "01-worst.mp4").is_file() == bool(list(tmp_path.glob("videos/*")))


def test_parts_of_no_length_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"part_seconds must be 0, or 1 or more"):
        main(["systems.ours=ours", "protocol.part_seconds=0.5"])


_MEASURE = """
import resource, sys
from pathlib import Path
from expnet.evaluation.videos.clip_parts import in_parts
from expnet.evaluation.videos.pairing import PairedClip
from expnet.evaluation.videos.reader import VideoReader
reader = VideoReader()
reader._face = lambda images: None  # tracking takes time, and the same memory for every part
clip = PairedClip("long", "a", {"ground_truth": Path(sys.argv[1])})
parts = list(in_parts([clip], 60.0))
first, last = parts[0], parts[-2]
reader(Path(sys.argv[1]), first.start, first.end)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
video = reader(Path(sys.argv[1]), last.start, last.end)
print(len(parts), len(video), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "getrusage"), reason="needs the peak memory of a process")
def test_memory_stays_flat_over_an_hour(tmp_path: Path) -> None:
    """The 64th minute takes no more memory than the first; read whole, the audio alone would take 250 MB more."""
    path = tmp_path / "hour.mp4"
    frame = np.full((32, 32, 3), 90, np.uint8)
    sound = np.zeros(65 * 60 * 16000, np.float32)
    sound[::160] = 0.5
    write_video(path, (frame for _ in range(65 * 60)), fps=1.0, audio=sound)
    done = subprocess.run([sys.executable, "-c", _MEASURE, str(path)], capture_output=True, text=True, check=True)
    parts, frames, growth = map(int, done.stdout.split())
    assert (parts, frames) == (65, 1500)
    assert growth < 40_000  # kilobytes
