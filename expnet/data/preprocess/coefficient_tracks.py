"""Tracks from coefficient files of other projects: what preprocess does where there is no video to be tracked.

The coefficients keep their numbers and the name of their face model (``bfm2009``); only the frame rate becomes 25.
Landmarks need the face model itself: with a Basel face model given they are projected, without one they are zero, and
losses and measures in landmarks cannot be used.
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
# Sound and track may differ in length by this share, and by so many seconds: encoders pad.
_LENGTH_SHARE = 0.01
_LENGTH_SECONDS = 0.1


def is_coefficient_track(video: SourceVideo) -> bool:
    """Whether a source is a track of coefficients: a ``.mat`` file, or a folder of one for each frame."""
    return video.path.suffix.lower() == _SUFFIX or video.path.is_dir()


def read_coefficient_track(
    video: SourceVideo, audio: NDArray[np.float32], face_model: MorphableModel | None = None
) -> Track:
    """Turn a coefficient file and its sound into a track of 25 frames/s.

    Args:
        video: The source.
        audio: (S,) samples at 16 kHz.
        face_model: The face model of the coefficients, for landmarks; None where there is none at hand.

    Raises:
        UnusableClipError: If the file cannot be read, its frame rate is not known, or the face model is another.
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
        raise UnusableClipError(f"another face model: {coefficients.face_model}, and {face_model.name} was given")
    frames = coefficients.frames
    return Track(
        clip_id=video.clip_id,
        speaker=video.speaker,
        coefficients=_of_the_clip(coefficients),
        landmarks=_landmarks(coefficients, face_model),
        valid=np.ones(frames, bool),
        audio=fit_length(audio, frames),
        corpus=video.corpus,
        split=video.split,
        emotion=video.emotion,
        level=video.level,
        language=video.language,
        source=str(video.path),
        frame_size=contents.frame_size,
    )


def frame_rate(frames: int, seconds: float) -> float:
    """The common frame rate at which a track is as long as its sound.

    Raises:
        UnusableClipError: If there is none.
    """
    best = min(COMMON_RATES, key=lambda rate: abs(frames / rate - seconds))
    if abs(frames / best - seconds) > max(_LENGTH_SHARE * seconds, _LENGTH_SECONDS):
        raise UnusableClipError(
            f"frame rate unknown: {frames} frames and {seconds:.2f} s of sound fit none of "
            f"{', '.join(f'{rate:g}' for rate in COMMON_RATES)}; give it in the column fps of {MANIFEST_FILE}"
        )
    return best


def _read(video: SourceVideo) -> CoefficientFile:
    """Read a file, or join the files of a folder."""
    if not video.path.is_dir():
        return read_coefficient_file(video.path)
    paths = [path for path in video.path.iterdir() if path.suffix.lower() == _SUFFIX and path.stem.isdigit()]
    files = [read_coefficient_file(path) for path in sorted(paths, key=lambda path: int(path.stem))]
    if not files:
        raise DataError(f"{video.path} has no file 000001.mat or alike")
    first = files[0]
    return CoefficientFile(concatenate(file.coefficients for file in files), first.layout, first.frame_size)


def _with_identity(contents: CoefficientFile) -> CoefficientFile:
    """SadTalker's files have an identity in the first frame or none; the mean face stands for one that is not known."""
    coefficients, first = contents.coefficients, contents.first_frame
    if coefficients.identity is not None:
        return contents
    known = None if first is None or first.identity is None else np.atleast_2d(first.identity)[0]
    identity = np.zeros(IDENTITY_SIZE, np.float32) if known is None else known
    return replace(contents, coefficients=coefficients.with_(identity=identity))


def _of_the_clip(coefficients: FaceCoefficients) -> FaceCoefficients:
    """Identity and crop for the clip, as a store has them; a crop that moves is none of the clip's, and is left out."""
    identity, crop = coefficients.identity, coefficients.crop
    if identity is not None and identity.ndim == 2:
        identity = identity.mean(axis=0)
    if crop is not None and crop.ndim == 2:
        crop = crop[0] if (crop == crop[0]).all() else None
    return coefficients.with_(identity=identity, crop=crop, texture=None, illumination=None)


def _landmarks(coefficients: FaceCoefficients, face_model: MorphableModel | None) -> NDArray[np.float32]:
    """Landmarks (T, 68, 2) in pixels of the tracked frames; zero where they cannot be known."""
    identity, crop = coefficients.identity, coefficients.crop
    if face_model is None or identity is None or crop is None:
        return np.zeros((coefficients.frames, LANDMARKS, 2), np.float32)
    shape = (coefficients.frames, identity.shape[-1])
    points = face_model.landmarks(
        torch.from_numpy(np.broadcast_to(identity, shape).copy()), torch.from_numpy(coefficients.expression)
    )  # (T, 68, 3)
    camera = (coefficients.rotation, coefficients.translation, np.atleast_2d(crop).astype(np.float32))
    return project(points, *(torch.from_numpy(value) for value in camera)).numpy()
