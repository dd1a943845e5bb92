"""Rendered clips: PSNR and SSIM against the real frames, strips for the page, side-by-side videos.

The first real frame of a clip is the portrait; it is rendered with the predicted expression and the clip's own head
motion, and compared with the real frames inside the clip's crop at 256 px. Without the source video the built-in
portrait (scikit-image's astronaut) is rendered with the clip's expression changes, and compared with the same portrait
under the true coefficients: that measures the coefficients through the renderer, not realism, and is labelled so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME
from expnet.coefficients import FaceCoefficients
from expnet.errors import DataError
from expnet.evaluation.clips import Clip
from expnet.evaluation.options import PictureConfig
from expnet.evaluation.scoring import CROP_PIXELS, Scorer, Scores
from expnet.evaluation.systems import Prediction
from expnet.face.morphable import MorphableModel
from expnet.render.mesh import MeshRenderer
from expnet.render.portrait import Portrait, open_portrait
from expnet.render.video import read_video, write_video
from expnet.report.page import Strip
from expnet.report.results import GROUND_TRUTH

_log = logging.getLogger(__name__)

_COLUMNS = 5
_LABEL_HEIGHT = 22
# Scored, but not shown: a held mouth looks the same in every column.
_HIDDEN = ("hold_first_frame", "clip_mean")
REAL, PORTRAIT = "real frames", "built-in portrait under the true coefficients"
Frames = list[NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Stage:
    """A portrait that can be rendered, and what its frames are compared with.

    Attributes:
        renderer: of the portrait.
        reference: uint8 RGB frames to compare with, in pixels of the portrait.
        crop: centre x, centre y, side in pixels of the portrait: what is compared.
        coefficients: turns a prediction's expression (T, 64) and pose (T, 6) into the portrait's coefficients.
        kind: ``REAL`` or ``PORTRAIT``.
    """

    renderer: MeshRenderer
    reference: Frames
    crop: NDArray[np.float64]
    coefficients: Callable[[Tensor, Tensor], FaceCoefficients]
    kind: str


@dataclass(frozen=True)
class Pictures:
    """What the rendered clip gave.

    Attributes:
        kind: what the frames were compared with.
        strip: for the page.
    """

    kind: str
    strip: Strip


def set_stage(clip: Clip, model: MorphableModel, frames: int) -> Stage:
    """Take the clip's own first frame as the portrait, or the built-in one when the video is not there.

    Raises:
        DataError: the video is there but does not fit its track.
        InputError: no face is found on the portrait.
    """
    return _real_stage(clip, model, frames) if clip.video is not None else _portrait_stage(clip, model, frames)


def render_clip(
    clip: Clip,
    predictions: Mapping[str, tuple[str, Prediction]],
    scores: Mapping[str, Scores],
    scorer: Scorer,
    options: PictureConfig,
    output: Path,
) -> Pictures:
    """Render a clip for every system, score the pictures, and write the video.

    Args:
        clip: to render.
        predictions: title and prediction by system name.
        scores: of each system on this clip; PSNR and SSIM are added.
        scorer: holds the two metrics.
        options: how many frames, and whether to write a video.
        output: folder of the page.
    """
    frames = min(options.frames, clip.frames)
    stage = set_stage(clip, scorer.model, frames)
    frames = min(frames, len(stage.reference))
    if frames < 2:
        raise DataError(f"clip {clip.clip_id} has one frame to render, which is the portrait itself")
    # The portrait's own frame is left out: a perfect copy there, worth the ceiling of 100 dB, would lift every mean.
    seen = list(range(min(options.stride, frames - 1), frames, options.stride))
    reference = [cut(frame, stage.crop) for frame in stage.reference[:frames]]
    target = _to_tensor([reference[index] for index in seen])
    shown = np.linspace(0, len(seen) - 1, min(_COLUMNS, len(seen))).round().astype(int)
    rows: list[tuple[str, tuple[NDArray[np.uint8], ...]]] = [
        ("real" if stage.kind == REAL else "reference", tuple(reference[seen[place]] for place in shown))
    ]
    for name, (title, prediction) in predictions.items():
        drawn = _render(stage, prediction.expression[seen], clip.pose[seen])
        scores[name].add(scorer.psnr, _to_tensor(drawn), target)
        scores[name].add(scorer.ssim, _to_tensor(drawn), target)
        if name not in _HIDDEN:
            label = "its own coefficients" if name == GROUND_TRUTH else title
            rows.append((label, tuple(drawn[place] for place in shown)))
    video = ""
    model = predictions.get("ours")
    if options.videos and model is not None:
        video = _write_comparison(clip, stage, reference, model[1], output)
    times = tuple(seen[place] / FRAME_RATE for place in shown)
    return Pictures(stage.kind, Strip(f"{clip.clip_id}, compared with the {stage.kind}", times, tuple(rows), video))


def cut(image: NDArray[np.uint8], crop: NDArray[np.float64]) -> NDArray[np.uint8]:
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


def _real_stage(clip: Clip, model: MorphableModel, frames: int) -> Stage:
    """The clip's own video."""
    assert clip.video is not None
    start = round(clip.track.source_start * FRAME_RATE)
    reference = list(islice(read_video(clip.video, fps=float(FRAME_RATE)), start, start + frames))
    if not reference or reference[0].shape[:2] != tuple(clip.track.frame_size):
        found = reference[0].shape[:2] if reference else "no frame"
        raise DataError(
            f"{clip.video} does not fit its track: {found} at {clip.track.source_start:g} s, expected frames of "
            f"{tuple(clip.track.frame_size)} (height, width); preprocess it again."
        )
    crop = clip.track.coefficients.crop
    if crop is None or crop.ndim != 1:
        raise DataError(f"clip {clip.clip_id} has no crop of its own, so that its pictures cannot be compared")
    # The clip's own first coefficients, not a fit of this one picture: they share the clip's identity and camera.
    points = open_portrait(reference[0], model).points
    renderer = MeshRenderer(reference[0], clip.track.coefficients[:1], points, model)
    return Stage(renderer, reference, np.asarray(crop), _coefficients, REAL)


def _portrait_stage(clip: Clip, model: MorphableModel, frames: int) -> Stage:
    """The built-in portrait, moved by the clip's changes."""
    portrait = builtin_portrait(model)
    fit = portrait.fit
    renderer = MeshRenderer(portrait.image, fit, portrait.points, model)
    base_expression, base_pose = torch.from_numpy(fit.expression), torch.from_numpy(fit.pose)

    def coefficients(expression: Tensor, pose: Tensor) -> FaceCoefficients:
        return _coefficients(base_expression + expression - clip.expression[:1], base_pose + pose - clip.pose[:1])

    truth = coefficients(clip.expression[:frames], clip.pose[:frames])
    assert fit.crop is not None
    return Stage(renderer, list(renderer.render(truth)), np.asarray(fit.crop), coefficients, PORTRAIT)


@lru_cache(maxsize=1)
def builtin_portrait(model: MorphableModel) -> Portrait:
    """Scikit-image's astronaut (a NASA photograph, in the public domain), tracked once."""
    from skimage import data

    return open_portrait(np.ascontiguousarray(data.astronaut()), model)


def _coefficients(expression: Tensor, pose: Tensor) -> FaceCoefficients:
    return FaceCoefficients(
        expression=expression.numpy(), rotation=pose[:, :3].numpy(), translation=pose[:, 3:].numpy()
    )


def _render(stage: Stage, expression: Tensor, pose: Tensor) -> Frames:
    """Frames of the crop at 256 px."""
    return [cut(frame, stage.crop) for frame in stage.renderer.render(stage.coefficients(expression, pose))]


def _to_tensor(frames: Frames) -> Tensor:
    """(T, 3, H, W) uint8."""
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def _write_comparison(clip: Clip, stage: Stage, reference: Frames, prediction: Prediction, output: Path) -> str:
    """Write reference, model, and model with its own head motion side by side, with the clip's sound."""
    frames = len(reference)
    columns = [
        ("real" if stage.kind == REAL else "reference", reference),
        ("expnet, the clip's head motion", _render(stage, prediction.expression[:frames], clip.pose[:frames])),
    ]
    if prediction.pose is not None:
        own = _render(stage, prediction.expression[:frames], prediction.pose[:frames])
        columns.append(("expnet, its own head motion", own))
    relative = Path("videos") / f"{clip.clip_id}.mp4"
    (output / "videos").mkdir(parents=True, exist_ok=True)
    tiles = (labelled([(label, images[index]) for label, images in columns]) for index in range(frames))
    audio = np.array(clip.track.audio[: frames * SAMPLES_PER_FRAME])
    write_video(output / relative, tiles, fps=float(FRAME_RATE), audio=audio, sample_rate=16000)
    return relative.as_posix()


def labelled(tiles: list[tuple[str, NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Put pictures of one size side by side, each under its label."""
    height, width = tiles[0][1].shape[:2]
    sheet = Image.new("RGB", (width * len(tiles), height + _LABEL_HEIGHT), (20, 20, 22))
    draw = ImageDraw.Draw(sheet)
    for place, (label, image) in enumerate(tiles):
        sheet.paste(Image.fromarray(image), (place * width, _LABEL_HEIGHT))
        draw.text((place * width + 8, 5), label, fill=(230, 230, 230))
    return np.asarray(sheet)
