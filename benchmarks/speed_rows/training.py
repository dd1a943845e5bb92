"""A training step of the expression network, compared with SadTalker's architecture and autoregressive decoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from expnet.audio.alignment import mel_columns
from expnet.config import load_config
from expnet.models.attention import sinusoids
from expnet.models.autoregressive import AutoregressiveRegressor
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.sadtalker import SADTALKER_EXPRESSION
from expnet.training.tasks.build import expression_options
from speed_rows.measure import Row, compare, speed_row
from speed_rows.setting import Setting

WINDOW, BATCH = 64, 16


def training(setting: Setting) -> Iterator[Row]:
    """Forward, backward and AdamW on the same random windows; frames per second of one thread or of the GPU."""
    options = default_options()
    torch.manual_seed(0)
    batch = 4 if setting.quick else BATCH
    own = step_of(ExpressionRegressor(**options).to(setting.device), batch)
    frames, clock = batch * WINDOW, setting.network_clock
    what = f"expression training step, {batch} windows of {WINDOW} frames"
    for against, network, aim in (
        ("SadTalker's window encoder and head", ExpressionRegressor(**SADTALKER_EXPRESSION), 5.0),
        ("FaceFormer's loop, same width: each frame from all before it, anew", WholePast(**options), 10.0),
        ("the same loop with keys and values kept, same width", AutoregressiveRegressor(**options), 10.0),
    ):
        other = step_of(network.to(setting.device), batch)
        pairs = compare(own, other, repeats=setting.repeats)
        yield speed_row("training", what, against, pairs, aim, clock=clock, amount=frames, unit="frames/s")


def precision(setting: Setting) -> Iterator[Row]:
    """The same step in bfloat16, and compiled, compared with the plain one, with the rate of arithmetic."""
    torch.manual_seed(0)
    plain = step_of(default_network().to(setting.device), BATCH)
    with FlopCounterMode(display=False) as counter:
        plain()
    arithmetic = counter.get_total_flops() / 1e9
    compiled = default_network().to(setting.device)
    compiled.compile()
    for what, step in (
        ("training step in bfloat16", step_of(default_network().to(setting.device), BATCH, half=True)),
        ("training step compiled", step_of(compiled, BATCH)),
    ):
        pairs = compare(step, plain, repeats=setting.repeats)
        ours, theirs = (arithmetic / seconds for seconds in pairs.seconds("wall"))
        rate = {"amount": BATCH * WINDOW, "unit": "frames/s"}
        note = f"{ours:.0f} GFLOP/s against {theirs:.0f}, to be held against the device's peak"
        yield speed_row("precision", what, "float32, not compiled", pairs, 1.0, clock="wall", note=note, **rate)


def default_options() -> dict[str, Any]:
    """Options of the network that configs/expression.yaml trains."""
    options = asdict(load_config(["configs/expression.yaml"]).model)
    del options["emotion"]  # becomes the number of the data's
    return expression_options({**options, "speech_features": None})


def default_network() -> ExpressionRegressor:
    """That network, untrained."""
    return ExpressionRegressor(**default_options())


class WholePast(AutoregressiveRegressor):
    """The decoder run like FaceFormer's training loop: over all previous frames, for each new one."""

    def decode(self, audio: Tensor) -> Tensor:
        """Decode the frames one after the other from audio features (B, T, D): (B, T, E)."""
        audio = self.read(audio)
        frames = audio.shape[1]
        bias = self.bias(frames, device=audio.device, dtype=audio.dtype)  # (1, H, T, T)
        positions = sinusoids(torch.arange(frames, device=audio.device) % self.bias.period, audio.shape[2])
        changes = [audio.new_zeros(audio.shape[0], len(self.expression_mean))]
        for seen in range(1, frames + 1):
            x = self.embed_past(torch.stack(changes, dim=1) * self.importance) + positions[:seen]  # (B, t, D)
            for block in self.blocks:
                x, _ = block(x, audio[:, :seen], bias[:, :, :seen, :seen], None)
            changes.append(self.write(self.norm(x[:, -1])))
        return torch.stack(changes[1:], dim=1)


def step_of(network: ExpressionRegressor, batch: int, *, half: bool = False) -> Callable[[], None]:
    """One optimiser step on windows of noise, with the forward pass in bfloat16 if ``half``."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    device = network.expression_mean.device
    mel = torch.randn(batch, 80, mel_columns(WINDOW), device=device)
    first = torch.randn(batch, 64, device=device)
    target = torch.randn(batch, WINDOW, 64, device=device)
    blink = torch.zeros(batch, WINDOW, device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            predicted: Tensor = network(mel, WINDOW, first, blink=blink)
        nn.functional.mse_loss(predicted.float(), target).backward()
        optimizer.step()

    return step
