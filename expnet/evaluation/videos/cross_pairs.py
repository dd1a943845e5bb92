"""Draws whose audio drives which clip, for cross-driven videos."""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from pathlib import Path

import numpy as np

from expnet.errors import DataError
from expnet.evaluation.videos.pairing import find_videos
from expnet.io.atomic import write_atomically


def draw_pairs(speakers: dict[str, str], seed: int = 0) -> dict[str, str]:
    """Return for each clip the clip whose audio drives it: each audio once, never that of the same person.

    Clips are ordered by person, in random order of people and clips, and the audio is shifted by the largest number of
    clips that one person has; so no person drives himself as long as none has more than half of the clips.

    Args:
        speakers: The person of each clip.
        seed: The seed of the order.

    Raises:
        DataError: One person has more than half of the clips.
    """
    clips_of = defaultdict(list)
    for clip, speaker in sorted(speakers.items()):
        clips_of[speaker].append(clip)
    most = max(map(len, clips_of.values()), default=0)
    if 2 * most > len(speakers) or len(speakers) < 2:
        raise DataError(
            f"one person has {most} of {len(speakers)} clips, so the audio of another one cannot drive each of them; "
            "add clips of other people, or a manifest.csv that names the speakers"
        )
    generator = np.random.default_rng(seed)
    people = [sorted(clips_of)[index] for index in generator.permutation(len(clips_of))]
    ordered = [clips_of[person][index] for person in people for index in generator.permutation(len(clips_of[person]))]
    return {clip: ordered[(place + most) % len(ordered)] for place, clip in enumerate(ordered)}


def write_pairs(folder: str | os.PathLike[str], output: str | os.PathLike[str], *, seed: int = 0) -> Path:
    """Write a csv file with the columns clip and audio for the videos of a folder.

    Raises:
        DataError: The folder cannot be used, or one person has more than half of the clips.
    """
    videos = find_videos(folder)
    pairs = draw_pairs({name: speaker for name, (_, speaker) in videos.items()}, seed)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([("clip", "audio"), *sorted(pairs.items())])
    path = Path(output).expanduser()
    write_atomically(path, stream.getvalue())
    return path
