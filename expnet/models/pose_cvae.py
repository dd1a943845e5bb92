"""Speech to head pose: a conditional VAE over windows of 32 frames, each of which continues the frames before it.

SadTalker draws windows independently and smooths the joins with a filter. Here a window is conditioned on the previous
poses and added to their continuation, ``pose = continuation(past) + ramp * reach * decoder(z, audio, past, first pose,
style)``. The ramp starts at zero, so position and velocity are continuous at the joins whatever the decoder returns.
``reach`` is the distance that this person's head travels within 0.64 s (`expnet.models.pose_style`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expnet.audio.alignment import mel_columns
from expnet.errors import InputError
from expnet.models.audio_encoder import SequenceEncoder
from expnet.models.latent_prior import LatentPrior
from expnet.models.mel_source import MelSource, mel_slices
from expnet.models.pose_motion import FAR, FAR_WHEN_DRAWN, POSE, continuation, within_reach
from expnet.models.pose_style import STYLE, PoseStyles, distances
from expnet.models.temporal import Convolution, TemporalOptions

SILENCE = -4.0
"""Log-mel of digital silence."""
HELD = 50
"""Windows whose audio is encoded at once; a multiple of five frames, see `expnet.models.mel_source.MelSource`."""
RAMP = 8
"""Frames over which the decoder takes over from the continuation."""
MOST = 6.0
"""Inputs are clamped here, in units of a head's own reach, so that tracking errors do not saturate the network."""


@dataclass
class PoseWindows:
    """Output of the CVAE for N windows of W frames; poses are relative to the first frame, in radians and face units.

    Attributes:
        predicted: (N, W, 6) decoded from the posterior.
        target: (N, W, 6).
        valid: (N, W) bool.
        mean: (N, Z) mean of the posterior.
        log_variance: (N, Z) log-variance of the posterior.
        reach: (N, 1, 6) usual distance that each head travels, the unit in which errors are comparable across people.
        from_prior: (N, W, 6) decoded from a latent of the prior; None unless requested.
    """

    predicted: Tensor
    target: Tensor
    valid: Tensor
    mean: Tensor
    log_variance: Tensor
    reach: Tensor
    from_prior: Tensor | None = None


@dataclass
class _Condition:
    """The condition of a window: features (N, W, D), and scaled continuation (N, W, 6) and reach (N, 1, 6)."""

    features: Tensor
    continuation: Tensor
    reach: Tensor


class PoseCVAE(nn.Module):
    """Draws head poses for speech.

    Args:
        latent: Z, size of a window's latent.
        width: D, width of encoder and decoder.
        layers: Depth of encoder and decoder.
        audio_features: Size of the audio features of a frame.
        audio_channels: Channels of the audio encoder's convolutions.
        window: W, frames drawn at once.
        previous: P, frames before a window that it is conditioned on.
        styles: Number of styles (training speakers); style 0 is "unknown", the average speaker.
        dropout: Dropout of the features.
    """

    task = "pose"
    takes_pieces = True
    frame_by_frame = True
    measures_styles = True
    pose_std: Tensor

    def __init__(
        self,
        *,
        latent: int = 32,
        width: int = 96,
        layers: int = 3,
        audio_features: int = 32,
        audio_channels: int = 48,
        window: int = 32,
        previous: int = 8,
        styles: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.window, self.previous, self.latent = window, previous, latent
        self.register_buffer("pose_std", torch.ones(POSE))
        self.prior = LatentPrior(latent)
        self.styles = PoseStyles(styles)
        self.audio_encoder = SequenceEncoder(audio_features, channels=audio_channels, dropout=dropout)
        self.embed_condition = nn.Linear(previous * (POSE + 1) + 2 * POSE + STYLE, width)
        self.embed_audio = nn.Linear(audio_features, width)
        self.position = nn.Parameter(torch.randn(window, width) * 0.1)

        self.encode_pose = nn.Linear(POSE, width)
        self.encoder = Convolution(width, width, TemporalOptions(layers, dropout=dropout))
        self.squeeze = nn.Linear(width, 16)
        self.gather = nn.Sequential(nn.Linear(16 * window, width), nn.GELU())
        # Two heads, where SadTalker computes the log-variance with the layer of the mean (cvae.py, line 94).
        self.mean_head = nn.Linear(width, latent)
        self.log_variance_head = nn.Linear(width, latent)
        nn.init.constant_(self.log_variance_head.bias, -2.0)

        self.unfold_latent = nn.Linear(latent, 16 * window)
        self.embed_latent = nn.Linear(16, width)
        self.decoder = Convolution(width, width, TemporalOptions(layers, dropout=dropout))
        self.head = nn.Linear(width, POSE)
        # An untrained network returns almost the continuation of the motion.
        nn.init.normal_(self.head.weight, std=0.1 * width**-0.5)
        nn.init.zeros_(self.head.bias)
        self.dropout = nn.Dropout(dropout)

    def set_statistics(self, *, pose_std: Tensor, mel_mean: Tensor, mel_std: Tensor) -> None:
        """Store the training split's statistics: pose_std (6,) of poses relative to the first frame, and the mel's."""
        self.pose_std.copy_(pose_std.clamp_min(1e-4))
        self.audio_encoder.set_statistics(torch.as_tensor(mel_mean), torch.as_tensor(mel_std))

    def forward(
        self,
        mel: Tensor,
        pose: Tensor,
        first_pose: Tensor,
        style: Tensor | None = None,
        valid: Tensor | None = None,
        *,
        from_prior: bool = False,
    ) -> PoseWindows:
        """Encode and decode every window of real motion, each conditioned on the real poses before it.

        Args:
            mel: (B, 80, 2 x 16 + ceil(3.2 T)).
            pose: (B, T, 6) relative to frame 0; as many windows as fit into frames 1 ... T - 1 are used.
            first_pose: (B, 6) absolute pose of frame 0.
            style: (B,) indices of the speakers, 0 where unknown. The style itself is measured in this motion, and in
                training stored for its speaker; if the motion is too short, the stored style is used.
            valid: (B, T) bool; false frames are used neither as target nor as past.
            from_prior: Also decode a sample from the prior.
        """
        windows = (pose.shape[1] - 1) // self.window
        if windows < 1:
            raise InputError(
                f"The head-pose network needs at least {self.window + 1} frames at once, not {pose.shape[1]}; "
                f"set data.window to {self.window} n + 1."
            )
        if valid is None:
            valid = torch.ones(pose.shape[:2], dtype=torch.bool, device=pose.device)
        style = torch.zeros(len(pose), dtype=torch.long, device=pose.device) if style is None else style
        scaled = pose / self.pose_std
        target, target_valid = self._windows(scaled, windows), self._windows(valid, windows)
        audio = self._windows(self.audio_encoder(mel, windows * self.window + 1), windows)  # (N, W, A)
        past, seen = self._past(scaled, valid, windows)
        moved = self._measured(scaled, valid, style)
        first_pose, moved = (x.repeat_interleave(windows, dim=0) for x in (first_pose, moved))
        condition = self._condition(audio, past, seen, first_pose, moved)
        mean, log_variance = self.encode(target - condition.continuation, condition)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if self.training else mean
        if self.training:
            self.prior.remember(mean.detach(), log_variance.detach())
        drawn = self.decode(self.prior(torch.randn_like(mean)), condition) * self.pose_std if from_prior else None
        return PoseWindows(
            predicted=self.decode(z, condition) * self.pose_std,
            target=target * self.pose_std,
            valid=target_valid,
            mean=mean,
            log_variance=log_variance,
            reach=condition.reach * self.pose_std,
            from_prior=drawn,
        )

    def encode(self, change: Tensor, condition: _Condition) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (N, Z) of the posterior, given the deviation from the continuation (N, W, 6)."""
        change = (change / condition.reach).clamp(-MOST, MOST)
        x = self.encode_pose(change) + condition.features
        x = self.encoder(x, condition.features.mean(dim=1))  # (N, W, D)
        x = self.gather(self.squeeze(x).flatten(1))  # (N, D)
        return self.mean_head(x), self.log_variance_head(x).clamp(-8.0, 4.0)

    def decode(self, z: Tensor, condition: _Condition) -> Tensor:
        """Decode latents z (N, Z) to poses (N, W, 6) in standard deviations."""
        unfolded = self.unfold_latent(z).unflatten(1, (self.window, -1))  # (N, W, 16)
        x = self.decoder(self.embed_latent(unfolded) + condition.features, condition.features.mean(dim=1))
        time = torch.arange(1, self.window + 1, device=z.device, dtype=z.dtype)
        ramp = (time / RAMP).clamp(max=1.0).square()[:, None]  # (W, 1)
        return condition.continuation + ramp * condition.reach * self.head(x)

    def _windows(self, x: Tensor, windows: int) -> Tensor:
        """Cut (B, T, ...) into the windows after its first frame: (N, W, ...) with N = B x windows."""
        return x[:, 1 : windows * self.window + 1].unflatten(1, (windows, self.window)).flatten(0, 1)

    def _measured(self, scaled: Tensor, valid: Tensor, style: Tensor) -> Tensor:
        """Return the style (B, 12) of each sequence, measured where it is long enough and its speaker's otherwise."""
        measured, enough = distances(scaled, valid)
        if self.training:
            self.styles.remember(style[enough], measured[enough])
        return torch.where(enough[:, None], measured, self.styles(style))

    def _past(self, scaled: Tensor, valid: Tensor, windows: int) -> tuple[Tensor, Tensor]:
        """Return the P poses before each window (N, P, 6), and which of them exist (N, P); frame 0 always does."""
        before = self.previous - 1
        padded = torch.cat([scaled.new_zeros(len(scaled), before, POSE), scaled], dim=1)
        exists = torch.cat([valid.new_zeros(len(valid), before), valid], dim=1)
        starts = range(0, windows * self.window, self.window)
        past = torch.stack([padded[:, start : start + self.previous] for start in starts], dim=1).flatten(0, 1)
        seen = torch.stack([exists[:, start : start + self.previous] for start in starts], dim=1).flatten(0, 1)
        return past, seen

    def _condition(
        self, audio: Tensor, past: Tensor, seen: Tensor, first_pose: Tensor, style: Tensor, *, far: float = FAR
    ) -> _Condition:
        """Compute the condition of windows; past (N, P, 6) is in standard deviations, style is (N, 12)."""
        reach = style[:, -POSE:]  # (N, 6)
        last = past[:, -1]
        recent = (past - last[:, None]) / reach[:, None] * seen[..., None]
        flat = torch.cat(
            [
                recent.clamp(-MOST, MOST).flatten(1),
                seen.to(past.dtype),
                (last / reach).clamp(-MOST, MOST),
                (first_pose / self.pose_std).clamp(-MOST, MOST),
                style.log(),
            ],
            dim=1,
        )
        features = self.embed_audio(audio) + self.embed_condition(flat)[:, None] + self.position  # (N, W, D)
        continued = continuation(past, seen, reach, self.window, far=far)
        return _Condition(self.dropout(features), continued, reach[:, None])

    @torch.no_grad()
    def sample(
        self,
        mel: Tensor | MelSource,
        frames: int,
        first_pose: Tensor,
        style: Tensor | None = None,
        generator: torch.Generator | None = None,
        *,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw a head motion of any length.

        Args:
            mel: (B, 80, 2 x 16 + ceil(3.2 T)), or a
                `expnet.models.mel_source.MelSource`, for speech that is too long to hold in memory.
            frames: Number of frames T.
            first_pose: (B, 6) absolute pose of frame 0, the portrait's.
            style: (B,) indices of training speakers, 0 for the average one, or styles (B, 12) of `style_of`.
            generator: Generator on CPU; the same seed gives the same motion on every device.
            temperature: Scale of the latents: 0 gives the mean motion, 1 the distribution of the model.

        Returns:
            (B, T, 6) poses relative to frame 0 (exactly 0 there), within the range that can be rendered.
        """
        batch, windows = len(first_pose), -(-(frames - 1) // self.window)
        span, held = windows * self.window + 1, HELD * self.window
        if isinstance(mel, Tensor):
            missing = max(mel_columns(span) - mel.shape[-1], 0)
            source = mel_slices(nn.functional.pad(mel, (0, missing), value=SILENCE))
        else:
            source = mel
        style = torch.zeros(batch, dtype=torch.long, device=first_pose.device) if style is None else style
        style, factor = self.styles(style), self.prior.factor()
        past = first_pose.new_zeros(batch, self.previous, POSE)
        seen = torch.zeros(batch, self.previous, dtype=torch.bool, device=first_pose.device)
        seen[:, -1] = True
        drawn = [first_pose.new_zeros(batch, 1, POSE)]
        for start in range(0, span - 1, self.window):
            here = start % held
            if here == 0:
                count = min(held, span - 1 - start)
                audio = self.audio_encoder(source(start, count + 1), count + 1)[:, 1:]  # (B, count, A)
            noise = torch.randn(batch, self.latent, generator=generator).to(first_pose) * temperature
            z = self.prior(noise, factor)
            drawn.append(self.next_window(z, audio[:, here : here + self.window], past, seen, first_pose, style))
            past = torch.cat([past, drawn[-1]], dim=1)[:, -self.previous :]
            seen = torch.ones_like(seen)
        return within_reach(torch.cat(drawn, dim=1)[:, :frames] * self.pose_std, first_pose, self.pose_std)

    def next_window(
        self, z: Tensor, audio: Tensor, past: Tensor, seen: Tensor, first_pose: Tensor, style: Tensor
    ) -> Tensor:
        """Draw one window.

        Args:
            z: (B, Z), see `expnet.models.latent_prior.LatentPrior`.
            audio: (B, W, A) audio features of its frames.
            past: (B, P, 6) poses before it, in standard deviations.
            seen: (B, P) bool, which of them exist.
            first_pose: (B, 6) absolute pose of frame 0.
            style: (B,) style indices, or (B, 12) styles.

        Returns:
            (B, W, 6) in standard deviations, not yet limited by `within_reach`.
        """
        styles = self.styles(style)
        return self.decode(z, self._condition(audio, past, seen, first_pose, styles, far=FAR_WHEN_DRAWN))

    def style_of(self, pose: Tensor, valid: Tensor | None = None) -> Tensor:
        """Measure the style (1, 12) of a clip's poses (T, 6) in radians and face units, for `sample`.

        Raises:
            InputError: The face is visible for less than a second of the clip.
        """
        valid = torch.ones(len(pose), dtype=torch.bool, device=pose.device) if valid is None else valid
        return self.styles.measure(pose, valid, self.pose_std)
