"""A clip on stage: a portrait that its motion can be rendered with, and the frames to compare with.

The first real frame of a clip is the portrait; it is rendered with any expression and head motion and compared with the
real frames inside the clip's crop at 256 px. Without the source video the built-in portrait (scikit-image's astronaut)
is moved by the clip's changes, and compared with the same portrait under the true coefficients: that measures the
coefficients through the renderer, not realism, and is labelled so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE
from expnet.coefficients import FaceCoefficients
from expnet.data.store.track import Track, source_video
from expnet.errors import DataError
from expnet.face.morphable import MorphableModel
from expnet.media.video_reader import read_video
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import Portrait, open_portrait
from expnet.render.renderer import Renderer

CROP_PIXELS = 256.0
"""Side of a clip's crop when its pictures are compared."""
REAL, PORTRAIT = "real frames", "built-in portrait under the true coefficients"
_LABEL_HEIGHT = 22

Frames = list[NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Reenactment:
    """A portrait that can be rendered, and what its frames are compared with.

    Attributes:
        renderer: of the portrait.
        reference: uint8 RGB frames to compare with, in pixels of the portrait.
        crop: centre x, centre y, side in pixels of the portrait: what is compared.
        identity: (K,) of the face on the portrait.
        coefficients: turns an expression (T, 64) and a pose (T, 6) into the portrait's coefficients.
        kind: ``REAL`` or ``PORTRAIT``.
    """

    renderer: Renderer
    reference: Frames
    crop: NDArray[np.float64]
    identity: NDArray[np.float32]
    coefficients: Callable[[Tensor, Tensor], FaceCoefficients]
    kind: str

    def render(self, expression: Tensor, pose: Tensor) -> Frames:
        """Frames of the crop at 256 px, for an expression (T, 64) and an absolute pose (T, 6) of the clip."""
        return [crop_frame(frame, self.crop) for frame in self.renderer.render(self.coefficients(expression, pose))]


def open_reenactment(track: Track, model: MorphableModel, frames: int) -> Reenactment:
    """Take the clip's own first frame as the portrait, or the built-in one when the video is not there.

    Args:
        track: the clip.
        model: face model of its coefficients.
        frames: how many reference frames to keep, at most.

    Raises:
        DataError: the video is there but does not fit its track.
        InputError: no face is found on the portrait.
    """
    video = source_video(track)
    return _portrait_stage(track, model, frames) if video is None else _real_stage(track, video, model, frames)


def crop_frame(image: NDArray[np.uint8], crop: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Cut a square crop (centre x, centre y, side) and resize it to 256 px; beyond the image its edge is repeated."""
    size = int(CROP_PIXELS)
    left, top = crop[0] - crop[2] / 2, crop[1] - crop[2] / 2
    right, bottom = left + crop[2], top + crop[2]
    height, width = image.shape[:2]
    margin = int(np.ceil(max(0.0, -left, -top, right - width, bottom - height)))
    if margin:
        image = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    box = (left + margin, top + margin, right + margin, bottom + margin)
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box))


def to_crop(pixels: Tensor, crop: Tensor) -> Tensor:
    """Move pixels of the source frame into the crop at 256 px: (..., 2), crop (3,) centre x, centre y, side."""
    return (pixels.double() - crop[:2].double()) * (CROP_PIXELS / crop[2].double()) + CROP_PIXELS / 2


def to_tensor(frames: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Pictures (H, W, 3) as one tensor (T, 3, H, W) uint8."""
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def label_images(tiles: Sequence[tuple[str, NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Put pictures of one size side by side, each under its label."""
    height, width = tiles[0][1].shape[:2]
    sheet = Image.new("RGB", (width * len(tiles), height + _LABEL_HEIGHT), (20, 20, 22))
    draw = ImageDraw.Draw(sheet)
    for place, (label, image) in enumerate(tiles):
        sheet.paste(Image.fromarray(image), (place * width, _LABEL_HEIGHT))
        draw.text((place * width + 8, 5), label, fill=(230, 230, 230))
    return np.asarray(sheet)


@lru_cache(maxsize=1)
def builtin_portrait(model: MorphableModel) -> Portrait:
    """Scikit-image's astronaut (a NASA photograph, in the public domain), tracked once."""
    from skimage import data

    return open_portrait(np.ascontiguousarray(data.astronaut()), model)


def _real_stage(track: Track, video: Path, model: MorphableModel, frames: int) -> Reenactment:
    """The clip's own video."""
    start = round(track.source_start * FRAME_RATE)
    reference = list(islice(read_video(video, fps=float(FRAME_RATE)), start, start + frames))
    if not reference or reference[0].shape[:2] != tuple(track.frame_size):
        found = reference[0].shape[:2] if reference else "no frame"
        raise DataError(
            f"{video} does not fit its track: {found} at {track.source_start:g} s, expected frames of "
            f"{tuple(track.frame_size)} (height, width); preprocess it again."
        )
    crop, identity = track.coefficients.crop, track.coefficients.identity
    if crop is None or crop.ndim != 1 or identity is None:
        raise DataError(f"clip {track.clip_id} has no crop and identity of its own, so its pictures cannot be compared")
    # The clip's own first coefficients, not a fit of this one picture: they share the clip's identity and camera.
    portrait = open_portrait(reference[0], model, max_side=None)
    renderer = MeshRenderer(portrait.image, track.coefficients[:1], portrait.points, model, matte=portrait.matte)
    return Reenactment(renderer, reference, np.asarray(crop), identity, _coefficients, REAL)


def _portrait_stage(track: Track, model: MorphableModel, frames: int) -> Reenactment:
    """The built-in portrait, moved by the clip's changes."""
    portrait = builtin_portrait(model)
    fit = portrait.fit
    renderer = MeshRenderer(portrait.image, fit, portrait.points, model, matte=portrait.matte)
    base_expression, base_pose = torch.from_numpy(fit.expression), torch.from_numpy(fit.pose)
    of_clip = track.coefficients
    true_expression, true_pose = (
        torch.from_numpy(np.array(of_clip.expression)),
        torch.from_numpy(np.array(of_clip.pose)),
    )

    def coefficients(expression: Tensor, pose: Tensor) -> FaceCoefficients:
        return _coefficients(base_expression + expression - true_expression[:1], base_pose + pose - true_pose[:1])

    truth = coefficients(true_expression[:frames], true_pose[:frames])
    assert fit.crop is not None
    assert fit.identity is not None
    crop, identity = np.asarray(fit.crop), fit.identity
    return Reenactment(renderer, list(renderer.render(truth)), crop, identity, coefficients, PORTRAIT)


def _coefficients(expression: Tensor, pose: Tensor) -> FaceCoefficients:
    return FaceCoefficients(
        expression=expression.numpy(), rotation=pose[:, :3].numpy(), translation=pose[:, 3:].numpy()
    )
