"""The motion of one clip: coefficients, the renderer's blinks, and expnet's own file for both."""

import os
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.errors import DataError, InputError
from expnet.io.atomic import write_atomically

_ARRAYS = tuple(field.name for field in fields(FaceCoefficients) if field.name not in ("fps", "face_model"))


@dataclass(frozen=True, eq=False)
class MotionClip:
    """The motion of a face in one clip; frame k is at k / fps seconds, and the audio begins with frame 0.

    Attributes:
        coefficients: Expression and pose of T frames.
        blink: (T,) eyelid closure in addition to the expression, from 0 (none) to 1 (shut); None for no blinks.
        frame_size: Height and width in pixels of the image that the crop refers to, if known.
    """

    coefficients: FaceCoefficients
    blink: NDArray[np.float32] | None = None
    frame_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check the blinks against the coefficients."""
        if self.blink is not None and np.shape(self.blink) != (self.coefficients.frames,):
            raise ValueError(f"blink has shape {np.shape(self.blink)}, expected ({self.coefficients.frames},)")


def write_npz(path: Path, clip: MotionClip) -> None:
    """Write expnet's own file: plain arrays that ``numpy.load`` reads and that cannot run code.

    It holds the arrays of :class:`FaceCoefficients` by name, ``fps``, ``face_model``, and ``blink`` and ``frame_size``
    if they are known.

    Raises:
        InputError: The folder does not exist or cannot be written to.
    """
    coefficients = clip.coefficients
    arrays: dict[str, Any] = {name: getattr(coefficients, name) for name in (*_ARRAYS, "fps", "face_model")}
    arrays |= {"blink": clip.blink, "frame_size": clip.frame_size}
    known = {name: value for name, value in arrays.items() if value is not None}
    content = BytesIO()
    np.savez_compressed(content, **known)
    write_output(path, content.getvalue())


def read_npz(path: str | os.PathLike[str]) -> MotionClip:
    """Read a file that :func:`write_npz` wrote, bit for bit.

    Raises:
        DataError: There is no such file, or it has another layout.
    """
    try:
        ZipFile(path).close()  # np.load takes any other file for a pickle and advises to load it unsafely
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        coefficients = FaceCoefficients(
            **{name: arrays[name] for name in _ARRAYS if name in arrays},
            fps=float(arrays["fps"]),
            face_model=str(arrays["face_model"]),
        )
        size = arrays.get("frame_size")
        return MotionClip(coefficients, arrays.get("blink"), None if size is None else (int(size[0]), int(size[1])))
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such coefficient file; check the path.") from error
    except (OSError, EOFError, BadZipFile, KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{path}: not a coefficient file of expnet ({error}); expected an .npz that 'expnet convert' or "
            "'expnet animate --export' wrote."
        ) from error


def write_output(path: Path, content: bytes) -> None:
    """Write a whole file for another program, atomically.

    Raises:
        InputError: The folder does not exist or cannot be written to.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); choose a folder that exists and can be written to."
        ) from error
