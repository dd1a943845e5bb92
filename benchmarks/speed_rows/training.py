"""A training step of the expression network beside those of SadTalker's form and of an autoregressive decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict

import torch
from torch import Tensor, nn

from expnet.audio.alignment import mel_columns
from expnet.config import load_config
from expnet.models.autoregressive import AutoregressiveRegressor
from expnet.models.expression import ExpressionRegressor
from expnet.models.sadtalker import SADTALKER_EXPRESSION
from expnet.tasks.build import expression_options
from speed_rows.measure import Row, compare, speed_row
from speed_rows.setting import Setting

WINDOW, BATCH = 64, 16


def training(setting: Setting) -> Iterator[Row]:
    """Forward, backward and AdamW on the same made-up windows; frames a second of one thread, or of the GPU."""
    options = asdict(load_config(["configs/expression.yaml"]).model)
    del options["emotion"]  # becomes the number of the data's
    options = expression_options({**options, "speech_features": None})
    torch.manual_seed(0)
    batch = 4 if setting.quick else BATCH
    own, plain, stepwise = (
        step_of(network.to(setting.device), batch)
        for network in (
            ExpressionRegressor(**options),
            ExpressionRegressor(**SADTALKER_EXPRESSION),
            AutoregressiveRegressor(**options),
        )
    )
    frames, clock = batch * WINDOW, setting.network_clock
    what = f"expression training step, {batch} windows of {WINDOW} frames"
    for against, other, aim in (
        ("SadTalker's window encoder and head", plain, 5.0),
        ("a decoder as FaceFormer's, frame after frame, same width", stepwise, 10.0),
    ):
        pairs = compare(own, other, repeats=setting.repeats)
        yield speed_row("training", what, against, pairs, aim, clock=clock, amount=frames, unit="frames/s")


def step_of(network: ExpressionRegressor, batch: int) -> Callable[[], None]:
    """One optimiser step on windows of noise."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    device = network.expression_mean.device
    mel = torch.randn(batch, 80, mel_columns(WINDOW), device=device)
    first = torch.randn(batch, 64, device=device)
    target = torch.randn(batch, WINDOW, 64, device=device)
    blink = torch.zeros(batch, WINDOW, device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        predicted: Tensor = network(mel, WINDOW, first, blink=blink)
        nn.functional.mse_loss(predicted, target).backward()
        optimizer.step()

    return step
