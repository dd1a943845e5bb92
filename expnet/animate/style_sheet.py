"""A preview of the head-motion styles in one image: the head motion of each style for the same speech and seed."""

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
from expnet.io.atomic import atomic_path
from expnet.io.overwriting import refuse_overwriting
from expnet.media.video_reader import check_output
from expnet.render.portrait import Portrait

PREVIEW_TEXT = "This is how the head moves while I am speaking to you about something that matters to me."
SECONDS = 6.0
"""Seconds of speech shown in the preview."""
COLUMNS = 4
VIEW = 96
"""Side of one rendered head in pixels."""
# Sizes in pixels: the curves of a cell, its label, the header of the sheet, the gap between cells.
_CURVES = (200, 96)
_LABEL = 22
_HEADER = 44
_GAP = 14
# Radians from the centre of the curves to their edge; heads turn by at most 0.4.
_CURVE_RANGE = 0.42
_MARK_DEGREES = 20
_COLOURS = {"nods": (196, 62, 32), "turns": (36, 84, 196), "leans": (34, 132, 60)}
_GRID_COLOUR = (205, 205, 205)
# Lines are drawn this many times larger and scaled down, which smooths them.
_OVERSAMPLING = 3
# The 68 landmarks as open lines (jaw, brows, nose) and closed loops (eyes, lips).
_LINES = (range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36))
_LOOPS = (range(36, 42), range(42, 48), range(48, 60))

ImageArray = NDArray[np.uint8]
ShowPoses = Callable[[NDArray[np.float32]], list[ImageArray]]
"""Draws a head (H, W, 3) in each of the poses (N, 6)."""


def style_sheet(
    animator: Animator,
    output: str | os.PathLike[str],
    audio: AudioInput,
    *,
    image: ImageInput | None = None,
    seed: int = 0,
) -> Path:
    """Draw one cell for each style, calmest first: the head furthest left, right and down, and its rotation over time.

    Args:
        animator: Animator with the head-pose network.
        output: The .png to write.
        audio: Speech, of which the first six seconds are used.
        image: Portrait to show the poses on; None for an outline of the mean face.
        seed: Seed of the head motion.

    Returns:
        The path written.

    Raises:
        InputError: An input cannot be used, or is the output.
    """
    path = check_output(output, suffixes=(".png",))
    refuse_overwriting(path, (image, audio))
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
    with atomic_path(path) as partial:
        _arrange(cells).save(partial, format="png")
    return path


def _cell(style: int, motion: NDArray[np.float32], show: ShowPoses) -> Image.Image:
    extremes = [int(motion[:, 1].argmin()), int(motion[:, 1].argmax()), int(motion[:, 0].argmax())]
    heads = show(motion[extremes])
    cell = Image.new("RGB", (len(heads) * VIEW + 6 + _CURVES[0], VIEW + _LABEL), "white")
    name = "average" if style == 0 else f"style {style}"
    draw = ImageDraw.Draw(cell)
    draw.text((2, 1), name, fill="black", font=_font(15))
    left = 92.0
    for (word, colour), degrees in zip(_COLOURS.items(), np.degrees(motion[:, :3].std(axis=0)), strict=True):
        text = f"{word} {degrees:.1f}\N{DEGREE SIGN}"
        draw.text((left, 3), text, fill=colour, font=_font(13))
        left += draw.textlength(text, font=_font(13)) + 14
    for index, head in enumerate(heads):
        cell.paste(Image.fromarray(head), (index * VIEW, _LABEL))
    cell.paste(_plot_rotation(motion[:, :3]), (len(heads) * VIEW + 6, _LABEL))
    return cell


def _plot_rotation(rotation: NDArray[np.float32]) -> Image.Image:
    """Plot rotation (T, 3) over time, with lines at zero and at 20 degrees to either side."""
    width, height = (_OVERSAMPLING * size for size in _CURVES)
    plot = Image.new("RGB", (width, height), (250, 250, 250))
    draw = ImageDraw.Draw(plot)

    def height_of(radians: NDArray[np.floating]) -> NDArray[np.floating]:
        return height / 2 - np.clip(radians / _CURVE_RANGE, -1.0, 1.0) * (height / 2 - _OVERSAMPLING)

    for mark in np.radians([-_MARK_DEGREES, 0, _MARK_DEGREES]):
        draw.line(
            [(0, float(height_of(mark))), (width, float(height_of(mark)))],
            fill=_GRID_COLOUR,
            width=_OVERSAMPLING if mark == 0 else 1,
        )
    across = np.linspace(0, width, len(rotation))
    for curve, colour in zip(rotation.T, _COLOURS.values(), strict=True):
        points = np.stack([across, height_of(curve)], axis=-1)
        draw.line([tuple(point) for point in points.tolist()], fill=colour, width=4, joint="curve")
    return plot.resize(_CURVES, Image.Resampling.LANCZOS)


def _arrange(cells: list[Image.Image]) -> Image.Image:
    width, height = cells[0].width + _GAP, cells[0].height + _GAP
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _HEADER + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    first = "The same speech in every head-motion style, calmest first, with the standard deviation of each rotation."
    second = (
        f"Frames: furthest left, right and down. Curves: {SECONDS:g} s; higher is a nod down, a turn to the right, a "
        f"lean to the left; thin lines at {_MARK_DEGREES} degrees."
    )
    for line, text in enumerate((first, second)):
        draw.text((_GAP, 6 + 18 * line), text, fill="black", font=_font(14))
    for index, cell in enumerate(cells):
        sheet.paste(cell, (_GAP + index % columns * width, _HEADER + _GAP + index // columns * height))
    return sheet


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _portraits(animator: Animator, portrait: Portrait) -> ShowPoses:
    """Return a function that renders a portrait in given poses."""

    def show(poses: NDArray[np.float32]) -> list[ImageArray]:
        repeated = concatenate([portrait.fit] * len(poses))
        driven = repeated.with_relative_pose(poses)
        size = (VIEW, VIEW)
        return [np.asarray(Image.fromarray(frame).resize(size)) for frame in animator.render(portrait, driven)]

    return show


def _outlines(model: MorphableModel) -> ShowPoses:
    """Return a function that draws the outline of the mean face in given poses."""
    points = model.landmarks(torch.zeros(1, model.identity_size), torch.zeros(1, model.expression_size))  # (1, 68, 3)
    crop = _OVERSAMPLING * torch.tensor([VIEW / 2, VIEW / 2 - 6, 0.85 * VIEW], dtype=points.dtype)

    def show(poses: NDArray[np.float32]) -> list[ImageArray]:
        pose = torch.from_numpy(poses)
        placed = project(points.expand(len(poses), -1, -1), pose[:, :3], pose[:, 3:], crop)  # (N, 68, 2)
        return [_draw_outline(face) for face in placed.numpy()]

    return show


def _draw_outline(points: NDArray[np.float32]) -> ImageArray:
    canvas = Image.new("RGB", (_OVERSAMPLING * VIEW, _OVERSAMPLING * VIEW), (240, 240, 240))
    draw = ImageDraw.Draw(canvas)
    lines = [*_LINES, *((*indices, indices[0]) for indices in _LOOPS)]
    for indices in lines:
        draw.line([tuple(points[index].tolist()) for index in indices], fill=(60, 60, 60), width=4, joint="curve")
    return np.asarray(canvas.resize((VIEW, VIEW), Image.Resampling.LANCZOS))
