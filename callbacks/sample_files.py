"""Views of a validation clip: video with audio, plots of mouth opening and head pose, landmark overlays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE
from expnet.audio.mel import SAMPLE_RATE
from expnet.callbacks.clip_sample import ClipSample
from expnet.data.even_spacing import evenly_spaced_indices
from expnet.media.video_writer import write_video
from expnet.metrics.functional import mouth_opening
from expnet.render.reenactment import label_images

GENERATED, REAL, SOURCE = "generated", "real", "source"
_COLOURS = {GENERATED: "#d9480f", REAL: "#1864ab"}
_LANDMARK_FRAMES = 5


def write_sample_video(sample: ClipSample, path: Path) -> Path:
    """Write the generated frames with the audio; source and real frames of the same size are shown to their left."""
    (frames,) = sample.need("frames")
    source = None if sample.source is None else sample.source.expand(len(frames), -1, -1, -1)
    sides = [(SOURCE, source), (REAL, sample.target_frames), (GENERATED, frames)]
    columns = [(label, to_images(side)) for label, side in sides if side is not None and _same_size(side, frames)]
    count = min(len(column) for _, column in columns)
    tiles = (label_images([(label, column[index]) for label, column in columns]) for index in range(count))
    audio = None if sample.audio is None else sample.audio.float().cpu().numpy()
    write_video(path, tiles, fps=float(FRAME_RATE), audio=audio, sample_rate=SAMPLE_RATE)
    return path


def draw_curves(sample: ClipSample) -> NDArray[np.uint8] | None:
    """Plot the mouth opening and the head angles over time; None for a sample with neither."""
    panels = list(_curves(sample))
    if not panels:
        return None
    figure = Figure(figsize=(9, 1.8 * len(panels)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (title, lines) in zip(axes, panels, strict=True):
        for label, values in lines.items():
            axis.plot(np.arange(len(values)) / FRAME_RATE, values, label=label, color=_COLOURS[label], linewidth=1.2)
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
    axes[0].legend(loc="upper right", ncols=2, frameon=False)
    axes[-1].set_xlabel("seconds")
    figure.suptitle(sample.clip_id)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_landmarks(sample: ClipSample) -> NDArray[np.uint8] | None:
    """Draw landmarks on a few frames, generated above real; None for a sample without landmarks or frames."""
    sides = (
        (GENERATED, sample.frames, sample.landmarks),
        (REAL, sample.target_frames, sample.target_landmarks),
    )
    rows = [
        _landmark_row(frames, landmarks, colour=_COLOURS[label])
        for label, frames, landmarks in sides
        if frames is not None and landmarks is not None
    ]
    width = min((row.shape[1] for row in rows), default=0)
    return np.concatenate([row[:, :width] for row in rows]) if rows else None


def to_images(frames: Tensor) -> NDArray[np.uint8]:
    """Convert frames (T, 3, H, W) to images (T, H, W, 3)."""
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).cpu().numpy())


def _curves(sample: ClipSample) -> Iterator[tuple[str, dict[str, NDArray[np.float64]]]]:
    """Yield the title of each panel and its lines by label."""
    landmarks = {GENERATED: sample.landmarks, REAL: sample.target_landmarks}
    openings = {label: mouth_opening(points).cpu().numpy() for label, points in landmarks.items() if points is not None}
    if openings:
        yield "mouth opening", openings
    poses = {GENERATED: sample.pose, REAL: sample.target_pose}
    angles = {label: torch.rad2deg(pose).cpu().numpy() for label, pose in poses.items() if pose is not None}
    for column, name in enumerate(("pitch", "yaw", "roll")) if angles else ():
        yield f"{name}, °", {label: values[:, column] for label, values in angles.items()}


def _landmark_row(frames: Tensor, landmarks: Tensor, *, colour: str) -> NDArray[np.uint8]:
    """Return a few evenly spaced frames side by side, each with its landmarks as dots."""
    places = evenly_spaced_indices(len(frames), _LANDMARK_FRAMES)
    row = []
    for frame, points in zip(to_images(frames[places]), landmarks[places, :, :2].cpu().numpy(), strict=True):
        image = Image.fromarray(frame)
        draw = ImageDraw.Draw(image)
        radius = max(1.0, image.width / 200)
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        row.append(np.asarray(image))
    return np.concatenate(row, axis=1)


def _same_size(target: Tensor, frames: Tensor) -> bool:
    return target.shape[1:] == frames.shape[1:]
