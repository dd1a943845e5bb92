"""Rendered clips: PSNR and SSIM against the real frames, frame strips for the page, side-by-side videos.

A clip is rendered with the predicted expression and its own head motion. `expnet.render.reenactment` chooses the
portrait and the frames to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME
from expnet.config.benchmark import GROUND_TRUTH
from expnet.config.evaluate import PictureConfig
from expnet.data.even_spacing import evenly_spaced_indices
from expnet.errors import DataError
from expnet.evaluation.report.page import Strip
from expnet.evaluation.scores import Scores
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction
from expnet.evaluation.store.scoring import Scorer
from expnet.face.tracker import FaceTracker
from expnet.media.video_reader import write_video
from expnet.render.open_renderer import OpenedRenderer
from expnet.render.reenactment import REAL, Frames, Reenactment, crop_frame, label_images, open_reenactment, to_tensor

_COLUMNS = 5
_NOT_SHOWN = ("hold_first_frame", "clip_mean")
"""Systems that are scored but not shown, because a constant mouth looks the same in every column."""


@dataclass(frozen=True)
class RenderedClip:
    """What rendering a clip gave.

    Attributes:
        kind: What the frames were compared with.
        strip: Frames of the clip, for the page.
    """

    kind: str
    strip: Strip


def render_clip(
    clip: Clip,
    predictions: Mapping[str, tuple[str, Prediction]],
    scores: Mapping[str, Scores],
    scorer: Scorer,
    options: PictureConfig,
    output: Path,
    tracker: FaceTracker | None = None,
    renderer: OpenedRenderer | None = None,
) -> RenderedClip:
    """Render a clip for every system, score the frames, and write the video.

    Args:
        clip: The clip to render.
        predictions: Title and prediction of each system, by name.
        scores: The scores of each system on this clip, by name; PSNR and SSIM are added.
        scorer: Holds the two metrics.
        options: How many frames to render, and whether to write a video.
        output: The folder of the page.
        tracker: Face tracker for the portrait; None for the built-in models.
        renderer: The renderer; None for the mesh renderer.

    Raises:
        DataError: The clip has a single frame to render.
    """
    frames = min(options.frames, clip.frames)
    stage = open_reenactment(clip.track, scorer.model, frames, tracker=tracker, renderer=renderer)
    frames = min(frames, len(stage.reference))
    if frames < 2:
        raise DataError(f"clip {clip.clip_id} has one frame to render, which is the portrait itself")
    # The portrait's own frame is left out: a perfect copy, worth the ceiling of 100 dB, would raise every mean.
    seen = list(range(min(options.stride, frames - 1), frames, options.stride))
    reference = [crop_frame(frame, stage.crop) for frame in stage.reference[:frames]]
    target = to_tensor([reference[index] for index in seen])
    shown = evenly_spaced_indices(len(seen), _COLUMNS)
    rows: list[tuple[str, tuple[NDArray[np.uint8], ...]]] = [
        ("real" if stage.kind == REAL else "reference", tuple(reference[seen[column]] for column in shown))
    ]
    for name, (title, prediction) in predictions.items():
        drawn = stage.render(prediction.expression[:frames], clip.pose[:frames], seen)
        scores[name].add(scorer.psnr, to_tensor(drawn), target)
        scores[name].add(scorer.ssim, to_tensor(drawn), target)
        if name not in _NOT_SHOWN:
            label = "its own coefficients" if name == GROUND_TRUTH else title
            rows.append((label, tuple(drawn[column] for column in shown)))
    video = ""
    model = predictions.get("ours")
    if options.videos and model is not None:
        video = _write_comparison(clip, stage, reference, model[1], output)
    times = tuple(seen[column] / FRAME_RATE for column in shown)
    return RenderedClip(stage.kind, Strip(f"{clip.clip_id}, compared with the {stage.kind}", times, tuple(rows), video))


def _write_comparison(clip: Clip, stage: Reenactment, reference: Frames, prediction: Prediction, output: Path) -> str:
    """Write reference, model, and model with its own head motion side by side, with the clip's audio."""
    frames = len(reference)
    columns = [
        ("real" if stage.kind == REAL else "reference", reference),
        ("expnet, the clip's head motion", stage.render(prediction.expression[:frames], clip.pose[:frames])),
    ]
    if prediction.pose is not None:
        own = stage.render(prediction.expression[:frames], prediction.pose[:frames])
        columns.append(("expnet, its own head motion", own))
    relative = Path("videos") / f"{clip.clip_id}.mp4"
    (output / "videos").mkdir(parents=True, exist_ok=True)
    tiles = (label_images([(label, images[index]) for label, images in columns]) for index in range(frames))
    audio = np.array(clip.track.audio[: frames * SAMPLES_PER_FRAME])
    write_video(output / relative, tiles, fps=float(FRAME_RATE), audio=audio, sample_rate=16000)
    return relative.as_posix()
