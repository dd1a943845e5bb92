"""Differences between two tracks of the same frames, in pixels and in coefficients."""

import numpy as np
import torch

from expnet.face.fitting import fit_clip
from expnet.face.measures import eye_opening, mouth_opening
from expnet.face.morphable import builtin_face_model
from expnet.face.tracker import LandmarkTrack


def compare(one: LandmarkTrack, other: LandmarkTrack) -> dict[str, float]:
    """Differences between the coefficients of two tracks of the same frames."""
    model = builtin_face_model()
    both = one.found & other.found
    first, second = (fit_clip(model, track.points[both]) for track in (one, other))
    metric = model.expression_metric.numpy()
    centred = [fit.expression - fit.expression.mean(axis=0) for fit in (first, second)]
    change = centred[1] - centred[0]
    neutral = torch.zeros(model.identity_size)
    marks = [model.landmarks(neutral, torch.from_numpy(fit.expression)) for fit in (first, second)]
    return {
        "expression offset (face units rms)": rms(
            second.expression.mean(axis=0) - first.expression.mean(axis=0), metric
        ),
        "expression motion, difference (face units rms)": rms(change, metric),
        "expression motion itself (face units rms)": rms(centred[0], metric),
        "mouth opening r": correlation(*(mouth_opening(points).numpy() for points in marks)),
        "eye opening r": correlation(*(eye_opening(points).numpy() for points in marks)),
        "rotation offset (degrees)": float(
            np.degrees(np.abs(second.rotation.mean(axis=0) - first.rotation.mean(axis=0)).max())
        ),
        "rotation motion, difference (degrees rms)": float(
            np.degrees(np.sqrt(np.var(second.rotation - first.rotation, axis=0).mean()))
        ),
        "points apart (% of eye distance)": float(
            100
            * np.abs(one.points[both] - other.points[both])[:, :468, :2].mean()
            / np.linalg.norm(
                one.landmarks[both][:, 36:42].mean(axis=1) - one.landmarks[both][:, 42:48].mean(axis=1),
                axis=1,
            ).mean()
        ),
        "frames found by one only": float((one.found != other.found).sum()),
    }


def rms(change: np.ndarray, metric: np.ndarray) -> float:
    """Root mean square displacement of a vertex for expression changes (..., E)."""
    return float(np.sqrt(np.einsum("...i,ij,...j->...", change, metric, change).mean()))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation."""
    return float(np.corrcoef(one, other)[0, 1])
