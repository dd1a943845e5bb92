"""One clip's track: face coefficients, landmarks and audio, frame by frame.

Whether it was tracked in a video, synthesised, or converted from another project's files, a track has 25 frames and
16,000 samples per second, which is 640 samples per frame (docs/reference/conventions.md).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME
from expnet.audio.speech_synthesis import Phoneme
from expnet.coefficients import FaceCoefficients
from expnet.errors import DataError
from expnet.face.landmarks import LEFT_EYE, RIGHT_EYE
from expnet.io.path_text import text_path

SPLITS = ("train", "validation", "test")
LANDMARKS = 68

# The open eye of a clip is this percentile of its eye aspect ratio; blinks are rare enough to lie below it.
_OPEN_PERCENTILE = 80.0
# With lids shut, the aspect ratio of tracked landmarks does not fall to zero but to about this share of the open eye's.
_CLOSED_SHARE = 0.3


@dataclass(frozen=True, eq=False)
class Track:
    """One tracked clip.

    Args:
        clip_id: Name of the clip, unique in its store.
        speaker: Name of the speaker; splits are made by speaker.
        coefficients: Coefficients of T frames at 25 frames/s; the whole clip shares identity and crop.
        landmarks: (T, 68, 2) iBUG landmarks in pixels of the source frame.
        valid: (T,) False for frames that were interpolated instead of tracked.
        audio: (640 T,) samples in [-1, 1] at 16 kHz.
        corpus: Name of the corpus.
        split: ``train``, ``validation``, ``test``, or empty if the corpus assigns none.
        emotion: Lower-case name of the emotion, or empty.
        level: Intensity of the emotion, 0 if unknown.
        language: Language code, or empty.
        source: Path of the video, empty for a synthesised clip.
        source_start: Start of the clip in the source, in seconds.
        frame_size: Height and width of the source frames in pixels.
        phonemes: Phonemes with their times in seconds from the start of the clip, if known.
        fit_error: Root mean square distance between the fitted face and the tracked points, in face units.
    """

    clip_id: str
    speaker: str
    coefficients: FaceCoefficients
    landmarks: NDArray[np.float32]
    valid: NDArray[np.bool_]
    audio: NDArray[np.float32]
    corpus: str = ""
    split: str = ""
    emotion: str = ""
    level: int = 0
    language: str = ""
    source: str = ""
    source_start: float = 0.0
    frame_size: tuple[int, int] = (0, 0)
    phonemes: tuple[Phoneme, ...] = ()
    fit_error: float = 0.0

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return self.coefficients.frames

    def validate(self) -> "Track":
        """Check the track and return it.

        Raises:
            DataError: If a part is missing, has the wrong length, or is not finite.
        """
        frames = self.frames
        problems = [
            (not self.clip_id or "/" in self.clip_id or self.clip_id.startswith("."), "its name is not a file name"),
            (not self.speaker, "it has no speaker"),
            (self.split not in ("", *SPLITS), f"its split is {self.split!r}, expected one of {', '.join(SPLITS)}"),
            (self.coefficients.fps != FRAME_RATE, f"it has {self.coefficients.fps} frames/s, expected {FRAME_RATE}"),
            *(
                (value is not None and value.ndim != 1, f"it has one {name} per frame, expected one for the clip")
                for name, value in (("identity", self.coefficients.identity), ("crop", self.coefficients.crop))
            ),
            *(
                (value.shape != shape, f"{name} has shape {value.shape}, expected {shape}")
                for name, value, shape in (
                    ("landmarks", self.landmarks, (frames, LANDMARKS, 2)),
                    ("valid", self.valid, (frames,)),
                    ("audio", self.audio, (frames * SAMPLES_PER_FRAME,)),
                )
            ),
            *(
                (value is not None and not np.isfinite(value).all(), f"{name} holds values that are not finite")
                for name, value in (
                    ("expression", self.coefficients.expression),
                    ("pose", self.coefficients.pose),
                    ("identity", self.coefficients.identity),
                    ("landmarks", self.landmarks),
                    ("audio", self.audio),
                )
            ),
            (not self.valid.any(), "none of its frames is valid"),
        ]
        for wrong, what in problems:
            if wrong:
                raise DataError(f"track {self.clip_id!r} cannot be used: {what}")
        return self

    def window(self, first_frame: int, frames: int) -> "Track":
        """Return ``frames`` frames starting at ``first_frame``, with their audio and phonemes.

        Raises:
            IndexError: If the window is not inside the clip.
        """
        if not (first_frame >= 0 and frames > 0 and first_frame + frames <= self.frames):
            raise IndexError(f"{frames} frames from {first_frame} on are not inside the {self.frames} frames of a clip")
        part = slice(first_frame, first_frame + frames)
        return replace(
            self,
            coefficients=self.coefficients[part],
            landmarks=self.landmarks[part],
            valid=self.valid[part],
            audio=self.audio[first_frame * SAMPLES_PER_FRAME : (first_frame + frames) * SAMPLES_PER_FRAME],
            source_start=self.source_start + first_frame / FRAME_RATE,
        ).with_phonemes(self.phonemes, first_frame)

    def with_phonemes(self, phonemes: tuple[Phoneme, ...], first_frame: int = 0) -> "Track":
        """Return a copy with those of a clip's phonemes that fall into this track, which starts at ``first_frame``."""
        start, end = first_frame / FRAME_RATE, (first_frame + self.frames) / FRAME_RATE
        return replace(self, phonemes=_phonemes_between(phonemes, start, end))


def source_video(track: Track) -> Path | None:
    """Return the video that a clip was tracked in, or None if it no longer exists."""
    path = text_path(track.source)
    return path if track.source and path.is_file() else None


def eye_aspect_ratio(landmarks: NDArray[Any]) -> NDArray[np.float32]:
    """Height over width of the eyes, mean of both: (..., 68, 2) -> (...).

    ``(|p1 - p5| + |p2 - p4|) / (2 |p0 - p3|)`` of each eye's six points (Soukupova and Cech 2016).
    """

    def distance(one: int, other: int) -> NDArray[Any]:
        x, y = (landmarks[..., one, axis] - landmarks[..., other, axis] for axis in (0, 1))
        return np.sqrt(x * x + y * y)

    def of(eye: tuple[int, ...]) -> NDArray[Any]:
        corner, upper, upper_inner, inner, lower_inner, lower = eye
        height = distance(upper, lower) + distance(upper_inner, lower_inner)
        return height / np.maximum(2.0 * distance(corner, inner), 1e-6)

    return ((of(RIGHT_EYE) + of(LEFT_EYE)) / 2.0).astype(np.float32)


def open_eye_ratio(landmarks: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    """Aspect ratio of a clip's open eyes: the level that its blinks are measured against."""
    return float(np.percentile(eye_aspect_ratio(landmarks[valid]), _OPEN_PERCENTILE))


def blink_closure(landmarks: NDArray[np.float32], open_ratio: float | NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the lids are shut, 0 open to 1 closed: (..., 68, 2) -> (...), against the clip's own open eye.

    A clip whose landmarks are not known has an open eye of 0; its lids count as open. The ratios of the open eyes may
    be an array that is broadcast to the result.
    """
    known = np.asarray(open_ratio, np.float32)
    share = eye_aspect_ratio(landmarks) / np.maximum(known, np.float32(1e-6))
    closure = np.clip((1.0 - share) / (1.0 - _CLOSED_SHARE), 0.0, 1.0)
    return np.where(known > 0, closure, 0.0).astype(np.float32)


def _phonemes_between(phonemes: tuple[Phoneme, ...], start: float, end: float) -> tuple[Phoneme, ...]:
    """Return the phonemes between two times, clipped to them, with times relative to ``start``."""
    return tuple(
        Phoneme(phoneme.symbol, max(phoneme.start, start) - start, min(phoneme.end, end) - start)
        for phoneme in phonemes
        if phoneme.end > start and phoneme.start < end
    )
