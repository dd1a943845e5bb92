"""DataModule of frame pairs: random pairs for training, a clip driven from its first frame for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from expnet.audio.alignment import FRAME_RATE
from expnet.config.data import FrameDataConfig
from expnet.data.batch import NO_CLIP
from expnet.data.clip_entry import ClipEntry
from expnet.data.datamodule import STATISTICS_CLIPS, TalkingFaceDataModule
from expnet.data.even_spacing import evenly_spaced
from expnet.data.sampling import ShardSampler, WindowDraw
from expnet.data.splits import TRAIN, VALIDATION
from expnet.errors import DataError
from expnet.models.video_renderer import POSE
from expnet.render.face_vid2vid.coefficient_windows import window_offsets
from expnet.render.video_renderer.batch import FramePairs, join
from expnet.render.video_renderer.clip_frames import FrameSettings, clip_square, frames_in, prepare_clips, read_clip
from expnet.render.video_renderer.motion_rows import Similarity, changed_rows, motion_rows, still_windows, windows_of

_OFFSETS = window_offsets(float(FRAME_RATE))
_LEAST_STD = 0.02
"""Least standard deviation by which a coefficient is divided: of an expression, as a share of the largest one; of a
pose, in radians and in shares of the square's half side."""


class RowStatistics(NamedTuple):
    """Statistics of the rows of the training clips.

    Attributes:
        mean: (E + 6,).
        std: (E + 6,), never so small that noise would be enlarged.
    """

    mean: Tensor
    std: Tensor


class FramePairDataset(Dataset[FramePairs]):
    """``dataset[3]`` drives clip 3 from its first frame; ``dataset[WindowDraw(3, epoch, draw)]`` is a random pair.

    Args:
        files: File of each clip, from `expnet.render.video_renderer.clip_frames.prepare_clips`.
        settings: The settings that they were prepared with.
        jitter: How far the square of a pair is turned (radians), scaled and shifted (shares of the side) at most.
        change: The same for the changed frame of the equivariance term.
        colour: Standard deviation of the logarithms of gain and gamma.
        seed: Seed of the draws.
    """

    def __init__(
        self,
        files: dict[str, Path],
        settings: FrameSettings,
        *,
        jitter: float = 0.0,
        change: float = 0.0,
        colour: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.names, self.files, self.settings = list(files), list(files.values()), settings
        self.jitter, self.change, self.colour, self.seed = jitter, change, colour, seed

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int | WindowDraw) -> FramePairs:
        """Read a clip, or a pair of it as a batch of one; `NO_CLIP` gives a pair that does not count."""
        if index == NO_CLIP:
            first = self._whole(0)[:1]
            return replace(first, valid=torch.zeros_like(first.valid), clip_ids=("",))
        return self._whole(index) if isinstance(index, int) else self._pair(index)

    def _pair(self, draw: WindowDraw) -> FramePairs:
        generator = np.random.default_rng([self.seed, draw.epoch, draw.draw])
        path = self.files[draw.clip]
        picked = generator.choice(frames_in(path), 2, replace=False)
        order = np.argsort(picked)
        clip = read_clip(path, picked[order])
        source, driving = (int(place) for place in np.argsort(order))
        square = self._random(generator, self.jitter).after(self.settings.inner)
        changed = self._random(generator, self.change)
        images = change_colours(clip.images, self.colour, generator)
        rows = changed_rows(windows_of(clip.rows, clip.numbers, _OFFSETS).transpose(0, 2, 1), square)  # (2, 27, E + 6)
        middle = len(_OFFSETS) // 2
        return self._batch(
            draw.clip,
            source=cut(images[source : source + 1], square, self.settings.size),
            driving=cut(images[driving : driving + 1], square, self.settings.size),
            source_window=still_windows(rows[source : source + 1, middle], len(_OFFSETS)),
            driving_window=rows[driving : driving + 1].transpose(0, 2, 1),
            changed=cut(images[driving : driving + 1], changed.after(square), self.settings.size),
            changed_window=changed_rows(rows[driving : driving + 1], changed).transpose(0, 2, 1),
            change=changed.matrix[None],
        )

    def _whole(self, index: int) -> FramePairs:
        clip = read_clip(self.files[index])
        rows = changed_rows(clip.rows, self.settings.inner)
        images = cut(clip.images, self.settings.inner, self.settings.size)
        driving, count = images[1:], len(images) - 1
        windows = windows_of(rows, clip.numbers[1:], _OFFSETS)
        still = still_windows(rows[clip.numbers[:1]], len(_OFFSETS))
        identity = Similarity().matrix[None].repeat(count, axis=0)
        source = images[:1].repeat(count, axis=0)
        return self._batch(
            index,
            source=source,
            driving=driving,
            source_window=still.repeat(count, axis=0),
            driving_window=windows,
            changed=driving,
            changed_window=windows,
            change=identity,
        )

    def _random(self, generator: np.random.Generator, reach: float) -> Similarity:
        angle, scale, x, y = generator.uniform(-1, 1, 4)
        return Similarity(reach * angle, float(np.exp(reach * scale)), (reach * x, reach * y))

    def _batch(self, clip: int, **parts: NDArray) -> FramePairs:
        tensors: dict[str, Any] = {}
        for name, part in parts.items():
            part = part.transpose(0, 3, 1, 2) if part.dtype == np.uint8 else part.astype(np.float32)
            tensors[name] = torch.from_numpy(np.ascontiguousarray(part))
        count = len(parts["change"])
        return FramePairs(**tensors, valid=torch.ones(count, dtype=torch.bool), clip_ids=(self.names[clip],) * count)


def cut(images: NDArray[np.uint8], square: Similarity, size: int) -> NDArray[np.uint8]:
    """Return the square of images (N, S', S', 3) that a similarity maps to -1 ... 1, at ``size`` pixels.

    Outside of the images, their edges are repeated.
    """
    if not len(images):
        return np.empty((0, size, size, 3), np.uint8)
    side = images.shape[1]
    matrix = square.matrix
    # Positions p = 2 (pixel + 1/2) / side - 1; the map from pixels of the image to those of the square.
    affine = np.empty((2, 3))
    affine[:, :2] = matrix[:, :2] * size / side
    affine[:, 2] = (matrix[:, :2] @ np.full(2, 1 / side - 1) + matrix[:, 2] + 1) * size / 2 - 0.5
    return np.stack(
        [
            cv2.warpAffine(image, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for image in images
        ]
    ).astype(np.uint8)


def change_colours(images: NDArray[np.uint8], spread: float, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return images (..., 3) with the same random gain and gamma: ``value -> gain value ^ gamma``.

    Args:
        images: uint8.
        spread: Standard deviation of the logarithms; a third of it for each colour separately.
        generator: Source of randomness.
    """
    if not spread:
        return images
    gamma, gain = (np.exp(spread * generator.normal() + spread / 3 * generator.normal(size=3)) for _ in range(2))
    levels = np.arange(256)[:, None] / 255.0
    tables = np.clip(255.0 * gain * levels**gamma + 0.5, 0, 255).astype(np.uint8)  # (256, 3)
    return np.stack([tables[images[..., channel], channel] for channel in range(3)], axis=-1)


class FrameDataModule(TalkingFaceDataModule):
    """Clips of track stores as pairs of frames; every speaker is sampled equally often.

    Args:
        store: Track stores, as for `TalkingFaceDataModule`.
        size: Side of the frames in pixels.
        frames: Which frames are prepared, and how pairs are augmented.
        options: Further options of `TalkingFaceDataModule`.
    """

    def __init__(self, store: str | Sequence[str], *, size: int, frames: FrameDataConfig, **options: Any) -> None:
        super().__init__(store, split=frames, **options)
        self.frames = frames
        self.settings = {
            TRAIN: FrameSettings(size, frames.frames, spread=True),
            VALIDATION: FrameSettings(size, frames.validation_frames, spread=False),
        }

    def prepare_data(self) -> None:
        """Prepare missing clips; Lightning calls this in one process of a machine."""
        for split in self.settings:
            self._files(split)

    @cached_property
    def row_statistics(self) -> RowStatistics:
        """Statistics of the rows of the training clips, whose videos it does not need."""
        total, squares, count = np.zeros(()), np.zeros(()), 0
        for entry in evenly_spaced(self._chosen(TRAIN), STATISTICS_CLIPS):
            track = entry.read()
            rows = motion_rows(track.coefficients, clip_square(track))[track.valid].astype(np.float64)
            total, squares, count = total + rows.sum(0), squares + np.square(rows).sum(0), count + len(rows)
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        std[:-POSE] = np.maximum(std[:-POSE], _LEAST_STD * std[:-POSE].max())
        std[-POSE:] = np.maximum(std[-POSE:], _LEAST_STD)
        return RowStatistics(torch.from_numpy(mean).float(), torch.from_numpy(std).float())

    def train_dataloader(self) -> DataLoader[FramePairs]:  # type: ignore[override]
        """Random training pairs; the sampler continues where a resumed run stopped."""
        files = self._training_files()
        speakers = {entry.row.clip_id: entry.row.speaker for entry in self.splits[TRAIN]}
        of_speaker = {speaker: [name for name in files if speakers[name] == speaker] for speaker in speakers.values()}
        expected = np.array([self.frames.pairs_per_speaker / len(of_speaker[speakers[name]]) for name in files])
        sampler = self._window_sampler(expected)
        options = self.frames
        dataset = FramePairDataset(
            files,
            self.settings[TRAIN],
            jitter=options.jitter,
            change=options.change,
            colour=options.colour,
            seed=self.seed,
        )
        return self._loader(dataset, sampler, join, batch_size=self.batch_size, drop_last=True)

    def val_dataloader(self) -> DataLoader[FramePairs]:  # type: ignore[override]
        """Each validation clip, driven from its first frame; a process without one gets a pair that does not count."""
        dataset = FramePairDataset(self._files(VALIDATION), self.settings[VALIDATION])
        rank, world = self._rank_and_world()
        sampler = ShardSampler(len(dataset), rank=rank, world=world, placeholder=NO_CLIP)
        return self._loader(dataset, sampler, join, batch_size=1)

    def _training_files(self) -> dict[str, Path]:
        files = self._files(TRAIN)
        if not files:
            raise DataError(
                "no training clip has its video: give a store of `expnet preprocess` whose source videos exist"
            )
        return files

    def _files(self, split: str) -> dict[str, Path]:
        return prepare_clips(self._chosen(split), Path(self.frames.crops), self.settings[split])

    def _chosen(self, split: str) -> list[ClipEntry]:
        by_speaker: dict[str, list[ClipEntry]] = {}
        for entry in self.splits[split]:
            by_speaker.setdefault(entry.row.speaker, []).append(entry)
        limit = self.frames.clips_per_speaker
        return [entry for entries in by_speaker.values() for entry in evenly_spaced(entries, limit)]
