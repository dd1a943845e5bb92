"""The motion of another clip, for a portrait: how its head turns, when its eyes blink, what its face expresses."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.animate.controls.controls import PathInput
from expnet.animate.controls.motion_scale import LIP_FEATURES, change_of
from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.facial_features import FeatureSpace
from expnet.face.fitting import fit_clip
from expnet.face.measures import left_eye_opening, right_eye_opening
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import LandmarkTrack, open_tracker
from expnet.media.video_reader import read_video
from expnet.render.portrait import LARGEST_SIDE

Array = NDArray[np.float64]

LID_FEATURES = ("lids_apart", "lids_uneven")
# An eye counts as open at this percentile of a clip's openings, and as shut at this share of it: lids that meet are
# tracked as an opening of a fifth or so.
_OPEN_PERCENTILE, _SHUT = 75.0, 0.3
# Closures below are the tracker's noise and looks downward; above, the eye counts as shut.
_BEGUN, _DONE = 0.3, 0.8


@dataclass(frozen=True, eq=False)
class ReferenceMotion:
    """A clip's motion at 25 frames/s.

    Attributes:
        coefficients: fitted, T frames.
        closure: (T,) of the lids, 0 open to 1 shut.
    """

    coefficients: FaceCoefficients
    closure: NDArray[np.float32]

    def lasting(self, frames: int) -> "ReferenceMotion":
        """The clip for ``frames`` frames: cut, or repeated forth and back, so that nothing jumps."""
        last = len(self.closure) - 1
        there_and_back = np.concatenate([np.arange(last + 1), np.arange(last - 1, 0, -1)])
        order = np.resize(there_and_back, frames)
        repeated = self.coefficients.with_(
            **{name: getattr(self.coefficients, name)[order] for name in ("expression", "rotation", "translation")}
        )
        return ReferenceMotion(repeated, self.closure[order])


def track_video(path: PathInput, purpose: str) -> LandmarkTrack:
    """Track the face of a video at 25 frames/s.

    Raises:
        InputError: not a video, or no face in it; the message says what it was wanted for.
    """
    track = open_tracker().track(read_video(path, max_side=LARGEST_SIDE))
    if not track.found.any():
        raise InputError(f"{path}: no face was found in it, which {purpose}; use a clip of one person.")
    return track


def measure_reference(path: PathInput, model: MorphableModel) -> ReferenceMotion:
    """Track and fit a reference clip.

    Raises:
        InputError: not a video, or no face in it.
    """
    track = track_video(path, "the motion is to be taken from")
    return ReferenceMotion(fit_clip(model, track.points, track.found), lid_closure(track))


def lid_closure(track: LandmarkTrack) -> NDArray[np.float32]:
    """How far the eyes of a tracked clip are shut, against how far they usually are open: (T,) 0 to 1."""
    landmarks = torch.from_numpy(track.landmarks[track.found])  # (N, 68, 2)
    closures = []
    for measure in (right_eye_opening, left_eye_opening):
        opening = measure(landmarks).double().numpy()
        usual = max(float(np.percentile(opening, _OPEN_PERCENTILE)), 1e-3)
        closures.append((1.0 - opening / usual) / (1.0 - _SHUT))
    # A turned head shows one eye worse than the other: what both do is a blink.
    both = np.clip((np.mean(closures, axis=0) - _BEGUN) / (_DONE - _BEGUN), 0.0, 1.0)
    times = np.arange(len(track))
    return np.interp(times, times[track.found], both * both * (3.0 - 2.0 * both)).astype(np.float32)


def take_expression(space: FeatureSpace, identity: Array, spoken: Array, reference: FaceCoefficients) -> Array:
    """Put the face of another clip around speaking lips.

    Lips and chin keep to the speech and the lids to the blinks; all else, the brows, the corners of the mouth, the
    cheeks, is the other clip's. Expressions are absolute: who smiles all through the clip makes the portrait smile.

    Args:
        space: features of the face model.
        identity: (K,) of the portrait.
        spoken: (T, E).
        reference: T frames.

    Returns:
        (T, E).
    """
    borrowed = reference.expression.astype(np.float64)
    own, other = space.measured(identity, spoken), space.measured(identity, borrowed)
    kept = {name: own[name] - other[name] for name in (*LIP_FEATURES, *LID_FEATURES)}
    return borrowed + change_of(space, kept)
