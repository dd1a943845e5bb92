"""One decoded and tracked video: frames at 25 per second, audio at 16 kHz, and the face."""

from __future__ import annotations

import math
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
from expnet.audio.wave import is_silent, load_audio, read_blocks
from expnet.coefficients import FaceCoefficients
from expnet.errors import DataError, InputError
from expnet.evaluation.videos.clip_inputs import IMAGE_SUFFIXES
from expnet.face.fitting import fit_clip
from expnet.face.lost_frames import fill_lost_frames
from expnet.face.morphable import MorphableModel, load_face_model
from expnet.face.tracker import open_tracker
from expnet.media.colour import ColourTags
from expnet.media.image_reader import load_image
from expnet.media.video_reader import probe_video, read_video
from expnet.metrics.functional import silent_frames

SAME_ASPECT = 0.01
"""Two frame sizes have the same aspect ratio when width over height differs by less than this fraction."""
_SAME_LENGTH = 2
"""Audio and video count as equally long up to this many frames."""
_SILENT, _NO_TRACK = "the audio is silent", "no audio track"
OWN_AUDIO, REFERENCE_AUDIO, GIVEN_AUDIO, NO_AUDIO = "own", "reference", "given", "none"


@dataclass(frozen=True)
class Source:
    """What a video file says about itself, for warnings.

    Attributes:
        width: The width in pixels.
        height: The height in pixels.
        fps: The recorded frame rate.
        codec: The video codec.
        frames: The number of frames at 25 per second.
        sound: Whose audio the video is scored with: its own, that of the reference, that of a given file, or none.
        range: ``limited`` or ``full``, the range of its colours.
        matrix: The matrix of its colours.
        primaries: The primaries of its colours, ``unspecified`` if it does not say.
    """

    width: int
    height: int
    fps: float
    codec: str
    frames: int
    sound: str = OWN_AUDIO
    range: str = ColourTags.range
    matrix: str = ColourTags.matrix
    primaries: str = ColourTags.primaries

    def plain(self) -> dict[str, Any]:
        """Return the attributes as plain values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Face:
    """The face of a video.

    Attributes:
        landmarks: (T, 68, 2) in pixels of the video, interpolated where no face was found.
        valid: (T,) boolean, the frames in which a face was found.
        frontal: (T, 68, 3) landmarks of the fitted face model without head pose, in face units.
        coefficients: The fitted coefficients.
        mesh: (T, 478, 2) points of the tracker's face mesh in pixels of the video; NaN where no face was found.
    """

    landmarks: Tensor
    valid: Tensor
    frontal: Tensor
    coefficients: FaceCoefficients
    mesh: Tensor

    @property
    def rotation(self) -> Tensor:
        """(T, 3) pitch, yaw and roll in radians."""
        return torch.from_numpy(np.array(self.coefficients.rotation))

    @property
    def crop(self) -> Tensor:
        """(3,) centre x, centre y and side of the face crop, in pixels."""
        return torch.from_numpy(np.array(self.coefficients.crop))

    def first(self, frames: int) -> Face:
        """Return the first frames."""
        return Face(
            self.landmarks[:frames],
            self.valid[:frames],
            self.frontal[:frames],
            self.coefficients[:frames],
            self.mesh[:frames],
        )


@dataclass(frozen=True, eq=False)
class Video:
    """A decoded and tracked video.

    Attributes:
        frames: (T, 3, H, W) uint8 RGB.
        audio: (640 T,) float32, None without audible audio.
        face: The face, None if none was found in any frame.
        source: What the file says about itself.
        notes: Remarks for the row of this video.
        portrait: The portrait (one frame) that the video was animated from, where it is compared with that.
    """

    frames: Tensor
    audio: Tensor | None
    face: Face | None
    source: Source
    notes: tuple[str, ...] = ()
    portrait: Video | None = None

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.frames.shape[-2], self.frames.shape[-1]

    @cached_property
    def silent(self) -> Tensor | None:
        """(T,) boolean, the frames in which nobody speaks; None without audio."""
        return None if self.audio is None else silent_frames(self.audio)

    def first(self, frames: int) -> Video:
        """Return the first frames with their audio."""
        if frames >= len(self):
            return self
        return replace(
            self,
            frames=self.frames[:frames],
            audio=None if self.audio is None else self.audio[: frames * SAMPLES_PER_FRAME],
            face=None if self.face is None else self.face.first(frames),
        )

    def with_audio(self, path: Path | None, first: int = 0, *, part: bool = False) -> Video:
        """Return this video with the audio of a file; without audio if there is no file.

        Args:
            path: The file.
            first: The frame of the file's video that this one begins with.
            part: Whether the video may go on after this part, so that longer audio is no oddity.

        Raises:
            InputError: The file cannot be decoded.
        """
        notes = tuple(note for note in self.notes if note not in (_SILENT, _NO_TRACK))
        if path is None:
            notes = (*notes, "no audio was given for this clip")
            return replace(self, audio=None, notes=notes, source=replace(self.source, sound=NO_AUDIO))
        samples = load_audio(path) if first == 0 and not part else audio_from(path, first, len(self) if part else None)
        difference = len(samples) / SAMPLES_PER_FRAME - len(self)
        if abs(difference) > _SAME_LENGTH:
            longer = "longer" if difference > 0 else "shorter"
            notes = (*notes, f"the given audio is {abs(difference) / FRAME_RATE:.1f} s {longer} than the video")
        if is_silent(samples):
            notes = (*notes, "the given audio is silent")
            return replace(self, audio=None, notes=notes, source=replace(self.source, sound=NO_AUDIO))
        audio = fit_length(torch.from_numpy(samples), len(self))
        return replace(self, audio=audio, notes=notes, source=replace(self.source, sound=GIVEN_AUDIO))

    def matched_to(self, reference: Video) -> Video:
        """Return this video as it is compared with the real one: cut to its length, with its audio if it has none."""
        video = self.first(len(reference))
        notes = list(video.notes)
        if abs(len(self) - len(reference)) > 2:
            notes.append(f"{len(self)} frames against {len(reference)} of the reference: the common part is scored")
        if video.audio is not None or reference.audio is None:
            return replace(video, notes=tuple(notes))
        notes.append("no audio of its own: scored with that of the reference")
        audio = fit_length(reference.audio, len(video))
        return replace(video, audio=audio, notes=tuple(notes), source=replace(self.source, sound=REFERENCE_AUDIO))


class VideoReader:
    """Reads and tracks videos; opened once in each process.

    Args:
        tracker: ``mediapipe``, ``litert`` or a .task file.
        face_model: The face model that is fitted for pose and mouth opening.
        seconds: The part of each video that is read, 0 for all of it.
        first_frame: The frame that this part begins with.

    Raises:
        InputError: The tracker or the face model cannot be opened.
    """

    def __init__(
        self,
        *,
        tracker: str = "mediapipe",
        face_model: str = "mediapipe468",
        seconds: float = 0.0,
        first_frame: int = 0,
    ) -> None:
        self.first_frame = first_frame
        self.tracker = open_tracker(tracker)
        self.model: MorphableModel = load_face_model(face_model)
        self.frame_limit = round(seconds * FRAME_RATE) if seconds > 0 else None

    def __call__(self, path: Path, start: float = 0.0, end: float | None = None) -> Video:
        """Read one video, or a part of it.

        Args:
            path: The file.
            start: The second at which the part begins.
            end: The second at which it ends; None for the seconds that every clip is cut to.

        Raises:
            InputError: The video cannot be decoded, or ends before the part begins.
        """
        info = probe_video(path)
        first = round(start * FRAME_RATE) + (self.first_frame if end is None else 0)
        limit = self.frame_limit if end is None else None if math.isinf(end) else round(end * FRAME_RATE) - first
        images = list(islice(read_video(path, fps=float(FRAME_RATE), start=first / FRAME_RATE), limit))
        if not images:
            raise InputError(f"{path}: the video ends before second {first / FRAME_RATE:g}, where scoring begins.")
        if len({image.shape for image in images}) != 1:
            raise DataError(f"{path}: its frames change their size; encode it again at a single size")
        notes = []
        audio = self._audio(path, first, len(images)) if info.has_audio else None
        if audio is None:
            notes.append(_SILENT if info.has_audio else _NO_TRACK)
        face = self._face(images)
        if face is None:
            notes.append("no face found in any frame")
        elif not face.valid.all():
            notes.append(f"no face in {int((~face.valid).sum())} of {len(images)} frames")
        height, width = images[0].shape[:2]
        whose = NO_AUDIO if audio is None else OWN_AUDIO
        fps = round(info.fps, 3)
        source = Source(width, height, fps, info.codec, len(images), whose, **asdict(info.colour))
        # A view of the decoded frames, not a second copy of the clip.
        frames = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # (T, 3, H, W)
        return Video(frames, audio, face, source, tuple(notes))

    def portrait(self, path: Path) -> Video:
        """Read a portrait: an image, or the first frame of a video.

        Raises:
            InputError: The file cannot be decoded.
        """
        if path.suffix.lower() in IMAGE_SUFFIXES:
            image = load_image(path)
        else:
            image = next(iter(read_video(path, fps=float(FRAME_RATE))))
        height, width = image.shape[:2]
        frames = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]  # (1, 3, H, W)
        source = Source(width, height, float(FRAME_RATE), "portrait", 1, NO_AUDIO)
        return Video(frames, None, self._face([image]), source)

    @staticmethod
    def _audio(path: Path, first: int, frames: int) -> Tensor | None:
        """Return the samples (640 T,) from a frame on, or None if there is only silence."""
        samples = load_audio(path) if first == 0 else audio_from(path, first, frames)
        return None if is_silent(samples) else fit_length(torch.from_numpy(samples), frames)

    def _face(self, images: Sequence[NDArray[np.uint8]]) -> Face | None:
        """Track and fit the face; None if there is none."""
        track = self.tracker.track(images)
        if not track.found.any():
            return None
        with torch.no_grad():
            coefficients = fit_clip(self.model, track.points, track.found)
            identity = torch.from_numpy(np.array(coefficients.identity)).float()
            expression = torch.from_numpy(np.array(coefficients.expression)).float()
            frontal = self.model.landmarks(identity, expression)  # (T, 68, 3)
        landmarks = torch.from_numpy(fill_lost_frames(track.landmarks[track.found], track.found).astype(np.float32))
        mesh = torch.from_numpy(np.ascontiguousarray(track.points[:, :, :2]))
        return Face(landmarks, torch.from_numpy(track.found.copy()), frontal, coefficients, mesh)


def audio_from(path: Path, first: int, frames: int | None = None) -> NDArray[np.float32]:
    """Return the samples of some frames of a file, or of all from the first on, in the memory of these samples.

    Raises:
        InputError: The file cannot be decoded.
    """
    start = first * SAMPLES_PER_FRAME
    end = math.inf if frames is None else start + frames * SAMPLES_PER_FRAME
    kept, position = [np.zeros(0, np.float32)], 0
    for block in read_blocks(path):
        inside = block[max(start - position, 0) :]
        if len(inside):
            kept.append(inside)
        position += len(block)
        if position >= end:
            break
    samples = np.concatenate(kept)
    return samples if frames is None else samples[: frames * SAMPLES_PER_FRAME]


def same_aspect(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether frames of two sizes (height, width) have the same aspect ratio."""
    return abs(first[1] * second[0] / (first[0] * second[1]) - 1.0) < SAME_ASPECT


def check_readable(path: Path | None, system: str, clip_id: str) -> Path:
    """Return the path, or refuse a clip that a system lacks.

    Raises:
        InputError: The system has no such video.
    """
    if path is None:
        raise InputError(f"{system} has no video named {clip_id}")
    return path
