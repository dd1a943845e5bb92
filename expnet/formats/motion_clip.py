"""One clip as it is exported: coefficients, what the renderer adds to them, and expnet's own file for both."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from expnet.coefficients import FaceCoefficients
from expnet.errors import DataError, InputError

_ARRAYS = tuple(field.name for field in fields(FaceCoefficients) if field.name not in ("fps", "face_model"))


@dataclass(frozen=True, eq=False)
class Performance:
    """What a face does in one clip; frame k stands at k / fps seconds, and the sound begins with frame 0.

    Attributes:
        coefficients: expression and pose of T frames.
        blink: (T,) closure of the lids on top of the expression, 0 none to 1 shut; None for none.
        frame_size: height and width in pixels of the picture that the crop lies in, where it is known.
    """

    coefficients: FaceCoefficients
    blink: NDArray[np.float32] | None = None
    frame_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check the blinks against the coefficients."""
        if self.blink is not None and np.shape(self.blink) != (self.coefficients.frames,):
            raise ValueError(f"blink has shape {np.shape(self.blink)}, expected ({self.coefficients.frames},)")


def write_npz(path: Path, performance: Performance) -> None:
    """Write expnet's own file, plain arrays that ``numpy.load`` reads and that cannot run code.

    They are those of :class:`FaceCoefficients` by name, ``fps``, ``face_model``, and ``blink`` and ``frame_size`` where
    they are known.
    """
    coefficients = performance.coefficients
    arrays: dict[str, Any] = {name: getattr(coefficients, name) for name in (*_ARRAYS, "fps", "face_model")}
    arrays |= {"blink": performance.blink, "frame_size": performance.frame_size}
    known = {name: value for name, value in arrays.items() if value is not None}
    write_beside(path, lambda stream: np.savez_compressed(stream, **known))


def read_npz(path: str | os.PathLike[str]) -> Performance:
    """Read what :func:`write_npz` wrote, bit for bit.

    Raises:
        DataError: there is no such file, or it is not one of these.
    """
    try:
        ZipFile(path).close()  # any other file np.load would take for a pickle, and say how to load that unsafely
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        coefficients = FaceCoefficients(
            **{name: arrays[name] for name in _ARRAYS if name in arrays},
            fps=float(arrays["fps"]),
            face_model=str(arrays["face_model"]),
        )
        size = arrays.get("frame_size")
        return Performance(coefficients, arrays.get("blink"), None if size is None else (int(size[0]), int(size[1])))
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such coefficient file; check the path.") from error
    except (OSError, EOFError, BadZipFile, KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{path}: not a coefficient file of expnet ({error}); expected an .npz that 'expnet convert' or "
            "'expnet animate --export' wrote."
        ) from error


def write_beside(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under another name and rename it when it is complete, so that no half file is ever seen.

    Raises:
        InputError: the folder does not exist or cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
            partial = Path(stream.name)
            try:
                write(stream)
                stream.close()
                partial.chmod(0o644)  # temporary files are private
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); choose a folder that exists and can be written."
        ) from error
