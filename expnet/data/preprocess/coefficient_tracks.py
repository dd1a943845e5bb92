"""Tracks from coefficient files of other projects, which need no tracking.

The coefficients keep their values and the name of their face model (``bfm2009``); only the frame rate becomes 25.
Landmarks require the face model itself: they are projected if a Basel Face Model is given. Without one they are zero,
and losses and metrics on landmarks cannot be used.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, fit_length
from expnet.audio.mel import SAMPLE_RATE
from expnet.coefficients import FaceCoefficients, concatenate
from expnet.data.corpora import SourceVideo
from expnet.data.corpora.folder import MANIFEST_FILE
from expnet.data.store.manifest import UnusableClipError
from expnet.data.store.track import LANDMARKS, Track
from expnet.errors import DataError
from expnet.face.camera import project
from expnet.face.morphable import MorphableModel
from expnet.formats.coefficient_files import IDENTITY_SIZE, CoefficientFile, read_coefficient_file

COMMON_RATES = (23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 60.0)
_SUFFIX = ".mat"
# Encoders pad, so the durations of audio and track may differ by this fraction, or by this many seconds.
_LENGTH_SHARE = 0.01
_LENGTH_SECONDS = 0.1


def is_coefficient_track(video: SourceVideo) -> bool:
    """Return whether a source is a coefficient track: a ``.mat`` file, or a folder with one file per frame."""
    return video.path.suffix.lower() == _SUFFIX or video.path.is_dir()


def read_coefficient_track(
    video: SourceVideo, audio: NDArray[np.float32], face_model: MorphableModel | None = None
) -> Track:
    """Turn a coefficient file and its audio into a track at 25 frames/s.

    Args:
        video: The source.
        audio: (S,) samples at 16 kHz.
        face_model: The face model of the coefficients, for landmarks; None if it is not available.

    Raises:
        UnusableClipError: If the file cannot be read, its frame rate is unknown, or the face model is a different one.
    """
    try:
        contents = _read(video)
    except (DataError, ValueError) as error:
        raise UnusableClipError(f"track cannot be read: {str(error).removeprefix(f'{video.path} ')}") from error
    contents = _with_identity(contents)
    fps = video.fps or frame_rate(contents.coefficients.frames, len(audio) / SAMPLE_RATE)
    coefficients = contents.coefficients.with_(fps=fps).resampled(FRAME_RATE)
    coefficients = coefficients[: max(min(coefficients.frames, -(-len(audio) // SAMPLES_PER_FRAME)), 1)]
    if face_model is not None and face_model.name != coefficients.face_model:
        raise UnusableClipError(f"another face model: {coefficients.face_model}, but {face_model.name} was given")
    frames = coefficients.frames
    return Track(
        clip_id=video.clip_id,
        speaker=video.speaker,
        coefficients=_clip_coefficients(coefficients),
        landmarks=_landmarks(coefficients, face_model),
        valid=np.ones(frames, bool),
        audio=fit_length(audio, frames),
        corpus=video.corpus,
        split=video.split,
        emotion=video.emotion,
        level=video.level,
        language=video.language,
        source=video.origin[0],
        frame_size=contents.frame_size,
    )


def frame_rate(frames: int, seconds: float) -> float:
    """Return the common frame rate at which the track lasts as long as its audio.

    Raises:
        UnusableClipError: If no common rate fits.
    """
    best = min(COMMON_RATES, key=lambda rate: abs(frames / rate - seconds))
    if abs(frames / best - seconds) > max(_LENGTH_SHARE * seconds, _LENGTH_SECONDS):
        raise UnusableClipError(
            f"frame rate unknown: {frames} frames and {seconds:.2f} s of audio fit none of "
            f"{', '.join(f'{rate:g}' for rate in COMMON_RATES)}; give it in the column fps of {MANIFEST_FILE}"
        )
    return best


def _read(video: SourceVideo) -> CoefficientFile:
    """Read a file, or concatenate the files of a folder."""
    if not video.path.is_dir():
        return read_coefficient_file(video.path)
    paths = [path for path in video.path.iterdir() if path.suffix.lower() == _SUFFIX and path.stem.isdigit()]
    files = [read_coefficient_file(path) for path in sorted(paths, key=lambda path: int(path.stem))]
    if not files:
        raise DataError(f"{video.path} has no file named like 000001.mat")
    first = files[0]
    return CoefficientFile(concatenate(file.coefficients for file in files), first.layout, first.frame_size)


def _with_identity(contents: CoefficientFile) -> CoefficientFile:
    """Add an identity to SadTalker's files, which have one in the first frame or none: the mean face if unknown."""
    coefficients, first = contents.coefficients, contents.first_frame
    if coefficients.identity is not None:
        return contents
    known = None if first is None or first.identity is None else np.atleast_2d(first.identity)[0]
    identity = np.zeros(IDENTITY_SIZE, np.float32) if known is None else known
    return replace(contents, coefficients=coefficients.with_(identity=identity))


def _clip_coefficients(coefficients: FaceCoefficients) -> FaceCoefficients:
    """Reduce identity and crop to one per clip, as stores require; a crop that moves has no such value: None."""
    identity, crop = coefficients.identity, coefficients.crop
    if identity is not None and identity.ndim == 2:
        identity = identity.mean(axis=0)
    if crop is not None and crop.ndim == 2:
        crop = crop[0] if (crop == crop[0]).all() else None
    return coefficients.with_(identity=identity, crop=crop, texture=None, illumination=None)


def _landmarks(coefficients: FaceCoefficients, face_model: MorphableModel | None) -> NDArray[np.float32]:
    """Return landmarks (T, 68, 2) in pixels of the tracked frames; zero if they are unknown."""
    identity, crop = coefficients.identity, coefficients.crop
    if face_model is None or identity is None or crop is None:
        return np.zeros((coefficients.frames, LANDMARKS, 2), np.float32)
    shape = (coefficients.frames, identity.shape[-1])
    points = face_model.landmarks(
        torch.from_numpy(np.broadcast_to(identity, shape).copy()), torch.from_numpy(coefficients.expression)
    )  # (T, 68, 3)
    camera = (coefficients.rotation, coefficients.translation, np.atleast_2d(crop).astype(np.float32))
    return project(points, *(torch.from_numpy(value) for value in camera)).numpy()
