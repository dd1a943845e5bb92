"""The length curve: how well does a network that was trained on short windows follow speech that it hears at length?

The scored clips are joined end to end, and the network is shown so many frames of them at once. Every frame of every
clip is scored at every length, so that the same clips and the same people stand behind each point, and:

- sound is levelled clip by clip beforehand, as the network would level each clip by itself, so that a longer window
  does not mean a better or a worse estimate of a voice's loudness;
- the first frame is not shown (the network sees the training mean, as in the windows of training that leave it out),
  because a window of several clips has no first frame of its own.

What is left to differ between two lengths is how far attention reaches, and how large positions get.
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
    """Clips end to end.

    Attributes:
        audio: (640 F,) samples, F frames in all.
        levels: (clips, 80) what levelling takes off each clip's bands.
        blink: (F,) closure of the eyes.
        starts: first frame of each clip, and F.
    """

    audio: Tensor
    levels: Tensor
    blink: Tensor
    starts: Tensor

    @property
    def frames(self) -> int:
        """F."""
        return int(self.starts[-1])

    def mel(self, first_frame: int, frames: int, *, level: bool) -> Tensor:
        """Log-mel (80, 16 + ceil(3.2 frames) + 16) of a window; ``level`` takes each clip's own level off."""
        mel = mel_for_frames(self.audio, first_frame, frames)
        if not level:
            return mel
        centres = first_frame * SAMPLES_PER_FRAME + HOP * (torch.arange(mel_columns(frames)) - MEL_CONTEXT)
        places = (centres // SAMPLES_PER_FRAME).clamp(0, self.frames - 1)
        owner = torch.searchsorted(self.starts, places, right=True) - 1  # (columns,)
        return mel - self.levels[owner].T


def join(clips: Sequence[Clip]) -> JoinedClips:
    """Join clips in the order given."""
    lengths = torch.tensor([0, *(clip.frames for clip in clips)])
    audio = [fit_length(torch.as_tensor(clip.track.audio).float(), clip.frames) for clip in clips]
    # Levelling subtracts one number a band, the same in every column.
    levels = [(clip.mel - level_mel(clip.mel[None])[0])[:, 0] for clip in clips]
    blink = torch.cat([clip.blink for clip in clips])
    return JoinedClips(torch.cat(audio), torch.stack(levels), blink, lengths.cumsum(0))


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

    The last window ends with the last frame, and overlaps the one before it more: no window is shorter.

    Args:
        network: in evaluation mode.
        joined: the clips, ``length`` frames in all or more.
        length: frames that the network sees at once, at most what it takes in one pass.
        margin: frames at both ends of a window that are only seen: their coefficients come from the window before or
            after, except at the ends of the whole. The same margin at two lengths leaves frames that see at least so
            far at both, so that a long window does not gain by having fewer edges.
        first_expression: (E,) shown to the network as that of the first frame, to all windows alike; None for the
            training mean.

    Returns:
        (T, E) coefficients of each clip, as a change from what was shown.

    Raises:
        ValueError: there are fewer frames, or margins that leave nothing of a window.
    """
    if length > joined.frames:
        raise ValueError(f"a window of {length} frames does not fit into {joined.frames}")
    if not 0 <= 2 * margin < length:
        raise ValueError(f"two margins of {margin} frames leave nothing of a window of {length}")
    change = torch.empty(joined.frames, len(network.expression_mean))  # (F, E)
    shown = (network.expression_mean if first_expression is None else first_expression)[None]  # (1, E)
    levelled, network.level = network.level, False  # done clip by clip already
    try:
        taken = 0
        while taken < joined.frames:
            start = min(max(taken - margin, 0), joined.frames - length)
            end = start + length if start + length == joined.frames else start + length - margin
            blink = joined.blink[None, start : start + length] if network.blink else None
            window = network(joined.mel(start, length, level=levelled)[None], length, shown, blink=blink)[0]
            change[taken:end] = (window - shown)[taken - start : end - start]
            taken = end
    finally:
        network.level = levelled
    return list(change.split(joined.starts.diff().tolist()))
