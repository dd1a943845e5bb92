"""Small tasks of the expression, head-pose and motion networks, and clips that they learn from in seconds."""

import math
from types import SimpleNamespace
from typing import Any

import torch

from expnet.audio.alignment import mel_columns
from expnet.data.batch import FaceBatch
from expnet.data.coefficient_statistics import MotionStatistics
from expnet.face.face_model_data import FaceModelData
from expnet.face.morphable import MorphableModel
from expnet.training.tasks.expression_task import ExpressionTask
from expnet.training.tasks.motion_task import MotionTask
from expnet.training.tasks.pose_task import PoseTask

E, K, V = 6, 3, 80
STILL = dict.fromkeys(("time_masks", "band_masks", "gain", "tilt", "warp", "floor", "noise"), 0)
QUIET = {**STILL, "time_mask_columns": 0, "band_mask_bands": 0}
OPTIM = {"lr": 3e-3, "warmup_steps": 2, "ema": 0.9}


def face_model() -> MorphableModel:
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: 0.1 * torch.randn(*shape, generator=generator)  # noqa: E731
    return MorphableModel(
        FaceModelData(draw(V, 3), draw(V, 3, K), draw(V, 3, E), torch.zeros(1, 3).long(), torch.arange(68), name="toy")
    )


def statistics() -> SimpleNamespace:
    return SimpleNamespace(
        expression_mean=torch.zeros(E),
        expression_std=torch.linspace(0.5, 1.5, E),
        pose_std=torch.tensor([0.08, 0.1, 0.05, 0.02, 0.02, 0.2]),
        mel_mean=torch.zeros(80),
        mel_std=torch.ones(80),
    )


def clip(seed: int, frames: int) -> FaceBatch:
    """A clip whose expression follows the loudness of its audio, and whose head sways."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(frames) / 25
    loud = torch.sin(2 * math.pi * (0.8 + torch.rand(1, generator=generator)) * time + seed)
    mel = torch.zeros(80, mel_columns(frames))
    columns = ((torch.arange(mel.shape[1]) - 16) / 3.2 - 0.5).clamp(0, frames - 1)
    mel += torch.sin(2 * math.pi * torch.rand(1, generator=generator)) * 0
    mel += loud[columns.round().long()]
    expression = loud[:, None] * torch.linspace(-1, 1, E) + 0.3 * torch.randn(E, generator=generator)
    sway = torch.sin(2 * math.pi * torch.rand(6, generator=generator) * time[:, None] + seed) * statistics().pose_std
    pose = sway.float()
    return FaceBatch(
        mel=mel[None].float(),
        expression=expression[None].float(),
        identity=torch.randn(1, K, generator=generator),
        rotation=pose[None, :, :3],
        translation=pose[None, :, 3:],
        first_expression=expression[None, 0].float(),
        first_pose=pose[None, 0],
        blink=torch.zeros(1, frames),
        valid=torch.ones(1, frames, dtype=torch.bool),
        emotion=torch.zeros(1, dtype=torch.long),
        style=torch.zeros(1, dtype=torch.long),
        frames=torch.tensor([frames]),
        clip_ids=(f"clip{seed}",),
        first_frame=torch.zeros(1, dtype=torch.long),
    )


def expression_task(steps: int = 30, **loss: float) -> ExpressionTask:
    torch.manual_seed(0)
    options = {
        "expression_size": E,
        "width": 16,
        "audio_channels": 8,
        "layers": 1,
        "dropout": 0.0,
        "stochastic_depth": 0.0,
    }
    return ExpressionTask(
        options=options,
        loss=loss,
        optim=OPTIM,
        augment=QUIET,
        max_steps=steps,
        face_model=face_model(),
        statistics=statistics(),
    )


def pose_task(steps: int = 30, **loss: float) -> PoseTask:
    torch.manual_seed(0)
    options = {"width": 32, "audio_channels": 8, "layers": 2, "latent": 4}
    return PoseTask(options=options, loss=loss, optim=OPTIM, augment=QUIET, max_steps=steps, statistics=statistics())


def motion_task(steps: int = 30, **changes: Any) -> MotionTask:
    torch.manual_seed(0)
    options = {"expression_size": E, "width": 32, "audio_channels": 8, "layers": 1, "dropout": 0.0}
    loss = {name: changes.pop(name) for name in list(changes) if name.endswith("weight")}
    return MotionTask(
        options={**options, **changes},
        loss=loss,
        optim=OPTIM,
        augment=QUIET,
        max_steps=steps,
        face_model=face_model(),
        statistics=statistics(),
        motion=MotionStatistics(torch.linspace(0.5, 1.5, E), torch.tensor(0.1), torch.tensor(0.2)),
    )
