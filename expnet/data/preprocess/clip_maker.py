"""Turning one video into clips of a store: the work of a preprocess worker."""

import errno
import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from expnet.assets.sadtalker import open_coefficient_regressor
from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, fit_length
from expnet.audio.wave import SAMPLE_RATE, is_silent, load_audio
from expnet.coefficients import FaceCoefficients
from expnet.data.corpora import PixelBox, SourceVideo
from expnet.data.preprocess.coefficient_tracks import is_coefficient_track, read_coefficient_track
from expnet.data.preprocess.regressed_coefficients import regress_clip
from expnet.data.preprocess.shots import ShotDetector
from expnet.data.preprocess.sync_offset import OffsetPolicy, synchronise
from expnet.data.preprocess.usable_frames import interpolate_gaps, usable_frames
from expnet.data.store.manifest import DROPPED, ManifestRow, UnusableClipError
from expnet.data.store.track import Track
from expnet.data.store.writer import write_clip
from expnet.errors import InputError, MachineError, MissingAssetError
from expnet.face import basel_map
from expnet.face.fitting import fit_clip, fit_residual
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE
from expnet.face.morphable import BUILTIN_NAME, load_face_model
from expnet.face.tracker import FaceTracker, LandmarkTrack, open_tracker
from expnet.io.machine_faults import is_machine_fault
from expnet.io.path_text import path_text
from expnet.media.video_reader import probe_video, read_video

# With the outer eye corners nearer than this many pixels, the lips cannot be resolved.
_SMALLEST_FACE = 16.0
_EYE_CORNERS = (36, 45)
# Crops that were rescaled to the size of the frames may exceed them by this many pixels.
_CROP_ROUNDING = 2
MISSING = f"video cannot be read: {os.strerror(errno.ENOENT)}"
"""Reason of a video that is not there."""
NO_AUDIO = "no audio: the file has no audio stream"
"""Beginning of the reason of a video without audio, in it or beside it."""
_ENDS_EARLY = "video ends early: it has no frame at second "

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipOptions:
    """How clips are made from videos; see :func:`expnet.data.preprocess.videos.preprocess`."""

    tracker: str = "mediapipe"
    face_model: str = "mediapipe468"
    min_seconds: float = 1.0
    offset: OffsetPolicy = field(default_factory=OffsetPolicy)


class ClipMaker:
    """Makes the clips of videos; created once per process.

    Args:
        store: The store to write the clips into.
        options: How clips are made.

    Raises:
        InputError: If the tracker or the face model cannot be opened.
    """

    def __init__(self, store: str | os.PathLike[str], options: ClipOptions) -> None:
        # Processes share the cores; besides, sums over another number of threads are rounded differently.
        torch.set_num_threads(1)
        threadpool_limits(1)
        self.store = store
        self.options = options
        self.face_model = load_face_model(options.face_model)
        # Coefficient tracks have a face model of their own, which only its owner can provide.
        self._given_face_model = self.face_model if options.face_model != BUILTIN_NAME else None
        self._regressor = open_coefficient_regressor() if options.face_model == basel_map.NAME else None

    @cached_property
    def tracker(self) -> FaceTracker:
        """The tracker, opened when the first video needs it; coefficient tracks do not."""
        return open_tracker(self.options.tracker)

    def __call__(self, video: SourceVideo) -> list[ManifestRow]:
        """Write the usable clips of a video, and return the rows of usable and dropped clips."""
        sha256 = ""
        try:
            sha256 = _sha256(video.path)
            audio = self._load_audio(video)
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
                rows.append(replace(self._write(video, clip, audio, sha256), tracker=track.models))
            except UnusableClipError as error:
                row = dropped_row(video, clip_id, str(error), sha256)
                row.source_start, row.frames = (_first_frame(video) + begin) / FRAME_RATE, end - begin
                rows.append(row)
        return rows

    def _write(self, video: SourceVideo, clip: Track, audio: NDArray[np.float32], sha256: str) -> ManifestRow:
        """Estimate the audio offset, apply the offset policy, and write the clip."""
        begin = round(clip.source_start * FRAME_RATE) - _first_frame(video)
        clip, estimate, shift = synchronise(clip, audio, begin, self.options.offset)
        if clip.frames / FRAME_RATE < self.options.min_seconds:
            raise UnusableClipError(
                f"shorter than {self.options.min_seconds:g} s: {clip.frames / FRAME_RATE:.2f} s after offset correction"
            )
        return replace(
            write_clip(self.store, clip, sha256=sha256),
            source_part=video.part,
            sync_offset=estimate.frames,
            sync_confidence=estimate.confidence,
            sync_shift=shift,
        )

    def _load_audio(self, video: SourceVideo) -> NDArray[np.float32]:
        """Return the audio of the video, or of its separate audio file, from the first frame of the part on."""
        source = video.audio or video.path
        try:
            if video.audio is not None and not video.audio.is_file():
                source = video.path  # the separate file is missing, but the video may have an audio stream
            if source == video.path and (is_coefficient_track(video) or not probe_video(source).has_audio):
                missing = f", and {video.audio.name} is not there" if video.audio else ""
                raise UnusableClipError(f"{NO_AUDIO}{missing}")
        except InputError as error:
            raise UnusableClipError(f"video cannot be read: {_without_path(error, video.path)}") from error
        try:
            samples = load_audio(source)
        except InputError as error:
            _refuse_forbidden(error.__cause__)
            raise UnusableClipError(f"audio cannot be used: {_without_path(error, source)}") from error
        audio_start = video.audio_start if source == video.audio else 0.0
        samples = samples[round(audio_start * SAMPLE_RATE) + _first_frame(video) * SAMPLES_PER_FRAME :]
        if not len(samples):
            if not is_coefficient_track(video):
                _require_frame(video)
            raise UnusableClipError(f"no audio: it ends before second {audio_start + video.start:g}")
        length = None if video.end is None else round((video.end - video.start) * SAMPLE_RATE)
        if is_silent(samples[:length]):
            raise UnusableClipError("no audio: the audio stream is silent")
        return samples

    def _track(self, video: SourceVideo) -> tuple[LandmarkTrack, list[int]]:
        """Return landmarks of all frames of the part, and the first frame of every shot except the first."""
        detector = ShotDetector()
        view = _CropView(video.crop)

        def cropped_frames() -> Iterator[NDArray[np.uint8]]:
            for frame in read_video(video.path, fps=FRAME_RATE, start=video.start, end=video.end):
                seen = view.of(frame)
                detector.see(seen)
                yield seen
            if not detector.differences:
                raise UnusableClipError(f"{_ENDS_EARLY}{video.start:g}")

        try:
            track = self.tracker.track(cropped_frames())
        except MissingAssetError:  # raised for the tracker, not the video
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
        """Fit the face model to one shot."""
        begin, end = usable_frames(track.found, begin, end, len(audio), self.options.min_seconds)
        found = track.found[begin:end]
        points = interpolate_gaps(track.points[begin:end], found)
        landmarks = points[:, list(LANDMARKS_68_FROM_MEDIAPIPE), :2].astype(np.float32)  # (T, 68, 2)
        width = float(
            np.median(np.linalg.norm(np.subtract(*(landmarks[:, corner] for corner in _EYE_CORNERS)), axis=1))
        )
        if width < _SMALLEST_FACE:
            raise UnusableClipError(f"face too small: {width:.0f} pixels between the outer eye corners")
        coefficients = self._coefficients(video, points, landmarks, found, begin)
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
            source=video.origin[0],
            source_start=(_first_frame(video) + begin) / FRAME_RATE,
            frame_size=track.frame_size,
            fit_error=float(np.sqrt(np.nanmean(np.square(residual)))),
        )

    def _coefficients(
        self,
        video: SourceVideo,
        points: NDArray[np.float32],
        landmarks: NDArray[np.float32],
        found: NDArray[np.bool_],
        begin: int,
    ) -> FaceCoefficients:
        """Fit the face model to the points of a shot, or regress its coefficients from the frames, decoded again."""
        if self._regressor is None:
            return fit_clip(self.face_model, points, found)
        frames = read_video(video.path, fps=FRAME_RATE, start=video.start, end=video.end)
        return regress_clip(self._regressor, islice(frames, begin, begin + len(found)), landmarks, found)


class _CropView:
    """Crops the frames that the tracker sees, and maps its landmarks back to the whole frame.

    Args:
        crop: The crop; None for the whole frame.
    """

    def __init__(self, crop: PixelBox | None) -> None:
        self._crop = crop
        self._frame_size = (0, 0)

    def of(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop a frame (H, W, 3) to (h, w, 3)."""
        self._frame_size = (frame.shape[0], frame.shape[1])
        if self._crop is None:
            return frame
        box = self._crop.in_frame(frame.shape[0])
        bottom, right = box.y + box.height, box.x + box.width
        if bottom > frame.shape[0] + _CROP_ROUNDING or right > frame.shape[1] + _CROP_ROUNDING:
            raise UnusableClipError(
                f"crop outside the frame: it ends at column {right} and row {bottom} of "
                f"{frame.shape[1]} x {frame.shape[0]} pixels"
            )
        return np.ascontiguousarray(frame[box.y : bottom, box.x : right])

    def in_frame(self, track: LandmarkTrack) -> LandmarkTrack:
        """Return the track in pixels of the whole frame."""
        if self._crop is None:
            return track
        box = self._crop.in_frame(self._frame_size[0])
        return replace(
            track, points=track.points + np.array((box.x, box.y, 0), np.float32), frame_size=self._frame_size
        )


def _first_frame(video: SourceVideo) -> int:
    """Index of the video frame at which the part begins."""
    return round(video.start * FRAME_RATE)


def dropped_row(video: SourceVideo, clip_id: str, reason: str, sha256: str = "") -> ManifestRow:
    """Return the row of a clip that cannot be used, with the metadata of its corpus."""
    return ManifestRow(
        clip_id,
        DROPPED,
        path_text(reason),
        video.speaker,
        video.corpus,
        video.split,
        video.emotion,
        video.level,
        video.language,
        source=video.origin[0],
        source_start=video.start,
        source_part=video.part,
        sha256=sha256,
    )


def _sha256(path: Path) -> str:
    """Return the checksum of a file, or of all files of a folder ordered by name."""
    digest = hashlib.sha256()
    try:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            with file.open("rb") as stream:
                hashlib.file_digest(stream, lambda: digest)
        return digest.hexdigest()
    except OSError as error:
        if is_machine_fault(error):
            raise
        _refuse_forbidden(error)
        raise UnusableClipError(f"video cannot be read: {error.strerror}") from error


def _require_frame(video: SourceVideo) -> None:
    """Check that the video has a frame where the part begins.

    Raises:
        UnusableClipError: If it ends before.
    """
    try:
        frame = next(read_video(video.path, fps=FRAME_RATE, start=video.start, end=video.start + 1.0), None)
    except InputError as error:
        raise UnusableClipError(f"video cannot be read: {_without_path(error, video.path)}") from error
    if frame is None:
        raise UnusableClipError(f"{_ENDS_EARLY}{video.start:g}")


def _refuse_forbidden(error: BaseException | None) -> None:
    """Raise an error for a file that this user may not read: nothing is wrong with the file."""
    if isinstance(error, PermissionError):
        raise MachineError(
            f"{error.filename} may not be read ({error.strerror}); change its permissions and run the command again"
        ) from error


def _without_path(error: InputError, path: Path) -> str:
    """Return an error's message without the path, which the row already has."""
    return str(error).replace(str(path), "").lstrip(": ")
