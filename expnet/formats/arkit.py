"""ARKit blendshapes and head rotation as a CSV file in the layout of Epic's Live Link Face."""

import csv
import io
from fractions import Fraction
from pathlib import Path

import numpy as np

from expnet.face.morphable import MorphableModel
from expnet.formats.blendshapes import BLENDSHAPES, Rest, blendshape_weights
from expnet.formats.motion_clip import MotionClip, write_output

ROTATIONS = tuple(f"{part}{axis}" for part in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll"))
HEADER = ("Timecode", "BlendShapeCount", *BLENDSHAPES, *ROTATIONS)
"""Columns of a Live Link Face take; its BlendShapeCount, 61, counts shapes and rotations together."""


def write_arkit(path: Path, clip: MotionClip, model: MorphableModel, *, rest: Rest = "clip") -> None:
    """Write one row per frame: timecode, the 52 weights in [0, 1], and the rotation of the head in radians.

    HeadYaw, HeadPitch and HeadRoll are this project's yaw, pitch and roll, positive to the image's right, down, and
    tilted to the image's left (docs/reference/conventions.md). The coefficients do not hold the gaze, which is written
    as 0.

    Args:
        path: The CSV file.
        clip: The clip.
        model: The face model of its coefficients.
        rest: The face with all weights 0, see :func:`~expnet.formats.blendshapes.blendshape_weights`.
    """
    coefficients = clip.coefficients
    weights = blendshape_weights(model, coefficients.expression, rest=rest, blink=clip.blink)  # (T, 52)
    pitch, yaw, roll = coefficients.rotation.T
    rotations = np.zeros((coefficients.frames, len(ROTATIONS)))
    rotations[:, :3] = np.stack([yaw, pitch, roll], axis=1)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for index, row in enumerate(np.concatenate([weights, rotations], axis=1)):
        code = timecode(index, coefficients.fps)
        writer.writerow([code, len(row), *(f"{value:.8f}" for value in row)])
    write_output(path, text.getvalue().encode())


def timecode(index: int, fps: float) -> str:
    """Return the time of frame ``index`` as ``hours:minutes:seconds:frame.thousandths``, starting at 00:00:00:00.000.

    At a fractional frame rate the frame number within a second is fractional too, to a thousandth.
    """
    microseconds = round(Fraction(index) / Fraction(fps).limit_denominator(1001) * 1_000_000)
    seconds, rest = divmod(microseconds, 1_000_000)
    frame = rest * fps / 1_000_000
    whole, part = divmod(round(frame * 1000), 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{whole:02d}.{part:03d}"
