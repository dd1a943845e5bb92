"""Estimation of the offset between a clip's audio and video, and its treatment; needs no download.

The tracked mouth (its opening and width, the lower lip, the jaw) is correlated at every lag with the mouth that a
network predicts from the audio, see `expnet.data.preprocess.mouth_listener`.

The sign is that of SyncNet's offset: positive if the audio is early, negative if it is late, in frames. Delaying the
audio by the offset brings the two together.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from expnet.audio.alignment import SAMPLES_PER_FRAME, fit_length
from expnet.data.preprocess.mouth_listener import MouthListener, best_listener
from expnet.data.store.manifest import UnusableClipError
from expnet.data.store.track import Track
from expnet.face.measures import jaw_drop, lower_lip_depress, mouth_opening, mouth_width

LONGEST_OFFSET = 10
"""Largest offset that is considered, in frames to either side."""
LEAST_FRAMES = 50
"""Fewest frames for an estimate: 2 s are a few syllables."""
MEASURES = (mouth_opening, jaw_drop, lower_lip_depress, mouth_width)
"""The measures of the mouth that are compared. More or other measures did not detect more offsets."""
# Standard deviation, in frames, of the moving average that is subtracted: speech moves the mouth faster, while head
# turns and moods move the landmarks more slowly.
_SLOW_FRAMES = 8.0
OffsetAction = Literal["keep", "drop", "correct"]


@dataclass(frozen=True)
class OffsetEstimate:
    """The estimated offset between audio and video.

    Args:
        frames: Frames by which the audio is early; negative if it is late.
        confidence: Probability that ``frames`` is correct to within one frame, in [0, 1]; 0 if nothing was estimated.
        exact: Probability that ``frames`` is correct, in [0, 1].
    """

    frames: int = 0
    confidence: float = 0.0
    exact: float = 0.0


@dataclass(frozen=True)
class OffsetPolicy:
    """What to do with clips whose audio is early or late.

    Args:
        action: ``keep`` such clips as they are, ``drop`` them, or ``correct`` them by shifting the audio.
        max_offset: Largest offset in frames that is tolerated. With 0, an offset of one frame counts only if it is
            exact: half of what is right to one frame would make it no better.
        min_confidence: Estimates of lower confidence are ignored.
    """

    action: OffsetAction = "keep"
    max_offset: int = 1
    min_confidence: float = 0.95


def estimate_offset(track: Track, listener: MouthListener | None = None) -> OffsetEstimate:
    """Estimate by how many frames a clip's audio is early.

    Args:
        track: The clip, with landmarks and audio.
        listener: Network that predicts the mouth from the audio; None for the best one at hand.

    Returns:
        The estimate. Its confidence is 0 if the clip is short, has no landmarks, or correlates at no lag.
    """
    if track.frames < LEAST_FRAMES or not track.landmarks.any():
        return OffsetEstimate()
    listener = listener or best_listener()
    predicted = _fast_changes(listener.landmarks(track).double())
    correlations = lag_correlations(observed_mouth(track), predicted)
    best = int(correlations.argmax())
    if correlations[best] <= 0:
        return OffsetEstimate()
    probabilities = _lag_probabilities(correlations, track.frames, listener)
    near = np.abs(np.arange(len(correlations)) - best) <= 1
    return OffsetEstimate(best - LONGEST_OFFSET, float(probabilities[near].sum()), float(probabilities[best]))


def synchronise(
    clip: Track,
    audio: NDArray[np.float32],
    begin: int,
    policy: OffsetPolicy,
    listener: MouthListener | None = None,
) -> tuple[Track, OffsetEstimate, int]:
    """Estimate a clip's offset and apply the policy.

    Args:
        clip: The clip.
        audio: (S,) samples of the source that the clip's audio was taken from.
        begin: Frame of ``audio`` at which the clip begins.
        policy: What to do with clips whose audio is early or late.
        listener: Network that predicts the mouth from the audio; None for the best one at hand.

    Returns:
        The clip, the offset estimated before any correction, and the number of frames by which its audio was delayed.

    Raises:
        UnusableClipError: If the clip must be dropped.
    """
    estimate = estimate_offset(clip, listener)
    certain = (estimate.exact if abs(estimate.frames) == 1 else estimate.confidence) >= policy.min_confidence
    if policy.action == "keep" or not certain or abs(estimate.frames) <= policy.max_offset:
        return clip, estimate, 0
    if policy.action == "drop":
        late = "early" if estimate.frames > 0 else "late"
        raise UnusableClipError(
            f"audio {late}: by {abs(estimate.frames)} frames (confidence {estimate.confidence:.2f}), "
            f"at most {policy.max_offset} are tolerated"
        )
    return delay_audio(clip, audio, begin, estimate.frames), estimate, estimate.frames


def delay_audio(clip: Track, audio: NDArray[np.float32], begin: int, frames: int) -> Track:
    """Delay a clip's audio, and cut off frames that are left without audio.

    Args:
        clip: The clip.
        audio: (S,) samples of the source.
        begin: Frame of ``audio`` at which the clip begins.
        frames: The delay in frames; negative to advance the audio.
    """
    first = max(frames - begin, 0)
    count = min(clip.frames, len(audio) // SAMPLES_PER_FRAME - begin + frames) - first
    if count < 1:
        raise UnusableClipError("audio cannot be used: none of it is left when its offset is corrected")
    samples = audio[(begin + first - frames) * SAMPLES_PER_FRAME :]
    return replace(clip.window(first, count), audio=fit_length(samples, count))


def observed_mouth(track: Track) -> NDArray[np.float64]:
    """Return the tracked :data:`MEASURES` in outer-eye-corner distances, without slow changes, (T, 4)."""
    return _fast_changes(torch.from_numpy(track.landmarks.astype(np.float64)))


def lag_correlations(observed: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean correlation of the measures at each offset of the audio from -10 to +10 frames, (21,).

    Args:
        observed: (T, N) measures from the video.
        predicted: (T, N) measures predicted from the audio.
    """
    frames = len(observed)
    lags = range(-LONGEST_OFFSET, LONGEST_OFFSET + 1)
    # Audio that is early by `lag` frames belongs to video frames that come `lag` frames later.
    return np.array(
        [
            _correlation(observed[max(lag, 0) : frames + min(lag, 0)], predicted[max(-lag, 0) : frames - max(lag, 0)])
            for lag in lags
        ]
    )


def _fast_changes(points: Tensor) -> NDArray[np.float64]:
    """Measures (T, N) of landmarks (T, 68, D), minus their moving average."""
    measures = torch.stack([measure(points) for measure in MEASURES], dim=-1).numpy()
    return measures - gaussian_filter1d(measures, _SLOW_FRAMES, axis=0, mode="nearest")


def _correlation(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Pearson correlation, averaged over the columns; 0 for a constant column."""
    one, two = one - one.mean(axis=0), two - two.mean(axis=0)
    scale = np.sqrt((one * one).sum(axis=0) * (two * two).sum(axis=0))
    return float(np.divide((one * two).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > 1e-9).mean())


def _lag_probabilities(correlations: NDArray[np.float64], frames: int, listener: MouthListener) -> NDArray[np.float64]:
    """Probability of each lag; they sum to less than 1, since the audio may be unrelated.

    The likelihood of a lag is ``exp(evidence * frames * correlation)``. It is normalised over all lags and as many
    alternatives of equal likelihood for unrelated audio.
    """
    evidence = listener.evidence_per_frame * frames
    likelihood = np.exp(evidence * (correlations - correlations.max()))
    unrelated = len(correlations) * np.exp(evidence * (listener.unrelated_correlation - correlations.max()))
    probabilities: NDArray[np.float64] = likelihood / (likelihood.sum() + unrelated)
    return probabilities
