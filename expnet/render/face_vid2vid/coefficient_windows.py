"""What the mapping network sees of a motion: the coefficients of a frame and of 13 frames before and after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE
from expnet.models.face_vid2vid.mapping import RADIUS


def window_offsets(fps: float) -> NDArray[np.int64]:
    """Return the frames (27,) of a window relative to its middle, 40 ms apart at any frame rate."""
    return np.rint(np.arange(-RADIUS, RADIUS + 1) * (fps / FRAME_RATE)).astype(np.int64)


def coefficient_windows(
    rows: Iterable[NDArray[np.float32]], offsets: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    """Yield the window (C, 27) of every frame as soon as its last frame has arrived; the ends are repeated.

    Source: OpenTalker/SadTalker ``src/generate_facerender_batch.py`` (``transform_semantic_target``).

    Args:
        rows: Coefficients (C,) of the frames, in order.
        offsets: Frames of a window, see `window_offsets`.
    """
    before, ahead = int(-offsets[0]), int(offsets[-1])
    kept: list[NDArray[np.float32]] = []  # frames first ... first + len(kept) - 1
    first = middle = 0

    def window(last: int) -> NDArray[np.float32]:
        places = np.clip(middle + offsets, 0, last) - first
        return np.stack([kept[place] for place in places], axis=1)

    for row in rows:
        kept.append(row)
        newest = first + len(kept) - 1
        if newest - middle >= ahead:
            yield window(newest)
            middle += 1
            dropped = max(middle - before - first, 0)
            del kept[:dropped]
            first += dropped
    newest = first + len(kept) - 1
    while middle <= newest:
        yield window(newest)
        middle += 1
