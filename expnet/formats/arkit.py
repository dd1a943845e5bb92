"""ARKit blendshapes and head rotation as a csv in the layout of Epic's Live Link Face."""

import csv
import io
from fractions import Fraction
from pathlib import Path

import numpy as np

from expnet.face.morphable import MorphableModel
from expnet.formats.blendshapes import BLENDSHAPES, Rest, blendshape_weights
from expnet.formats.motion_clip import Performance, write_beside

ROTATIONS = tuple(f"{part}{axis}" for part in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll"))
HEADER = ("Timecode", "BlendShapeCount", *BLENDSHAPES, *ROTATIONS)
"""The columns of a take of Live Link Face; its count, 61, is that of shapes and rotations together."""


def write_arkit(path: Path, performance: Performance, model: MorphableModel, *, rest: Rest = "clip") -> None:
    """Write one row a frame: timecode, the 52 weights in [0, 1], and the rotation of the head in radians.

    HeadYaw, HeadPitch and HeadRoll are this project's yaw, pitch and roll (docs/conventions.md: to the image's right,
    down, and tilted to the image's left are positive). The eyes' direction is not in the coefficients; it is 0.

    Args:
        path: the csv.
        performance: the clip.
        model: the face model of its coefficients.
        rest: see :func:`~expnet.formats.blendshapes.blendshape_weights`.
    """
    coefficients = performance.coefficients
    weights = blendshape_weights(model, coefficients.expression, rest=rest, blink=performance.blink)  # (T, 52)
    pitch, yaw, roll = coefficients.rotation.T
    rotations = np.zeros((coefficients.frames, len(ROTATIONS)))
    rotations[:, :3] = np.stack([yaw, pitch, roll], axis=1)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for index, row in enumerate(np.concatenate([weights, rotations], axis=1)):
        code = timecode(index, coefficients.fps)
        writer.writerow([code, len(row), *(f"{value:.8f}" for value in row)])
    write_beside(path, lambda stream: stream.write(text.getvalue().encode()))


def timecode(index: int, fps: float) -> str:
    """Where frame ``index`` stands: ``hours:minutes:seconds:frame.thousandth of a frame``, from 00:00:00:00.000.

    At a rate that is no whole number the frame inside the second is not whole either; its thousandths say so.
    """
    microseconds = round(Fraction(index) / Fraction(fps).limit_denominator(1001) * 1_000_000)
    seconds, rest = divmod(microseconds, 1_000_000)
    frame = rest * fps / 1_000_000
    whole, part = divmod(round(frame * 1000), 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{whole:02d}.{part:03d}"
