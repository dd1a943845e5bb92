"""How far a clip's sound is ahead of its pictures, and what to do about it; needs no download.

The mouth that was tracked (its opening and width, the lower lip, the jaw) is compared with the one that a network hears
in the sound, at every lag. The network is the one in the package that was trained on made speech only, whose lips and
sound belong together by construction: no real clip with late sound has ever taught it a delay.

Sign: as SyncNet's offset. A positive one means that the sound is early by so many frames, a negative one that it is
late; delaying the sound by ``frames`` frames brings the two together.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from expnet.audio.alignment import SAMPLES_PER_FRAME, fit_length, mel_for_frames
from expnet.data.store.manifest import UnusableClipError
from expnet.data.store.track import Track
from expnet.face.measures import jaw_drop, lower_lip_depress, mouth_opening, mouth_width
from expnet.face.morphable import builtin_face_model
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.packaged_weights import packaged_weights
from expnet.models.saved_model import load_model

LONGEST_OFFSET = 10
"""Offsets of up to so many frames to either side are found."""
LEAST_FRAMES = 50
"""Frames below which nothing is estimated: 2 s are a few syllables."""
MEASURES = (mouth_opening, jaw_drop, lower_lip_depress, mouth_width)
"""What of the mouth is compared; more measures of it, or other ones, did not find more offsets."""
# Speech moves the mouth faster than this many frames, the standard deviation of the average that is subtracted;
# turns of the head and moods move the landmarks slower.
_SLOW_FRAMES = 8.0
# What a frame adds to the logarithm of a lag's likelihood, per unit of correlation, and the correlation that sound of
# something else is as likely as. Both fitted on real clips, cut to 2 to 18 s, of which one in seven was given the sound
# of another: confidences are the shares that come out right, or less (benchmarks/sync_offset.py prints both).
_EVIDENCE_PER_FRAME = 0.31
_UNRELATED_CORRELATION = 0.17
OffsetAction = Literal["keep", "drop", "correct"]


@dataclass(frozen=True)
class OffsetEstimate:
    """By how many frames the sound is early.

    Args:
        frames: Positive where the sound is early, negative where it is late.
        confidence: Probability that ``frames`` is right to one frame, in [0, 1]; 0 where nothing could be estimated.
    """

    frames: int = 0
    confidence: float = 0.0


@dataclass(frozen=True)
class OffsetPolicy:
    """What to do with clips whose sound is early or late.

    Args:
        action: ``keep`` them as they are, ``drop`` them, or ``correct`` them by moving the sound.
        max_offset: Frames that are tolerated.
        min_confidence: Estimates that are less certain are left alone.
    """

    action: OffsetAction = "keep"
    max_offset: int = 1
    min_confidence: float = 0.95


def estimate_offset(track: Track) -> OffsetEstimate:
    """Estimate by how many frames a clip's sound is early.

    Args:
        track: The clip, with landmarks and sound.

    Returns:
        The estimate; one without confidence where the clip is short, has no landmarks, or nothing agrees at any lag.
    """
    if track.frames < LEAST_FRAMES or not track.landmarks.any():
        return OffsetEstimate()
    correlations = lag_correlations(observed_mouth(track), predicted_mouth(track))
    best = int(correlations.argmax())
    if correlations[best] <= 0:
        return OffsetEstimate()
    return OffsetEstimate(best - LONGEST_OFFSET, _confidence(correlations, track.frames))


def synchronise(
    clip: Track, audio: NDArray[np.float32], begin: int, policy: OffsetPolicy
) -> tuple[Track, OffsetEstimate, int]:
    """Treat a clip as the policy says.

    Args:
        clip: The clip.
        audio: (S,) samples of the source, of which the clip's are a part.
        begin: Frame of ``audio`` at which the clip begins.
        policy: What to do with clips whose sound is early or late.

    Returns:
        The clip, the estimate of its offset as it was, and by how many frames its sound was delayed.

    Raises:
        UnusableClipError: If the clip is to be dropped.
    """
    estimate = estimate_offset(clip)
    certain = estimate.confidence >= policy.min_confidence
    if policy.action == "keep" or not certain or abs(estimate.frames) <= policy.max_offset:
        return clip, estimate, 0
    if policy.action == "drop":
        late = "early" if estimate.frames > 0 else "late"
        raise UnusableClipError(
            f"sound {late}: by {abs(estimate.frames)} frames (confidence {estimate.confidence:.2f}), "
            f"at most {policy.max_offset} are tolerated"
        )
    return delay_sound(clip, audio, begin, estimate.frames), estimate, estimate.frames


def delay_sound(clip: Track, audio: NDArray[np.float32], begin: int, frames: int) -> Track:
    """Move a clip's sound later by some frames, or earlier where negative; frames that are left without are cut off.

    Args:
        clip: The clip.
        audio: (S,) samples of the source.
        begin: Frame of ``audio`` at which the clip begins.
        frames: By how much the sound is to come later.
    """
    first = max(frames - begin, 0)
    count = min(clip.frames, len(audio) // SAMPLES_PER_FRAME - begin + frames) - first
    if count < 1:
        raise UnusableClipError("sound cannot be used: none of it is left when its offset is corrected")
    samples = audio[(begin + first - frames) * SAMPLES_PER_FRAME :]
    return replace(clip.window(first, count), audio=fit_length(samples, count))


def observed_mouth(track: Track) -> NDArray[np.float64]:
    """The tracked mouth, (T, 4): :data:`MEASURES` in distances of the outer eye corners, slow changes taken out."""
    return _fast_changes(torch.from_numpy(track.landmarks.astype(np.float64)))


def predicted_mouth(track: Track) -> NDArray[np.float64]:
    """The mouth that the network hears, (T, 4), of the mean face; as :func:`observed_mouth`."""
    model, face = _network(), builtin_face_model()
    mel = mel_for_frames(track.audio, 0, track.frames)[None]
    with torch.inference_mode():
        expression = model(mel, track.frames, model.expression_mean[None])[0]  # (T, 64)
        return _fast_changes(face.landmarks(torch.zeros(face.identity_size), expression).double())


def lag_correlations(seen: NDArray[np.float64], heard: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean correlation of the measures if the sound were early by -10 to +10 frames, (21,).

    Args:
        seen: (T, N) measures of the pictures.
        heard: (T, N) measures that belong to the sound.
    """
    frames = len(seen)
    lags = range(-LONGEST_OFFSET, LONGEST_OFFSET + 1)
    # Sound that is early by `lag` frames belongs to pictures that come `lag` frames later.
    return np.array(
        [
            _correlation(seen[max(lag, 0) : frames + min(lag, 0)], heard[max(-lag, 0) : frames - max(lag, 0)])
            for lag in lags
        ]
    )


def _fast_changes(points: Tensor) -> NDArray[np.float64]:
    """Measures (T, N) of landmarks (T, 68, D), less their moving average."""
    measures = torch.stack([measure(points) for measure in MEASURES], dim=-1).numpy()
    return measures - gaussian_filter1d(measures, _SLOW_FRAMES, axis=0, mode="nearest")


def _correlation(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Mean over the columns of Pearson's r; 0 for a column that does not move."""
    one, two = one - one.mean(axis=0), two - two.mean(axis=0)
    scale = np.sqrt((one * one).sum(axis=0) * (two * two).sum(axis=0))
    return float(np.divide((one * two).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > 1e-9).mean())


def _confidence(correlations: NDArray[np.float64], frames: int) -> float:
    """Probability that the highest correlation stands within one frame of the right lag.

    The likelihood of a lag is ``exp(evidence * frames * correlation)``. It is shared out over all lags and as many
    more, of the same likelihood each, for sound that belongs to something else.
    """
    evidence = _EVIDENCE_PER_FRAME * frames
    likelihood = np.exp(evidence * (correlations - correlations.max()))
    unrelated = len(correlations) * np.exp(evidence * (_UNRELATED_CORRELATION - correlations.max()))
    near = np.abs(np.arange(len(correlations)) - correlations.argmax()) <= 1
    return float(likelihood[near].sum() / (likelihood.sum() + unrelated))


@lru_cache(maxsize=1)
def _network() -> ExpressionRegressor:
    """The network in the package that has heard made speech only."""
    model = load_model(packaged_weights("expression-synthetic"), "expression")
    assert isinstance(model, ExpressionRegressor)
    return model
