"""Disturbed copies of a clip's audio, which a speech encoder hears instead of the original.

A network on stored features meets noise, rooms and silence in training only if the encoder has heard them. Every copy
is drawn from (seed, clip, number of the copy) alone. In some copies the speech falls silent in places, as in the
windows of `expnet.data.silent_windows`; those frames are known, so that the lips can be closed there.
"""

import itertools
import math
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME
from expnet.audio.augmentation import Samples
from expnet.config import CopyConfig
from expnet.data.audio_augmentation import audio_augmentations
from expnet.data.clip_entry import ClipEntry
from expnet.data.silent_windows import SHORTEST_RUN, draw_noise, mute
from expnet.data.store.manifest import ManifestRow
from expnet.data.store.track_store import TrackStore

PIECE = 60 * FRAME_RATE
"""Longest stretch of frames with one disturbance; a longer clip is disturbed piece by piece, in constant memory."""
_RUN_EVERY = 5 * FRAME_RATE  # frames of a copy with silence that hold one run
_LONGEST_RUN = 64  # the usual training window

Run = tuple[int, int]
"""First frame of a run of silence, and the frame after its last one."""


@dataclass(frozen=True)
class CopyRecipe:
    """Which disturbed copies a folder of features has.

    Args:
        count: Copies of each clip.
        seed: Seed of all copies.
        options: How strongly and how often the audio is disturbed.
    """

    count: int
    seed: int = 0
    options: CopyConfig = field(default_factory=CopyConfig)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for ``features.json``."""
        return {"count": self.count, "seed": self.seed, **asdict(self.options)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `as_dict` returned."""
        options = {name: value for name, value in values.items() if name not in ("count", "seed")}
        return cls(values["count"], values["seed"], CopyConfig(**options))


@dataclass(frozen=True)
class DisturbedCopy:
    """One disturbed copy of a clip.

    Args:
        samples: (640 T,) audio.
        silent: (T,) whether the speech was muted.
    """

    samples: Samples
    silent: NDArray[np.bool_]


def has_silence(copy: int, share: float) -> bool:
    """Return whether copy 1, 2, ... has runs of silence, so that ``ceil(share K)`` of any first K copies do."""
    return math.ceil(copy * share) > math.ceil((copy - 1) * share)


class CopyMaker:
    """Makes the disturbed copies of a store's clips.

    Args:
        store: The store; the voices in the background are those of its clips.
        recipe: Seed and options of the copies.
    """

    def __init__(self, store: TrackStore, recipe: CopyRecipe) -> None:
        self.store, self.recipe = store, recipe
        self._augmentations = audio_augmentations([ClipEntry(store, row) for row in store.rows], recipe.options)

    def __call__(self, row: ManifestRow, copy: int) -> DisturbedCopy:
        """Make copy 1, 2, ... of a clip."""
        generator = np.random.default_rng([self.recipe.seed, zlib.crc32(row.clip_id.encode()), copy])
        silence = has_silence(copy, self.recipe.options.silent_share)
        count = -(-row.frames // PIECE)
        edges = [row.frames * piece // count for piece in range(count + 1)]
        samples, silent = [], np.zeros(row.frames, np.bool_)
        for begin, end in itertools.pairwise(edges):
            piece = self.store.read_audio(row, begin, end - begin)
            runs = draw_runs(end - begin, generator) if silence else []
            if runs:
                parts = [(first * SAMPLES_PER_FRAME, last * SAMPLES_PER_FRAME) for first, last in runs]
                piece = mute(piece, parts, draw_noise(generator), generator)
            for first, last in runs:
                silent[begin + first : begin + last] = True
            for augmentation in self._augmentations:
                piece = augmentation(piece, generator)
            samples.append(piece)
        return DisturbedCopy(np.concatenate(samples), silent)


def draw_runs(frames: int, generator: np.random.Generator) -> list[Run]:
    """Draw runs of silence, one in about five seconds, each of half a second to 2.56 s; none in less than a second."""
    if frames < 2 * SHORTEST_RUN:
        return []
    count = max(round(frames / _RUN_EVERY), 1)
    edges = [frames * stretch // count for stretch in range(count + 1)]
    runs = []
    for begin, end in itertools.pairwise(edges):
        length = int(generator.integers(SHORTEST_RUN, min(_LONGEST_RUN, end - begin) + 1))
        first = begin + int(generator.integers(end - begin - length + 1))
        runs.append((first, first + length))
    return runs


def runs_of(silent: NDArray[np.bool_]) -> list[Run]:
    """Return the runs of silent frames, (T,), in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]]).astype(np.int8)))
    return [(int(first), int(end)) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def draw_version(
    runs: list[list[Run]], clip_frames: int, window: Run, share: float, generator: np.random.Generator
) -> tuple[int, int]:
    """Draw which version of a clip a training window shows, and where the window lies.

    With probability ``share``, and if the clip has a run of silence, the window meets one, by at least `SHORTEST_RUN`
    frames. Otherwise it stays in place, and shows the original or one of the copies that are not silent there, each
    with the same probability.

    Args:
        runs: Runs of silence of copy 1, 2, ...
        clip_frames: Frames of the clip.
        window: First frame of the window as drawn, and the frame after its last one, which may lie beyond the clip.
        share: Share of windows with silence.
        generator: Random generator of the window.

    Returns:
        Number of the copy, 0 for the original, and the window's first frame.
    """
    first, end = window
    silent = [(copy, run) for copy, found in enumerate(runs, start=1) for run in found]
    if share and generator.random() < share and silent:
        copy, run = silent[int(generator.integers(len(silent)))]
        frames = end - first
        least = min(SHORTEST_RUN, frames)
        earliest = max(run[0] + least - frames, 0)
        latest = max(min(run[1] - least, clip_frames - frames), 0)
        return copy, int(generator.integers(min(earliest, latest), latest + 1))
    speaking = [0] + [
        copy for copy, found in enumerate(runs, start=1) if not any(run[0] < end and first < run[1] for run in found)
    ]
    return speaking[int(generator.integers(len(speaking)))], first
