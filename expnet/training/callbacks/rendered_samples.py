"""Renders the predictions of expnet's own tasks on validation clips, once for all callbacks."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.callbacks.clip_sample import ClipSample
from expnet.coefficients import split_pose
from expnet.data.clip_entry import ClipEntry
from expnet.data.store.track import Track
from expnet.errors import DataError, InputError
from expnet.face.camera import project
from expnet.face.morphable import MorphableModel
from expnet.render.open_renderer import OpenedRenderer
from expnet.render.reenactment import REAL, Reenactment, crop_frame, open_reenactment, to_crop, to_tensor
from expnet.training.tasks.base_task import StepOutput

_log = logging.getLogger(__name__)

Motion = tuple[Tensor, Tensor]
"""Expression (T, 64) and absolute pose (T, 6) of a clip."""


@dataclass(frozen=True, eq=False)
class _Scene:
    """The parts of a clip that are the same in every validation.

    Attributes:
        stage: Portrait, crop and renderer of the clip.
        target: The sample without its generated parts.
        expression: Real expression coefficients, (T, 64).
        pose: Real head pose, (T, 6).
        landmarks: Maps expression and pose to landmarks (T, 68, 2) in pixels of the rendered frames.
    """

    stage: Reenactment
    target: ClipSample
    expression: Tensor
    pose: Tensor
    landmarks: Callable[[Tensor, Tensor], Tensor]


class RenderedSamples:
    """Render validation clips with the predicted motion, on the portrait that `expnet.render.reenactment` chooses.

    The scene of a clip, about 50 MB, is prepared once and kept, and a batch is rendered once for all callbacks.
    Landmarks are in pixels of the rendered frames. Generated landmarks come from the face model under the prediction,
    real ones from the track, or on the built-in portrait from the face model under the real coefficients.

    A clip that cannot be rendered, for instance because its video no longer fits its track, yields no sample and a
    warning, and the number of scored clips shows it.

    Args:
        entries: Clips of the validation split.
        clips: Names of the clips to render.
        model: Face model of the coefficients, on the CPU.
        predicts: The predicted part of the motion, ``expression`` or ``pose``; the other part is the real one.
        frames: Maximum number of frames to render, from the start of a clip.
        renderer: The renderer; None for the mesh renderer.
    """

    def __init__(
        self,
        entries: Collection[ClipEntry],
        clips: Collection[str],
        model: MorphableModel,
        *,
        predicts: str,
        frames: int,
        renderer: OpenedRenderer | None = None,
    ) -> None:
        self._entries = {entry.row.clip_id: entry for entry in entries if entry.row.clip_id in clips}
        self._model, self._predicts, self._frames, self._renderer = model, predicts, frames, renderer
        self._scenes: dict[str, _Scene | None] = {}
        self._rendered: tuple[Any, list[ClipSample]] = (None, [])

    def __call__(self, outputs: StepOutput, batch: Any) -> list[ClipSample]:
        """Return the samples of the batch's clips that are to be rendered, which makes this a `SampleSource`."""
        if self._rendered[0] is not outputs:
            chosen = [(index, clip) for index, clip in enumerate(outputs.clip_ids) if clip in self._entries]
            predicted = outputs.predicted.detach().float().cpu()
            samples = [self._sample(clip, predicted[index]) for index, clip in chosen]
            self._rendered = (outputs, [sample for sample in samples if sample is not None])
        return self._rendered[1]

    @torch.no_grad()
    def _sample(self, clip: str, predicted: Tensor) -> ClipSample | None:
        if clip not in self._scenes:
            self._scenes[clip] = self._prepare(clip)
        scene = self._scenes[clip]
        if scene is None:
            return None
        expression, pose = self._motion(predicted[: len(scene.expression)], scene)
        frames = to_tensor(scene.stage.render(expression, pose))
        return dataclasses.replace(scene.target, frames=frames, landmarks=scene.landmarks(expression, pose), pose=pose)

    def _motion(self, predicted: Tensor, scene: _Scene) -> Motion:
        """Return the motion to render: the predicted part, completed by the real one."""
        if self._predicts == "expression":
            return predicted, scene.pose
        return scene.expression, scene.pose[:1] + predicted

    def _prepare(self, clip: str) -> _Scene | None:
        track = self._entries[clip].read()
        try:
            return _prepare_scene(track, self._model, min(self._frames, track.frames), self._renderer)
        except (DataError, InputError) as error:
            _log.warning("Clip %s cannot be rendered and is not scored: %s", clip, error)
            return None


def _prepare_scene(track: Track, model: MorphableModel, frames: int, renderer: OpenedRenderer | None) -> _Scene:
    """Prepare the renderer of a clip, and collect the real data that renderings are compared with.

    Raises:
        DataError, InputError: The clip cannot be rendered.
    """
    stage = open_reenactment(track, model, frames, renderer=renderer)
    frames = min(frames, len(stage.reference))
    target_frames = to_tensor([crop_frame(frame, stage.crop) for frame in stage.reference[:frames]])
    expression = torch.from_numpy(np.array(track.coefficients.expression[:frames]))
    pose = torch.from_numpy(np.array(track.coefficients.pose[:frames]))
    crop, identity = (torch.from_numpy(np.array(part)).float() for part in (stage.crop, stage.identity))

    def landmarks(expression: Tensor, pose: Tensor) -> Tensor:
        """Return landmarks (T, 68, 2) in pixels of the rendered frames."""
        moved = stage.coefficients(expression, pose)
        rotation, translation = split_pose(torch.from_numpy(np.array(moved.pose)))
        shape = model.landmarks(identity, torch.from_numpy(np.array(moved.expression)))
        return to_crop(project(shape, rotation, translation, crop), crop)

    tracked = to_crop(torch.from_numpy(np.array(track.landmarks[:frames])), crop)
    target = ClipSample(
        clip_id=track.clip_id,
        target_frames=target_frames,
        audio=torch.from_numpy(np.array(track.audio[: frames * SAMPLES_PER_FRAME])),
        target_landmarks=tracked if stage.kind == REAL else landmarks(expression, pose),
        target_pose=pose,
        valid=torch.from_numpy(np.array(track.valid[:frames])),
    )
    # Drop the source frames at full size, which are no longer needed.
    return _Scene(dataclasses.replace(stage, reference=[]), target, expression, pose, landmarks)
