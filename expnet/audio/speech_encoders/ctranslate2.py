"""Reading CTranslate2's ``model.bin`` as data: names and arrays, without the package and without running code.

Layout of version 6, little-endian (OpenNMT/CTranslate2:python/ctranslate2/specs/model_spec.py, ``_serialize``): u32
version; string specification; u32 revision; u32 number of variables; for each a string name, u8 rank, u32 per
dimension, u8 type, u32 bytes, data; then aliases. A string is a u16 length, which counts its closing zero byte, and
bytes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from expnet.errors import InputError

_VERSION = 6
_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def read_ctranslate2(path: str | os.PathLike[str], wanted: Callable[[str], bool]) -> dict[str, NDArray]:
    """Read some variables of a ``model.bin``.

    Args:
        path: The file.
        wanted: Which variables to read, by name; the others are skipped.

    Returns:
        The arrays by name.

    Raises:
        InputError: The file has another format or version, or was cut off.
    """
    path = Path(path)
    size = path.stat().st_size
    found: dict[str, NDArray] = {}
    with path.open("rb") as stream:
        try:
            (version,) = _numbers(stream, "I")
            if version != _VERSION:
                raise InputError(f"{path} is not a CTranslate2 model of version {_VERSION}; expected its model.bin.")
            _string(stream)
            _, count = _numbers(stream, "II")
            for _ in range(count):
                name = _string(stream)
                (rank,) = _numbers(stream, "B")
                shape = _numbers(stream, f"{rank}I")
                kind, length = _numbers(stream, "BI")
                if stream.tell() + length > size:
                    raise EOFError
                if not wanted(name):
                    stream.seek(length, os.SEEK_CUR)
                    continue
                found[name] = np.frombuffer(stream.read(length), _TYPES[kind]).reshape(shape)
        except (EOFError, KeyError, ValueError) as error:
            raise InputError(f"{path} is damaged or was cut off; download it again.") from error
    return found


def _numbers(stream: BinaryIO, layout: str) -> tuple[int, ...]:
    size = struct.calcsize("<" + layout)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return struct.unpack("<" + layout, data)


def _string(stream: BinaryIO) -> str:
    (length,) = _numbers(stream, "H")
    return stream.read(length)[:-1].decode("utf-8")
