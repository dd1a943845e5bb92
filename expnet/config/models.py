"""Sizes and switches of the networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from expnet.config.checks import not_negative, require
from expnet.config.part_sections import check_parts, part_field


@dataclass
class ExpressionModelConfig:
    """The expression network, `expnet.models.expression_regressor.ExpressionRegressor`."""

    network: str = part_field("expression_networks", "expnet", options="network_options")
    """expnet, or a baseline: small_convolution has two convolutions and uses width and dropout only; autoregressive is
    FaceFormer's form, which decodes each frame from the audio and the frames before it."""
    network_options: dict[str, Any] = field(default_factory=dict)
    """Options of a network of another package (docs/guides/own_parts.md)."""
    width: int = 96
    """Size of the features."""
    layers: int = 2
    """Depth of the temporal module."""
    heads: int = 4
    """Attention heads."""
    feedforward: int = 2
    """Size of the hidden layer of a Transformer block, as a multiple of the width."""
    dropout: float = 0.15
    """Dropout of all layers; networks overfit fast on minutes of speech."""
    stochastic_depth: float = 0.1
    """Probability of dropping the deepest residual branch."""
    audio_encoder: Literal["sequence", "window"] = "sequence"
    """sequence: convolutions over the whole mel. window: SadTalker's network on an 80 x 16 window per frame."""
    audio_channels: int = 64
    """Channels of the (first) convolutions of the audio encoder; SadTalker's window network has 32."""
    level: bool = True
    """Subtract each mel band's average over the speech, which removes differences of voices and microphones."""
    feature_context: int = 5
    """Frames of the convolution over the speech features, where the network reads them; 1 for none."""
    temporal_module: str = part_field("temporal_modules", "transformer", options="temporal_options")
    """Module over time; none is SadTalker's linear layer per frame."""
    temporal_options: dict[str, Any] = field(default_factory=dict)
    """Options of a temporal module of another package (docs/guides/own_parts.md)."""
    attention_bias: str = part_field("attention_biases", "alibi", options="bias_options")
    """Position information of attention: ALiBi (symmetric, causal, FaceFormer's periodic, learned slopes), sinusoidal
    positions, or none."""
    bias_options: dict[str, Any] = field(default_factory=dict)
    """Options of an attention bias of another package."""
    period: int = 25
    """Period of alibi_periodic in frames."""
    streaming: bool = False
    """For live audio (with alibi_causal): level by the audio so far, and attend to the last ten seconds."""
    first_frame_conditioning: bool = True
    """Condition the network on the first frame's expression."""
    first_frame_dropout: float = 0.5
    """Fraction of training windows without that condition, without which the network would memorise the speakers."""
    residual: bool = True
    """Predict the change from the first frame's expression; false predicts the change from the training mean."""
    blink: bool = False
    """Take the eyelid closure as an input."""
    emotion: bool = False
    """Take the clip's emotion label as an input."""
    output_rank: int = 0
    """Width of a linear bottleneck before the 64 coefficients; 0 for none."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("width", "layers", "heads", "feedforward", "audio_channels", "period"):
            require(getattr(self, name) >= 1, f"model.{name} must be 1 or more, not {getattr(self, name)}.")
        odd = self.feature_context >= 1 and self.feature_context % 2 == 1
        require(odd, f"model.feature_context must be an odd number of frames, not {self.feature_context}.")
        for name in ("dropout", "stochastic_depth", "first_frame_dropout"):
            value = getattr(self, name)
            require(0 <= value < 1, f"model.{name} must be at least 0 and below 1, not {value}.")
        check_parts("model", self)
        if self.temporal_module == "transformer":
            require(
                self.width % self.heads == 0,
                f"model.width ({self.width}) must be a multiple of model.heads ({self.heads}).",
            )


@dataclass
class PoseModelConfig:
    """The head-pose network, `expnet.models.pose_cvae.PoseCVAE`."""

    network: str = part_field("pose_networks", "expnet", options="network_options")
    """sadtalker is the PoseVAE of that project as published; its sizes are fixed, so of the keys below it uses only
    tied_variance (configs/sadtalker_pose.yaml)."""
    network_options: dict[str, Any] = field(default_factory=dict)
    """Options of a network of another package (docs/guides/own_parts.md)."""
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
    """Frames before a window that it is conditioned on."""
    dropout: float = 0.1
    """Dropout of the features."""
    tied_variance: bool = True
    """For sadtalker: the layer of the mean also computes the log-variance, as published; false separates them."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("latent", "width", "layers", "audio_features", "audio_channels", "previous"):
            require(getattr(self, name) >= 1, f"model.{name} must be 1 or more, not {getattr(self, name)}.")
        require(0 <= self.dropout < 1, f"model.dropout must be at least 0 and below 1, not {self.dropout}.")
        check_parts("model", self)


@dataclass
class MotionModelConfig:
    """The motion network, `expnet.models.flow_matching.motion_flow.MotionFlow`."""

    groups: list[str] = field(default_factory=lambda: ["expression", "head", "lids"])
    """What is drawn together: expression (64 coefficients), head (rotation and translation), lids (their closure)."""
    width: int = 128
    """Size of the features."""
    layers: int = 4
    """Depth of the Transformer."""
    heads: int = 4
    """Attention heads."""
    feedforward: int = 2
    """Size of the hidden layer of a block, as a multiple of the width."""
    dropout: float = 0.1
    """Dropout of the blocks."""
    speech_dropout: float = 0.2
    """Dropout of the speech features."""
    audio_channels: int = 64
    """Channels of the audio encoder's convolutions, for networks without speech features."""
    level: bool = True
    """Subtract each mel band's average over the speech, for networks without speech features."""
    attention_bias: str = part_field("attention_biases", "alibi", options="bias_options")
    """Position information of attention, as for the expression network."""
    bias_options: dict[str, Any] = field(default_factory=dict)
    """Options of an attention bias of another package (docs/guides/own_parts.md)."""
    period: int = 25
    """Period of alibi_periodic in frames."""
    first_frame_conditioning: bool = True
    """Condition the network on the first frame's expression."""
    first_frame_dropout: float = 0.1
    """Fraction of training windows without that condition."""
    emotion: bool = False
    """Take the clip's emotion label as an input."""
    audio_left_out: float = 0.1
    """Fraction of training windows without audio, from which guidance by the audio learns."""
    style_left_out: float = 0.1
    """Fraction of training windows without head-motion style and emotion, from which guidance by these learns."""
    mean_share: float = 0.3
    """Fraction of training windows at the beginning of the flow, without noise, from which the network learns the mean
    of all motions, as a regression does; see `expnet.models.flow_matching.mean_motion`."""
    previous: int = 15
    """Most frames before a window that it continues; a multiple of five."""
    previous_share: float = 0.5
    """Fraction of training windows that continue frames before them, from one frame to that many."""
    head_noise_frames: int = 8
    """Frames over which the noise of the head is smooth, since heads move slowly; 0 for white noise."""

    def __post_init__(self) -> None:
        """Check ranges."""
        known = ("expression", "head", "lids")
        chosen = bool(self.groups) and set(self.groups) <= set(known) and len(set(self.groups)) == len(self.groups)
        require(chosen, f"model.groups must be some of {', '.join(known)}, each once, not {self.groups}.")
        for name in ("width", "layers", "heads", "feedforward", "audio_channels", "period"):
            require(getattr(self, name) >= 1, f"model.{name} must be 1 or more, not {getattr(self, name)}.")
        fractions = ("dropout", "speech_dropout", "first_frame_dropout", "audio_left_out", "style_left_out")
        for name in fractions:
            value = getattr(self, name)
            require(0 <= value < 1, f"model.{name} must be at least 0 and below 1, not {value}.")
        for name in ("previous_share", "mean_share"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"model.{name} must be at least 0 and at most 1, not {value}.")
        require(
            self.width % (2 * self.heads) == 0,
            f"model.width ({self.width}) must be an even multiple of model.heads ({self.heads}).",
        )
        require(
            self.previous >= 5 and self.previous % 5 == 0,
            f"model.previous must be a multiple of five and at least 5, not {self.previous}.",
        )
        frames = self.head_noise_frames
        require(frames >= 0, f"model.head_noise_frames must be 0 or more, not {frames}.")
        check_parts("model", self)


@dataclass
class LandmarkSyncModelConfig:
    """The sync expert, `expnet.models.landmark_sync.LandmarkSync`."""

    width: int = 64
    """Size of the features."""
    layers: int = 2
    """Residual convolutions over time in each tower."""
    audio_channels: int = 64
    """Channels of the audio encoder's convolutions."""
    dropout: float = 0.2
    """Dropout of all layers."""
    lip_noise: float = 0.1
    """Noise on training landmarks, as a fraction of their standard deviation."""
    lip_gain: float = 0.3
    """Standard deviation of the logarithm of a random gain of the lip motion in training."""

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
    """Regions of the face to refine, each with its own network: mouth, eye, face."""
    size: int = 96
    """Side of a region in pixels, a multiple of 16 and of 2 ^ levels; 256 or 512 for the face, on a GPU."""
    width: int = 16
    """Channels at half that resolution; each level down adds as many."""
    levels: int = 3
    """Number of halvings of the resolution, at least 2."""
    light: float = 0.35
    """Largest logarithm of the gain, 0.35 for 0.7 to 1.4 times; larger values blur teeth to the average."""
    residual: bool = False
    """Also add a residual at the resolution of the region, instead of changing light and tone only."""

    def __post_init__(self) -> None:
        """Check ranges."""
        known = {"mouth", "eye", "face"}
        chosen = bool(self.kinds) and set(self.kinds) <= known
        require(chosen, f"model.kinds must be some of mouth, eye, face, not {self.kinds}.")
        for name, least in (("width", 1), ("levels", 2)):
            value = getattr(self, name)
            require(value >= least, f"model.{name} must be {least} or more, not {value}.")
        require(0 < self.light <= 2, f"model.light must be above 0 and at most 2, not {self.light}.")
        require(
            self.size > 0 and self.size % 2**self.levels == 0 and self.size % 16 == 0,
            f"model.size must be a multiple of 16 and of 2 ^ model.levels, not {self.size}.",
        )


@dataclass
class RendererModelConfig:
    """The renderer that is trained, `expnet.models.video_renderer.VideoRenderer`; the sizes are face-vid2vid's."""

    size: int = 256
    """Side of the frames in pixels, a multiple of 4 * 2 ^ motion_halvings."""
    keypoints: int = 15
    """Number of keypoints."""
    width: int = 64
    """Channels of the image encoder's first convolution; each of its two halvings doubles them."""
    volume_channels: int = 32
    """Channels of the feature volume."""
    depth: int = 16
    """Depth of the feature volume."""
    volume_blocks: int = 6
    """Residual blocks on the feature volume."""
    motion_width: int = 32
    """Channels of the hourglasses, which double with each halving."""
    motion_largest: int = 1024
    """Most channels of the hourglasses."""
    motion_halvings: int = 5
    """Halvings in the hourglasses."""
    compressed: int = 4
    """Channels of the feature volume from which the flow is estimated."""
    modulation: int = 128
    """Channels between the features and the scales and shifts of the decoder."""
    decoder_blocks: int = 6
    """Residual blocks of the decoder before its two doublings."""
    mapping_width: int = 1024
    """Channels of the mapping network."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name, value in vars(self).items():
            require(value >= 1, f"model.{name} must be 1 or more, not {value}.")
        step = 4 * 2**self.motion_halvings
        require(
            self.size % step == 0,
            f"model.size must be a multiple of 4 * 2 ^ model.motion_halvings = {step}, not {self.size}.",
        )
