"""A preview of head-motion styles in one picture: how each style's head goes in the same speech, from the same seed."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from expnet.audio.alignment import FRAME_RATE, mel_for_frames
from expnet.audio.mel import SAMPLE_RATE
from expnet.coefficients import concatenate
from expnet.control.controls import Controls
from expnet.face.camera import project
from expnet.face.morphable import MorphableModel
from expnet.inputs import AudioInput, ImageInput, load_speech
from expnet.pipeline import Animator
from expnet.render.portrait import Portrait
from expnet.render.video import check_output

PREVIEW_TEXT = "This is how the head moves while I am speaking to you about something that matters to me."
SECONDS = 6.0
"""Of the speech that are shown."""
COLUMNS = 4
VIEW = 84
"""Pixels of a picture's side."""
_CURVES = (180, 84)
_LABEL = 16
_GAP = 10
_CURVE_RANGE = 0.3
_COLOURS = {"pitch": (200, 70, 40), "yaw": (40, 90, 200), "roll": (60, 150, 60)}
# The 68 landmarks as lines: jaw, brows, nose, eyes (closed), lips (closed).
_LINES = (range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36))
_LOOPS = (range(36, 42), range(42, 48), range(48, 60))

Picture = NDArray[np.uint8]


def style_sheet(
    animator: Animator,
    output: str | os.PathLike[str],
    audio: AudioInput,
    *,
    image: ImageInput | None = None,
    seed: int = 0,
) -> Path:
    """Draw a cell for each style: the head furthest to both sides and furthest down, and curves of its rotation.

    Args:
        animator: whose head-pose network it is.
        output: the png to write.
        audio: speech, of which the first six seconds are used.
        image: a portrait to show the poses on; None for an outline of the mean face.
        seed: of the head motion.

    Returns:
        The path written.

    Raises:
        InputError: an input cannot be used.
    """
    path = check_output(output, suffixes=(".png",))
    samples = load_speech(audio)[: int(SECONDS * SAMPLE_RATE)]
    frames = int(len(samples) / SAMPLE_RATE * FRAME_RATE)
    mel = mel_for_frames(samples, 0, frames)[None]
    if image is None:
        first, show = np.zeros((1, 6), np.float32), _outlines(animator.face_model)
    else:
        portrait = animator.portrait(image, Controls(view="crop", size=4 * VIEW))
        first, show = portrait.fit.pose[:1], _portraits(animator, portrait)
    cells = []
    for style in range(animator.styles):
        motion = animator.head_motion(mel, frames, first, style=style, seed=seed)  # (T, 6)
        cells.append(_cell(style, motion, show))
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _grid(cells).save(partial, format="png")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _cell(style: int, motion: NDArray[np.float32], show: Callable[[NDArray[np.float32]], list[Picture]]) -> Image.Image:
    extremes = [int(motion[:, 1].argmin()), int(motion[:, 1].argmax()), int(motion[:, 0].argmax())]
    pictures = show(motion[extremes])
    cell = Image.new("RGB", (len(pictures) * VIEW + _CURVES[0] + _GAP, VIEW + _LABEL), "white")
    pitch, yaw, roll = np.degrees(motion[:, :3].std(axis=0))
    name = "average" if style == 0 else f"style {style}"
    text = f"{name}:  nods {pitch:.1f}, turns {yaw:.1f}, leans {roll:.1f} degrees"
    draw = ImageDraw.Draw(cell)
    draw.text((2, 2), text, fill="black")
    for index, picture in enumerate(pictures):
        cell.paste(Image.fromarray(picture), (index * VIEW, _LABEL))
    left = len(pictures) * VIEW + 4
    middle, (width, height) = _LABEL + _CURVES[1] / 2, _CURVES
    draw.line([(left, middle), (left + width, middle)], fill=(190, 190, 190))
    across = left + np.linspace(0, width, len(motion))
    for curve, colour in zip(motion[:, :3].T, _COLOURS.values(), strict=True):
        down = middle - np.clip(curve / _CURVE_RANGE, -1.0, 1.0) * height / 2
        draw.line([(float(x), float(y)) for x, y in zip(across, down, strict=True)], fill=colour, width=1)
    return cell


def _grid(cells: list[Image.Image]) -> Image.Image:
    width, height = cells[0].width + _GAP, cells[0].height + _GAP
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _LABEL + 2 * _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 4), "furthest left, furthest right, furthest down; rotation over time:", fill="black")
    for index, (name, colour) in enumerate(_COLOURS.items()):
        draw.text((_GAP + 400 + 50 * index, 4), name, fill=colour)
    for index, cell in enumerate(cells):
        sheet.paste(cell, (_GAP + index % columns * width, _LABEL + _GAP + index // columns * height))
    return sheet


def _portraits(animator: Animator, portrait: Portrait) -> Callable[[NDArray[np.float32]], list[Picture]]:
    """Show poses on a portrait."""

    def show(poses: NDArray[np.float32]) -> list[Picture]:
        repeated = concatenate([portrait.fit] * len(poses))
        driven = repeated.with_relative_pose(poses)
        size = (VIEW, VIEW)
        return [np.asarray(Image.fromarray(frame).resize(size)) for frame in animator.render(portrait, driven)]

    return show


def _outlines(model: MorphableModel) -> Callable[[NDArray[np.float32]], list[Picture]]:
    """Show poses on the lines of the mean face."""
    points = model.landmarks(torch.zeros(1, model.identity_size), torch.zeros(1, model.expression_size))  # (1, 68, 3)
    crop = torch.tensor([VIEW / 2, VIEW / 2 - 6, 0.85 * VIEW], dtype=points.dtype)

    def show(poses: NDArray[np.float32]) -> list[Picture]:
        pose = torch.from_numpy(poses)
        placed = project(points.expand(len(poses), -1, -1), pose[:, :3], pose[:, 3:], crop)  # (N, 68, 2)
        return [_lines(face) for face in placed.numpy()]

    return show


def _lines(points: NDArray[np.float32]) -> Picture:
    picture = Image.new("RGB", (VIEW, VIEW), (245, 245, 245))
    draw = ImageDraw.Draw(picture)
    for indices in _LINES:
        draw.line([tuple(points[index].tolist()) for index in indices], fill=(60, 60, 60))
    for indices in _LOOPS:
        draw.line([tuple(points[index].tolist()) for index in (*indices, indices[0])], fill=(60, 60, 60))
    return np.asarray(picture)
