"""Sizes and switches of the networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from expnet.config.checks import not_negative, require


@dataclass
class ExpressionModelConfig:
    """The expression network, `expnet.models.expression_regressor.ExpressionRegressor`."""

    network: Literal["expnet", "small_convolution", "autoregressive"] = "expnet"
    """Baselines beside it: small_convolution, two convolutions, which know width and dropout only; autoregressive,
    FaceFormer's form, a frame after the other, each from the sound and the frames before it."""
    width: int = 96
    """Size of the features."""
    layers: int = 2
    """Depth of the temporal module."""
    heads: int = 4
    """Attention heads."""
    feedforward: int = 2
    """Hidden layer of a Transformer block, as a multiple of the width."""
    dropout: float = 0.15
    """Dropout everywhere; minutes of speech overfit fast."""
    stochastic_depth: float = 0.1
    """Probability of dropping the deepest residual branch."""
    audio_encoder: Literal["sequence", "window"] = "sequence"
    """sequence: convolutions over the whole mel. window: SadTalker's network on an 80 x 16 window a frame."""
    audio_channels: int = 64
    """Channels of the audio encoder's (first) convolutions; SadTalker's window network has 32."""
    level: bool = True
    """Take each band's loudness against its average in the speech, so that voices and microphones sound alike."""
    temporal_module: Literal["transformer", "conv", "gru", "none"] = "transformer"
    """What looks along time; none is SadTalker's linear layer a frame."""
    attention_bias: Literal["alibi", "alibi_causal", "alibi_periodic", "alibi_learned", "sinusoidal", "none"] = "alibi"
    """How attention knows time: ALiBi (symmetric, causal, FaceFormer's periodic, learned slopes), positions, or not."""
    period: int = 25
    """Frames of a period of alibi_periodic."""
    streaming: bool = False
    """For sound that arrives as it is spoken (with alibi_causal): level by the sound so far, look ten seconds back."""
    first_frame_conditioning: bool = True
    """Show the first frame's expression to the network."""
    first_frame_dropout: float = 0.5
    """Share of training windows that are not shown it, or the network would learn the speakers by heart."""
    residual: bool = True
    """Output the first frame's expression plus a change; false outputs the training mean plus a change."""
    blink: bool = False
    """Take the closure of the eyes as an input."""
    emotion: bool = False
    """Take the clip's emotion label as an input."""
    output_rank: int = 0
    """Width of a linear bottleneck before the 64 coefficients; 0 for none."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("width", "layers", "heads", "feedforward", "audio_channels", "period"):
            require(getattr(self, name) >= 1, f"model.{name} must be 1 or more, not {getattr(self, name)}.")
        for name in ("dropout", "stochastic_depth", "first_frame_dropout"):
            value = getattr(self, name)
            require(0 <= value < 1, f"model.{name} must be at least 0 and below 1, not {value}.")
        if self.temporal_module == "transformer":
            require(
                self.width % self.heads == 0,
                f"model.width ({self.width}) must be a multiple of model.heads ({self.heads}).",
            )


@dataclass
class PoseModelConfig:
    """The head-pose network, `expnet.models.pose_cvae.PoseCVAE`."""

    network: Literal["expnet", "sadtalker"] = "expnet"
    """sadtalker: that project's PoseVAE as published, whose sizes are fixed, so that of the keys below only
    tied_variance has a say in it (configs/sadtalker_pose.yaml)."""
    latent: int = 32
    """Size of the latent of a window of 32 frames."""
    width: int = 96
    """Size of the features."""
    layers: int = 3
    """Depth of encoder and decoder."""
    audio_features: int = 32
    """Size of the audio features of a frame."""
    audio_channels: int = 48
    """Channels of the audio encoder's convolutions."""
    previous: int = 8
    """Frames before a window that it continues."""
    dropout: float = 0.1
    """Dropout of features."""
    tied_variance: bool = True
    """Of sadtalker: the log-variance comes from the layer of the mean, as published; false gives it its own."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("latent", "width", "layers", "audio_features", "audio_channels", "previous"):
            require(getattr(self, name) >= 1, f"model.{name} must be 1 or more, not {getattr(self, name)}.")
        require(0 <= self.dropout < 1, f"model.dropout must be at least 0 and below 1, not {self.dropout}.")


@dataclass
class LandmarkSyncModelConfig:
    """The sync expert, `expnet.models.landmark_sync.LandmarkSync`."""

    width: int = 64
    """Size of the features."""
    layers: int = 2
    """Residual convolutions over time of each tower."""
    audio_channels: int = 64
    """Channels of the audio encoder's convolutions."""
    dropout: float = 0.2
    """Dropout everywhere."""
    lip_noise: float = 0.1
    """Noise on training landmarks, as a share of their standard deviation."""
    lip_gain: float = 0.3
    """Standard deviation of the logarithm of a factor on how widely training mouths move."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("width", "layers", "audio_channels"):
            require(getattr(self, name) >= 1, f"model.{name} must be 1 or more, not {getattr(self, name)}.")
        require(0 <= self.dropout < 1, f"model.dropout must be at least 0 and below 1, not {self.dropout}.")
        not_negative("model", self)


@dataclass
class RefinerModelConfig:
    """The renderer's refiner, `expnet.models.refiner.Refiner`."""

    kinds: list[str] = field(default_factory=lambda: ["mouth"])
    """Pieces of the face that are refined, each by a network of its own: mouth, eye, face."""
    size: int = 96
    """Pixels of a piece's side, a multiple of 2 ^ levels; 256 or 512 for the face, on a GPU."""
    width: int = 16
    """Channels at half that resolution; each level down has as many more."""
    levels: int = 3
    """Halvings of the resolution, 2 or more."""
    light: float = 0.35
    """Largest logarithm of the gain, 0.35 for 0.7 to 1.4 times; more makes of teeth the average of what might show."""
    residual: bool = False
    """Also add something at the piece's own resolution, not only change its light and tone."""

    def __post_init__(self) -> None:
        """Check ranges."""
        known = {"mouth", "eye", "face"}
        chosen = bool(self.kinds) and set(self.kinds) <= known
        require(chosen, f"model.kinds are some of mouth, eye, face, not {self.kinds}.")
        for name, least in (("width", 1), ("levels", 2)):
            value = getattr(self, name)
            require(value >= least, f"model.{name} must be {least} or more, not {value}.")
        require(0 < self.light <= 2, f"model.light must be above 0 and at most 2, not {self.light}.")
        require(
            self.size > 0 and self.size % 2**self.levels == 0 and self.size % 16 == 0,
            f"model.size must be a multiple of 16 and of 2 ^ model.levels, not {self.size}.",
        )
