"""Clips of track stores as batches of one: random windows for training, whole clips for evaluation."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from expnet.audio.alignment import MEL_CONTEXT, SAMPLES_PER_FRAME, mel_for_frames
from expnet.audio.mel import HOP, WINDOW
from expnet.data.augment import Augmentation
from expnet.data.batch import FaceBatch
from expnet.data.manifest import ClipRow
from expnet.data.sampling import WindowDraw
from expnet.data.store import TrackStore
from expnet.data.tracks import blink_closure

# Frames of sound before and after a window that its spectrogram looks at.
_SOUND_MARGIN = -(-(MEL_CONTEXT * HOP + WINDOW // 2 + 1) // SAMPLES_PER_FRAME)


class ClipEntry(NamedTuple):
    """A clip and the store that it lies in."""

    store: TrackStore
    row: ClipRow


class FaceDataset(Dataset[FaceBatch]):
    """Map-style dataset: ``dataset[3]`` is clip 3 whole, ``dataset[WindowDraw(3, epoch, draw)]`` a window of it.

    Args:
        clips: The clips.
        window: Frames of a window. Shorter clips are padded with their last frame, ``valid`` False.
        seed: Together with epoch and draw it decides where a window starts.
        emotions: Names whose position is the emotion's index.
        speakers: Names whose position is the style's index; others are 0.
        augmentations: Changes of the windows' sound.
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
    ) -> None:
        self.clips = list(clips)
        self.window = window
        self.seed = seed
        self.augmentations = list(augmentations)
        self._emotions = {name: index for index, name in enumerate(emotions)}
        self._speakers = {name: index for index, name in enumerate(speakers)}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int | WindowDraw) -> FaceBatch:
        """Read a whole clip or a window as a batch of one."""
        if isinstance(index, int):
            entry = self.clips[index]
            return self._read(entry, 0, entry.row.frames)
        entry = self.clips[index.clip]
        generator = np.random.default_rng([self.seed, index.epoch, index.draw])
        first = int(generator.integers(max(entry.row.frames - self.window, 0) + 1))
        return self._read(entry, first, self.window, generator)

    def mel(
        self, entry: ClipEntry, first_frame: int, frames: int, generator: np.random.Generator | None = None
    ) -> Tensor:
        """Log-mel of a window (80, columns), from the window's sound and its context only."""
        begin = max(first_frame - _SOUND_MARGIN, 0)
        samples = entry.store.read_audio(entry.row, begin, first_frame + frames + _SOUND_MARGIN - begin)
        if generator is not None:
            for augmentation in self.augmentations:
                samples = augmentation(samples, generator)
        return mel_for_frames(samples, first_frame - begin, frames)

    def _read(
        self, entry: ClipEntry, first_frame: int, frames: int, generator: np.random.Generator | None = None
    ) -> FaceBatch:
        row, shard = entry.row, entry.store.shard(entry.row)
        present = min(frames, row.frames - first_frame)
        first = row.first_frame + first_frame

        def read(name: str) -> Tensor:
            array = shard.frames(name, first, present)
            if present < frames:  # padded with the last frame: finite, and still
                array = np.concatenate([array, np.repeat(array[-1:], frames - present, axis=0)])
            return torch.from_numpy(array)

        expression, rotation, translation = read("expression"), read("rotation"), read("translation")
        valid = read("valid")
        valid[present:] = False
        blink = torch.from_numpy(blink_closure(read("landmarks").numpy(), row.eye_open))
        return FaceBatch(
            mel=self.mel(entry, first_frame, frames, generator)[None],  # (1, 80, columns)
            expression=expression[None],  # (1, T, 64)
            identity=torch.from_numpy(shard.clip("identity", row.shard_clip))[None],  # (1, K)
            rotation=rotation[None],  # (1, T, 3)
            translation=translation[None],  # (1, T, 3)
            first_expression=expression[:1],  # (1, 64)
            first_pose=torch.cat([rotation[:1], translation[:1]], dim=1),  # (1, 6)
            blink=blink[None],  # (1, T)
            valid=valid[None],  # (1, T)
            emotion=torch.tensor([self._emotions.get(row.emotion, 0)]),
            style=torch.tensor([self._speakers.get(row.speaker, 0)]),
            frames=torch.tensor([present]),
            clip_ids=(row.clip_id,),
            first_frame=torch.tensor([first_frame]),
        )
