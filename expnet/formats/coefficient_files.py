"""Coefficient files of SadTalker, Deep3DFaceRecon and PIRender, read and written bit for bit.

All three use the Basel face model of 2009 with the expression basis of Guo et al., and the rotation, translation and
camera of this project (docs/reference/conventions.md), so the numbers stay the same; only the crop is parametrised
differently.
Sources: OpenTalker/SadTalker ``src/utils/preprocess.py``, sicxu/Deep3DFaceRecon_pytorch ``models/bfm.py`` and
``util/preprocess.py``, RenYurui/PIRender ``scripts/``.

================  ==========================================================================================
layout            contents
================  ==========================================================================================
``sadtalker70``   ``coeff_3dmm`` (T, 70): expression, rotation, translation
``sadtalker73``   ``coeff_3dmm`` (T, 73): the same and the crop; ``full_3dmm`` (1, 257) of the first frame
``deep3d257``     ``coeff`` (T, 257): identity, expression, texture, rotation, illumination, translation
``deep3d_image``  ``id exp tex angle gamma trans lm68`` of one image
``pirender``      ``coeff`` (T, 257) and ``transform_params`` (T, 5): width, height, scale, x, y
``pirender260``   float32 vectors (T, 260), an item of PIRender's LMDB: 257 and scale, x, y
================  ==========================================================================================
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, savemat
from scipy.io.matlab import MatReadError

from expnet.coefficients import DEFAULT_FPS, FaceCoefficients
from expnet.errors import DataError
from expnet.io.atomic import atomic_path

Layout = Literal["sadtalker70", "sadtalker73", "deep3d257", "deep3d_image", "pirender", "pirender260"]

BASEL_FACE_MODEL = "bfm2009"
IDENTITY_SIZE = 80
TEXTURE_SIZE = 80
ILLUMINATION_SIZE = 27

# Side in pixels of the input of Deep3DFaceRecon; a crop of scale s covers 224 / s source pixels.
ALIGNED_SIZE = 224.0
# SadTalker and PIRender track frames that were first cropped and scaled to 256 x 256.
DEFAULT_FRAME_SIZE = (256, 256)

_SADTALKER_70 = {"expression": slice(0, 64), "rotation": slice(64, 67), "translation": slice(67, 70)}
_SADTALKER_73 = {**_SADTALKER_70, "crop": slice(70, 73)}
_DEEP3D_257 = {
    "identity": slice(0, 80),
    "expression": slice(80, 144),
    "texture": slice(144, 224),
    "rotation": slice(224, 227),
    "illumination": slice(227, 254),
    "translation": slice(254, 257),
}
_PIRENDER_260 = {**_DEEP3D_257, "crop": slice(257, 260)}
_FIELDS_BY_WIDTH = {70: _SADTALKER_70, 73: _SADTALKER_73, 257: _DEEP3D_257, 260: _PIRENDER_260}

_TRANSFORM_SIZE = slice(0, 2)
_TRANSFORM_CROP = slice(2, 5)
_TRANSFORM_WIDTH = 5

# What scipy raises for a file that is not a MATLAB file, is truncated, or is of MATLAB 7.3 (HDF5).
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    NotImplementedError,
    MatReadError,
    zlib.error,
)

_IMAGE_KEYS = {
    "id": "identity",
    "exp": "expression",
    "tex": "texture",
    "angle": "rotation",
    "gamma": "illumination",
    "trans": "translation",
}


@dataclass(frozen=True, eq=False)
class CoefficientFile:
    """What a coefficient file of another project holds.

    Args:
        coefficients: The clip. The formats hold no frame rate; the caller of the reader provides it.
        layout: The layout of the file.
        frame_size: Height and width in pixels of the frames that were tracked.
        first_frame: SadTalker's ``full_3dmm``: all coefficients of the first frame.
        landmarks: Deep3DFaceRecon's ``lm68`` (1, 68, 2) in pixels of the aligned 224 x 224 image.
    """

    coefficients: FaceCoefficients
    layout: Layout
    frame_size: tuple[int, int] = DEFAULT_FRAME_SIZE
    first_frame: FaceCoefficients | None = None
    landmarks: NDArray[np.float32] | None = None


def coefficients_from_vectors(
    vectors: NDArray[np.float32], *, fps: float = DEFAULT_FPS, frame_height: float = DEFAULT_FRAME_SIZE[0]
) -> FaceCoefficients:
    """Split vectors (T, 70), (T, 73), (T, 257) or (T, 260) into named parts.

    Raises:
        DataError: The width is none of these.
    """
    if vectors.ndim != 2 or vectors.shape[1] not in _FIELDS_BY_WIDTH or vectors.shape[0] == 0:
        raise DataError(
            f"coefficient vectors have shape {vectors.shape}, expected (frames, width) with a width of "
            f"{', '.join(map(str, _FIELDS_BY_WIDTH))}"
        )
    parts: dict[str, Any] = {name: vectors[:, part] for name, part in _FIELDS_BY_WIDTH[vectors.shape[1]].items()}
    if "crop" in parts:
        parts["crop"] = _crop_from_aligned(parts["crop"], frame_height)
    return FaceCoefficients(**parts, fps=fps, face_model=BASEL_FACE_MODEL)


def coefficients_to_vectors(
    coefficients: FaceCoefficients, width: int, *, frame_height: float = DEFAULT_FRAME_SIZE[0]
) -> NDArray[np.float32]:
    """Write coefficients as vectors (T, width); the exact inverse of :func:`coefficients_from_vectors`.

    Raises:
        DataError: The coefficients lack a part that this width holds, or it has another size.
    """
    if width not in _FIELDS_BY_WIDTH:
        raise DataError(f"no coefficient layout has width {width}; known are {', '.join(map(str, _FIELDS_BY_WIDTH))}")
    vectors = np.empty((coefficients.frames, width), dtype=np.float32)
    for name, part in _FIELDS_BY_WIDTH[width].items():
        value = getattr(coefficients, name)
        size = part.stop - part.start
        if value is None or value.shape[-1] != size:
            held = "has none" if value is None else f"has {value.shape[-1]}"
            raise DataError(f"vectors of width {width} hold {size} numbers of {name}, but this clip {held}")
        vectors[:, part] = _crop_to_aligned(value, frame_height) if name == "crop" else value
    return vectors


def coefficients_from_bytes(item: bytes, *, fps: float = DEFAULT_FPS) -> FaceCoefficients:
    """Read one item of PIRender's LMDB: float32 vectors (T, 260)."""
    width = max(_FIELDS_BY_WIDTH)
    if len(item) == 0 or len(item) % (4 * width):
        raise DataError(
            f"a PIRender item of {len(item)} bytes is not a whole number of vectors of {width} float32 values"
        )
    return coefficients_from_vectors(np.frombuffer(item, dtype="<f4").reshape(-1, width), fps=fps)


def coefficients_to_bytes(coefficients: FaceCoefficients) -> bytes:
    """Write one item of PIRender's LMDB; the exact inverse of :func:`coefficients_from_bytes`."""
    return coefficients_to_vectors(coefficients, max(_FIELDS_BY_WIDTH)).astype("<f4").tobytes()


def read_coefficient_file(
    path: str | os.PathLike[str], *, fps: float = DEFAULT_FPS, frame_size: tuple[int, int] = DEFAULT_FRAME_SIZE
) -> CoefficientFile:
    """Read a ``.mat`` file of SadTalker, Deep3DFaceRecon or PIRender; the layout is recognised by its keys.

    Args:
        path: The file.
        fps: Frame rate of the clip, which no such file holds (30 for StyleTalk's tracks, 25 for most others).
        frame_size: Height and width of the tracked frames, for files that do not hold them (SadTalker).

    Raises:
        DataError: The file cannot be read or has none of the known layouts.
    """
    arrays = _load_arrays(Path(path))
    try:
        return _parse(arrays, fps=fps, frame_size=frame_size)
    except (DataError, ValueError) as error:
        raise DataError(f"{path} is not a readable coefficient file: {error}") from error


def write_coefficient_file(path: str | os.PathLike[str], contents: CoefficientFile) -> None:
    """Write a ``.mat`` file in ``contents.layout``; a file that was read is reproduced bit for bit.

    Raises:
        DataError: The coefficients lack something that the layout holds.
    """
    coefficients, height = contents.coefficients, contents.frame_size[0]
    arrays: dict[str, NDArray[Any]]
    if contents.layout in ("sadtalker70", "sadtalker73"):
        width = 70 if contents.layout == "sadtalker70" else 73
        arrays = {"coeff_3dmm": coefficients_to_vectors(coefficients, width, frame_height=height)}
        if contents.first_frame is not None:
            arrays["full_3dmm"] = coefficients_to_vectors(contents.first_frame, 257)
    elif contents.layout in ("deep3d257", "pirender"):
        arrays = {"coeff": coefficients_to_vectors(coefficients, 257)}
        if contents.layout == "pirender":
            arrays["transform_params"] = _transform_params(coefficients, contents.frame_size)
    elif contents.layout == "deep3d_image":
        coefficients_to_vectors(coefficients, 257)  # raises for missing parts
        arrays = {key: np.atleast_2d(getattr(coefficients, name)) for key, name in _IMAGE_KEYS.items()}
        if contents.landmarks is not None:
            arrays["lm68"] = contents.landmarks
    else:
        files = [name for name in get_args(Layout) if name != "pirender260"]
        raise DataError(f"{contents.layout!r} is not a layout of a .mat file; choose one of {', '.join(files)}")
    with atomic_path(path) as partial, partial.open("wb") as stream:
        savemat(stream, arrays)


def _load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Load the numeric arrays of a ``.mat`` file."""
    try:
        with path.open("rb") as stream:
            contents = loadmat(stream)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); give the path of a .mat file") from error
    except _UNREADABLE as error:
        raise DataError(f"{path} is not a MATLAB 5 .mat file ({error}); expected one with coefficients") from error
    return {
        name: value for name, value in contents.items() if isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    }


def _parse(arrays: dict[str, NDArray[Any]], *, fps: float, frame_size: tuple[int, int]) -> CoefficientFile:
    """Recognise the layout and split it into named parts."""
    if "coeff_3dmm" in arrays:
        vectors = arrays["coeff_3dmm"].astype(np.float32)
        coefficients = coefficients_from_vectors(vectors, fps=fps, frame_height=frame_size[0])
        if vectors.shape[1] not in (70, 73):
            raise DataError(f"coeff_3dmm has width {vectors.shape[1]}, expected 70 or 73")
        first = arrays.get("full_3dmm")
        return CoefficientFile(
            coefficients,
            "sadtalker70" if vectors.shape[1] == 70 else "sadtalker73",
            frame_size,
            first_frame=None if first is None else coefficients_from_vectors(first.astype(np.float32), fps=fps),
        )
    if "coeff" in arrays:
        vectors = arrays["coeff"].astype(np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != 257:
            raise DataError(f"coeff has shape {vectors.shape}, expected (frames, 257)")
        coefficients = coefficients_from_vectors(vectors, fps=fps)
        if "transform_params" not in arrays:
            return CoefficientFile(coefficients, "deep3d257", frame_size)
        size, crop = _split_transform(arrays["transform_params"].astype(np.float32), coefficients.frames)
        return CoefficientFile(coefficients.with_(crop=crop), "pirender", size)
    if all(key in arrays for key in _IMAGE_KEYS):
        parts: dict[str, Any] = {name: arrays[key] for key, name in _IMAGE_KEYS.items()}
        coefficients = FaceCoefficients(**parts, fps=fps, face_model=BASEL_FACE_MODEL)
        coefficients_to_vectors(coefficients, 257)  # raises for wrong sizes
        landmarks = arrays.get("lm68")
        return CoefficientFile(coefficients, "deep3d_image", landmarks=landmarks)
    raise DataError(
        f"it holds {', '.join(sorted(arrays)) or 'no numbers'}, expected coeff_3dmm (SadTalker), coeff "
        f"(PIRender, Deep3DFaceRecon) or {', '.join(_IMAGE_KEYS)} (Deep3DFaceRecon, one image)"
    )


def _split_transform(transform: NDArray[np.float32], frames: int) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """Split PIRender's transform_params (T, 5) into the frame size and the crop (T, 3)."""
    if transform.shape != (frames, _TRANSFORM_WIDTH):
        raise DataError(f"transform_params has shape {transform.shape}, expected ({frames}, {_TRANSFORM_WIDTH})")
    width, height = (float(value) for value in transform[0, _TRANSFORM_SIZE])
    if (transform[:, _TRANSFORM_SIZE] != transform[0, _TRANSFORM_SIZE]).any() or width % 1 or height % 1:
        raise DataError("transform_params gives more than one frame size for a clip, or one that is not an integer")
    return (int(height), int(width)), _crop_from_aligned(transform[:, _TRANSFORM_CROP], height)


def _transform_params(coefficients: FaceCoefficients, frame_size: tuple[int, int]) -> NDArray[np.float32]:
    """Build PIRender's transform_params (T, 5) from the crop."""
    if coefficients.crop is None:
        raise DataError("the pirender layout holds the crop of every frame, but this clip has none")
    height, width = frame_size
    transform = np.empty((coefficients.frames, _TRANSFORM_WIDTH), dtype=np.float32)
    transform[:, _TRANSFORM_SIZE] = (width, height)
    transform[:, _TRANSFORM_CROP] = _crop_to_aligned(coefficients.crop, height)
    return transform


def _crop_from_aligned(aligned: NDArray[np.float32], height: float) -> NDArray[np.float64]:
    """Convert scale, x, y (y measured from the bottom) to centre x, centre y, side; float64 keeps every bit."""
    scale, x, y = np.moveaxis(aligned.astype(np.float64), -1, 0)
    if not (np.isfinite(aligned).all() and (scale > 0).all()):
        raise DataError("the crop holds a scale that is not a positive number")
    return np.stack([x, height - y, ALIGNED_SIZE / scale], axis=-1)


def _crop_to_aligned(crop: NDArray[np.float64], height: float) -> NDArray[np.float32]:
    """Convert centre x, centre y, side to scale, x, y; the inverse of :func:`_crop_from_aligned`."""
    x, y, side = np.moveaxis(crop, -1, 0)
    return np.stack([ALIGNED_SIZE / side, x, height - y], axis=-1).astype(np.float32)
