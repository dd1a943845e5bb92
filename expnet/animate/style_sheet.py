"""A preview of head-motion styles in one picture: how each style's head goes in the same speech, from the same seed."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from expnet.animate.animator import Animator
from expnet.animate.controls.controls import Controls
from expnet.animate.inputs import AudioInput, ImageInput, load_speech
from expnet.audio.alignment import FRAME_RATE, mel_for_frames
from expnet.audio.mel import SAMPLE_RATE
from expnet.coefficients import concatenate
from expnet.face.camera import project
from expnet.face.morphable import MorphableModel
from expnet.media.video_reader import check_output
from expnet.render.portrait import Portrait

PREVIEW_TEXT = "This is how the head moves while I am speaking to you about something that matters to me."
SECONDS = 6.0
"""Of the speech that are shown."""
COLUMNS = 4
VIEW = 96
"""Pixels of a picture's side."""
_CURVES = (200, 96)
_LABEL = 22
_HEADER = 44
_GAP = 14
# Radians from the middle of the curves to their edge: heads turn no further than 0.4.
_CURVE_RANGE = 0.42
_MARK_DEGREES = 20
_COLOURS = {"nods": (196, 62, 32), "turns": (36, 84, 196), "leans": (34, 132, 60)}
_QUIET = (205, 205, 205)
# Outlines are drawn this much larger and scaled down, which smooths them.
_FINER = 3
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
    """Draw a cell for each style, the calmest first: the head furthest left, right and down, and its rotation.

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
    motions = [animator.head_motion(mel, frames, first, style=style, seed=seed) for style in range(animator.styles)]
    calm_first = sorted(range(len(motions)), key=lambda style: float(motions[style][:, :3].std(axis=0).max()))
    cells = [_cell(style, motions[style], show) for style in calm_first]
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
    cell = Image.new("RGB", (len(pictures) * VIEW + 6 + _CURVES[0], VIEW + _LABEL), "white")
    name = "average" if style == 0 else f"style {style}"
    draw = ImageDraw.Draw(cell)
    draw.text((2, 1), name, fill="black", font=_font(15))
    left = 92.0
    for (word, colour), degrees in zip(_COLOURS.items(), np.degrees(motion[:, :3].std(axis=0)), strict=True):
        text = f"{word} {degrees:.1f}\N{DEGREE SIGN}"
        draw.text((left, 3), text, fill=colour, font=_font(13))
        left += draw.textlength(text, font=_font(13)) + 14
    for index, picture in enumerate(pictures):
        cell.paste(Image.fromarray(picture), (index * VIEW, _LABEL))
    cell.paste(_curves(motion[:, :3]), (len(pictures) * VIEW + 6, _LABEL))
    return cell


def _curves(rotation: NDArray[np.float32]) -> Image.Image:
    """Rotation (T, 3) over time, with a line at zero and at 20 degrees to either side."""
    width, height = (_FINER * size for size in _CURVES)
    picture = Image.new("RGB", (width, height), (250, 250, 250))
    draw = ImageDraw.Draw(picture)

    def down(radians: NDArray[np.floating]) -> NDArray[np.floating]:
        return height / 2 - np.clip(radians / _CURVE_RANGE, -1.0, 1.0) * (height / 2 - _FINER)

    for mark in np.radians([-_MARK_DEGREES, 0, _MARK_DEGREES]):
        draw.line([(0, float(down(mark))), (width, float(down(mark)))], fill=_QUIET, width=_FINER if mark == 0 else 1)
    across = np.linspace(0, width, len(rotation))
    for curve, colour in zip(rotation.T, _COLOURS.values(), strict=True):
        points = np.stack([across, down(curve)], axis=-1)
        draw.line([tuple(point) for point in points.tolist()], fill=colour, width=4, joint="curve")
    return picture.resize(_CURVES, Image.Resampling.LANCZOS)


def _grid(cells: list[Image.Image]) -> Image.Image:
    width, height = cells[0].width + _GAP, cells[0].height + _GAP
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _HEADER + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    first = (
        "The same speech in every head-motion style, the calmest first, with the standard deviation of each rotation."
    )
    second = (
        f"Pictures: furthest left, right and down. Curves: {SECONDS:g} s; higher is a nod down, a turn to the right, a "
        f"lean to the left; thin lines at {_MARK_DEGREES} degrees."
    )
    for line, text in enumerate((first, second)):
        draw.text((_GAP, 6 + 18 * line), text, fill="black", font=_font(14))
    for index, cell in enumerate(cells):
        sheet.paste(cell, (_GAP + index % columns * width, _HEADER + _GAP + index // columns * height))
    return sheet


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


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
    crop = _FINER * torch.tensor([VIEW / 2, VIEW / 2 - 6, 0.85 * VIEW], dtype=points.dtype)

    def show(poses: NDArray[np.float32]) -> list[Picture]:
        pose = torch.from_numpy(poses)
        placed = project(points.expand(len(poses), -1, -1), pose[:, :3], pose[:, 3:], crop)  # (N, 68, 2)
        return [_lines(face) for face in placed.numpy()]

    return show


def _lines(points: NDArray[np.float32]) -> Picture:
    picture = Image.new("RGB", (_FINER * VIEW, _FINER * VIEW), (240, 240, 240))
    draw = ImageDraw.Draw(picture)
    lines = [*_LINES, *((*indices, indices[0]) for indices in _LOOPS)]
    for indices in lines:
        draw.line([tuple(points[index].tolist()) for index in indices], fill=(60, 60, 60), width=4, joint="curve")
    return np.asarray(picture.resize((VIEW, VIEW), Image.Resampling.LANCZOS))
