"""Predictions of a network that is shown windows of several clips at once, for the length curve.

How well does a network that was trained on short windows follow long speech? The scored clips are
joined end to end, and the network is shown windows of a given length. Every frame of every clip is scored at every
length, so that the same clips and people stand behind each point, and:

- The audio level is removed clip by clip beforehand, as the network would do for each clip by itself. Otherwise a
  longer window would also mean a different estimate of a voice's loudness.
- The first frame is not shown; the network sees the training mean instead, as in training windows that leave the first
  frame out. A window of several clips has no first frame of its own.

Two lengths then differ only in how far attention reaches and how large positions become.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from expnet.audio.alignment import MEL_CONTEXT, SAMPLES_PER_FRAME, fit_length, mel_columns, mel_for_frames
from expnet.audio.mel import HOP
from expnet.evaluation.store.clips import Clip
from expnet.models.audio_encoder import level_mel
from expnet.models.expression_regressor import ExpressionRegressor


@dataclass(frozen=True, eq=False)
class JoinedClips:
    """Clips joined end to end.

    Attributes:
        audio: The samples (640 F,), where F is the number of frames of all clips together.
        levels: (clips, 80) what levelling subtracts from each band of each clip.
        blink: (F,) closure of the eyelids.
        starts: The first frame of each clip, followed by F.
        features: Speech features (F, size) of each clip by itself, if all clips bring them.
    """

    audio: Tensor
    levels: Tensor
    blink: Tensor
    starts: Tensor
    features: Tensor | None = None

    @property
    def frames(self) -> int:
        """The number of frames of all clips together, F."""
        return int(self.starts[-1])

    def mel(self, first_frame: int, frames: int, *, level: bool) -> Tensor:
        """Return the log-mel (80, 16 + ceil(3.2 frames) + 16) of a window, optionally without each clip's level."""
        mel = mel_for_frames(self.audio, first_frame, frames)
        if not level:
            return mel
        centres = first_frame * SAMPLES_PER_FRAME + HOP * (torch.arange(mel_columns(frames)) - MEL_CONTEXT)
        places = (centres // SAMPLES_PER_FRAME).clamp(0, self.frames - 1)
        owner = torch.searchsorted(self.starts, places, right=True) - 1  # (columns,)
        return mel - self.levels[owner].T


def join_clips(clips: Sequence[Clip]) -> JoinedClips:
    """Join clips in the order given."""
    lengths = torch.tensor([0, *(clip.frames for clip in clips)])
    audio = [fit_length(torch.as_tensor(clip.track.audio).float(), clip.frames) for clip in clips]
    # Levelling subtracts one number a band, the same in every column.
    levels = [(clip.mel - level_mel(clip.mel[None])[0])[:, 0] for clip in clips]
    blink = torch.cat([clip.blink for clip in clips])
    brought = [clip.features for clip in clips if clip.features is not None]
    features = torch.cat(brought) if len(brought) == len(clips) else None
    return JoinedClips(torch.cat(audio), torch.stack(levels), blink, lengths.cumsum(0), features)


@torch.no_grad()
def predict_at_length(
    network: ExpressionRegressor,
    joined: JoinedClips,
    length: int,
    *,
    margin: int = 0,
    first_expression: Tensor | None = None,
) -> list[Tensor]:
    """Regress every clip with windows of ``length`` frames.

    No window is shorter: the last one ends with the last frame and overlaps the one before it more.

    Args:
        network: The network, in evaluation mode.
        joined: The clips, ``length`` frames or more in total.
        length: The number of frames that the network sees at once, at most what it takes in one pass.
        margin: The number of frames at both ends of a window that are only context. Their coefficients come from the
            neighbouring window, except at both ends of the whole. With the same margin at two lengths, frames see at
            least that far at both, so that a long window does not gain by having fewer edges.
        first_expression: (E,) shown to the network as the expression of the first frame, the same for all windows;
            None for the training mean.

    Returns:
        The coefficients (T, E) of each clip, as a change from the expression that was shown.

    Raises:
        ValueError: The clips have fewer frames than a window, or the margins leave nothing of it.
    """
    if length > joined.frames:
        raise ValueError(f"a window of {length} frames does not fit into {joined.frames}")
    if not 0 <= 2 * margin < length:
        raise ValueError(f"two margins of {margin} frames leave nothing of a window of {length}")
    change = torch.empty(joined.frames, len(network.expression_mean))  # (F, E)
    shown = (network.expression_mean if first_expression is None else first_expression)[None]  # (1, E)
    levelled, network.level = network.level, False  # the level was already removed clip by clip
    try:
        taken = 0
        while taken < joined.frames:
            start = min(max(taken - margin, 0), joined.frames - length)
            end = start + length if start + length == joined.frames else start + length - margin
            blink = joined.blink[None, start : start + length] if network.blink else None
            heard = {}
            if network.embed_features is not None and joined.features is not None:
                heard["features"] = joined.features[None, start : start + length]
            window = network(joined.mel(start, length, level=levelled)[None], length, shown, blink=blink, **heard)[0]
            change[taken:end] = (window - shown)[taken - start : end - start]
            taken = end
    finally:
        network.level = levelled
    return list(change.split(joined.starts.diff().tolist()))
