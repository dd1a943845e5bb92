"""Speech to expression: a CNN over the mel, a module over time, and 64 coefficients a frame as first frame + change."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from expnet.coefficients import DEFAULT_FACE_MODEL
from expnet.errors import ConfigError, InputError
from expnet.models.attention import KeyValueCache
from expnet.models.audio_encoder import (
    FeatureEncoder,
    RunningLevel,
    SequenceEncoder,
    build_audio_encoder,
    frame_centres,
    heard_columns,
    level_mel,
)
from expnet.models.mel_source import Sound, levelled, slices
from expnet.models.temporal import Transformer, build_temporal

LONGEST = 2000
"""Frames that are regressed in one pass; attention's cost is quadratic, so longer speech goes in overlapping pieces."""
FIRST_FRAME_BLUR = 0.5
"""Noise on the first expression in training, in its standard deviations: about what separates frames of one person."""
OVERLAP = 200
"""Frames that a piece sees before and after its own: at a distance of 200 only the two flattest heads of four look."""
MEMORY = 250
"""Frames that a network for streams looks back, ten seconds: what a frame costs does not grow with the speech."""


class ExpressionRegressor(nn.Module):
    """Regress expression coefficients from speech and the first frame's expression.

    ``expression[t] = first_expression + std * head(temporal(audio, first_expression))[t]``

    The last layer starts at zero, so an untrained network holds the first frame's expression. With
    ``temporal_module="none"`` this is SadTalker's mapping: one linear layer over audio, first expression and blink.

    Args:
        expression_size: E, number of coefficients.
        width: D, of the features.
        layers: depth of the temporal module.
        heads: attention heads.
        feedforward: hidden layer of a Transformer block, as a multiple of D.
        dropout: everywhere.
        stochastic_depth: probability of dropping the deepest residual branch.
        audio_encoder: ``sequence`` or ``window``, see `expnet.models.audio_encoder`.
        audio_channels: of its convolutions.
        level: take loudness against its average in the speech, see `expnet.models.audio_encoder.level_mel`.
        temporal_module: see `expnet.models.temporal.TEMPORAL_MODULES`.
        attention_bias: see `expnet.models.attention.ATTENTION_BIASES`.
        period: of ``alibi_periodic``, frames.
        streaming: for sound that arrives as it is spoken: loudness is taken against its average so far, and attention,
            which has to be ``alibi_causal``, looks `MEMORY` frames back; see `expnet.models.expression_stream`.
        first_frame_conditioning: show the first frame's expression to the network.
        first_frame_dropout: share of training examples that are not shown it; the others see it blurred. It tells the
            training speakers apart, so a network that always sees it learns them by heart.
        residual: add the first frame's expression to the output; else the training mean.
        blink: take a closure of the eyes a frame (0 open, 1 closed).
        emotions: number of emotion labels, 0 for none; label 0 means unknown.
        output_rank: width of a linear bottleneck before the coefficients, 0 for none.
        speech_features: where the speech features come from that are heard beside the mel, the values of an
            `expnet.audio.speech_encoder.FeatureSource`; None for none.
        face_model: name of the face model that the coefficients belong to.
    """

    task = "expression"
    takes_pieces = True
    expression_mean: Tensor
    expression_std: Tensor
    importance: Tensor

    def __init__(
        self,
        *,
        expression_size: int = 64,
        width: int = 96,
        layers: int = 2,
        heads: int = 4,
        feedforward: int = 2,
        dropout: float = 0.2,
        stochastic_depth: float = 0.1,
        audio_encoder: str = "sequence",
        audio_channels: int = 96,
        level: bool = True,
        temporal_module: str = "transformer",
        attention_bias: str = "alibi",
        period: int = 25,
        streaming: bool = False,
        first_frame_conditioning: bool = True,
        first_frame_dropout: float = 0.5,
        residual: bool = True,
        blink: bool = False,
        emotions: int = 0,
        output_rank: int = 0,
        speech_features: dict[str, Any] | None = None,
        face_model: str = DEFAULT_FACE_MODEL,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.first_frame_conditioning = first_frame_conditioning
        self.first_frame_dropout = first_frame_dropout
        self.residual = residual
        self.level = level
        self.streaming = streaming
        if streaming:
            _check_streaming(temporal_module, attention_bias, audio_encoder, blink, speech_features)
        self.face_model = face_model
        self.longest, self.overlap = LONGEST, OVERLAP
        self.register_buffer("expression_mean", torch.zeros(expression_size))
        self.register_buffer("expression_std", torch.ones(expression_size))
        self.register_buffer("importance", torch.ones(expression_size))

        self.audio_encoder, features = build_audio_encoder(
            audio_encoder, width, channels=audio_channels, dropout=dropout
        )
        self.embed_features = FeatureEncoder(speech_features, features, dropout=dropout) if speech_features else None
        self.temporal = build_temporal(
            temporal_module,
            features,
            layers,
            width,
            heads=heads,
            feedforward=feedforward,
            dropout=dropout,
            stochastic_depth=stochastic_depth,
            attention_bias=attention_bias,
            period=period,
            memory=MEMORY if streaming else 0,
        )
        self.embed_emotion = nn.Embedding(emotions, width if self.temporal else features) if emotions else None
        if self.temporal is None:
            self.embed_first = None
            self.embed_blink = None
            features += expression_size * first_frame_conditioning + blink
        else:
            self.embed_first = nn.Linear(expression_size, width) if first_frame_conditioning else None
            self.embed_blink = nn.Linear(1, features, bias=False) if blink else None
            self.enter = nn.Linear(width, features)
        self.blink = blink
        self.dropout = nn.Dropout(dropout)
        self.bottleneck = nn.Linear(features, output_rank, bias=False) if output_rank else nn.Identity()
        self.head = nn.Linear(output_rank or features, expression_size)
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
            mel_mean: (80,), of the mel as it is.
            mel_std: the same.
            expression_metric: (E, E), what a step in the coefficients moves on the face. The first expression is then
                shown to the network in proportion to what each component moves; the small ones are tracker noise.
        """
        self.expression_mean.copy_(expression_mean)
        self.expression_std.copy_(expression_std.clamp_min(1e-3))
        # Levelled mel is centred already, and has the deviations it had.
        centre = torch.zeros_like(mel_mean) if self.level else mel_mean
        self.audio_encoder.set_statistics(centre, mel_std)
        if expression_metric is not None:
            moved = expression_metric.diagonal().clamp_min(0).sqrt() * self.expression_std
            self.importance.copy_(moved / moved.max().clamp_min(1e-12))

    def forward(
        self,
        mel: Tensor | Sound,
        frames: int,
        first_expression: Tensor,
        blink: Tensor | None = None,
        emotion: Tensor | None = None,
        valid: Tensor | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """Regress the expression of every frame.

        Args:
            mel: (B, 80, 2 x 16 + ceil(3.2 T)), see `expnet.audio.alignment.mel_for_frames`; or a function that gives
                it piece by piece, for speech that is too long to hold, see `expnet.models.mel_source`.
            frames: T.
            first_expression: (B, E) coefficients of the first frame.
            blink: (B, T) closure of the eyes in [0, 1]; taken as 0 when absent.
            emotion: (B,) labels; taken as 0 (unknown) when absent.
            valid: (B, T), false where a frame is padding. Such frames are not looked at.
            features: (B, T, F) speech features, for a network that was trained on them.

        Returns:
            (B, T, E) coefficients.
        """
        batch = mel.shape[0] if isinstance(mel, Tensor) else len(first_expression)
        if first_expression.shape != (batch, len(self.expression_mean)):
            raise InputError(
                f"first_expression has shape (batch, {len(self.expression_mean)}) for a batch of {batch}, "
                f"not {tuple(first_expression.shape)}."
            )
        if not isinstance(mel, Tensor):
            sound = levelled(mel, frames, running=self.streaming) if self.level else mel
            change = self._change_in_pieces(sound, frames, first_expression, blink, emotion, valid, features)
            return self._placed(change, first_expression)
        if self.level:
            mel = RunningLevel()(mel) if self.streaming else level_mel(mel, valid)
        if frames > self.longest and not self.training:
            change = self._change_in_pieces(slices(mel), frames, first_expression, blink, emotion, valid, features)
        else:
            change = self._change(mel, frames, first_expression, blink, emotion, valid, features)
        return self._placed(change, first_expression)

    def next_frame(self, mel: Tensor, frame: int, first_expression: Tensor, caches: list[KeyValueCache]) -> Tensor:
        """Regress one more frame, as `forward` regresses the last of all frames so far.

        Args:
            mel: (B, 80, N) levelled, the columns `expnet.models.audio_encoder.heard_columns` of the frame.
            frame: its number.
            first_expression: (B, E).
            caches: of the frames before, empty ones at first; they take up this one.

        Returns:
            (B, 1, E) coefficients.
        """
        assert isinstance(self.audio_encoder, SequenceEncoder)
        centre = frame_centres(torch.tensor([frame], device=mel.device)) - 5 * heard_columns(frame)[0]
        heard = self.audio_encoder.at(mel, centre)  # (B, 1, D)
        return self._placed(self._said(heard, first_expression, None, None, None, caches), first_expression)

    def caches(self) -> list[KeyValueCache]:
        """Return empty caches for `next_frame`, one a layer; only for a network for streams."""
        assert isinstance(self.temporal, Transformer)
        return self.temporal.caches()

    def _placed(self, change: Tensor, first_expression: Tensor) -> Tensor:
        """Coefficients (B, T, E) of what the network says."""
        base = first_expression if self.residual else self.expression_mean.expand_as(first_expression)
        return base[:, None] + self.expression_std * change

    def _change(
        self,
        mel: Tensor,
        frames: int,
        first_expression: Tensor,
        blink: Tensor | None,
        emotion: Tensor | None,
        valid: Tensor | None,
        features: Tensor | None,
        caches: list[KeyValueCache] | None = None,
    ) -> Tensor:
        x = self.audio_encoder(mel, frames)  # (B, T, D)
        if self.embed_features is not None:
            x = x + self.embed_features(features, frames)
        return self._said(x, first_expression, blink, emotion, valid, caches)

    def _said(
        self,
        x: Tensor,
        first_expression: Tensor,
        blink: Tensor | None,
        emotion: Tensor | None,
        valid: Tensor | None,
        caches: list[KeyValueCache] | None = None,
    ) -> Tensor:
        """What is said (B, T, E) in sound whose features are x (B, T, D)."""
        first = self._shown(first_expression)  # (B, E)
        if blink is None:
            blink = x.new_zeros(x.shape[:2])
        if self.embed_emotion is not None and emotion is None:
            emotion = torch.zeros(x.shape[0], dtype=torch.long, device=x.device)
        if self.temporal is None:
            x = self._per_frame(x, first, blink, emotion)
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
                x = self.temporal(x, condition, valid)
            else:
                assert isinstance(self.temporal, Transformer)
                x = self.temporal.resume(x, condition, caches)
        return self.head(self.bottleneck(self.dropout(x)))  # (B, T, E)

    def _shown(self, first_expression: Tensor) -> Tensor:
        """The first expression (B, E) as the network sees it: standardised, and in training blurred or left out."""
        first = (first_expression - self.expression_mean) / self.expression_std
        if self.training and self.first_frame_dropout:
            shown = torch.rand(len(first), 1, device=first.device) >= self.first_frame_dropout
            first = (first + FIRST_FRAME_BLUR * torch.randn_like(first)) * shown
        return first * self.importance

    def _per_frame(self, x: Tensor, first: Tensor, blink: Tensor, emotion: Tensor | None) -> Tensor:
        """Put a frame's inputs side by side, as SadTalker does."""
        if self.embed_emotion is not None:
            x = x + self.embed_emotion(emotion)[:, None]
        parts = [x]
        if self.first_frame_conditioning:
            parts.append(first[:, None].expand(-1, x.shape[1], -1))
        if self.blink:
            parts.append(blink[..., None].to(x.dtype))
        return torch.cat(parts, dim=-1)  # (B, T, D + E + 1)

    def _change_in_pieces(
        self,
        sound: Sound,
        frames: int,
        first_expression: Tensor,
        blink: Tensor | None,
        emotion: Tensor | None,
        valid: Tensor | None,
        features: Tensor | None,
    ) -> Tensor:
        """Work through long speech in linear time; pieces see `overlap` frames of each other, or remember the past."""
        overlap = 0 if self.streaming else self.overlap
        caches = self.caches() if self.streaming else None
        step = (self.longest - 2 * overlap) // 5 * 5
        pieces = []
        for begin in range(0, frames, step):
            end = min(begin + step, frames)
            # Five frames are sixteen mel columns, so pieces that start at multiples of five lie on whole columns.
            left, right = max(0, begin - overlap // 5 * 5), min(frames, end + overlap)
            piece = self._change(
                sound(left, right - left),
                right - left,
                first_expression,
                None if blink is None else blink[:, left:right],
                emotion,
                None if valid is None else valid[:, left:right],
                None if features is None else features[:, left:right],
                caches,
            )
            pieces.append(piece[:, begin - left : end - left])
        return torch.cat(pieces, dim=1)


def _check_streaming(
    temporal_module: str, attention_bias: str, audio_encoder: str, blink: bool, speech_features: dict[str, Any] | None
) -> None:
    """Raise ConfigError for a network that would have to hear the end before it can say the beginning."""
    if temporal_module != "transformer" or attention_bias != "alibi_causal":
        raise ConfigError(
            "A network for streams (model.streaming=true) has temporal_module=transformer and "
            f"attention_bias=alibi_causal, not {temporal_module} and {attention_bias}."
        )
    if audio_encoder != "sequence" or blink or speech_features:
        raise ConfigError(
            "A network for streams (model.streaming=true) hears the mel alone, through audio_encoder=sequence, and "
            "takes no blinks."
        )
