"""How a player turns and mirrors the stored frames of a video: the display matrix of its container."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from numpy.typing import NDArray


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay an image on the screen: transposed first, then mirrored.

    Attributes:
        transposed: Rows become columns.
        mirrored_rows: The order of the rows of the result is reversed (top and bottom are exchanged).
        mirrored_columns: The order of the columns of the result is reversed (left and right are exchanged).
    """

    transposed: bool = False
    mirrored_rows: bool = False
    mirrored_columns: bool = False

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn and mirror an image (H, W, 3)."""
        if self == Orientation():
            return image
        turned = image.transpose(1, 0, 2) if self.transposed else image
        turned = turned[:: -1 if self.mirrored_rows else 1, :: -1 if self.mirrored_columns else 1]
        return np.ascontiguousarray(turned)


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Return the orientation that the display matrix of a frame asks for; angles are rounded to quarter turns.

    The matrix [a b u; c d v; x y w] of the ISO base media format (ISO/IEC 14496-12, 6.2.2) maps a stored pixel (p, q)
    to (a p + c q + x, b p + d q + y) on the screen; a to d are 16.16 fixed-point numbers.
    """
    # Not `frame.side_data`: the frame keeps that object, a reference cycle by which all frames of a video would stay in
    # memory, with the threads of their scalers, until the garbage collector runs.
    data = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    if data is None:
        return Orientation()
    a, b, _, c, d = struct.unpack_from("=5i", cast(bytes, data))  # the stubs call it an object
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(transposed=False, mirrored_rows=d < 0, mirrored_columns=a < 0)
    return Orientation(transposed=True, mirrored_rows=b < 0, mirrored_columns=c < 0)
