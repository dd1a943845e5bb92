"""All motion file formats by name, for ``expnet convert`` and ``expnet animate --export``."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import DEFAULT_FPS, FaceCoefficients
from expnet.errors import InputError
from expnet.face.morphable import MorphableModel, builtin_face_model
from expnet.formats.arkit import write_arkit
from expnet.formats.basel import write_basel
from expnet.formats.blendshapes import Rest
from expnet.formats.coefficient_files import read_coefficient_file
from expnet.formats.gltf import write_glb
from expnet.formats.head_motion_files import write_bvh, write_json
from expnet.formats.motion_clip import MotionClip, read_npz, write_npz


@dataclass(frozen=True)
class MotionFileSettings:
    """What a format may need besides the clip.

    Attributes:
        face_model: A face model of the user; the built-in one is always known.
        rest: The face with all ARKit weights 0, see :func:`~expnet.formats.blendshapes.blendshape_weights`.
        portrait: (H, W, 3) uint8 texture of the glTF mesh.
        fit: Coefficients of that portrait.
    """

    face_model: MorphableModel | None = None
    rest: Rest = "clip"
    portrait: NDArray[np.uint8] | None = None
    fit: FaceCoefficients | None = None

    def model_of(self, coefficients: FaceCoefficients) -> MorphableModel:
        """Return the face model of the coefficients.

        Raises:
            InputError: It is neither the built-in one nor the one given.
        """
        for model in (builtin_face_model(), self.face_model):
            if model is not None and model.name == coefficients.face_model:
                return model
        raise InputError(
            f"the coefficients belong to the face model {coefficients.face_model}: give its file with --face-model."
        )


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes:
        suffix: Suffix of its files.
        text: Description in a few words.
        write: Function that writes a clip.
    """

    suffix: str
    text: str
    write: Callable[[Path, MotionClip, MotionFileSettings], None]


def _arkit(path: Path, clip: MotionClip, settings: MotionFileSettings) -> None:
    write_arkit(path, clip, settings.model_of(clip.coefficients), rest=settings.rest)


def _gltf(path: Path, clip: MotionClip, settings: MotionFileSettings) -> None:
    model = settings.model_of(clip.coefficients)
    write_glb(path, clip, model, portrait=settings.portrait, fit=settings.fit)


FORMATS: dict[str, Format] = {
    "npz": Format(".npz", "coefficients as numpy arrays", lambda path, clip, _: write_npz(path, clip)),
    "arkit": Format(".csv", "ARKit's 52 blendshapes in the layout of Live Link Face", _arkit),
    "gltf": Format(".glb", "glTF 2.0: mesh, morph targets, animation", _gltf),
    "bvh": Format(".bvh", "head motion", lambda path, clip, _: write_bvh(path, clip)),
    "json": Format(".json", "head motion and blinks", lambda path, clip, _: write_json(path, clip)),
    "sadtalker": Format(
        ".mat", "drives SadTalker", lambda path, clip, use: write_basel(path, clip, "sadtalker70", use.face_model)
    ),
    "sadtalker-first": Format(
        ".mat", "SadTalker's portrait", lambda path, clip, use: write_basel(path, clip, "sadtalker73", use.face_model)
    ),
    "pirender": Format(
        ".mat", "drives PIRender", lambda path, clip, use: write_basel(path, clip, "pirender", use.face_model)
    ),
}
"""Formats by name; a suffix alone stands for the first format that has it."""


def check_motion_file(path: str | os.PathLike[str], name: str | None = None) -> tuple[Path, Format]:
    """Find the format of a file to write and check its place, before any work is done.

    Args:
        path: The file to write.
        name: A key of :data:`FORMATS`; None to choose by the suffix.

    Raises:
        InputError: The format is unknown or has another suffix, or the folder does not exist.
    """
    path = Path(path)
    if name is None:
        found = next((one for one in FORMATS.values() if one.suffix == path.suffix.lower()), None)
        if found is None:
            suffixes = ", ".join(dict.fromkeys(one.suffix for one in FORMATS.values()))
            raise InputError(f"{path}: the suffix {path.suffix!r} is not an export format; use one of {suffixes}.")
    elif name not in FORMATS:
        raise InputError(f"{name!r} is not an export format; choose one of {', '.join(FORMATS)}.")
    else:
        found = FORMATS[name]
    if path.suffix.lower() != found.suffix:
        raise InputError(
            f"{path}: the format ({found.text}) is written to a {found.suffix} file; give the output that suffix."
        )
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path} is a folder, or its folder does not exist; choose another output.")
    return path, found


def write_motion(
    clip: MotionClip,
    path: str | os.PathLike[str],
    name: str | None = None,
    settings: MotionFileSettings | None = None,
) -> Path:
    """Write a clip in one of the formats.

    Args:
        clip: The clip.
        path: The file to write, atomically.
        name: A key of :data:`FORMATS`; None to choose by the suffix.
        settings: What the format may need besides the clip.

    Returns:
        The path written.

    Raises:
        InputError: As :func:`check_motion_file`, or the format cannot hold this clip.
    """
    target, found = check_motion_file(path, name)
    found.write(target, clip, settings or MotionFileSettings())
    return target


def read_motion(path: str | os.PathLike[str], *, fps: float = DEFAULT_FPS) -> MotionClip:
    """Read the motion in expnet's ``.npz``, or in a ``.mat`` of SadTalker, Deep3DFaceRecon or PIRender.

    Args:
        path: The file.
        fps: Frame rate of a ``.mat`` file, which does not hold it.

    Raises:
        DataError: The file cannot be read.
    """
    if Path(path).suffix.lower() != ".mat":
        return read_npz(path)
    contents = read_coefficient_file(path, fps=fps)
    return MotionClip(contents.coefficients, frame_size=contents.frame_size)
