"""Strips of consecutive frames, one row for each performance, around moments that show how a face moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from expnet.audio.alignment import FRAME_RATE
from expnet.face.measures import mouth_width, signed_mouth_opening

NEAR = 6
"""Frames on either side of a closing within which the lips are open."""
_LABEL, _HEADER = 78, 18
Frames = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Row:
    """One row of a sheet.

    Attributes:
        label: Name of the performance.
        frames: Its frames (H, W, 3) around the moment, all of one size.
    """

    label: str
    frames: Frames


def choose_moments(landmarks: NDArray[np.floating], resting: NDArray[np.bool_]) -> dict[str, int]:
    """Choose frames that tell most about a performance.

    Args:
        landmarks: (T, 68, D) landmarks of the real clip, or of a generated one where there is none.
        resting: (T,) whether the speech pauses.

    Returns:
        Frames by name: ``closing``, where the lips shut between two wide openings in speech, as in m, b and p;
        ``opening``, where they are farthest apart; ``smile``, where the mouth is widest; ``pause``, the middle of the
        longest pause, left out where the speech never pauses.
    """
    points = torch.from_numpy(np.asarray(landmarks, np.float64))
    opening, width = signed_mouth_opening(points).numpy(), mouth_width(points).numpy()
    frames = len(opening)
    shut = np.full(frames, -np.inf)
    for frame in np.flatnonzero(~resting):
        before, after = opening[max(frame - NEAR, 0) : frame], opening[frame + 1 : frame + 1 + NEAR]
        if len(before) == len(after) == NEAR:
            shut[frame] = min(before.max(), after.max()) - opening[frame]
    moments = {"closing": int(shut.argmax()), "opening": int(opening.argmax())}
    moments["smile"] = int(np.convolve(width - width.mean(), np.ones(5), mode="same").argmax())
    edges = np.flatnonzero(np.diff(np.concatenate([[0], resting, [0]]).astype(int))).reshape(-1, 2)
    if len(edges):
        begin, end = edges[np.diff(edges, axis=1)[:, 0].argmax()]
        moments["pause"] = int((begin + end - 1) // 2)
    return moments


def around(moment: int, count: int, frames: int) -> list[int]:
    """Return the numbers of ``count`` consecutive frames with the moment in the middle, all within the clip."""
    first = max(min(moment - count // 2, frames - count), 0)
    return list(range(first, min(first + count, frames)))


def draw_sheet(title: str, numbers: Sequence[int], rows: Sequence[Row], side: int) -> Image.Image:
    """Draw rows of frames below one another, each ``side`` pixels high and wide, with times above them."""
    sheet = Image.new("RGB", (_LABEL + side * len(numbers), _HEADER + side * len(rows)), (20, 20, 22))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    pen.text((3, 3), title, fill="white", font=font)
    for column, number in enumerate(numbers):
        pen.text((_LABEL + column * side + 3, 3), f"{number / FRAME_RATE:.2f} s", fill="white", font=font)
    for line, row in enumerate(rows):
        top = _HEADER + line * side
        pen.text((3, top + side // 2 - 6), row.label, fill="white", font=font)
        for column, frame in enumerate(row.frames):
            tile = Image.fromarray(frame).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(tile, (_LABEL + column * side, top))
    return sheet
