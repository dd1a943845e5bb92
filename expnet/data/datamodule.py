"""The DataModule of all tasks on track stores: clips in, batches with named fields out."""

import logging
import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.distributed
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from expnet.audio.speech_encoders import FeatureSource
from expnet.config import DataConfig, SplitConfig
from expnet.data.audio_augmentation import WindowAugmentation, audio_augmentations, babble_of, batched_augmentations
from expnet.data.batch import NO_CLIP, FaceBatch, collate
from expnet.data.batched_audio import BatchedAudio
from expnet.data.clip_entry import ClipEntry
from expnet.data.coefficient_statistics import (
    CoefficientStatistics,
    MotionStatistics,
    measure_motion,
    measure_statistics,
)
from expnet.data.dataset import FaceDataset
from expnet.data.even_spacing import evenly_spaced
from expnet.data.mixture import flatten_shares, limit_per_corpus
from expnet.data.online_features import OnlineFeatures
from expnet.data.sampling import ShardSampler, WindowSampler
from expnet.data.splits import TEST, TRAIN, VALIDATION, refuse_shared_speakers, split_by_speaker, split_by_time
from expnet.data.store.feature_cache import FeatureCache
from expnet.data.store.manifest import ManifestRow
from expnet.data.store.track_store import TrackStore
from expnet.data.store_source import Stores, as_sources
from expnet.errors import ConfigError, DataError

# Training clips that the statistics are measured on, evenly spaced: more clips change no digit that matters.
STATISTICS_CLIPS = 500
# Forked workers inherit the dataset. Spawned ones get it pickled and import torch again, which takes seconds: Python's
# own choice on macOS and Windows, where a fork is unsafe or impossible, and on Linux since 3.14.
_START_METHOD = "fork" if sys.platform == "linux" else None
UNKNOWN_SPEAKER = ""
NEUTRAL = "neutral"

_log = logging.getLogger(__name__)


class TalkingFaceDataModule(LightningDataModule):
    """Windows and clips of one or several track stores.

    Training batches are random windows. An epoch has as many windows as fit into the training clips, so longer clips
    give more. Validation and test batches are whole clips, one at a time, each on one process only.

    All defaults are those of the configuration (`expnet.config.DataConfig`)::

        data = TalkingFaceDataModule("tracks")
        data = TalkingFaceDataModule(["hdtf", "mead"], window=80, split=SplitConfig(test_fraction=0.2))
        data = TalkingFaceDataModule("tracks", augmentation=WindowAugmentation(reverberation=0.3))

    Args:
        store: Path or URL of a track store, or several; a `StoreSource` adds a sampling weight or speech features.
        window: Frames of a training window.
        batch_size: Windows per training batch on each process.
        workers: Processes that load data; 0 loads in the training process.
        seed: Seed of the windows and of their augmentation.
        split: How the clips are divided, and how many of them are used.
        augmentation: How training windows are augmented.
        windows_per_clip: Windows per clip and epoch; None for as many as its duration holds.
        temperature: Flattens the shares of the stores, each to the power 1 / temperature.
        online: Computes speech features in the batches, from their augmented audio; None for features of the sources.

    Raises:
        DataError: If a store cannot be read, the stores do not fit together, or no training clip is left.
        ConfigError: If an option cannot be used.
    """

    def __init__(
        self,
        store: Stores,
        *,
        window: int = DataConfig.window,
        batch_size: int = DataConfig.batch_size,
        workers: int = DataConfig.workers,
        seed: int = 0,
        split: SplitConfig | None = None,
        augmentation: WindowAugmentation | None = None,
        windows_per_clip: float | None = None,
        temperature: float = 1.0,
        online: OnlineFeatures | None = None,
    ) -> None:
        super().__init__()
        self.sources = as_sources(store)
        self.window, self.batch_size, self.workers, self.seed = window, batch_size, workers, seed
        self.split = split if split is not None else SplitConfig()
        self.augmentation = augmentation if augmentation is not None else WindowAugmentation()
        self.windows_per_clip, self.temperature = windows_per_clip, temperature
        self.online = online
        self._resume = (0, 0)
        self.mel = True
        """Whether batches have a mel spectrogram; false saves a third of the time of a network that reads none."""

    @cached_property
    def stores(self) -> list[TrackStore]:
        """The opened stores."""
        stores = [TrackStore(source.path) for source in self.sources]
        models = sorted({store.face_model for store in stores if len(store)})
        if len(models) > 1:
            raise DataError(f"the stores have different face models ({', '.join(models)}); use stores of one")
        trackers = sorted({store.tracker for store in stores if store.tracker})
        if len(trackers) > 1:
            _log.warning(
                "The stores were tracked with different models (%s), to which the same face has different expressions, "
                "as far apart as it moves in speech (docs/results/tracking.md).",
                ", ".join(trackers),
            )
        return stores

    @cached_property
    def splits(self) -> dict[str, list[ClipEntry]]:
        """Clips of each split, in the order of stores and names."""
        entries = [ClipEntry(store, row) for store in self.stores for row in store.rows]
        splits: dict[str, list[ClipEntry]] = {TRAIN: [], VALIDATION: [], TEST: []}
        for entry, parts in zip(entries, self._divide([entry.row for entry in entries]), strict=True):
            for split, row in parts:
                splits[split].append(ClipEntry(entry.store, row))
        splits[TRAIN] = evenly_spaced(splits[TRAIN], self.split.limit_clips)
        validation = limit_per_corpus(splits[VALIDATION], self.split.limit_validation_clips_per_corpus)
        splits[VALIDATION] = evenly_spaced(validation, self.split.limit_validation_clips)
        return splits

    def _divide(self, rows: list[ManifestRow]) -> list[list[tuple[str, ManifestRow]]]:
        """Return the parts of each clip with their splits: the whole clip, unless clips are split by time."""
        split = self.split
        fractions = (split.validation_fraction, split.test_fraction)
        if split.split_by == "time":
            return split_by_time(rows, *fractions)
        for store in self.stores:  # each by itself: no store of a mixture may silently train on nothing
            refuse_shared_speakers(store.rows, split.allow_shared_speakers)
        # Clips of different stores may share a name; speakers of the same name count as the same person.
        assigned = split_by_speaker(rows, *fractions, split.split_seed, split.allow_shared_speakers)
        return [[(name, row)] for name, row in zip(assigned, rows, strict=True)]

    @cached_property
    def features(self) -> dict[str, FeatureCache]:
        """Speech features by the location of their store; empty if none are used."""
        if not any(source.features for source in self.sources):
            return {}
        if not all(source.features for source in self.sources):
            raise ConfigError(f"data.features needs {len(self.stores)} folders, one for each store of data.store")
        pairs = zip(self.sources, self.stores, strict=True)
        caches = [FeatureCache(source.features, store) for source, store in pairs]
        for cache in caches:
            if self.augmentation.silent_runs is not None and not (cache.copies and cache.silent_share):
                raise ConfigError(
                    f"{cache.folder} has no disturbed copies with silence, which data.silent_share draws from: make "
                    "some with 'expnet features STORE --copies 2', or set it to 0 with data.features"
                )
        for cache in caches[1:]:
            if cache.source != caches[0].source:
                first, other = (f"{it.folder} ({it.source.describe()})" for it in (caches[0], cache))
                raise DataError(f"{first} and {other} are features of different networks; use those of one")
        return {store.files.location: cache for store, cache in zip(self.stores, caches, strict=True)}

    @property
    def feature_source(self) -> FeatureSource | None:
        """Encoder of the speech features; None if none are used."""
        if self.online is not None:
            return self.online.source
        return next((cache.source for cache in self.features.values()), None)

    @property
    def face_model(self) -> str:
        """Name of the stores' face model."""
        return next((store.face_model for store in self.stores if len(store)), "")

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """Training speakers. The index of a name is ``FaceBatch.style``; index 0 stands for all other speakers."""
        return (UNKNOWN_SPEAKER, *sorted({entry.row.speaker for entry in self.splits[TRAIN]}))

    @cached_property
    def emotions(self) -> tuple[str, ...]:
        """Training emotions. The index of a name is ``FaceBatch.emotion``; index 0 is neutral or unknown."""
        return (NEUTRAL, *sorted({entry.row.emotion for entry in self.splits[TRAIN]} - {"", NEUTRAL}))

    @cached_property
    def statistics(self) -> CoefficientStatistics:
        """Statistics of the training split."""
        return measure_statistics(evenly_spaced(self.splits[TRAIN], STATISTICS_CLIPS), self.window)

    @cached_property
    def motion_statistics(self) -> MotionStatistics:
        """How faces move within the clips of the training split."""
        return measure_motion(evenly_spaced(self.splits[TRAIN], STATISTICS_CLIPS))

    def facts(self) -> dict[str, Any]:
        """Describe the data for a model's records: stores with fingerprints, and the sizes of the splits."""
        return {
            "stores": [
                {"name": source.path.rstrip("/").rpartition("/")[2], "fingerprint": store.fingerprint()}
                for source, store in zip(self.sources, self.stores, strict=True)
            ],
            "splits": {
                split: {
                    "clips": len(entries),
                    "frames": sum(entry.row.frames for entry in entries),
                    "speakers": len({entry.row.speaker for entry in entries}),
                    "corpora": sorted({entry.row.corpus for entry in entries}),
                }
                for split, entries in self.splits.items()
            },
        }

    def setup(self, stage: str | None = None) -> None:
        """Open the stores and divide the clips.

        Raises:
            DataError: If no training clip is left.
        """
        if not self.splits[TRAIN] and stage in (None, "fit"):
            paths = ", ".join(source.path for source in self.sources)
            raise DataError(f"{paths} has no clip to train on; add clips or change the split")
        _log.info("Clips: %s", {split: len(entries) for split, entries in self.splits.items()})

    def train_dataloader(self) -> DataLoader[FaceBatch]:
        """Random windows, continuing where a resumed run stopped."""
        entries = self.splits[TRAIN]
        sampler = self._window_sampler(self._expected_windows(entries))
        options = self.augmentation
        configured = [] if options.on_device else audio_augmentations(entries, options)
        dataset = self._dataset(
            TRAIN,
            window=self.window,
            augmentations=[*options.further, *configured],
            batched=options.on_device,
            babble=babble_of(entries, options.babble) if options.on_device else None,
            speed=self.augmentation.speed,
            silent_runs=self.augmentation.silent_runs,
            reference_share=self.augmentation.reference_share,
        )
        return self._loader(dataset, sampler, collate, batch_size=self.batch_size, drop_last=True)

    def val_dataloader(self) -> DataLoader[FaceBatch]:
        """Whole validation clips; a process without one gets a clip without valid frames, which counts nowhere."""
        return self._whole_clips(VALIDATION, placeholder=NO_CLIP)

    def test_dataloader(self) -> DataLoader[FaceBatch]:
        """Whole test clips, shared as the validation clips are."""
        return self._whole_clips(TEST, placeholder=NO_CLIP)

    def predict_dataloader(self) -> DataLoader[FaceBatch]:
        """Whole test clips."""
        return self._whole_clips(TEST)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment the audio and compute spectrogram and speech features, where that is left to the device."""
        if not isinstance(batch, FaceBatch):
            return batch  # of frames, which have no audio
        if batch.seeds:
            batch = self._batched_audio(batch)
        return batch if self.online is None else self.online(batch)

    @cached_property
    def _batched_audio(self) -> BatchedAudio:
        augmentations = batched_augmentations(self.augmentation)
        return BatchedAudio(augmentations, mel=self.mel, keep_audio=self.online is not None)

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the epoch, which Lightning stores in the checkpoint."""
        trainer = self.trainer
        if trainer is None:
            return {}
        batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        # Windows instead of batches, so that the position holds for any number of processes.
        return {"epoch": trainer.current_epoch, "windows_done": batches * self.batch_size * trainer.world_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after the windows that the checkpoint's run has trained on."""
        self._resume = (state_dict["epoch"], state_dict["windows_done"])

    def steps_per_epoch(self, processes: int, accumulate: int) -> int:
        """Return the optimiser steps of an epoch.

        Args:
            processes: Number of training processes.
            accumulate: Batches whose gradients are added up for a step.
        """
        windows = self.batch_size * accumulate
        expected = self._expected_windows(self.splits[TRAIN])
        return len(WindowSampler(expected, batch_size=windows, world=processes)) // windows

    def _window_sampler(self, expected: np.ndarray) -> WindowSampler:
        """Return the sampler of training windows for this process, which continues where a resumed run stopped."""
        rank, world = self._rank_and_world()
        accumulated = 1 if self.trainer is None else self.trainer.accumulate_grad_batches
        windows = self.batch_size * accumulated
        sampler = WindowSampler(expected, batch_size=windows, seed=self.seed, rank=rank, world=world)
        self._continue_epoch(sampler, world)
        return sampler

    def _continue_epoch(self, sampler: WindowSampler, world: int) -> None:
        """Skip the windows that a resumed run has trained on."""
        epoch, windows = self._resume
        start = windows // world
        if start >= len(sampler):
            epoch, start = epoch + 1, 0
        sampler.resume(epoch, start)

    def _expected_windows(self, entries: Sequence[ClipEntry]) -> np.ndarray:
        """Return (clips,) the expected number of windows of each clip per epoch."""
        place = {id(store): number for number, store in enumerate(self.stores)}
        stores = np.array([place[id(entry.store)] for entry in entries], dtype=np.int64)
        natural = [self.windows_per_clip or max(entry.row.frames / self.window, 1.0) for entry in entries]
        expected = np.array(natural) * np.array([source.weight for source in self.sources])[stores]
        if not expected.sum() > 0:
            raise ConfigError("data.store_weights leaves no clip to train on; give a store with clips some weight")
        return flatten_shares(expected, stores, self.temperature)

    def _dataset(self, split: str, **options: Any) -> FaceDataset:
        return FaceDataset(
            self.splits[split],
            seed=self.seed,
            emotions=self.emotions,
            speakers=self.speakers,
            features=self.features,
            mel=self.mel,
            audio_context=None if self.online is None else self.online.context,
            **options,
        )

    def _whole_clips(self, split: str, *, placeholder: int | None = None) -> DataLoader[FaceBatch]:
        rank, world = self._rank_and_world()
        dataset = self._dataset(split)
        sampler = ShardSampler(len(dataset), rank=rank, world=world, placeholder=placeholder)
        return self._loader(dataset, sampler, collate, batch_size=1)

    def _loader(self, dataset: Dataset[Any], sampler: Any, collate_items: Any, **options: Any) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            multiprocessing_context=_START_METHOD if self.workers > 0 else None,
            pin_memory=torch.cuda.is_available(),
            collate_fn=collate_items,
            # Its own generator: an iterator draws a number when created, which would change a resumed run.
            generator=torch.Generator().manual_seed(self.seed),
            **options,
        )

    def _rank_and_world(self) -> tuple[int, int]:
        if self.trainer is not None:
            return self.trainer.global_rank, self.trainer.world_size
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1
