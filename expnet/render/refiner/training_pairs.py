"""Training pairs of a refiner: regions of rendered and real frames, from self-reenactment of tracked clips.

Frames of a clip serve as portraits and are driven by the coefficients of other frames of the same clip. Each clip gives
one file, written atomically, so an interrupted preparation resumes. The file's name contains a checksum of the store
and the settings; after a change of the renderer, the folder has to be emptied by hand.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from expnet.data.clip_entry import ClipEntry
from expnet.data.even_spacing import evenly_spaced_indices
from expnet.data.source_frames import read_frames
from expnet.data.store.track import Track
from expnet.errors import DataError, ExpnetError, InputError
from expnet.face.morphable import MorphableModel, load_face_model
from expnet.io.atomic import atomic_path
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import open_portrait
from expnet.render.refiner.region_pixels import cut_region
from expnet.render.refiner.region_refiner import RegionCrop

SCHEMA = 1
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairSettings:
    """Which pairs are made from a clip.

    Attributes:
        kinds: Kinds of regions, see `expnet.render.refiner.regions.REGIONS`.
        size: Side of a region in pixels.
        portraits: Number of frames that serve as portraits, evenly spaced in the clip.
        frames: Number of frames that each portrait is driven to, evenly spaced.
    """

    kinds: tuple[str, ...]
    size: int
    portraits: int
    frames: int


class RegionRecorder:
    """A `expnet.render.refiner.region_refiner.RegionModel` that records its input and changes nothing."""

    def __init__(self, settings: PairSettings) -> None:
        self.kinds, self.size = settings.kinds, settings.size
        self.crops: list[RegionCrop] = []

    def __call__(self, crops: list[RegionCrop]) -> list[None]:
        """Record the crops of the latest frame."""
        self.crops = crops
        return [None] * len(crops)


def prepare_clips(entries: list[ClipEntry], folder: Path, settings: PairSettings) -> dict[str, Path]:
    """Make the files of clips that do not exist yet.

    Args:
        entries: The clips.
        folder: Folder of the files.
        settings: Which pairs are made from each clip.

    Returns:
        File of each clip, by name; a clip that cannot be used is left out with a warning.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for entry in entries:
        name = entry.row.clip_id
        about = {"schema": SCHEMA, "store": entry.store.fingerprint(), "source": entry.row.source, **asdict(settings)}
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
        path = folder / f"{name}-{key}.safetensors"
        if not path.is_file():
            try:
                _write(path, make_pairs(entry.read(), load_face_model(entry.row.face_model), settings))
            except ExpnetError as error:
                _log.warning("%s is left out: %s", name, error)
                continue
        files[name] = path
    return files


def make_pairs(track: Track, model: MorphableModel, settings: PairSettings) -> dict[str, NDArray]:
    """Render pairs from one clip.

    Args:
        track: The clip, whose source video must be available.
        model: The face model of its coefficients.
        settings: Which pairs are made.

    Returns:
        ``inputs`` (N, R, 10, S, S) uint8, ``targets`` (N, R, 3, S, S) uint8 and ``gates`` (N, R) float32, for N pairs
        of a portrait and a frame, and R regions.

    Raises:
        DataError: The video is missing or does not match the track.
        InputError: None of the portraits shows a face.
    """
    seen = np.flatnonzero(track.valid)
    portraits = seen[evenly_spaced_indices(len(seen), settings.portraits + 2)][1:-1] if len(seen) > 2 else seen[:1]
    driving = seen[evenly_spaced_indices(len(seen), settings.frames)]
    frames = read_frames(track, np.union1d(portraits, driving))
    parts: list[dict[str, NDArray]] = []
    failure: InputError | None = None
    for portrait in portraits:
        try:
            parts += _drive(track, model, settings, int(portrait), driving, frames)
        except InputError as error:
            failure = error
    if not parts:
        raise failure or DataError(f"clip {track.clip_id} has no frame to drive")
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def _drive(
    track: Track,
    model: MorphableModel,
    settings: PairSettings,
    portrait: int,
    driving: NDArray[np.int64],
    frames: dict[int, NDArray[np.uint8]],
) -> Iterator[dict[str, NDArray]]:
    """Drive one portrait to other frames; yields the arrays of each pair."""
    recorder = RegionRecorder(settings)
    opened = open_portrait(frames[portrait], model, max_side=None)
    coefficients = track.coefficients
    fit = coefficients[portrait : portrait + 1]
    renderer = MeshRenderer(opened.image, fit, opened.points, model, matte=opened.matte, refiner=recorder)
    others = driving[driving != portrait]
    rows = coefficients.with_(
        expression=coefficients.expression[others],
        rotation=coefficients.rotation[others],
        translation=coefficients.translation[others],
    )
    for number, _ in zip(others.tolist(), renderer.render(rows), strict=True):
        targets = []
        for crop in recorder.crops:
            where = crop.placement
            real = cut_region(frames[number], where.middle, where.across, where.down, settings.size)
            targets.append(np.clip(real + 0.5, 0, 255).astype(np.uint8).transpose(2, 0, 1))
        yield {
            "inputs": np.stack([crop.inputs for crop in recorder.crops]),
            "targets": np.stack(targets),
            "gates": np.array([crop.gate for crop in recorder.crops], np.float32),
        }


def _write(path: Path, arrays: dict[str, NDArray]) -> None:
    with atomic_path(path) as partial:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, partial)
