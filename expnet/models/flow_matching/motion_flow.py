"""Speech to motion by flow matching: the velocity that carries noise to expression, head motion and lids.

A flow starts at Gaussian noise ``x_0`` and ends at a motion ``x_1``; on the straight line ``x_t = (1 - t) x_0 + t x_1``
between them the network learns the velocity ``x_1 - x_0`` (Lipman et al., arXiv 2210.02747; Liu et al., arXiv
2209.03003). Following the velocity from fresh noise draws a motion, where a regression would return the average of all.

The motion is whitened: expression as the change from the first frame in standard deviations within clips, head pose as
the change from an anchor in units of the person's own reach (`expnet.models.pose_style`), lids in standard deviations.
Frames that are known, because they were drawn before, enter clean and are marked; the others continue them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from expnet.coefficients import DEFAULT_FACE_MODEL, EXPRESSION_SIZE
from expnet.config.models import MotionModelConfig
from expnet.models.attention import sinusoids
from expnet.models.expression_regressor import FIRST_FRAME_NOISE
from expnet.models.flow_matching.blocks import AdaptiveTransformer
from expnet.models.flow_matching.layout import MotionLayout
from expnet.models.flow_matching.motion import Motion, Reference, join
from expnet.models.flow_matching.sampler import Speech, draw_pieces
from expnet.models.flow_matching.solver import Sampling
from expnet.models.flow_matching.speech_input import SpeechInput
from expnet.models.pose_motion import POSE
from expnet.models.pose_style import STYLE, PoseStyles, distances
from expnet.models.temporal import TemporalOptions

HEAD_SPREAD = 1.4
"""Distance of a head from where it was, averaged over the next 2.5 s, divided by the distance of 0.64 s."""
MOST = 6.0
"""Whitened head poses are clamped here in training, so that tracking errors do not dominate."""
TIME_SCALE = 100.0
"""Positions of the sinusoids that encode the time of the flow: time 1 is position 100."""


class MotionFlow(nn.Module):
    """Draws expression, head motion and lids for speech.

    Args:
        config: Sizes and switches, see `expnet.config.models.MotionModelConfig`, whose ``emotion`` is not used here.
        expression_size: Number of coefficients E.
        emotions: Number of emotion labels, 0 for none; label 0 means unknown.
        styles: Number of head-motion styles (training speakers); style 0 is "unknown", the average speaker.
        speech_features: Source of the speech features that are read instead of the mel, the values of an
            `expnet.audio.speech_encoders.FeatureSource`; None for the mel.
        face_model: Name of the face model that the coefficients belong to.
        **changes: Fields of ``config`` to replace.
    """

    task = "motion"
    expression_mean: Tensor
    expression_std: Tensor
    motion_std: Tensor
    importance: Tensor
    lip_projection: Tensor
    pose_std: Tensor
    lid_mean: Tensor
    lid_std: Tensor

    def __init__(
        self,
        config: MotionModelConfig | None = None,
        *,
        expression_size: int = EXPRESSION_SIZE,
        emotions: int = 0,
        styles: int = 1,
        speech_features: dict[str, Any] | None = None,
        face_model: str = DEFAULT_FACE_MODEL,
        **changes: Any,
    ) -> None:
        super().__init__()
        config = replace(config or MotionModelConfig(), emotion=emotions > 0, **changes)
        sizes = {name: value for name, value in asdict(config).items() if name != "emotion"}
        if not config.bias_options:
            del sizes["bias_options"]  # which files of networks without any never had
        self.options: dict[str, Any] = {
            **sizes,
            "expression_size": expression_size,
            "emotions": emotions,
            "styles": styles,
            "speech_features": speech_features,
            "face_model": face_model,
        }
        self.config, self.face_model = config, face_model
        self.layout = MotionLayout(config.groups, expression_size)
        for name, size in (("expression_mean", expression_size), ("pose_std", POSE)):
            self.register_buffer(name, torch.zeros(size) if name.endswith("mean") else torch.ones(size))
        for name in ("expression_std", "motion_std", "importance"):
            self.register_buffer(name, torch.ones(expression_size))
        self.register_buffer("lip_projection", torch.zeros(expression_size, expression_size))
        self.register_buffer("lid_mean", torch.zeros(()))
        self.register_buffer("lid_std", torch.ones(()))

        width, groups = config.width, len(self.layout.groups)
        self.speech = SpeechInput(config, speech_features)
        self.enter = nn.Linear(self.layout.size + groups, width)
        self.embed_time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.embed_first = nn.Linear(expression_size, width) if config.first_frame_conditioning else None
        self.embed_emotion = nn.Embedding(emotions, width) if emotions else None
        self.styles = PoseStyles(styles)
        head = "head" in self.layout
        self.embed_style = nn.Linear(STYLE, width) if head else None
        self.embed_anchor = nn.Linear(POSE, width) if head else None
        self.no_style = nn.Parameter(torch.zeros(width)) if head or emotions else None
        self.transformer = AdaptiveTransformer(width, _temporal_options(config))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, self.layout.size)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def set_statistics(
        self,
        *,
        expression_mean: Tensor,
        expression_std: Tensor,
        motion_std: Tensor,
        pose_std: Tensor,
        lid_mean: Tensor,
        lid_std: Tensor,
        mel_mean: Tensor,
        mel_std: Tensor,
        expression_metric: Tensor | None = None,
        lip_projection: Tensor | None = None,
    ) -> None:
        """Store the training split's statistics in the model's buffers.

        Args:
            expression_mean: (E,).
            expression_std: (E,) over all clips.
            motion_std: (E,) within clips, the unit of the expression's motion.
            pose_std: (6,) of poses relative to the first frame of a window.
            lid_mean: Mean closure of the eyelids.
            lid_std: Standard deviation of the closure of the eyelids.
            mel_mean: (80,) mean of the unlevelled mel.
            mel_std: (80,) standard deviation of the unlevelled mel.
            expression_metric: (E, E) quadratic form that measures how far a change of the coefficients moves the face;
                the network sees the first expression in proportion to what each component moves.
            lip_projection: (E, E) projection of changes on the directions of the lips, see
                `expnet.face.lip_directions.lip_projection`.
        """
        self.expression_mean.copy_(expression_mean)
        self.expression_std.copy_(expression_std.clamp_min(1e-3))
        self.motion_std.copy_(motion_std.clamp_min(1e-3))
        self.pose_std.copy_(pose_std.clamp_min(1e-4))
        self.lid_mean.copy_(lid_mean)
        self.lid_std.copy_(lid_std.clamp_min(1e-2))
        if self.speech.mel is not None:
            self.speech.mel.set_statistics(torch.zeros_like(mel_mean) if self.config.level else mel_mean, mel_std)
        if expression_metric is not None:
            moved = expression_metric.diagonal().clamp_min(0).sqrt() * self.expression_std
            self.importance.copy_(moved / moved.max().clamp_min(1e-12))
        if lip_projection is not None:
            self.lip_projection.copy_(lip_projection)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *arguments: Any) -> None:
        """Read weights of versions without `lip_projection`, too: their lips keep all that is drawn."""
        state_dict.setdefault(prefix + "lip_projection", torch.zeros_like(self.lip_projection))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def forward(
        self,
        state: Tensor,
        time: Tensor,
        known: Tensor,
        speech: Tensor,
        condition: Tensor,
        valid: Tensor | None = None,
    ) -> Tensor:
        """Return the velocity (B, T, M) of a state.

        Args:
            state: (B, T, M) whitened motion, noisy but where it is known.
            time: (B,) time of the flow in [0, 1].
            known: (B, T, G) bool, which groups of which frames are known.
            speech: (B, T, D), see `expnet.models.flow_matching.speech_input.SpeechInput`.
            condition: (B, D), see `condition`.
            valid: (B, T), false where a frame is padding; such frames are ignored.
        """
        position = sinusoids(TIME_SCALE * time, self.config.width).to(state.dtype)  # (B, D)
        x = self.enter(torch.cat([state, known.to(state.dtype)], dim=-1)) + speech  # (B, T, D)
        x = self.transformer(x, condition + self.embed_time(position), valid)
        return self.head(self.norm(x))  # (B, T, M)

    def condition(self, reference: Reference, styled: Tensor) -> Tensor:
        """Embed what a window is drawn for: (B, D).

        Args:
            reference: First frame, style, anchor and emotion.
            styled: (B,) bool; where false, head-motion style and emotion are left out.
        """
        first = reference.first_expression
        condition = first.new_zeros(len(first), self.config.width)
        if self.embed_first is not None:
            condition = condition + self.embed_first(self._seen_first(first))
        if self.embed_anchor is not None:
            condition = condition + self.embed_anchor((reference.anchor / self._reach(reference)).clamp(-MOST, MOST))
        if self.no_style is None:
            return condition
        style = torch.zeros_like(condition)
        if self.embed_style is not None:
            style = style + self.embed_style(reference.style.log())
        if self.embed_emotion is not None:
            style = style + self.embed_emotion(reference.emotion)
        return condition + torch.where(styled[:, None], style, self.no_style.to(style.dtype))

    def whiten(self, motion: Motion, reference: Reference) -> Tensor:
        """Return the columns (B, T, M) of a motion, of about unit variance."""
        parts = []
        for group in self.layout.groups:
            if group == "expression":
                assert motion.expression is not None
                parts.append((motion.expression - reference.first_expression[:, None]) / self.motion_std)
            elif group == "head":
                assert motion.pose is not None
                moved = (motion.pose - reference.anchor[:, None]) / self._reach(reference)[:, None]
                parts.append((moved / HEAD_SPREAD).clamp(-MOST, MOST))
            else:
                assert motion.lids is not None
                parts.append(((motion.lids - self.lid_mean) / self.lid_std)[..., None])
        return torch.cat(parts, dim=-1)

    def unwhiten(self, columns: Tensor, reference: Reference) -> Motion:
        """Return the motion of columns (B, T, M), the inverse of `whiten`; lids are limited to [0, 1]."""
        parts = {group: columns[..., self.layout.slice(group)] for group in self.layout.groups}
        expression, head, lids = (parts.get(group) for group in ("expression", "head", "lids"))
        if expression is not None:
            expression = reference.first_expression[:, None] + expression * self.motion_std
        if head is not None:
            head = reference.anchor[:, None] + head * HEAD_SPREAD * self._reach(reference)[:, None]
        if lids is not None:
            lids = (lids[..., 0] * self.lid_std + self.lid_mean).clamp(0, 1)
        return Motion(expression, head, lids)

    def sample(
        self,
        frames: int,
        first_expression: Tensor,
        *,
        mel: Speech | None = None,
        features: Speech | None = None,
        first_pose: Tensor | None = None,
        style: Tensor | None = None,
        emotion: Tensor | None = None,
        seed: int | Sequence[int] = 0,
        sampling: Sampling | None = None,
    ) -> Motion:
        """Draw a motion of any length.

        A clip's motion depends on its own speech, first frame and seed, not on the rest of the batch.

        Args:
            frames: Number of frames T.
            first_expression: (B, E) expression of the first frame.
            mel: (B, 80, 2 x 16 + ceil(3.2 T)), or a `expnet.models.mel_source.MelSource`, for a network that was
                trained without speech features.
            features: (B, T, F) speech features, or a function of a first frame and a number of frames that returns
                them, for a network that was trained with them.
            first_pose: (B, 6) absolute pose of frame 0, the portrait's; rotations then stay within the range that can
                be rendered. None for a frontal one.
            style: (B,) indices of training speakers, 0 for the average one, or styles (B, 12) of `style_of`.
            emotion: (B,) labels; 0 (unknown) when absent.
            seed: Seed of the batch, or one for each clip.
            sampling: Steps, guidance and temperature.

        Returns:
            The motion; the pose is exactly 0 in frame 0.
        """
        pieces = self.pieces(
            frames,
            first_expression,
            mel=mel,
            features=features,
            first_pose=first_pose,
            style=style,
            emotion=emotion,
            seed=seed,
            sampling=sampling,
        )
        return join(list(pieces))

    def pieces(self, frames: int, first_expression: Tensor, **given: Any) -> Iterator[Motion]:
        """Draw a motion piece by piece, in constant memory; the arguments are those of `sample`."""
        return draw_pieces(self, frames, first_expression, **given)

    def style_of(self, pose: Tensor, valid: Tensor | None = None) -> Tensor:
        """Measure the head-motion style (1, 12) of a clip's poses (T, 6) in radians and face units, for `sample`.

        Raises:
            InputError: The face is visible for less than a second of the clip.
        """
        valid = torch.ones(len(pose), dtype=torch.bool, device=pose.device) if valid is None else valid
        return self.styles.measure(pose, valid, self.pose_std)

    def measured_style(self, pose: Tensor, valid: Tensor, style: Tensor) -> Tensor:
        """Return the head-motion style (B, 12) of windows, in training also remembered for their speakers.

        Args:
            pose: (B, T, 6) in radians and face units.
            valid: (B, T) bool.
            style: (B,) indices of the speakers, whose stored styles replace those of windows that are too short.
        """
        measured, enough = distances(pose / self.pose_std, valid)
        if self.training:
            self.styles.remember(style[enough], measured[enough])
        return torch.where(enough[:, None], measured, self.styles(style))

    def _reach(self, reference: Reference) -> Tensor:
        """Return the distance (B, 6) that a person's head travels within 0.64 s, in radians and face units."""
        return reference.style[:, -POSE:] * self.pose_std

    def _seen_first(self, first_expression: Tensor) -> Tensor:
        """Standardise the first expression (B, E) for the network; in training, add noise or leave it out."""
        first = (first_expression - self.expression_mean) / self.expression_std
        if self.training:
            shown = torch.rand(len(first), 1, device=first.device) >= self.config.first_frame_dropout
            first = (first + FIRST_FRAME_NOISE * torch.randn_like(first)) * shown
        return first * self.importance


def _temporal_options(config: MotionModelConfig) -> TemporalOptions:
    return TemporalOptions(
        layers=config.layers,
        heads=config.heads,
        feedforward=config.feedforward,
        dropout=config.dropout,
        attention_bias=config.attention_bias,
        period=config.period,
        bias_options=config.bias_options,
    )
