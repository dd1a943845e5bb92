"""SadTalker's head-pose network as published, so that its weights can be loaded, compared and trained further.

Its expression network needs no code of its own; it is an `ExpressionRegressor` with the options
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
"""Options that make an `ExpressionRegressor` SadTalker's: ``Linear(512 + 64 + 1 -> 64)`` on each frame's audio."""
WINDOW = 32
"""Frames of a window, which are drawn at once."""
STYLES = 46
"""Number of speakers that the published network was trained on."""
LATENT = 64
AUDIO = 512
CODE = WINDOW * POSE
HIDDEN = 128
SMOOTHING = 13
"""Frames of the Savitzky-Golay filter (order 2) that hides the seams between windows."""


class ResidualConvolution(nn.Module):
    """Two normalised convolutions in parallel with a strided one; the stride is over time, not over pose components."""

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
    """Doubles the number of frames with a transposed convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(channels, channels, (2, 1), (2, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, W, 6) to (B, C, 2 W, 6)."""
        return self.upsample(x)


class ResidualUNet(nn.Module):
    """U-Net over the poses of a window as an image, halved three times in time, with a sigmoid at the end."""

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
    """Maps the motion of a window to the posterior of its latent.

    Args:
        styles: Number of speakers.
        tied_variance: Whether the layer of the mean also computes the log-variance.
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
    """Maps a latent to the motion of a window."""

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
        audio = self.linear_audio(audio).flatten(1)  # (N, 192)
        x = self.MLP(torch.cat([first_pose, z + self.classbias[style], audio], dim=1)).unflatten(1, (WINDOW, POSE))
        return self.pose_linear(self.resunet(x))


class SadTalkerPose(nn.Module):
    """SadTalker's PoseVAE, with the interface of `expnet.models.pose_cvae.PoseCVAE`.

    Every window of 32 frames is drawn independently from the first pose, the audio and a style, and the joined windows
    are smoothed by a Savitzky-Golay filter. The audio encoder is frozen, as in the original training.

    Args:
        network: Always ``sadtalker``; distinguishes the two head-pose networks in files and configurations.
        styles: Number of speakers, the range of ``--pose_style`` in the original.
        tied_variance: Compute the log-variance with the layer of the mean, as published (cvae.py), which makes the
            variance of the posterior exp(mean). Sampling does not depend on it. False gives the variance its own layer.
    """

    task = "pose"
    leaves_parameters_unused = True  # the published network has a variance that its sampling does not use
    takes_pieces = False
    frame_by_frame = False
    measures_styles = False
    window = WINDOW
    latent = LATENT
    pose_std: Tensor

    def __init__(self, *, network: str = "sadtalker", styles: int = STYLES, tied_variance: bool = True) -> None:
        super().__init__()
        self.options: dict[str, Any] = {"network": network, "styles": styles, "tied_variance": tied_variance}
        # The unit of the training losses, which is not part of the published weights.
        self.register_buffer("pose_std", torch.ones(POSE), persistent=False)
        self.audio_encoder = WindowEncoder().requires_grad_(False)
        self.encoder = WindowPosterior(styles, tied_variance=tied_variance)
        self.decoder = WindowDecoder(styles)

    def set_statistics(self, *, pose_std: Tensor, mel_mean: Tensor, mel_std: Tensor) -> None:
        """Store pose_std (6,); the network reads unnormalised poses and mel."""
        self.pose_std.copy_(pose_std.clamp_min(1e-4))

    def train(self, mode: bool = True) -> SadTalkerPose:
        """Switch to training mode, except for the frozen audio encoder."""
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
        """Encode and decode the windows of real motion.

        Args:
            mel: (B, 80, 2 x 16 + ceil(3.2 T)).
            pose: (B, T, 6) relative to frame 0; as many windows as fit into frames 1 ... T - 1 are used. The original
                was trained with T = 33.
            first_pose: (B, 6) absolute pose of frame 0.
            style: (B,) style indices; 0 when absent.
            valid: (B, T) bool; false frames are not targets.
            from_prior: Also decode a sample from N(0, I).
        """
        windows = (pose.shape[1] - 1) // WINDOW
        if windows < 1:
            raise InputError(
                f"SadTalker's head-pose network needs at least {WINDOW + 1} frames at once, not {pose.shape[1]}; "
                f"set data.window to {WINDOW + 1}."
            )
        if valid is None:
            valid = torch.ones(pose.shape[:2], dtype=torch.bool, device=pose.device)
        style = torch.zeros(len(pose), dtype=torch.long, device=pose.device) if style is None else style
        span = windows * WINDOW
        audio = self.audio_encoder(mel, span + 1)
        audio, target, target_valid = (  # (N, W, 512), (N, W, 6), (N, W) with N = B x windows
            x[:, 1 : span + 1].unflatten(1, (windows, WINDOW)).flatten(0, 1) for x in (audio, pose, valid)
        )
        first_pose, style = (x.repeat_interleave(windows, dim=0) for x in (first_pose, style))
        mean, log_variance = self.encoder(target, audio, first_pose, style)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if self.training else mean
        return PoseWindows(
            predicted=self.decoder(z, audio, first_pose, style),
            target=target,
            valid=target_valid,
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
        """Draw a head motion of any length, as the original's ``test`` method and the filter after it do.

        Args:
            mel: (B, 80, 2 x 16 + ceil(3.2 T)).
            frames: Number of frames T.
            first_pose: (B, 6) absolute pose of frame 0, the portrait's.
            style: (B,) style indices; 0 when absent.
            generator: Generator on CPU; the same seed gives the same motion on every device.
            temperature: Scale of the latents; 1 as in the original.

        Returns:
            (B, T, 6) poses relative to the first pose. The filter changes frame 0 too, so it is only close to 0.
        """
        batch = len(mel)
        style = torch.zeros(batch, dtype=torch.long, device=mel.device) if style is None else style
        audio = self.audio_encoder(mel, frames)[:, 1:]  # (B, T - 1, 512), since frame 0 is the portrait
        drawn = [mel.new_zeros(batch, 1, POSE)]
        for start in range(0, frames - 1, WINDOW):
            stop = min(start + WINDOW, frames - 1)
            # The last window ends with the audio and overlaps the one before; only its new frames are kept.
            window = audio[:, max(0, stop - WINDOW) : stop]
            missing = WINDOW - window.shape[1]
            window = torch.cat([window[:, :1].expand(-1, missing, -1), window], dim=1)  # (B, 32, 512)
            z = torch.randn(batch, LATENT, generator=generator).to(mel) * temperature
            drawn.append(self.decoder(z, window, first_pose, style)[:, WINDOW - (stop - start) :])
        return smooth(first_pose[:, None] + torch.cat(drawn, dim=1)) - first_pose[:, None]


def smooth(pose: Tensor) -> Tensor:
    """Smooth poses (B, T, 6) with a Savitzky-Golay filter of order 2 over 13 frames, or fewer in shorter clips."""
    length = min(SMOOTHING, (pose.shape[1] - 1) // 2 * 2 + 1)
    if length < 3:
        return pose
    from scipy.signal import savgol_filter  # slow to import and rarely needed

    return torch.from_numpy(savgol_filter(pose.cpu().numpy(), length, 2, axis=1)).to(pose)
