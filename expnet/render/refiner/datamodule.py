"""DataModule of rendered and real face regions: random pairs for training, all pairs of a clip for validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch.utils.data import DataLoader, Dataset

from expnet.data.datamodule import TalkingFaceDataModule
from expnet.data.even_spacing import evenly_spaced
from expnet.data.sampling import ShardSampler, WindowDraw
from expnet.data.splits import TRAIN, VALIDATION
from expnet.errors import DataError
from expnet.models.refiner import FLIPPED_SHIFT
from expnet.render.refiner.batch import RegionBatch, join
from expnet.render.refiner.regions import REGIONS
from expnet.render.refiner.training_pairs import PairSettings, prepare_clips

# Regions that are mirrored in place; a mirrored eye would be the other eye.
_SYMMETRIC = ("mouth", "face")


class RegionDataset(Dataset[RegionBatch]):
    """``dataset[3]`` is all of clip 3; ``dataset[WindowDraw(3, epoch, draw)]`` is one of its pairs, augmented.

    Args:
        files: File of each clip, from `expnet.render.refiner.training_pairs.prepare_clips`.
        kinds: Kinds of regions.
        colour: Strength of the colour augmentation, see `change_colours`.
        seed: Seed of the augmentation.
    """

    def __init__(self, files: dict[str, Path], kinds: Sequence[str], *, colour: float = 0.0, seed: int = 0) -> None:
        self.names, self.files = list(files), list(files.values())
        self.colour, self.seed = colour, seed
        self._regions = [region.kind for kind in kinds for region in REGIONS[kind]]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int | WindowDraw) -> RegionBatch:
        """Read all pairs of a clip, or one of them as a batch of one."""
        clip = index if isinstance(index, int) else index.clip
        with safe_open(str(self.files[clip]), framework="numpy") as file:
            parts = {name: file.get_slice(name) for name in ("inputs", "targets", "gates")}
            count = parts["gates"].get_shape()[0]
            if isinstance(index, int):
                return self._batch(clip, *(parts[name][:] for name in parts))
            generator = np.random.default_rng([self.seed, index.epoch, index.draw])
            pair = int(generator.integers(count))
            inputs, targets, gates = (parts[name][pair : pair + 1].copy() for name in parts)
        change_colours(inputs[0], targets[0], self.colour, generator)
        if generator.random() < 0.5:
            for region, kind in enumerate(self._regions):
                if kind in _SYMMETRIC:
                    inputs[0, region], targets[0, region] = mirror(inputs[0, region]), targets[0, region, ..., ::-1]
        return self._batch(clip, inputs, targets, gates)

    def _batch(self, clip: int, inputs: NDArray, targets: NDArray, gates: NDArray) -> RegionBatch:
        pairs, real, shares = (torch.from_numpy(np.ascontiguousarray(part)) for part in (inputs, targets, gates))
        return RegionBatch(pairs, real, shares, (self.names[clip],) * len(gates))


def mirror(inputs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Exchange left and right of a region (10, S, S)."""
    flipped = inputs[..., ::-1].copy()
    flipped[FLIPPED_SHIFT] = 255 - flipped[FLIPPED_SHIFT]
    return flipped


def change_colours(
    inputs: NDArray[np.uint8], targets: NDArray[np.uint8], spread: float, generator: np.random.Generator
) -> None:
    """Change the colours of frame, portrait and real frame alike: ``value -> gain value ^ gamma``, in place.

    Args:
        inputs: (R, 10, S, S) uint8.
        targets: (R, 3, S, S) uint8.
        spread: Standard deviation of the logarithms of gamma and gain; a third of it for each colour separately.
        generator: Source of randomness.
    """
    gamma = np.exp(spread * generator.normal() + spread / 3 * generator.normal(size=3))
    gain = np.exp(spread * generator.normal() + spread / 3 * generator.normal(size=3))
    levels = np.arange(256) / 255.0
    for channel in range(3):
        table = np.clip(255.0 * gain[channel] * levels ** gamma[channel] + 0.5, 0, 255).astype(np.uint8)
        for image in (inputs[:, channel], inputs[:, 3 + channel], targets[:, channel]):
            image[...] = table[image]


class RegionDataModule(TalkingFaceDataModule):
    """Clips of track stores as pairs of rendered and real face regions; every speaker is sampled equally often.

    Args:
        store: Track stores, as for `TalkingFaceDataModule`.
        crops: Folder that keeps the prepared regions.
        pairs: Which pairs are made from a clip.
        colour: Strength of the colour augmentation of training pairs.
        clips_per_speaker: Largest number of clips prepared for each speaker, evenly spaced; None for all.
        options: Further options of `TalkingFaceDataModule`.
    """

    def __init__(
        self,
        store: str | Sequence[str],
        *,
        crops: str,
        pairs: PairSettings,
        colour: float = 0.1,
        clips_per_speaker: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(store, **options)
        self.crops, self.pairs, self.colour, self.clips_per_speaker = Path(crops), pairs, colour, clips_per_speaker

    def prepare_data(self) -> None:
        """Prepare missing pairs; Lightning calls this in one process of a machine."""
        for split in (TRAIN, VALIDATION):
            self._files(split)

    def train_dataloader(self) -> DataLoader[RegionBatch]:  # type: ignore[override]
        """Random training pairs; the sampler continues where a resumed run stopped."""
        files = self._files(TRAIN)
        if not files:
            raise DataError(
                "no training clip has its video: give a store of `expnet preprocess` whose source videos exist"
            )
        speakers = {entry.row.clip_id: entry.row.speaker for entry in self.splits[TRAIN]}
        of_speaker = {speaker: [name for name in files if speakers[name] == speaker] for speaker in speakers.values()}
        pairs = self.pairs.portraits * self.pairs.frames
        expected = np.array([pairs / len(of_speaker[speakers[name]]) for name in files])
        sampler = self._window_sampler(expected)
        dataset = RegionDataset(files, self.pairs.kinds, colour=self.colour, seed=self.seed)
        return self._loader(dataset, sampler, join, batch_size=self.batch_size, drop_last=True)

    def val_dataloader(self) -> DataLoader[RegionBatch]:  # type: ignore[override]
        """All pairs of each validation clip."""
        files = self._files(VALIDATION)
        rank, world = self._rank_and_world()
        dataset = RegionDataset(files, self.pairs.kinds)
        return self._loader(dataset, ShardSampler(len(dataset), rank=rank, world=world), join, batch_size=1)

    def _files(self, split: str) -> dict[str, Path]:
        limit = self.clips_per_speaker
        chosen = self.splits[split]
        if limit is not None:
            by_speaker: dict[str, list] = {}
            for entry in chosen:
                by_speaker.setdefault(entry.row.speaker, []).append(entry)
            chosen = [entry for entries in by_speaker.values() for entry in evenly_spaced(entries, limit)]
        return prepare_clips(chosen, self.crops, self.pairs)
