"""Motion of another clip for a portrait: its head motion, its blinks and its facial expression."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.animate.controls.controls import PathInput
from expnet.animate.controls.motion_scale import LIP_FEATURES, expression_change
from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.facial_features import FeatureSpace
from expnet.face.fitting import fit_clip
from expnet.face.measures import left_eye_opening, right_eye_opening
from expnet.face.morphable import MorphableModel
from expnet.face.tracker import FaceTracker, LandmarkTrack, open_tracker
from expnet.media.image_reader import LARGEST_SIDE
from expnet.media.video_reader import read_video

Array = NDArray[np.float64]

LID_FEATURES = ("lids_apart", "lids_uneven")
# An eye counts as open at this percentile of its openings in a clip, and as closed at this share of that opening:
# closed eyelids are tracked with an opening of about a fifth.
_OPEN_PERCENTILE, _CLOSED_SHARE = 75.0, 0.3
# Closures below the first value are tracking noise or looks downward; above the second the eye counts as closed.
_BLINK_BEGINS, _BLINK_CLOSED = 0.3, 0.8


@dataclass(frozen=True, eq=False)
class ReferenceMotion:
    """Motion of a clip at 25 frames/s.

    Attributes:
        coefficients: Fitted coefficients of T frames.
        closure: Closure of the eyelids (T,), from 0, open, to 1, closed.
    """

    coefficients: FaceCoefficients
    closure: NDArray[np.float32]

    def fit_length(self, frames: int) -> "ReferenceMotion":
        """Return the motion for this many frames: cut, or repeated forwards and backwards, so that nothing jumps."""
        last = len(self.closure) - 1
        forwards_and_backwards = np.concatenate([np.arange(last + 1), np.arange(last - 1, 0, -1)])
        order = np.resize(forwards_and_backwards, frames)
        repeated = self.coefficients.with_(
            **{name: getattr(self.coefficients, name)[order] for name in ("expression", "rotation", "translation")}
        )
        return ReferenceMotion(repeated, self.closure[order])


def track_video(path: PathInput, purpose: str, tracker: FaceTracker | None = None) -> LandmarkTrack:
    """Track the face of a video at 25 frames/s.

    Args:
        path: Video of one person.
        purpose: What a face is needed for, for the error message: "to ...".
        tracker: Face tracker; None for the built-in models.

    Raises:
        InputError: The file is not a video, or shows no face.
    """
    track = (tracker or open_tracker()).track(read_video(path, max_side=LARGEST_SIDE))
    if not track.found.any():
        raise InputError(f"{path}: no face was found, and one is needed {purpose}; use a clip of one person.")
    return track


def measure_reference(path: PathInput, model: MorphableModel, tracker: FaceTracker | None = None) -> ReferenceMotion:
    """Track and fit a reference clip.

    Raises:
        InputError: The file is not a video, or shows no face.
    """
    track = track_video(path, "to take the motion from", tracker)
    return ReferenceMotion(fit_clip(model, track.points, track.found), measure_lid_closure(track))


def measure_lid_closure(track: LandmarkTrack) -> NDArray[np.float32]:
    """Measure how far the eyes of a tracked clip are closed, relative to their usual opening: (T,) from 0 to 1."""
    landmarks = torch.from_numpy(track.landmarks[track.found])  # (N, 68, 2)
    closures = []
    for measure in (right_eye_opening, left_eye_opening):
        opening = measure(landmarks).double().numpy()
        usual = max(float(np.percentile(opening, _OPEN_PERCENTILE)), 1e-3)
        closures.append((1.0 - opening / usual) / (1.0 - _CLOSED_SHARE))
    # A turned head shows one eye worse than the other, so a blink is what both eyes do.
    both = np.clip((np.mean(closures, axis=0) - _BLINK_BEGINS) / (_BLINK_CLOSED - _BLINK_BEGINS), 0.0, 1.0)
    times = np.arange(len(track))
    return np.interp(times, times[track.found], both * both * (3.0 - 2.0 * both)).astype(np.float32)


def hold_lids(space: FeatureSpace, identity: Array, expression: Array, rest: Array) -> Array:
    """Hold the eyelids of an expression (T, E) as they are in another (E,), so that blinks can come from elsewhere."""
    own, held = space.measured(identity, expression), space.measured(identity, rest[None])
    return expression + expression_change(space, {name: held[name] - own[name] for name in LID_FEATURES})


def transfer_expression(space: FeatureSpace, identity: Array, spoken: Array, reference: FaceCoefficients) -> Array:
    """Combine the lips of speech with the rest of the face of another clip.

    Lips and chin follow the speech and the eyelids the blinks. Everything else, such as the brows, the mouth corners
    and the cheeks, follows the other clip. Expressions are absolute: a person who smiles throughout the clip makes the
    portrait smile.

    Args:
        space: Features of the face model.
        identity: Identity coefficients (K,) of the portrait.
        spoken: Expression (T, E) of the speech.
        reference: Coefficients of the other clip, T frames.

    Returns:
        (T, E).
    """
    borrowed = reference.expression.astype(np.float64)
    own, other = space.measured(identity, spoken), space.measured(identity, borrowed)
    kept = {name: own[name] - other[name] for name in (*LIP_FEATURES, *LID_FEATURES)}
    return borrowed + expression_change(space, kept)
