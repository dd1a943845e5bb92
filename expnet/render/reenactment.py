"""Self-reenactment of a clip: a portrait that its motion can be rendered with, and the frames to compare with.

The first real frame of the clip is the portrait. It is rendered with any expression and head motion and compared with
the real frames inside the clip's crop at 256 px. Without the source video, a built-in portrait (scikit-image's
astronaut) is driven by the clip's changes and compared with the same portrait under the true coefficients. That
measures the coefficients through the renderer, not realism, and is labelled accordingly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE
from expnet.coefficients import FaceCoefficients, split_pose
from expnet.data.store.track import Track, source_video
from expnet.errors import DataError
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import FaceTracker
from expnet.media.video_reader import read_video
from expnet.render.open_renderer import OpenedRenderer, open_renderer
from expnet.render.portrait import Portrait, open_portrait
from expnet.render.renderer import Renderer

CROP_PIXELS = 256.0
"""Side of a clip's crop in pixels when its frames are compared."""
REAL, PORTRAIT = "real frames", "built-in portrait under the true coefficients"
_LABEL_HEIGHT = 22

Frames = list[NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Reenactment:
    """A portrait that can be rendered, and the reference frames of the clip.

    Attributes:
        renderer: Renderer of the portrait.
        reference: Reference frames, uint8 RGB, in pixels of the portrait.
        crop: Compared square: centre x, centre y and side, in pixels of the portrait.
        identity: (K,) identity of the face in the portrait.
        coefficients: Converts an expression (T, 64) and a pose (T, 6) into coefficients of the portrait.
        kind: ``REAL`` or ``PORTRAIT``.
    """

    renderer: Renderer
    reference: Frames
    crop: NDArray[np.float64]
    identity: NDArray[np.float32]
    coefficients: Callable[[Tensor, Tensor], FaceCoefficients]
    kind: str

    def render(self, expression: Tensor, pose: Tensor, shown: Sequence[int] | None = None) -> Frames:
        """Render an expression (T, 64) and an absolute pose (T, 6) of the clip.

        Args:
            expression: Expression of consecutive frames.
            pose: Pose of the same frames.
            shown: The frames to return; None for all of them.

        Returns:
            Frames of the crop at 256 px.
        """
        if shown is not None and self.renderer.lookahead == 0:  # the others need not be drawn
            expression, pose, shown = expression[list(shown)], pose[list(shown)], None
        drawn = self.renderer.render(self.coefficients(expression, pose))
        wanted = None if shown is None else set(shown)
        return [crop_frame(frame, self.crop) for index, frame in enumerate(drawn) if wanted is None or index in wanted]


def open_reenactment(
    track: Track,
    model: MorphableModel,
    frames: int,
    *,
    tracker: FaceTracker | None = None,
    renderer: OpenedRenderer | None = None,
) -> Reenactment:
    """Open the clip's own first frame as the portrait, or the built-in portrait where the video is missing.

    Args:
        track: The clip.
        model: The face model of its coefficients.
        frames: Largest number of reference frames.
        tracker: Face tracker; None for the built-in models.
        renderer: The renderer; None for the mesh renderer.

    Raises:
        DataError: The video does not match its track.
        InputError: No face is found in the portrait, or it is too small for the renderer.
    """
    video, renderer = source_video(track), renderer or open_renderer()
    if video is None:
        return _open_builtin_portrait(track, model, frames, tracker, renderer)
    return _open_own_video(track, video, model, frames, tracker, renderer)


def crop_frame(image: NDArray[np.uint8], crop: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Cut a square crop (centre x, centre y, side) and resize it to 256 px; beyond the image its edges are repeated."""
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
    """Map pixels (..., 2) of the source frame into the crop (3,) at 256 px: centre x, centre y, side."""
    return (pixels.double() - crop[:2].double()) * (CROP_PIXELS / crop[2].double()) + CROP_PIXELS / 2


def to_tensor(frames: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Stack frames (H, W, 3) into one uint8 tensor (T, 3, H, W)."""
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def label_images(tiles: Sequence[tuple[str, NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Put images of one size side by side, each under its label."""
    height, width = tiles[0][1].shape[:2]
    sheet = Image.new("RGB", (width * len(tiles), height + _LABEL_HEIGHT), (20, 20, 22))
    draw = ImageDraw.Draw(sheet)
    for place, (label, image) in enumerate(tiles):
        sheet.paste(Image.fromarray(image), (place * width, _LABEL_HEIGHT))
        draw.text((place * width + 8, 5), label, fill=(230, 230, 230))
    return np.asarray(sheet)


@lru_cache(maxsize=1)
def builtin_portrait(model: MorphableModel, tracker: FaceTracker | None = None) -> Portrait:
    """Scikit-image's astronaut (a NASA photograph, in the public domain), tracked once."""
    from skimage import data

    return open_portrait(np.ascontiguousarray(data.astronaut()), model, tracker=tracker)


def _open_own_video(
    track: Track,
    video: Path,
    model: MorphableModel,
    frames: int,
    tracker: FaceTracker | None,
    opened: OpenedRenderer,
) -> Reenactment:
    """Return the reenactment of the clip's own video."""
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
        raise DataError(f"clip {track.clip_id} has no crop and identity of its own, so its frames cannot be compared")
    # The clip's own first coefficients are used instead of a fit of this frame: they share the clip's identity and
    # camera.
    portrait = open_portrait(reference[0], model, max_side=None, tracker=tracker)
    renderer = opened.make(replace(portrait, fit=track.coefficients[:1]), model)
    of_clip = partial(_coefficients, model)
    return Reenactment(renderer, reference, np.asarray(crop), identity, of_clip, REAL)


def _open_builtin_portrait(
    track: Track, model: MorphableModel, frames: int, tracker: FaceTracker | None, opened: OpenedRenderer
) -> Reenactment:
    """Return the reenactment of the built-in portrait, driven by the clip's changes."""
    portrait = builtin_portrait(model, tracker)
    fit = portrait.fit
    renderer = opened.make(portrait, model)
    base_expression, base_pose = torch.from_numpy(fit.expression), torch.from_numpy(fit.pose)
    of_clip = track.coefficients
    true_expression, true_pose = (
        torch.from_numpy(np.array(of_clip.expression)),
        torch.from_numpy(np.array(of_clip.pose)),
    )

    def coefficients(expression: Tensor, pose: Tensor) -> FaceCoefficients:
        changed = base_expression + expression - true_expression[:1]
        return _coefficients(model, changed, base_pose + pose - true_pose[:1])

    truth = coefficients(true_expression[:frames], true_pose[:frames])
    assert fit.crop is not None
    assert fit.identity is not None
    crop, identity = np.asarray(fit.crop), fit.identity
    return Reenactment(renderer, list(renderer.render(truth)), crop, identity, coefficients, PORTRAIT)


def _coefficients(model: MorphableModel, expression: Tensor, pose: Tensor) -> FaceCoefficients:
    rotation, translation = split_pose(pose.numpy())
    return FaceCoefficients(
        expression=expression.numpy(), rotation=rotation, translation=translation, face_model=model.name
    )
