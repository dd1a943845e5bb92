"""Speech to expression: a CNN over the mel, a temporal module, and the first frame's expression plus a change."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from expnet.coefficients import DEFAULT_FACE_MODEL, EXPRESSION_SIZE
from expnet.config.models import ExpressionModelConfig
from expnet.errors import ConfigError, InputError
from expnet.models.attention import KeyValueCache
from expnet.models.audio_encoder import (
    FeatureEncoder,
    RunningLevel,
    SequenceEncoder,
    build_audio_encoder,
    frame_centres,
    level_mel,
    receptive_columns,
)
from expnet.models.mel_source import MelSource, level_source, mel_slices
from expnet.models.temporal import TemporalOptions, Transformer, build_temporal

LONGEST = 2000
"""Frames regressed in one pass; attention is quadratic in time, so longer speech is processed in overlapping pieces."""
FIRST_FRAME_NOISE = 0.5
"""Standard deviation of the noise that training adds to the first expression, relative to that of the coefficients:
about the difference between two frames of one person."""
OVERLAP = 200
"""Frames of context on either side of a piece; at that distance only the two flattest heads of four still attend."""
MEMORY = 250
"""Frames (ten seconds) that a streaming network attends to, so that a frame's cost does not grow with the speech."""

OWN_OPTIONS = ("network_options", "temporal_options", "bias_options")
"""Keys with the options of parts of other packages."""


@dataclass(frozen=True)
class _Conditions:
    """What the change of the expression depends on besides the mel; the shapes are those of `forward`."""

    first_expression: Tensor
    blink: Tensor | None = None
    emotion: Tensor | None = None
    valid: Tensor | None = None
    features: Tensor | None = None

    def between(self, left: int, right: int) -> _Conditions:
        """Return the conditions of the frames ``left`` to ``right``."""
        blink, valid, features = (x if x is None else x[:, left:right] for x in (self.blink, self.valid, self.features))
        return replace(self, blink=blink, valid=valid, features=features)


class ExpressionRegressor(nn.Module):
    """Regresses expression coefficients from speech and the first frame's expression.

    ``expression[t] = first_expression + std * head(temporal(audio, first_expression))[t]``

    The last layer starts at zero, so an untrained network holds the first frame's expression. With
    ``temporal_module="none"`` this is SadTalker's mapping: one linear layer over audio, first expression and blink.

    Args:
        config: Sizes and switches; see `expnet.config.models.ExpressionModelConfig`, whose ``network`` and ``emotion``
            are not used here.
        expression_size: Number of coefficients E.
        emotions: Number of emotion labels, 0 for none; label 0 means unknown.
        speech_features: Source of the speech features that are read besides the mel, the values of an
            `expnet.audio.speech_encoders.FeatureSource`; None for the mel alone.
        face_model: Name of the face model that the coefficients belong to.
        **changes: Fields of ``config`` to replace.

    Raises:
        ConfigError: A size is out of range, or a streaming network would need future audio.
    """

    task = "expression"
    takes_pieces = True
    expression_mean: Tensor
    expression_std: Tensor
    importance: Tensor

    def __init__(
        self,
        config: ExpressionModelConfig | None = None,
        *,
        expression_size: int = EXPRESSION_SIZE,
        emotions: int = 0,
        speech_features: dict[str, Any] | None = None,
        face_model: str = DEFAULT_FACE_MODEL,
        **changes: Any,
    ) -> None:
        super().__init__()
        config = replace(config or ExpressionModelConfig(), network="expnet", emotion=emotions > 0, **changes)
        self.options = _flat_options(config, expression_size, emotions, speech_features, face_model)
        self.first_frame_conditioning = config.first_frame_conditioning
        self.first_frame_dropout = config.first_frame_dropout
        self.residual = config.residual
        self.level = config.level
        self.streaming = config.streaming
        if config.streaming:
            _check_streaming(config, speech_features)
        self.face_model = face_model
        self.longest, self.overlap = LONGEST, OVERLAP
        self.register_buffer("expression_mean", torch.zeros(expression_size))
        self.register_buffer("expression_std", torch.ones(expression_size))
        self.register_buffer("importance", torch.ones(expression_size))

        # The order of the layers decides what a seed initialises them to.
        width, dropout = config.width, config.dropout
        self.audio_encoder, features = build_audio_encoder(
            config.audio_encoder, width, channels=config.audio_channels, dropout=dropout
        )
        context = config.feature_context
        self.embed_features = (
            FeatureEncoder(speech_features, features, dropout=dropout, context=context) if speech_features else None
        )
        self.temporal = build_temporal(
            config.temporal_module, features, width, _temporal_options(config), config.temporal_options
        )
        self.embed_emotion = nn.Embedding(emotions, width if self.temporal else features) if emotions else None
        if self.temporal is None:
            self.embed_first = None
            self.embed_blink = None
            features += expression_size * config.first_frame_conditioning + config.blink
        else:
            self.embed_first = nn.Linear(expression_size, width) if config.first_frame_conditioning else None
            self.embed_blink = nn.Linear(1, features, bias=False) if config.blink else None
            self.enter = nn.Linear(width, features)
        self.blink = config.blink
        self.dropout = nn.Dropout(dropout)
        rank = config.output_rank
        self.bottleneck = nn.Linear(features, rank, bias=False) if rank else nn.Identity()
        self.head = nn.Linear(rank or features, expression_size)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def frame_by_frame(self) -> bool:
        """Whether `next_frame` regresses speech that is still arriving."""
        return self.streaming

    def set_statistics(
        self,
        *,
        expression_mean: Tensor,
        expression_std: Tensor,
        mel_mean: Tensor,
        mel_std: Tensor,
        expression_metric: Tensor | None = None,
    ) -> None:
        """Store the training split's statistics in the model's buffers.

        Args:
            expression_mean: (E,).
            expression_std: (E,); a component that never varied keeps scale 1e-3.
            mel_mean: (80,) mean of the unlevelled mel.
            mel_std: (80,) standard deviation of the unlevelled mel.
            expression_metric: (E, E) quadratic form that measures how far a change of the coefficients moves the face.
                The network then sees the first expression in proportion to what each component moves; components that
                move little are mostly tracker noise.
        """
        self.expression_mean.copy_(expression_mean)
        self.expression_std.copy_(expression_std.clamp_min(1e-3))
        # Levelling centres the mel and leaves its standard deviation as it was.
        centre = torch.zeros_like(mel_mean) if self.level else mel_mean
        self.audio_encoder.set_statistics(centre, mel_std)
        if expression_metric is not None:
            moved = expression_metric.diagonal().clamp_min(0).sqrt() * self.expression_std
            self.importance.copy_(moved / moved.max().clamp_min(1e-12))

    def forward(
        self,
        mel: Tensor | MelSource,
        frames: int,
        first_expression: Tensor,
        blink: Tensor | None = None,
        emotion: Tensor | None = None,
        valid: Tensor | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """Regress the expression of every frame.

        Args:
            mel: (B, 80, 2 x 16 + ceil(3.2 T)), see `expnet.audio.alignment.mel_for_frames`; or a
                `expnet.models.mel_source.MelSource`, for speech that is too long to hold in memory.
            frames: Number of frames T.
            first_expression: (B, E) coefficients of the first frame.
            blink: (B, T) eyelid closure in [0, 1]; 0 when absent.
            emotion: (B,) labels; 0 (unknown) when absent.
            valid: (B, T), false where a frame is padding; such frames are ignored.
            features: (B, T, F) speech features, for a network that was trained on them.

        Returns:
            (B, T, E) coefficients.
        """
        batch = mel.shape[0] if isinstance(mel, Tensor) else len(first_expression)
        if first_expression.shape != (batch, len(self.expression_mean)):
            raise InputError(
                f"first_expression must have shape (batch, {len(self.expression_mean)}) for a batch of {batch}, "
                f"not {tuple(first_expression.shape)}."
            )
        conditions = _Conditions(first_expression, blink, emotion, valid, features)
        if not isinstance(mel, Tensor):
            source = level_source(mel, frames, running=self.streaming) if self.level else mel
            return self._add_to_first(self._change_in_pieces(source, frames, conditions), first_expression)
        if self.level:
            mel = RunningLevel()(mel) if self.streaming else level_mel(mel, valid)
        if frames > self.longest and not self.training:
            change = self._change_in_pieces(mel_slices(mel), frames, conditions)
        else:
            change = self._change(mel, frames, conditions)
        return self._add_to_first(change, first_expression)

    def next_frame(self, mel: Tensor, frame: int, first_expression: Tensor, caches: list[KeyValueCache]) -> Tensor:
        """Regress one more frame, as `forward` would regress the last of all frames so far.

        Args:
            mel: (B, 80, N) levelled columns, those of `expnet.models.audio_encoder.receptive_columns` for the frame.
            frame: Index of the frame.
            first_expression: (B, E).
            caches: Keys and values of the frames before, empty at first; this frame's are added.

        Returns:
            (B, 1, E) coefficients.
        """
        assert isinstance(self.audio_encoder, SequenceEncoder)
        centre = frame_centres(torch.tensor([frame], device=mel.device)) - 5 * receptive_columns(frame)[0]
        audio = self.audio_encoder.at(mel, centre)  # (B, 1, D)
        return self._add_to_first(self._decode(audio, _Conditions(first_expression), caches), first_expression)

    def caches(self) -> list[KeyValueCache]:
        """Return empty caches for `next_frame`, one per layer; only for a streaming network."""
        assert isinstance(self.temporal, Transformer)
        return self.temporal.caches()

    def _add_to_first(self, change: Tensor, first_expression: Tensor) -> Tensor:
        """Return the coefficients (B, T, E) for a change in standard deviations."""
        base = first_expression if self.residual else self.expression_mean.expand_as(first_expression)
        return base[:, None] + self.expression_std * change

    def _change(
        self, mel: Tensor, frames: int, conditions: _Conditions, caches: list[KeyValueCache] | None = None
    ) -> Tensor:
        """Return the change (B, T, E), in standard deviations, for a levelled mel."""
        x = self.audio_encoder(mel, frames)  # (B, T, D)
        if self.embed_features is not None:
            x = x + self.embed_features(conditions.features, frames, conditions.valid)
        return self._decode(x, conditions, caches)

    def _decode(self, x: Tensor, conditions: _Conditions, caches: list[KeyValueCache] | None = None) -> Tensor:
        """Return the change (B, T, E), in standard deviations, for audio features x (B, T, D)."""
        first = self._condition_on_first(conditions.first_expression)  # (B, E)
        blink, emotion = conditions.blink, conditions.emotion
        if blink is None:
            blink = x.new_zeros(x.shape[:2])
        if self.embed_emotion is not None and emotion is None:
            emotion = torch.zeros(x.shape[0], dtype=torch.long, device=x.device)
        if self.temporal is None:
            x = self._concatenate(x, first, blink, emotion)
        else:
            condition = x.new_zeros(x.shape[0], self.enter.in_features)  # (B, C)
            if self.embed_first is not None:
                condition = condition + self.embed_first(first)
            if self.embed_emotion is not None:
                condition = condition + self.embed_emotion(emotion)
            x = x + self.enter(condition)[:, None]
            if self.embed_blink is not None:
                x = x + self.embed_blink(blink[..., None].to(x.dtype))
            x = self.dropout(x)
            if caches is None:
                x = self.temporal(x, condition, conditions.valid)
            else:
                assert isinstance(self.temporal, Transformer)
                x = self.temporal.resume(x, condition, caches)
        return self.head(self.bottleneck(self.dropout(x)))  # (B, T, E)

    def _condition_on_first(self, first_expression: Tensor) -> Tensor:
        """Standardise the first expression (B, E) for the network; in training, add noise or leave it out.

        The first expression identifies the training speakers, so a network that always sees it memorises them.
        """
        first = (first_expression - self.expression_mean) / self.expression_std
        if self.training and self.first_frame_dropout:
            shown = torch.rand(len(first), 1, device=first.device) >= self.first_frame_dropout
            first = (first + FIRST_FRAME_NOISE * torch.randn_like(first)) * shown
        return first * self.importance

    def _concatenate(self, x: Tensor, first: Tensor, blink: Tensor, emotion: Tensor | None) -> Tensor:
        """Concatenate the inputs of each frame, as SadTalker does."""
        if self.embed_emotion is not None:
            x = x + self.embed_emotion(emotion)[:, None]
        parts = [x]
        if self.first_frame_conditioning:
            parts.append(first[:, None].expand(-1, x.shape[1], -1))
        if self.blink:
            parts.append(blink[..., None].to(x.dtype))
        return torch.cat(parts, dim=-1)  # (B, T, D + E + 1)

    def _change_in_pieces(self, source: MelSource, frames: int, conditions: _Conditions) -> Tensor:
        """Process long speech in linear time: pieces overlap by `overlap` frames, or cache the past when streaming."""
        overlap = 0 if self.streaming else self.overlap
        caches = self.caches() if self.streaming else None
        step = (self.longest - 2 * overlap) // 5 * 5
        pieces = []
        for begin in range(0, frames, step):
            end = min(begin + step, frames)
            # Five frames are sixteen mel columns, so pieces that start at multiples of five lie on whole columns.
            left, right = max(0, begin - overlap // 5 * 5), min(frames, end + overlap)
            count = right - left
            piece = self._change(source(left, count), count, conditions.between(left, right), caches)
            pieces.append(piece[:, begin - left : end - left])
        return torch.cat(pieces, dim=1)


def _flat_options(
    config: ExpressionModelConfig,
    expression_size: int,
    emotions: int,
    speech_features: dict[str, Any] | None,
    face_model: str,
) -> dict[str, Any]:
    """Return the constructor's arguments as one flat dictionary, the form that checkpoints and model files hold."""
    options: dict[str, Any] = {"expression_size": expression_size}
    for name, value in asdict(config).items():
        if name == "emotion":
            options["emotions"] = emotions
        elif name in OWN_OPTIONS and not value:
            continue  # files of networks without parts of other packages never had these
        elif name != "network":
            options[name] = value
    return {**options, "speech_features": speech_features, "face_model": face_model}


def _temporal_options(config: ExpressionModelConfig) -> TemporalOptions:
    return TemporalOptions(
        layers=config.layers,
        heads=config.heads,
        feedforward=config.feedforward,
        dropout=config.dropout,
        stochastic_depth=config.stochastic_depth,
        attention_bias=config.attention_bias,
        period=config.period,
        memory=MEMORY if config.streaming else 0,
        bias_options=config.bias_options,
    )


def _check_streaming(config: ExpressionModelConfig, speech_features: dict[str, Any] | None) -> None:
    """Raise ConfigError for a streaming network that would need audio from the future."""
    if config.temporal_module != "transformer" or config.attention_bias != "alibi_causal":
        raise ConfigError(
            "A streaming network (model.streaming=true) needs temporal_module=transformer and "
            f"attention_bias=alibi_causal, not {config.temporal_module} and {config.attention_bias}."
        )
    if config.audio_encoder != "sequence" or config.blink or speech_features:
        raise ConfigError(
            "A streaming network (model.streaming=true) reads the mel alone, through audio_encoder=sequence, and "
            "takes no blinks."
        )
