"""SadTalker's head-pose network as it was published, so that its weights can be loaded, compared and trained further.

Its expression network needs no code of its own: it is an `ExpressionRegressor` with the options
`SADTALKER_EXPRESSION`. Source of both: OpenTalker/SadTalker ``src/audio2exp_models``, ``src/audio2pose_models``.

Parameters of the inner layers keep the published names, so that `expnet.models.sadtalker_weights` is a short table.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from expnet.errors import InputError
from expnet.models.audio_encoder import WindowEncoder
from expnet.models.pose_cvae import PoseWindows
from expnet.models.pose_motion import POSE

SADTALKER_EXPRESSION: dict[str, Any] = {
    "expression_size": 64,
    "audio_encoder": "window",
    "audio_channels": 32,
    "level": False,
    "temporal_module": "none",
    "first_frame_conditioning": True,
    "first_frame_dropout": 0.0,
    "dropout": 0.0,
    "residual": False,
    "blink": True,
    "face_model": "bfm2009",
}
"""Options of an `ExpressionRegressor` that is SadTalker's: ``Linear(512 + 64 + 1 -> 64)`` on the frame's own sound."""
WINDOW = 32
"""Frames drawn at once."""
STYLES = 46
"""Speakers that the published network was trained on."""
LATENT = 64
AUDIO = 512
CODE = WINDOW * POSE
HIDDEN = 128
SMOOTHING = 13
"""Frames of the Savitzky-Golay filter (order 2) that hides the seams between windows."""


class ResidualConvolution(nn.Module):
    """Two normalised convolutions beside a strided one; the stride halves time and keeps the six numbers of a pose."""

    def __init__(self, channels_in: int, channels: int, stride: int | tuple[int, int] = 1) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.BatchNorm2d(channels_in),
            nn.ReLU(),
            nn.Conv2d(channels_in, channels, 3, stride, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.conv_skip = nn.Sequential(nn.Conv2d(channels_in, channels, 3, stride, padding=1), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, W, 6) to (B, C', W or W / 2, 6)."""
        return self.conv_block(x) + self.conv_skip(x)


class Upsampling(nn.Module):
    """Doubling of the frames by a transposed convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(channels, channels, (2, 1), (2, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, W, 6) to (B, C, 2 W, 6)."""
        return self.upsample(x)


class ResidualUNet(nn.Module):
    """U-net over the picture of a window's poses, three times halved in time, with a sigmoid at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1)
        )
        self.input_skip = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1))
        self.residual_conv_1 = ResidualConvolution(32, 64, (2, 1))
        self.residual_conv_2 = ResidualConvolution(64, 128, (2, 1))
        self.bridge = ResidualConvolution(128, 256, (2, 1))
        self.upsample_1 = Upsampling(256)
        self.up_residual_conv1 = ResidualConvolution(256 + 128, 128)
        self.upsample_2 = Upsampling(128)
        self.up_residual_conv2 = ResidualConvolution(128 + 64, 64)
        self.upsample_3 = Upsampling(64)
        self.up_residual_conv3 = ResidualConvolution(64 + 32, 32)
        self.output_layer = nn.Sequential(nn.Conv2d(32, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Map a window (N, W, 6) to (N, W, 6) in (0, 1)."""
        x = x[:, None]  # (N, 1, W, 6)
        fine = self.input_layer(x) + self.input_skip(x)
        middle = self.residual_conv_1(fine)
        coarse = self.residual_conv_2(middle)
        x = self.upsample_1(self.bridge(coarse))
        x = self.up_residual_conv1(torch.cat([x, coarse], dim=1))
        x = self.up_residual_conv2(torch.cat([self.upsample_2(x), middle], dim=1))
        x = self.up_residual_conv3(torch.cat([self.upsample_3(x), fine], dim=1))
        return self.output_layer(x)[:, 0]


class WindowPosterior(nn.Module):
    """What a window's motion says about its latent.

    Args:
        styles: number of speakers.
        tied_variance: compute the log-variance with the layer of the mean.
    """

    def __init__(self, styles: int, *, tied_variance: bool) -> None:
        super().__init__()
        self.tied_variance = tied_variance
        self.resunet = ResidualUNet()
        first = POSE + CODE + CODE + LATENT  # first pose, motion, audio, style
        self.MLP = nn.Sequential(OrderedDict(L0=nn.Linear(first, HIDDEN), A0=nn.ReLU()))
        self.linear_means = nn.Linear(HIDDEN, LATENT)
        self.linear_logvar = nn.Linear(HIDDEN, LATENT)
        self.linear_audio = nn.Linear(AUDIO, POSE)
        self.classbias = nn.Parameter(torch.randn(styles, LATENT))

    def forward(self, motion: Tensor, audio: Tensor, first_pose: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (N, 64) for motion (N, 32, 6), audio (N, 32, 512), first_pose (N, 6)."""
        parts = [
            first_pose,
            self.resunet(motion).flatten(1),
            self.linear_audio(audio).flatten(1),
            self.classbias[style],
        ]
        x = self.MLP(torch.cat(parts, dim=1))  # (N, 128)
        mean = self.linear_means(x)
        return mean, mean if self.tied_variance else self.linear_logvar(x)


class WindowDecoder(nn.Module):
    """From a latent to the motion of a window."""

    def __init__(self, styles: int) -> None:
        super().__init__()
        self.resunet = ResidualUNet()
        self.MLP = nn.Sequential(
            OrderedDict(
                L0=nn.Linear(POSE + LATENT + CODE, HIDDEN),
                A0=nn.ReLU(),
                L1=nn.Linear(HIDDEN, CODE),
                sigmoid=nn.Sigmoid(),
            )
        )
        self.pose_linear = nn.Linear(POSE, POSE)
        self.linear_audio = nn.Linear(AUDIO, POSE)
        self.classbias = nn.Parameter(torch.randn(styles, LATENT))

    def forward(self, z: Tensor, audio: Tensor, first_pose: Tensor, style: Tensor) -> Tensor:
        """Return poses relative to the first (N, 32, 6) for z (N, 64), audio (N, 32, 512), first_pose (N, 6)."""
        heard = self.linear_audio(audio).flatten(1)  # (N, 192)
        x = self.MLP(torch.cat([first_pose, z + self.classbias[style], heard], dim=1)).unflatten(1, (WINDOW, POSE))
        return self.pose_linear(self.resunet(x))


class SadTalkerPose(nn.Module):
    """SadTalker's PoseVAE, with the interface of `expnet.models.pose_cvae.PoseCVAE`.

    Every window of 32 frames is drawn by itself from the first pose, the sound and a style, and the windows are joined
    under a Savitzky-Golay filter. The audio encoder is frozen, as it was in the original training.

    Args:
        network: always ``sadtalker``; tells the two head-pose networks apart in files and configurations.
        styles: number of speakers; ``--pose_style`` of the original.
        tied_variance: as published, where the layer of the mean computes the log-variance too (cvae.py), so that a
            posterior's variance is exp(mean). Sampling is not touched by it. False gives the variance its own layer.
    """

    task = "pose"
    takes_pieces = False
    frame_by_frame = False
    measures_styles = False
    window = WINDOW
    latent = LATENT
    pose_std: Tensor

    def __init__(self, *, network: str = "sadtalker", styles: int = STYLES, tied_variance: bool = True) -> None:
        super().__init__()
        self.options: dict[str, Any] = {"network": network, "styles": styles, "tied_variance": tied_variance}
        # What the losses of a training divide by, not part of the network: published weights have none.
        self.register_buffer("pose_std", torch.ones(POSE), persistent=False)
        self.audio_encoder = WindowEncoder().requires_grad_(False)
        self.encoder = WindowPosterior(styles, tied_variance=tied_variance)
        self.decoder = WindowDecoder(styles)

    def set_statistics(self, *, pose_std: Tensor, mel_mean: Tensor, mel_std: Tensor) -> None:
        """Store pose_std (6); the network reads poses and mel as they are."""
        self.pose_std.copy_(pose_std.clamp_min(1e-4))

    def train(self, mode: bool = True) -> SadTalkerPose:
        """Switch to training, all but the frozen audio encoder."""
        super().train(mode)
        self.audio_encoder.eval()
        return self

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
        """Encode and decode the windows of a stretch of real motion.

        Args:
            mel: (B, 80, 2 x 16 + ceil(3.2 T)).
            pose: (B, T, 6) relative to frame 0; as many windows as fit into frames 1 ... T - 1 are used. The original
                was trained with T = 33.
            first_pose: (B, 6) absolute pose of frame 0.
            style: (B,) style indices; 0 when absent.
            valid: (B, T) bool; false frames are no targets.
            from_prior: decode a draw from N(0, I) too.
        """
        windows = (pose.shape[1] - 1) // WINDOW
        if windows < 1:
            raise InputError(
                f"SadTalker's head-pose network needs {WINDOW + 1} frames or more at once, not {pose.shape[1]}; "
                f"set data.window to {WINDOW + 1}."
            )
        if valid is None:
            valid = torch.ones(pose.shape[:2], dtype=torch.bool, device=pose.device)
        style = torch.zeros(len(pose), dtype=torch.long, device=pose.device) if style is None else style
        span = windows * WINDOW
        audio = self.audio_encoder(mel, span + 1)
        audio, target, counted = (  # (N, W, 512), (N, W, 6), (N, W) with N = B x windows
            x[:, 1 : span + 1].unflatten(1, (windows, WINDOW)).flatten(0, 1) for x in (audio, pose, valid)
        )
        first_pose, style = (x.repeat_interleave(windows, dim=0) for x in (first_pose, style))
        mean, log_variance = self.encoder(target, audio, first_pose, style)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if self.training else mean
        return PoseWindows(
            predicted=self.decoder(z, audio, first_pose, style),
            target=target,
            valid=counted,
            mean=mean,
            log_variance=log_variance,
            reach=self.pose_std.expand(len(mean), 1, POSE),
            from_prior=self.decoder(torch.randn_like(mean), audio, first_pose, style) if from_prior else None,
        )

    @torch.no_grad()
    def sample(
        self,
        mel: Tensor,
        frames: int,
        first_pose: Tensor,
        style: Tensor | None = None,
        generator: torch.Generator | None = None,
        *,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw a head motion of any length, as the original's ``test`` and the filter after it do.

        Args:
            mel: (B, 80, 2 x 16 + ceil(3.2 T)).
            frames: T.
            first_pose: (B, 6) absolute pose of frame 0, the portrait's.
            style: (B,) style indices; 0 when absent.
            generator: on CPU; the same seed gives the same motion on every device.
            temperature: scale of the latents; 1 is the original.

        Returns:
            (B, T, 6) poses relative to the first pose. The filter moves frame 0 too, so its own is near 0, not 0.
        """
        batch = len(mel)
        style = torch.zeros(batch, dtype=torch.long, device=mel.device) if style is None else style
        audio = self.audio_encoder(mel, frames)[:, 1:]  # (B, T - 1, 512): frame 0 is the portrait
        drawn = [mel.new_zeros(batch, 1, POSE)]
        for start in range(0, frames - 1, WINDOW):
            stop = min(start + WINDOW, frames - 1)
            # The last window ends with the sound and overlaps the one before, of which nothing is kept.
            heard = audio[:, max(0, stop - WINDOW) : stop]
            missing = WINDOW - heard.shape[1]
            heard = torch.cat([heard[:, :1].expand(-1, missing, -1), heard], dim=1)  # (B, 32, 512)
            z = torch.randn(batch, LATENT, generator=generator).to(mel) * temperature
            drawn.append(self.decoder(z, heard, first_pose, style)[:, WINDOW - (stop - start) :])
        return smooth(first_pose[:, None] + torch.cat(drawn, dim=1)) - first_pose[:, None]


def smooth(pose: Tensor) -> Tensor:
    """Filter poses (B, T, 6) by Savitzky-Golay of order 2 over 13 frames, or the most that a shorter clip has."""
    length = min(SMOOTHING, (pose.shape[1] - 1) // 2 * 2 + 1)
    if length < 3:
        return pose
    from scipy.signal import savgol_filter  # slow to import, and `expnet animate` seldom needs it

    return torch.from_numpy(savgol_filter(pose.cpu().numpy(), length, 2, axis=1)).to(pose)
