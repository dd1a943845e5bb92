"""One video to clips of a store: what a preprocess worker does."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, fit_length
from expnet.audio.wave import is_silent, load_audio
from expnet.data.corpora import SourceVideo
from expnet.data.manifest import DROPPED, ClipRow
from expnet.data.shots import ShotDetector
from expnet.data.store_writer import write_clip
from expnet.data.tracks import Track
from expnet.errors import InputError, MissingAssetError
from expnet.face.fitting import fit_clip, fit_residual
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE
from expnet.face.morphable import load_face_model
from expnet.face.tracker import FaceTracker, LandmarkTrack, open_tracker
from expnet.render.video import probe_video, read_video

# Gaps of up to so many frames are interpolated: a blink of the tracker, not of the viewer.
LONGEST_GAP = 5
# Sound may end this many frames before the picture and is then padded with silence; else the clip ends with it.
_MISSING_SOUND = 2
# Outer eye corners nearer than this many pixels leave nothing to be seen of the lips.
_SMALLEST_FACE = 16.0
_EYE_CORNERS = (36, 45)

_log = logging.getLogger(__name__)


class UnusableClipError(Exception):
    """A clip cannot be used; the message is the reason, its kind before the colon."""


@dataclass(frozen=True)
class ClipOptions:
    """How clips are made from videos; see :func:`expnet.data.preprocess.preprocess`."""

    tracker: str = "mediapipe"
    face_model: str = "mediapipe468"
    min_seconds: float = 1.0


class ClipMaker:
    """Make the clips of videos; opened once in a process.

    Args:
        store: The store that clips are written into.
        options: How clips are made.

    Raises:
        InputError: If the tracker or the face model cannot be opened.
    """

    def __init__(self, store: Path, options: ClipOptions) -> None:
        torch.set_num_threads(1)  # the processes share the cores among themselves
        self.store = store
        self.options = options
        self.tracker: FaceTracker = open_tracker(options.tracker)
        self.face_model = load_face_model(options.face_model)

    def __call__(self, video: SourceVideo) -> list[ClipRow]:
        """Write the usable clips of a video; return the rows of these and of the dropped ones."""
        sha256 = ""
        try:
            sha256 = _sha256(video.path)
            audio = self._sound(video)
            track, cuts = self._track(video)
        except UnusableClipError as error:
            return [_dropped_row(video, video.clip_id, str(error), sha256)]
        bounds = [0, *cuts, len(track.found)]
        rows = []
        for number, (begin, end) in enumerate(pairwise(bounds), start=1):
            clip_id = f"{video.clip_id}_shot{number:02d}" if cuts else video.clip_id
            try:
                clip = self._clip(video, clip_id, track, audio, begin, end)
                rows.append(write_clip(self.store, clip, sha256=sha256))
            except UnusableClipError as error:
                row = _dropped_row(video, clip_id, str(error), sha256)
                row.source_start, row.frames = begin / FRAME_RATE, end - begin
                rows.append(row)
        return rows

    def _sound(self, video: SourceVideo) -> NDArray[np.float32]:
        """Samples of the video, or of the file that has its sound."""
        source = video.audio or video.path
        try:
            if video.audio is None and not probe_video(video.path).has_audio:
                raise UnusableClipError("no sound: the file has no audio stream")
        except InputError as error:
            raise UnusableClipError(f"video cannot be read: {_without_path(error, video.path)}") from error
        try:
            samples = load_audio(source)
        except InputError as error:
            raise UnusableClipError(f"sound cannot be used: {_without_path(error, source)}") from error
        if is_silent(samples):
            raise UnusableClipError("no sound: the audio stream is silent")
        return samples

    def _track(self, video: SourceVideo) -> tuple[LandmarkTrack, list[int]]:
        """Landmarks of all frames, and the first frames of all shots but the first."""
        detector = ShotDetector()

        def watched() -> Iterator[NDArray[np.uint8]]:
            for frame in read_video(video.path, fps=FRAME_RATE):
                detector.see(frame)
                yield frame

        try:
            track = self.tracker.track(watched())
        except MissingAssetError:  # the tracker's, not the video's
            raise
        except InputError as error:
            raise UnusableClipError(f"video cannot be read: {_without_path(error, video.path)}") from error
        if not track.found.any():
            raise UnusableClipError("no face: none was found in any frame")
        return track, detector.cuts(track.points, track.found)

    def _clip(
        self,
        video: SourceVideo,
        clip_id: str,
        track: LandmarkTrack,
        audio: NDArray[np.float32],
        begin: int,
        end: int,
    ) -> Track:
        """Fit one shot."""
        begin, end = _usable_frames(track.found, begin, end, len(audio), self.options.min_seconds)
        found = track.found[begin:end]
        points = interpolate_gaps(track.points[begin:end], found)
        landmarks = points[:, list(LANDMARKS_68_FROM_MEDIAPIPE), :2].astype(np.float32)  # (T, 68, 2)
        width = float(
            np.median(np.linalg.norm(np.subtract(*(landmarks[:, corner] for corner in _EYE_CORNERS)), axis=1))
        )
        if width < _SMALLEST_FACE:
            raise UnusableClipError(f"face too small: {width:.0f} pixels between the outer eye corners")
        coefficients = fit_clip(self.face_model, points, found)
        residual = fit_residual(self.face_model, coefficients, points, found)
        samples = audio[begin * SAMPLES_PER_FRAME :]
        return Track(
            clip_id=clip_id,
            speaker=video.speaker,
            coefficients=coefficients,
            landmarks=landmarks,
            valid=found.copy(),
            audio=fit_length(samples, end - begin),
            corpus=video.corpus,
            split=video.split,
            emotion=video.emotion,
            level=video.level,
            language=video.language,
            source=str(video.path),
            source_start=begin / FRAME_RATE,
            frame_size=track.frame_size,
            fit_error=float(np.sqrt(np.nanmean(np.square(residual)))),
        )


def interpolate_gaps(points: NDArray[np.float32], found: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill frames (T, P, D) without a face linearly from their neighbours; the first and last must have one."""
    if found.all():
        return points
    known = np.flatnonzero(found)
    missing = np.flatnonzero(~found)
    after = np.searchsorted(known, missing)
    left, right = known[after - 1], known[after]
    weight = ((missing - left) / (right - left)).astype(points.dtype)[:, None, None]
    filled = points.copy()
    filled[missing] = points[left] * (1 - weight) + points[right] * weight
    return filled


def _usable_frames(found: NDArray[np.bool_], begin: int, end: int, samples: int, min_seconds: float) -> tuple[int, int]:
    """Cut a shot to where there is a face and sound.

    Raises:
        UnusableClipError: If too little is left, or the face is lost in between for long.
    """
    if (end - begin) / FRAME_RATE < min_seconds:
        raise UnusableClipError(f"shorter than {min_seconds:g} s: {(end - begin) / FRAME_RATE:.2f} s")
    seen = np.flatnonzero(found[begin:end]) + begin
    if not len(seen):
        raise UnusableClipError("no face: none was found in this shot")
    begin, end = int(seen[0]), int(seen[-1]) + 1
    gaps = np.diff(seen) - 1
    if len(gaps) and gaps.max() > LONGEST_GAP:
        at = int(seen[gaps.argmax()]) / FRAME_RATE
        raise UnusableClipError(
            f"face lost: for {gaps.max()} frames from {at:.2f} s on, at most {LONGEST_GAP} are filled"
        )
    if end * SAMPLES_PER_FRAME > samples + _MISSING_SOUND * SAMPLES_PER_FRAME:
        end = max(samples // SAMPLES_PER_FRAME, begin)
    while end > begin and not found[end - 1]:
        end -= 1
    if end == begin or (end - begin) / FRAME_RATE < min_seconds:
        raise UnusableClipError(
            f"shorter than {min_seconds:g} s: face and sound are there for {(end - begin) / FRAME_RATE:.2f} s"
        )
    return begin, end


def _dropped_row(video: SourceVideo, clip_id: str, reason: str, sha256: str) -> ClipRow:
    return ClipRow(
        clip_id,
        DROPPED,
        reason,
        video.speaker,
        video.corpus,
        video.split,
        video.emotion,
        video.level,
        video.language,
        source=str(video.path),
        sha256=sha256,
    )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UnusableClipError(f"video cannot be read: {error.strerror}") from error


def _without_path(error: InputError, path: Path) -> str:
    """An error's words without the path, which the row has already."""
    return str(error).replace(str(path), "").lstrip(": ")
