"""All formats by name: ``expnet convert`` and ``expnet animate --export``."""

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
from expnet.formats.motion_clip import Performance, read_npz, write_npz


@dataclass(frozen=True)
class ExportSettings:
    """What a format may need beside the clip.

    Attributes:
        face_model: a face model of the user's; the built-in one needs no mention.
        rest: what ARKit weights count from, see :func:`~expnet.formats.blendshapes.blendshape_weights`.
        portrait: (H, W, 3) uint8 picture for the glTF mesh to wear.
        fit: coefficients of that portrait.
    """

    face_model: MorphableModel | None = None
    rest: Rest = "clip"
    portrait: NDArray[np.uint8] | None = None
    fit: FaceCoefficients | None = None

    def model_of(self, coefficients: FaceCoefficients) -> MorphableModel:
        """The face model that gives the coefficients their meaning.

        Raises:
            InputError: it is neither the built-in one nor the one given.
        """
        for model in (builtin_face_model(), self.face_model):
            if model is not None and model.name == coefficients.face_model:
                return model
        raise InputError(
            f"the coefficients are of the face model {coefficients.face_model}: give its file with --face-model."
        )


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        suffix: of its files.
        text: what it is, in a few words.
        write: writes one.
    """

    suffix: str
    text: str
    write: Callable[[Path, Performance, ExportSettings], None]


def _arkit(path: Path, clip: Performance, settings: ExportSettings) -> None:
    write_arkit(path, clip, settings.model_of(clip.coefficients), rest=settings.rest)


def _gltf(path: Path, clip: Performance, settings: ExportSettings) -> None:
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
"""Name of a format -> what it is; the first of a suffix is what that suffix stands for."""


def check_export(path: str | os.PathLike[str], name: str | None = None) -> tuple[Path, Format]:
    """Find the format of an export, and that it can be written there, before any work is done.

    Args:
        path: the file to write.
        name: a key of :data:`FORMATS`; None for what the suffix stands for.

    Raises:
        InputError: no such format, another suffix than the format has, or no such folder.
    """
    path = Path(path)
    if name is None:
        found = next((one for one in FORMATS.values() if one.suffix == path.suffix.lower()), None)
        if found is None:
            suffixes = ", ".join(dict.fromkeys(one.suffix for one in FORMATS.values()))
            raise InputError(f"{path}: the suffix {path.suffix!r} is no export format; use one of {suffixes}.")
    elif name not in FORMATS:
        raise InputError(f"{name!r} is no export format; choose one of {', '.join(FORMATS)}.")
    else:
        found = FORMATS[name]
    if path.suffix.lower() != found.suffix:
        raise InputError(f"{path}: {found.text} is written to a {found.suffix} file; give the output that suffix.")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path}: is a folder, or lies in a folder that does not exist; choose another output.")
    return path, found


def export(
    performance: Performance,
    path: str | os.PathLike[str],
    name: str | None = None,
    settings: ExportSettings | None = None,
) -> Path:
    """Write a clip in one of the formats.

    Args:
        performance: the clip.
        path: the file to write; it appears when it is complete.
        name: a key of :data:`FORMATS`; None for what the suffix stands for.
        settings: what the format may need beside the clip.

    Returns:
        The path written.

    Raises:
        InputError: see :func:`check_export`; or the format cannot hold this clip.
    """
    target, found = check_export(path, name)
    found.write(target, performance, settings or ExportSettings())
    return target


def read_performance(path: str | os.PathLike[str], *, fps: float = DEFAULT_FPS) -> Performance:
    """Read expnet's ``.npz``, or a ``.mat`` of SadTalker, Deep3DFaceRecon or PIRender.

    Args:
        path: the file.
        fps: frames a second of a ``.mat``, which does not say.

    Raises:
        DataError: the file cannot be read.
    """
    if Path(path).suffix.lower() != ".mat":
        return read_npz(path)
    contents = read_coefficient_file(path, fps=fps)
    return Performance(contents.coefficients, frame_size=contents.frame_size)
