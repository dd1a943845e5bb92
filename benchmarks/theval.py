"""THEval's own scripts beside expnet's functions, on the same points and audio of real clips.

    git clone https://github.com/Newbyl/THEval
    python benchmarks/theval.py CLIPS --source THEval [--limit N] [--seconds S]

The scripts run unchanged; what they import for reading videos and finding faces is replaced by the frames' stored
points, and their voice activity detector by the segments that expnet found. The exit code is 1 if a value differs by
more than 1e-6 of itself.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.audio.voice_activity import VoiceActivityDetector
from expnet.cli import guarded
from expnet.data.even_spacing import evenly_spaced
from expnet.evaluation.videos.pairing import find_videos
from expnet.evaluation.videos.reader import Video, VideoReader
from expnet.io.markdown import markdown_table
from expnet.metrics.functional.theval import (
    brow_dynamics,
    frame_loudness,
    lip_dynamics,
    lip_sync_difference,
    pauses,
    silent_lip_stability,
    speech_frames,
)

TOLERANCE = 1e-6
FPS = 25.0
SCRIPTS = {
    "lip dynamics": "Naturalness/lip_dynamics.py",
    "brow dynamics": "Naturalness/eyebrow_dynamics.py",
    "silent lip stability": "Synchronization/silent_lip_stability.py",
    "lip sync": "Synchronization/lip_sync.py",
}


class StoredFaces:
    """Stands in for MediaPipe's FaceMesh and for the readers of video: frame t is an image that names itself."""

    def __init__(self, points: NDArray[np.float64], found: NDArray[np.bool_], size: tuple[int, int]) -> None:
        self.points, self.found, self.size, self.position = points, found, size, 0

    def __len__(self) -> int:
        return len(self.points)

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        """Say that the video is open."""
        return True

    def release(self) -> None:
        """Do nothing."""

    def set(self, _: int, frame: int) -> None:
        """Go to a frame."""
        self.position = frame

    def image(self, frame: int) -> NDArray[np.int64]:
        """Return an image of the right shape that says which frame it is."""
        return np.full((*self.size, 3), frame, np.int64)

    def read(self) -> tuple[bool, NDArray[np.int64] | None]:
        """Return the next frame."""
        if self.position >= len(self):
            return False, None
        self.position += 1
        return True, self.image(self.position - 1)

    def get_avg_fps(self) -> float:
        """Return the frame rate."""
        return FPS

    def get_batch(self, frames: Sequence[int]) -> Any:
        """Return all frames."""
        return SimpleNamespace(asnumpy=lambda: [self.image(frame) for frame in frames])

    def process(self, image: NDArray[np.int64]) -> Any:
        """Return the stored face of the frame that the image names."""
        frame = int(image[0, 0, 0])
        if not self.found[frame]:
            return SimpleNamespace(multi_face_landmarks=None)
        landmarks = [SimpleNamespace(x=x, y=y) for x, y in self.points[frame]]
        return SimpleNamespace(multi_face_landmarks=[SimpleNamespace(landmark=landmarks)])


def load_script(path: Path) -> ModuleType:
    """Import one of THEval's scripts with stand-ins for what it reads videos with."""
    names = ("cv2", "mediapipe", "moviepy", "moviepy.editor", "decord", "silero_vad", "pydub")
    stand_ins = {name: mock.MagicMock() for name in names}
    stand_ins["cv2"].cvtColor = lambda image, _: image
    stand_ins["cv2"].resize = lambda image, _: image
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    with mock.patch.dict(sys.modules, stand_ins):
        specification.loader.exec_module(module)
    return module


def theirs(scripts: dict[str, ModuleType], video: Video, segments: list[tuple[float, float]]) -> dict[str, float]:
    """Return what THEval's scripts say of a video."""
    faces = StoredFaces(shares(video).numpy(), valid(video).numpy(), video.size)
    lips, brows, silence, sync = scripts.values()
    found = [{"start": start, "end": end} for start, end in segments]

    def rewound(_: Any, **__: Any) -> StoredFaces:
        faces.position = 0
        return faces

    lips.cv2.VideoCapture = brows.cv2.VideoCapture = silence.cv2.VideoCapture = rewound
    sync.VideoReader = rewound
    lips.mp_face_mesh = brows.mp_face_mesh = silence.face_mesh = sync.face_mesh = faces
    for module in (silence, sync):
        module.get_speech_timestamps = lambda *_, **__: found
    assert video.audio is not None
    return {
        "lip dynamics": lips.compute_mouth_diversity(""),
        "brow dynamics": brows.compute_micro_expression_intensity(""),
        "silent lip stability": silence.process_video("", silence.detect_silence_frames("", FPS, len(video))),
        "lip sync": sync.process_video("", video.audio.numpy(), 16000, ""),
    }


def ours(video: Video, segments: list[tuple[float, float]]) -> dict[str, float]:
    """Return what expnet's functions say of a video."""
    points, found, speech = shares(video), valid(video), speech_frames(segments, len(video))
    assert video.audio is not None
    aspect = torch.tensor(video.size[1] / video.size[0], dtype=torch.float64)
    values = {
        "lip dynamics": lip_dynamics(points, valid=found),
        "brow dynamics": brow_dynamics(points, aspect, valid=found),
        "silent lip stability": silent_lip_stability(points, pauses(speech), valid=found),
        "lip sync": lip_sync_difference(points, frame_loudness(video.audio, len(video)), speech, valid=found),
    }
    return {name: float(value) for name, value in values.items()}


def shares(video: Video) -> torch.Tensor:
    """Return the points in shares of the frame."""
    assert video.face is not None
    return video.face.mesh.double() / torch.tensor(video.size[::-1], dtype=torch.float64)


def valid(video: Video) -> torch.Tensor:
    """Return the frames with a face."""
    assert video.face is not None
    return video.face.valid


def compare(
    clips: Sequence[Path], source: Path, seconds: float
) -> Iterator[tuple[str, dict[str, float], dict[str, float]]]:
    """Yield the name of each clip and its values by the scripts and by expnet."""
    scripts = {name: load_script(source / path) for name, path in SCRIPTS.items()}
    reader, detector = VideoReader(seconds=seconds), VoiceActivityDetector()
    for clip in clips:
        video = reader(clip)
        if video.face is None or video.audio is None:
            continue
        segments = detector(video.audio)
        yield clip.stem, theirs(scripts, video, segments), ours(video, segments)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the values of each clip and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="Folder of videos of talking faces with audio.")
    parser.add_argument("--source", type=Path, required=True, help="A checkout of THEval.")
    parser.add_argument("--limit", type=int, default=8, help="Number of clips, evenly spaced (default: %(default)s).")
    parser.add_argument("--seconds", type=float, default=10.0, help="Seconds of each clip (default: %(default)s).")
    arguments = parser.parse_args(argv)
    clips = evenly_spaced([path for path, _ in find_videos(arguments.clips).values()], arguments.limit)
    rows, worst = [], 0.0
    totals: dict[str, list[float]] = {name: [] for name in SCRIPTS}
    for name, script, own in compare(clips, arguments.source, arguments.seconds):
        rows.append([name, *(f"{own[key]:.4f}" for key in SCRIPTS)])
        for key in SCRIPTS:
            totals[key].append(own[key])
            if np.isnan(script[key]) != np.isnan(own[key]):
                worst = float("inf")
            elif not np.isnan(own[key]):
                worst = max(worst, abs(script[key] - own[key]) / abs(script[key]))
    mean: Callable[[list[float]], float] = np.nanmean  # type: ignore[assignment]
    rows.append(["mean", *(f"{mean(values):.4f}" for values in totals.values())])
    print(markdown_table(["clip", *SCRIPTS], rows, align="lr"))
    print(f"largest difference to THEval's scripts: {worst:.1e} of the value")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(guarded(main))
