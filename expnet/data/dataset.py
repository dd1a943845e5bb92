"""The dataset of clips in track stores: random windows for training, whole clips for evaluation."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from expnet.audio.alignment import MEL_CONTEXT, SAMPLES_PER_FRAME, mel_for_frames
from expnet.audio.augmentation import Augmentation
from expnet.audio.mel import HOP, WINDOW
from expnet.data.batch import NO_CLIP, FaceBatch, without_valid_frames
from expnet.data.clip_entry import ClipEntry
from expnet.data.sampling import WindowDraw
from expnet.data.silent_windows import SilentRun, SilentRuns, silence
from expnet.data.speaking_rate import resample_audio, resample_frames, source_frames
from expnet.data.store.feature_cache import FeatureCache
from expnet.data.store.track import blink_closure

# Frames of audio before and after a window that its mel spectrogram depends on.
_AUDIO_MARGIN = -(-(MEL_CONTEXT * HOP + WINDOW // 2 + 1) // SAMPLES_PER_FRAME)


@dataclass(frozen=True)
class _Window:
    """A range of frames of a clip, and how they are augmented.

    Attributes:
        first_frame: First frame in the clip.
        frames: Number of frames of the window.
        speed: Speaking rate relative to the clip's.
        generator: Random generator of the audio augmentation; None for no augmentation.
        run: Run of silence; None for no silence.
    """

    first_frame: int
    frames: int
    speed: float = 1.0
    generator: np.random.Generator | None = None
    run: SilentRun | None = None


class FaceDataset(Dataset[FaceBatch]):
    """Map-style dataset: ``dataset[3]`` is the whole clip 3, ``dataset[WindowDraw(3, epoch, draw)]`` a window of it.

    With ``window``, ``dataset[3]`` is always the same window of clip 3, for samplers that know nothing of windows:
    Lightning's ``overfit_batches`` puts one of its own in place of the DataModule's.

    Args:
        clips: The clips.
        window: Frames of a window. Shorter clips are padded with their last frame, with ``valid`` False.
        seed: Decides, together with epoch and draw, where a window starts and how it is augmented.
        emotions: Names in the order of their indices.
        speakers: Names in the order of their style indices; other speakers have index 0.
        augmentations: Augmentations of the windows' audio.
        speed: Largest relative change of the speaking rate of windows; face and audio change together.
        silent_runs: Mutes the speech and closes the lips in a share of the windows; None for none.
        features: Speech features of each store's clips, by the store's location; empty for none.
    """

    def __init__(
        self,
        clips: Sequence[ClipEntry],
        *,
        window: int = 0,
        seed: int = 0,
        emotions: Sequence[str] = (),
        speakers: Sequence[str] = (),
        augmentations: Sequence[Augmentation] = (),
        speed: float = 0.0,
        silent_runs: SilentRuns | None = None,
        features: Mapping[str, FeatureCache] | None = None,
    ) -> None:
        self.clips = list(clips)
        self.window = window
        self.seed = seed
        self.augmentations = list(augmentations)
        self.speed = speed
        self.silent_runs = silent_runs
        self.features = dict(features or {})
        self._emotions = {name: index for index, name in enumerate(emotions)}
        self._speakers = {name: index for index, name in enumerate(speakers)}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int | WindowDraw) -> FaceBatch:
        """Read a whole clip or a window as a batch of size 1."""
        if index == NO_CLIP:
            return without_valid_frames(self[0])
        if isinstance(index, int) and self.window:
            index = WindowDraw(index, 0, index)
        if isinstance(index, int):
            entry = self.clips[index]
            return self._read(entry, _Window(0, entry.row.frames))
        entry = self.clips[index.clip]
        generator = np.random.default_rng([self.seed, index.epoch, index.draw])
        speed = 1.0 + self.speed * generator.uniform(-1.0, 1.0) if self.speed else 1.0
        needed = source_frames(self.window, speed)
        first = int(generator.integers(max(entry.row.frames - needed, 0) + 1))
        run = self.silent_runs.draw(self.window, generator) if self.silent_runs is not None else None
        return self._read(entry, _Window(first, self.window, speed, generator, run))

    def _mel(self, entry: ClipEntry, window: _Window) -> Tensor:
        """Log-mel of a window (80, columns), computed from the audio of the window and its context only."""
        context, offset = _audio_with_context(entry, window)
        if window.generator is not None:
            if window.run is not None:
                context = silence(context, window.run, window.frames, offset, window.generator)
            for augmentation in self.augmentations:
                context = augmentation(context, window.generator)
        return mel_for_frames(context, offset, window.frames)

    def _read(self, entry: ClipEntry, window: _Window) -> FaceBatch:
        row, shard, frames = entry.row, entry.store.shard(entry.row), window.frames
        available = min(source_frames(frames, window.speed), row.frames - window.first_frame)
        first = row.first_frame + window.first_frame
        present = min(frames, int(available / window.speed))

        def read(name: str) -> Tensor:
            return fitted(shard.frames(name, first, available))

        def fitted(array: NDArray[Any]) -> Tensor:
            if window.speed != 1:
                array = resample_frames(array, present, window.speed)
            if present < frames:  # pad with the last frame, so that values are finite and nothing moves
                array = np.concatenate([array, np.repeat(array[-1:], frames - present, axis=0)])
            return torch.from_numpy(array)

        expression, rotation, translation = read("expression"), read("rotation"), read("translation")
        valid = read("valid")
        valid[present:] = False
        blink = torch.from_numpy(blink_closure(read("landmarks").numpy(), row.eye_open))
        # Taken before the lips close: in a portrait they may be apart, whatever the audio that follows.
        first_expression = expression[:1]
        if window.run is not None and self.silent_runs is not None:
            expression = torch.from_numpy(self.silent_runs.close(expression.numpy(), window.run))
        cache = self.features.get(entry.store.files.location)
        features = {} if cache is None else {"features": fitted(cache.frames(row.shard, first, available))[None]}
        return FaceBatch(
            mel=self._mel(entry, window)[None],  # (1, 80, columns)
            expression=expression[None],  # (1, T, 64)
            identity=torch.from_numpy(shard.clip("identity", row.shard_clip))[None],  # (1, K)
            rotation=rotation[None],  # (1, T, 3)
            translation=translation[None],  # (1, T, 3)
            first_expression=first_expression,  # (1, 64)
            first_pose=torch.cat([rotation[:1], translation[:1]], dim=1),  # (1, 6)
            blink=blink[None],  # (1, T)
            valid=valid[None],  # (1, T)
            emotion=torch.tensor([self._emotions.get(row.emotion, 0)]),
            style=torch.tensor([self._speakers.get(row.speaker, 0)]),
            frames=torch.tensor([present]),
            clip_ids=(row.clip_id,),
            first_frame=torch.tensor([window.first_frame]),
            **features,  # (1, T, F)
        )


def _audio_with_context(entry: ClipEntry, window: _Window) -> tuple[NDArray[np.float32], int]:
    """Return the audio of a window and its context, and the number of context frames before the window."""
    store, row, first = entry.store, entry.row, window.first_frame
    if window.speed == 1:
        begin = max(first - _AUDIO_MARGIN, 0)
        return store.read_audio(row, begin, first + window.frames + _AUDIO_MARGIN - begin), first - begin
    frames = window.frames + 2 * _AUDIO_MARGIN
    place = first - _AUDIO_MARGIN * window.speed  # where the audio begins in the clip, in frames
    begin = max(math.floor(place), 0)
    samples = store.read_audio(row, begin, math.ceil(place + frames * window.speed) + 2 - begin)
    return resample_audio(samples, place - begin, frames, window.speed), _AUDIO_MARGIN
