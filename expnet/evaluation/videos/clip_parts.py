"""Long clips in parts: each part is a clip of its own, so that hours of video take the memory of one part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from expnet.evaluation.clip_faults import CLIP_FAULTS, clip_fault
from expnet.evaluation.videos.pairing import PairedClip
from expnet.media.video_reader import probe_video


def in_parts(clips: Iterable[PairedClip], part_seconds: float, limit: float = 0.0) -> Iterator[PairedClip]:
    """Yield the clips, those that are longer than one part in parts, named ``CLIP@SECONDs``.

    Parts follow one another without a gap. The last one takes the rest, so it has between a half and one and a half of
    the seconds of the others. A clip is as long as its real video, or as the longest of its videos where it has none.

    Args:
        clips: The clips.
        part_seconds: Seconds of a part; 0 leaves all clips whole.
        limit: Seconds of each clip that are scored, 0 for all.
    """
    for clip in clips:
        length = _seconds(clip) if part_seconds > 0 else 0.0
        length = min(length, limit) if limit > 0 else length
        count = max(math.floor(length / part_seconds + 0.5), 1) if part_seconds > 0 else 1
        if count == 1:
            yield clip
            continue
        for number in range(count):
            start = number * part_seconds
            # Without a limit the last part goes on to the end of its video, whatever the header says of its length.
            end = (number + 1) * part_seconds if number < count - 1 else (limit or math.inf)
            yield replace(clip, clip_id=f"{clip.clip_id}@{start:g}s", start=start, end=end)


def _seconds(clip: PairedClip) -> float:
    """Return the length of a clip; 0 where no video of it says, or can be read: scoring it will say why."""
    paths = [clip.reference] if clip.reference is not None else [path for path in clip.paths.values() if path]
    known = [0.0]
    for path in paths:
        try:
            known.append(probe_video(path).duration)
        except CLIP_FAULTS as error:
            clip_fault(error)  # a fault of the machine stops the run
    return max(known)
