"""Filling the frames in which no face was found."""

import numpy as np
from numpy.typing import NDArray


def fill_lost_frames(values: NDArray[np.floating], found: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Interpolate values linearly over the lost frames; before the first and after the last found frame, repeat it.

    Args:
        values: (N, ...) values of the N found frames.
        found: (T,) whether a face was found in each frame, N times true.

    Returns:
        (T, ...) float64, or ``values`` itself if no frame was lost.
    """
    if found.all():
        return values
    frames = np.arange(len(found))
    columns = values.reshape(len(values), -1).T
    filled = [np.interp(frames, frames[found], column) for column in columns]
    return np.stack(filled, axis=1).reshape(len(found), *values.shape[1:])
