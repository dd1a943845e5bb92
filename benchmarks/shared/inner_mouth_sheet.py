"""Sheets of mouths at equal openings: a real one above, a rendered one below, one column for each bin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from shared.inner_mouth import BINS, Frames, Landmarks, frames_in_bins

SHEET = "-mouth.png"
"""Ending of the file name of a clip's sheet."""
_WIDTH, _HEIGHT, _LABEL = 192, 128, 18
_REACH = 0.85
"""Half the width of a tile over the width of the mouth."""


def mouth_tile(frame: NDArray[np.uint8], landmarks: Landmarks) -> Image.Image:
    """The mouth of one frame, enlarged, with some skin around it."""
    corners = landmarks[[48, 54]]
    half = _REACH * float(np.linalg.norm(corners[1] - corners[0]))
    x, y = landmarks[48:68].mean(axis=0)
    tall = half * _HEIGHT / _WIDTH
    size = np.array([frame.shape[1], frame.shape[0]], float)
    low, high = np.maximum([x - half, y - tall], 0.0), np.minimum([x + half, y + tall], size)
    return Image.fromarray(frame).resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC, box=(*low, *high))


def save_sheet(path: Path, title: str, rows: Sequence[tuple[str, Frames, Landmarks]]) -> None:
    """Save the middle frame of every bin for each of the rows (label, frames, landmarks (T, 68, 2))."""
    sheet = Image.new("RGB", (_WIDTH * len(BINS), _LABEL + _HEIGHT * len(rows)), (20, 20, 22))
    pen = ImageDraw.Draw(sheet)
    for column, (low, high) in enumerate(BINS):
        pen.text((column * _WIDTH + 4, 3), f"{title[:12]}  {low:.2f}-{high:.2f}", fill=(230, 230, 230))
    for line, (label, frames, landmarks) in enumerate(rows):
        for column, chosen in enumerate(frames_in_bins(landmarks)):
            if len(chosen):
                index = chosen[len(chosen) // 2]
                tile = mouth_tile(frames[index], landmarks[index])
                sheet.paste(tile, (column * _WIDTH, _LABEL + line * _HEIGHT))
                pen.text((column * _WIDTH + 4, _LABEL + line * _HEIGHT + 2), label, fill=(255, 255, 255))
    sheet.save(path)


def stack_sheets(paths: Sequence[Path], output: Path) -> None:
    """Put the sheets of several clips, all of one width, below one another."""
    sheets = [Image.open(path) for path in paths if path.is_file()]
    if not sheets:
        return
    whole = Image.new("RGB", (max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)))
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    whole.save(output)
