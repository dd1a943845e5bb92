"""Frames of a tracked clip, cut to the square around the face and kept with its coefficients in one file.

Each clip gives one file, written atomically, so an interrupted preparation resumes. The square is the same for the
whole clip, as the square of a portrait is for its video. A margin is kept around it, from which training takes squares
that are turned, shifted and scaled a little.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from expnet.data.clip_entry import ClipEntry
from expnet.data.even_spacing import evenly_spaced_indices
from expnet.data.source_frames import read_frames
from expnet.data.store.track import Track
from expnet.errors import DataError, ExpnetError
from expnet.io.atomic import atomic_path
from expnet.render.face_vid2vid.face_crop import FaceCrop, face_crop
from expnet.render.video_renderer.motion_rows import Similarity, motion_rows

SCHEMA = 1
MARGIN = 8
"""The margin on each side of the square is an eighth of its side."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameSettings:
    """Which frames of a clip are kept.

    Attributes:
        size: Side of the square in pixels.
        frames: Largest number of frames; None for all.
        spread: Whether they are spread evenly over the clip, or its first ones.
    """

    size: int
    frames: int | None
    spread: bool

    @property
    def margin(self) -> int:
        """Pixels around the square."""
        return self.size // MARGIN

    @property
    def inner(self) -> Similarity:
        """The change from the square with its margin to the square alone."""
        return Similarity(scale=1 + 2 * self.margin / self.size)


@dataclass(frozen=True, eq=False)
class ClipFrames:
    """A prepared clip.

    Attributes:
        images: (N, S', S', 3) uint8, the square with its margin.
        numbers: (N,) number of each frame in the clip, increasing.
        rows: (T, E + 6) rows of all frames of the clip in the square with its margin, see
            `expnet.render.video_renderer.motion_rows`.
    """

    images: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    rows: NDArray[np.float32]


def prepare_clips(entries: list[ClipEntry], folder: Path, settings: FrameSettings) -> dict[str, Path]:
    """Make the files of clips that do not exist yet.

    Args:
        entries: The clips.
        folder: Folder of the files.
        settings: Which frames are kept.

    Returns:
        File of each clip, by name; a clip that cannot be used is left out with a warning.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for entry in entries:
        row = entry.row
        about = {
            "schema": SCHEMA,
            "store": entry.store.fingerprint(),
            "source": row.source,
            "part": [row.first_frame, row.frames],
            **asdict(settings),
        }
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
        path = folder / f"{row.clip_id}-{key}.safetensors"
        if not path.is_file():
            try:
                write_clip(path, cut_clip(entry.read(), settings))
            except ExpnetError as error:
                _log.warning("%s is left out: %s", row.clip_id, error)
                continue
        files[row.clip_id] = path
    return files


def cut_clip(track: Track, settings: FrameSettings) -> ClipFrames:
    """Cut the frames of a clip.

    Args:
        track: The clip, whose source video must be available.
        settings: Which frames are kept.

    Raises:
        DataError: The video is missing or does not match the track, or fewer than two frames show a face.
        InputError: The face is too small.
    """
    seen = np.flatnonzero(track.valid)
    if len(seen) < 2:
        raise DataError(f"clip {track.clip_id} has fewer than two frames with a face")
    count = len(seen) if settings.frames is None else min(settings.frames, len(seen))
    numbers = seen[evenly_spaced_indices(len(seen), count)] if settings.spread else seen[:count]
    square = with_margin(clip_square(track), settings)
    frames = read_frames(track, numbers)
    side = settings.size + 2 * settings.margin
    images = np.stack([square.cut(frames[number], side) for number in numbers.tolist()])
    return ClipFrames(images, numbers, motion_rows(track.coefficients, square))


def clip_square(track: Track) -> FaceCrop:
    """Return the square around the face of a clip, from its mean landmarks.

    Raises:
        InputError: The face is too small.
    """
    return face_crop(track.landmarks[track.valid].mean(axis=0))


def with_margin(square: FaceCrop, settings: FrameSettings) -> FaceCrop:
    """Return a square with the margin around it."""
    margin = round(square.side * settings.margin / settings.size)
    return FaceCrop(square.left - margin, square.top - margin, square.side + 2 * margin)


def write_clip(path: Path, clip: ClipFrames) -> None:
    """Write a prepared clip, atomically."""
    with atomic_path(path) as partial:
        save_file({name: np.ascontiguousarray(array) for name, array in vars(clip).items()}, partial)


def read_clip(path: Path, chosen: NDArray[np.int64] | None = None) -> ClipFrames:
    """Read a prepared clip.

    Args:
        path: Its file.
        chosen: Indices of the images to read, increasing; None for all. ``numbers`` are those of the images.
    """
    with safe_open(str(path), framework="numpy") as file:
        images, numbers, rows = file.get_slice("images"), file.get_tensor("numbers"), file.get_tensor("rows")
        if chosen is None:
            return ClipFrames(images[:], numbers, rows)
        picked = np.concatenate([images[int(index) : int(index) + 1] for index in chosen])
    return ClipFrames(picked, numbers[chosen], rows)


def frames_in(path: Path) -> int:
    """Return the number of images of a prepared clip."""
    with safe_open(str(path), framework="numpy") as file:
        return file.get_slice("numbers").get_shape()[0]
