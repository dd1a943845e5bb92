"""Frames of a tracked clip, read from its source video."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE
from expnet.data.store.track import Track, source_video
from expnet.errors import DataError
from expnet.media.video_reader import read_video


def read_frames(track: Track, chosen: NDArray[np.int64]) -> dict[int, NDArray[np.uint8]]:
    """Read some frames of a clip's video, by frame number.

    Raises:
        DataError: The video is missing, or ends before the last of them.
    """
    video = source_video(track)
    if video is None:
        raise DataError(f"the video {track.source or '(none)'} is not here")
    start, wanted = round(track.source_start * FRAME_RATE), set(chosen.tolist())
    frames: dict[int, NDArray[np.uint8]] = {}
    for index, frame in enumerate(read_video(video, fps=float(FRAME_RATE))):
        if index - start in wanted:
            frames[index - start] = frame
        if len(frames) == len(wanted):
            return frames
    raise DataError(f"{video} ends before its track does")
