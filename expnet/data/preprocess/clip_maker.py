"""One video to clips of a store: what a preprocess worker does."""

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, fit_length
from expnet.audio.wave import SAMPLE_RATE, is_silent, load_audio
from expnet.data.corpora import PixelBox, SourceVideo
from expnet.data.preprocess.coefficient_tracks import is_coefficient_track, read_coefficient_track
from expnet.data.preprocess.shots import ShotDetector
from expnet.data.preprocess.sync_offset import OffsetPolicy, synchronise
from expnet.data.store.manifest import DROPPED, ManifestRow, UnusableClipError
from expnet.data.store.track import Track
from expnet.data.store.writer import write_clip
from expnet.errors import InputError, MissingAssetError
from expnet.face.fitting import fit_clip, fit_residual
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE
from expnet.face.morphable import BUILTIN_NAME, load_face_model
from expnet.face.tracker import FaceTracker, LandmarkTrack, open_tracker
from expnet.media.video_reader import probe_video, read_video

# Gaps of up to so many frames are interpolated: a blink of the tracker, not of the viewer.
LONGEST_GAP = 5
# Sound may end this many frames before the picture and is then padded with silence; else the clip ends with it.
_MISSING_SOUND = 2
# Outer eye corners nearer than this many pixels leave nothing to be seen of the lips.
_SMALLEST_FACE = 16.0
_EYE_CORNERS = (36, 45)
# A crop that was scaled to the frames at hand may reach so many pixels beyond them.
_CROP_ROUNDING = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipOptions:
    """How clips are made from videos; see :func:`expnet.data.preprocess.videos.preprocess`."""

    tracker: str = "mediapipe"
    face_model: str = "mediapipe468"
    min_seconds: float = 1.0
    offset: OffsetPolicy = field(default_factory=OffsetPolicy)


class ClipMaker:
    """Make the clips of videos; opened once in a process.

    Args:
        store: The store that clips are written into.
        options: How clips are made.

    Raises:
        InputError: If the tracker or the face model cannot be opened.
    """

    def __init__(self, store: str | os.PathLike[str], options: ClipOptions) -> None:
        # The processes share the cores among themselves; and sums in another number of threads round otherwise.
        torch.set_num_threads(1)
        threadpool_limits(1)
        self.store = store
        self.options = options
        self.face_model = load_face_model(options.face_model)
        # Tracks of coefficients have a face model of their own, which only its owner can give us.
        self._given_face_model = self.face_model if options.face_model != BUILTIN_NAME else None

    @cached_property
    def tracker(self) -> FaceTracker:
        """The tracker, opened when a video first needs it: tracks of coefficients do not."""
        return open_tracker(self.options.tracker)

    def __call__(self, video: SourceVideo) -> list[ManifestRow]:
        """Write the usable clips of a video; return the rows of these and of the dropped ones."""
        sha256 = ""
        try:
            sha256 = _sha256(video.path)
            audio = self._sound(video)
            if is_coefficient_track(video):
                return [self._write(video, read_coefficient_track(video, audio, self._given_face_model), audio, sha256)]
            track, cuts = self._track(video)
        except UnusableClipError as error:
            return [dropped_row(video, video.clip_id, str(error), sha256)]
        bounds = [0, *cuts, len(track.found)]
        rows = []
        for number, (begin, end) in enumerate(pairwise(bounds), start=1):
            clip_id = f"{video.clip_id}_shot{number:02d}" if cuts else video.clip_id
            try:
                clip = self._clip(video, clip_id, track, audio, begin, end)
                rows.append(self._write(video, clip, audio, sha256))
            except UnusableClipError as error:
                row = dropped_row(video, clip_id, str(error), sha256)
                row.source_start, row.frames = (_first_frame(video) + begin) / FRAME_RATE, end - begin
                rows.append(row)
        return rows

    def _write(self, video: SourceVideo, clip: Track, audio: NDArray[np.float32], sha256: str) -> ManifestRow:
        """Estimate the offset of the sound, treat it as the options say, and write the clip."""
        begin = round(clip.source_start * FRAME_RATE) - _first_frame(video)
        clip, estimate, shift = synchronise(clip, audio, begin, self.options.offset)
        if clip.frames / FRAME_RATE < self.options.min_seconds:
            raise UnusableClipError(
                f"shorter than {self.options.min_seconds:g} s: {clip.frames / FRAME_RATE:.2f} s in step with the sound"
            )
        return replace(
            write_clip(self.store, clip, sha256=sha256),
            source_part=video.part,
            sync_offset=estimate.frames,
            sync_confidence=estimate.confidence,
            sync_shift=shift,
        )

    def _sound(self, video: SourceVideo) -> NDArray[np.float32]:
        """Samples of the video, or of the file that has its sound, from the first frame of the part on."""
        source = video.audio or video.path
        try:
            if video.audio is not None and not video.audio.is_file():
                source = video.path  # not shipped, but the video may have sound of its own
            if source == video.path and (is_coefficient_track(video) or not probe_video(source).has_audio):
                missing = f", and {video.audio.name} is not there" if video.audio else ""
                raise UnusableClipError(f"no sound: the file has no audio stream{missing}")
        except InputError as error:
            raise UnusableClipError(f"video cannot be read: {_without_path(error, video.path)}") from error
        try:
            samples = load_audio(source)
        except InputError as error:
            raise UnusableClipError(f"sound cannot be used: {_without_path(error, source)}") from error
        audio_start = video.audio_start if source == video.audio else 0.0
        samples = samples[round(audio_start * SAMPLE_RATE) + _first_frame(video) * SAMPLES_PER_FRAME :]
        if not len(samples):
            raise UnusableClipError(f"no sound: it ends before second {audio_start + video.start:g}")
        length = None if video.end is None else round((video.end - video.start) * SAMPLE_RATE)
        if is_silent(samples[:length]):
            raise UnusableClipError("no sound: the audio stream is silent")
        return samples

    def _track(self, video: SourceVideo) -> tuple[LandmarkTrack, list[int]]:
        """Landmarks of all frames of the part, and the first frames of all shots but the first."""
        detector = ShotDetector()
        view = _View(video.crop)

        def watched() -> Iterator[NDArray[np.uint8]]:
            for frame in read_video(video.path, fps=FRAME_RATE, start=video.start, end=video.end):
                seen = view.of(frame)
                detector.see(seen)
                yield seen
            if not detector.differences:
                raise UnusableClipError(f"video ends early: it has no frame at second {video.start:g}")

        try:
            track = self.tracker.track(watched())
        except MissingAssetError:  # the tracker's, not the video's
            raise
        except InputError as error:
            raise UnusableClipError(f"video cannot be read: {_without_path(error, video.path)}") from error
        if not track.found.any():
            raise UnusableClipError("no face: none was found in any frame")
        return view.in_frame(track), detector.cuts(track.points, track.found)

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
            source_start=(_first_frame(video) + begin) / FRAME_RATE,
            frame_size=track.frame_size,
            fit_error=float(np.sqrt(np.nanmean(np.square(residual)))),
        )


class _View:
    """The part of a video's frames that the tracker is shown.

    Args:
        crop: The part; None for the whole frame.
    """

    def __init__(self, crop: PixelBox | None) -> None:
        self._crop = crop
        self._frame_size = (0, 0)

    def of(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the part (h, w, 3) out of a frame (H, W, 3)."""
        self._frame_size = (frame.shape[0], frame.shape[1])
        if self._crop is None:
            return frame
        box = self._crop.in_frame(frame.shape[0])
        bottom, right = box.y + box.height, box.x + box.width
        if bottom > frame.shape[0] + _CROP_ROUNDING or right > frame.shape[1] + _CROP_ROUNDING:
            raise UnusableClipError(
                f"crop outside the picture: it ends at column {right} and row {bottom} of "
                f"{frame.shape[1]} x {frame.shape[0]} pixels"
            )
        return np.ascontiguousarray(frame[box.y : bottom, box.x : right])

    def in_frame(self, track: LandmarkTrack) -> LandmarkTrack:
        """The track in pixels of the whole frame."""
        if self._crop is None:
            return track
        box = self._crop.in_frame(self._frame_size[0])
        return LandmarkTrack(track.points + np.array((box.x, box.y, 0), np.float32), track.found, self._frame_size)


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


def _first_frame(video: SourceVideo) -> int:
    """Number of the video's frame at which the part begins."""
    return round(video.start * FRAME_RATE)


def dropped_row(video: SourceVideo, clip_id: str, reason: str, sha256: str = "") -> ManifestRow:
    """Row of a clip that cannot be used, with what its corpus says about it."""
    return ManifestRow(
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
        source_start=video.start,
        source_part=video.part,
        sha256=sha256,
    )


def _sha256(path: Path) -> str:
    """Sum of a file, or of the files of a folder in the order of their names."""
    digest = hashlib.sha256()
    try:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            with file.open("rb") as stream:
                hashlib.file_digest(stream, lambda: digest)
        return digest.hexdigest()
    except OSError as error:
        raise UnusableClipError(f"video cannot be read: {error.strerror}") from error


def _without_path(error: InputError, path: Path) -> str:
    """An error's words without the path, which the row has already."""
    return str(error).replace(str(path), "").lstrip(": ")
