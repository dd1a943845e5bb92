"""SadTalker's per-frame linear head, trained on the same clips: it sees 200 ms of audio per frame and no other frame.

The network is that of ``configs/per_frame.yaml``. A run of that configuration can be given instead
(``per_frame=RUN``); it is trained for longer. Here the loss is on the coefficients alone, weighted by how much they
move the face.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from expnet.audio.alignment import mel_for_frames
from expnet.evaluation.store.clips import Clip
from expnet.models.expression_regressor import ExpressionRegressor

_log = logging.getLogger(__name__)

WINDOW = 16
"""Frames in a training window."""
WINDOWS = 16
"""Windows in a batch."""
AUDIO_CHANNELS = 8
"""A quarter of the published network's channels, as in configs/per_frame.yaml."""


def train_per_frame(clips: Sequence[Clip], *, steps: int, metric: Tensor, seed: int = 0) -> ExpressionRegressor:
    """Train the head with AdamW, a cosine schedule and random windows; the same seed gives the same head.

    Args:
        clips: The training clips, kept in memory.
        steps: The number of optimiser steps, of 256 frames each.
        metric: (E, E) weights of the coefficients.
        seed: The seed of the initial weights and of the windows.

    Returns:
        The network in evaluation mode.

    Raises:
        ValueError: There is no training clip.
    """
    if not clips:
        raise ValueError("the per-frame head needs at least one training clip")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ExpressionRegressor(
            audio_encoder="window",
            audio_channels=AUDIO_CHANNELS,
            temporal_module="none",
            residual=False,
            blink=True,
            dropout=0.0,
        )
        _set_statistics(model, clips, metric)
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        weight = metric.to(torch.float32)
        model.train()
        for step in range(steps):
            mel, target, first, blink, valid = _windows(clips, generator)
            error = model(mel, WINDOW, first, blink=blink) - target  # (B, T, E)
            energy = ((error @ weight) * error).sum(-1)[valid]
            loss = energy.mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if step % 50 == 0:
                _log.info("per-frame head: step %d of %d, loss %.5f", step, steps, float(loss.detach()))
    return model.eval()


def _set_statistics(model: ExpressionRegressor, clips: Sequence[Clip], metric: Tensor) -> None:
    """Give the network the mean and standard deviation of the training clips' coefficients."""
    expression = torch.cat([clip.expression[clip.valid] for clip in clips])  # (N, E)
    model.set_statistics(
        expression_mean=expression.mean(0),
        expression_std=expression.std(0),
        mel_mean=torch.tensor(0.0),
        mel_std=torch.tensor(1.0),
        expression_metric=metric.to(torch.float32),
    )


def _windows(clips: Sequence[Clip], generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Draw a batch: mel (B, 80, N), expression (B, T, E), first expression (B, E), blink and valid (B, T)."""
    lengths = torch.tensor([float(clip.frames) for clip in clips])
    chosen = torch.multinomial(lengths, WINDOWS, replacement=True, generator=generator)
    parts = []
    for index in chosen.tolist():
        clip = clips[index]
        start = int(torch.randint(max(clip.frames - WINDOW, 0) + 1, (), generator=generator))
        places = (start + torch.arange(WINDOW)).clamp(max=clip.frames - 1)
        mel = mel_for_frames(clip.track.audio, start, WINDOW)
        inside = clip.valid[places] & (start + torch.arange(WINDOW) < clip.frames)
        parts.append((mel, clip.expression[places], clip.expression[0], clip.blink[places], inside))
    mels, expressions, firsts, blinks, valids = (torch.stack(column) for column in zip(*parts, strict=True))
    return mels, expressions, firsts, blinks, valids
