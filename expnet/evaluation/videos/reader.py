"""One video, read once: frames at 25 a second, sound at 16 kHz, and the face in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, fit_length
from expnet.audio.wave import is_silent, load_audio
from expnet.coefficients import FaceCoefficients
from expnet.errors import DataError, InputError
from expnet.face.fitting import fit_clip
from expnet.face.lost_frames import fill_lost_frames
from expnet.face.morphable import MorphableModel, load_face_model
from expnet.face.tracker import open_tracker
from expnet.media.video_reader import probe_video, read_video
from expnet.metrics.functional import silent_frames

SAME_ASPECT = 0.01
"""Two pictures have the same shape when width over height differs by less than this share."""
OWN_SOUND, REFERENCE_SOUND, NO_SOUND = "own", "reference", "none"


@dataclass(frozen=True)
class Source:
    """What a file says about itself, for the warnings.

    Attributes:
        width: pixels.
        height: pixels.
        fps: frames a second as recorded.
        codec: of the pictures.
        frames: at 25 a second.
        sound: whose sound it is scored with.
    """

    width: int
    height: int
    fps: float
    codec: str
    frames: int
    sound: str = OWN_SOUND

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Face:
    """The face of a video.

    Attributes:
        landmarks: (T, 68, 2) pixels of the video, interpolated where no face was found.
        valid: (T,) boolean, where one was found.
        frontal: (T, 68, 3) landmarks of the fitted face model, head straight ahead, in face units.
        coefficients: the fit.
    """

    landmarks: Tensor
    valid: Tensor
    frontal: Tensor
    coefficients: FaceCoefficients

    @property
    def rotation(self) -> Tensor:
        """(T, 3) radians, pitch, yaw, roll."""
        return torch.from_numpy(np.array(self.coefficients.rotation))

    @property
    def crop(self) -> Tensor:
        """(3,) centre x, centre y and side of the face's crop, pixels."""
        return torch.from_numpy(np.array(self.coefficients.crop))

    def first(self, frames: int) -> Face:
        """The first frames."""
        return Face(self.landmarks[:frames], self.valid[:frames], self.frontal[:frames], self.coefficients[:frames])


@dataclass(frozen=True, eq=False)
class Video:
    """A decoded and tracked video.

    Attributes:
        frames: (T, 3, H, W) uint8 RGB.
        audio: (640 T,) float32, None without sound.
        face: None where no face was found in any frame.
        source: what the file says about itself.
        notes: what the row says about it.
    """

    frames: Tensor
    audio: Tensor | None
    face: Face | None
    source: Source
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.frames.shape[-2], self.frames.shape[-1]

    @cached_property
    def silent(self) -> Tensor | None:
        """(T,) boolean, frames in which nobody speaks; None without sound."""
        return None if self.audio is None else silent_frames(self.audio)

    def first(self, frames: int) -> Video:
        """The first frames, with their sound."""
        if frames >= len(self):
            return self
        return replace(
            self,
            frames=self.frames[:frames],
            audio=None if self.audio is None else self.audio[: frames * SAMPLES_PER_FRAME],
            face=None if self.face is None else self.face.first(frames),
        )

    def beside(self, reference: Video) -> Video:
        """This video as it is compared with the real one: its length, and its sound where this one has none."""
        video = self.first(len(reference))
        notes = list(video.notes)
        if abs(len(self) - len(reference)) > 2:
            notes.append(f"{len(self)} frames against the reference's {len(reference)}: the common part is scored")
        if video.audio is not None or reference.audio is None:
            return replace(video, notes=tuple(notes))
        notes.append("no sound of its own: scored with the reference's")
        audio = fit_length(reference.audio, len(video))
        return replace(video, audio=audio, notes=tuple(notes), source=replace(self.source, sound=REFERENCE_SOUND))


class VideoReader:
    """Reads and tracks videos; opened once in a process.

    Args:
        tracker: ``mediapipe`` or a .task file.
        face_model: for pose and mouth.
        seconds: most of a video that is read, 0 for all of it.

    Raises:
        InputError: the tracker or the face model cannot be opened.
    """

    def __init__(self, *, tracker: str = "mediapipe", face_model: str = "mediapipe468", seconds: float = 0.0) -> None:
        self.tracker = open_tracker(tracker)
        self.model: MorphableModel = load_face_model(face_model)
        self.most = round(seconds * FRAME_RATE) if seconds > 0 else None

    def __call__(self, path: Path) -> Video:
        """Read one video.

        Raises:
            InputError: it cannot be decoded.
        """
        info = probe_video(path)
        images = list(islice(read_video(path, fps=float(FRAME_RATE)), self.most))
        if len({image.shape for image in images}) != 1:
            raise DataError(f"{path}: its pictures change their size; encode it again at one size")
        notes = []
        audio = self._sound(path, len(images)) if info.has_audio else None
        if audio is None:
            notes.append("the sound is silent" if info.has_audio else "no sound track")
        face = self._face(images)
        if face is None:
            notes.append("no face found in any frame")
        elif not face.valid.all():
            notes.append(f"no face in {int((~face.valid).sum())} of {len(images)} frames")
        height, width = images[0].shape[:2]
        sound = NO_SOUND if audio is None else OWN_SOUND
        source = Source(width, height, round(info.fps, 3), info.codec, len(images), sound)
        # A view of the decoded pictures, not a second copy of the clip.
        frames = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # (T, 3, H, W)
        return Video(frames, audio, face, source, tuple(notes))

    @staticmethod
    def _sound(path: Path, frames: int) -> Tensor | None:
        """(640 T,) samples, None where there is only silence."""
        samples = load_audio(path)
        return None if is_silent(samples) else fit_length(torch.from_numpy(samples), frames)

    def _face(self, images: Sequence[NDArray[np.uint8]]) -> Face | None:
        """Track and fit; None without a face."""
        track = self.tracker.track(images)
        if not track.found.any():
            return None
        with torch.no_grad():
            coefficients = fit_clip(self.model, track.points, track.found)
            identity = torch.from_numpy(np.array(coefficients.identity)).float()
            expression = torch.from_numpy(np.array(coefficients.expression)).float()
            frontal = self.model.landmarks(identity, expression)  # (T, 68, 3)
        landmarks = torch.from_numpy(fill_lost_frames(track.landmarks[track.found], track.found).astype(np.float32))
        return Face(landmarks, torch.from_numpy(track.found.copy()), frontal, coefficients)


def same_aspect(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Say whether pictures of two sizes (height, width) differ by scale alone."""
    return abs(first[1] * second[0] / (first[0] * second[1]) - 1.0) < SAME_ASPECT


def check_readable(path: Path | None, system: str, clip_id: str) -> Path:
    """Return the path, or refuse a clip that a system lacks.

    Raises:
        InputError: there is none.
    """
    if path is None:
        raise InputError(f"{system} has no video named {clip_id}")
    return path
