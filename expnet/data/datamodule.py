"""The DataModule of both tasks: track stores in, named batches out."""

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.distributed
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from expnet.audio.speech_encoder import FeatureSource
from expnet.data.audio_augmentation import Augmentation, sound_augmentations
from expnet.data.batch import FaceBatch, collate
from expnet.data.clip_entry import ClipEntry
from expnet.data.coefficient_statistics import CoefficientStatistics, measure_statistics
from expnet.data.dataset import FaceDataset
from expnet.data.even_spacing import evenly_spaced
from expnet.data.sampling import ShardSampler, WindowSampler
from expnet.data.silent_windows import SilentRuns
from expnet.data.splits import TEST, TRAIN, VALIDATION, split_by_speaker, split_by_time
from expnet.data.store.feature_cache import FeatureCache
from expnet.data.store.manifest import ManifestRow
from expnet.data.store.track_store import TrackStore
from expnet.errors import ConfigError, DataError

# Clips that the statistics are taken from, evenly spaced over the training clips: more change no digit that matters.
STATISTICS_CLIPS = 500
UNKNOWN_SPEAKER = ""
NEUTRAL = "neutral"

_log = logging.getLogger(__name__)


class TalkingFaceDataModule(LightningDataModule):
    """Windows and clips of one or several track stores.

    Training batches are random windows; an epoch has as many as the training clips hold, longer clips giving more.
    Validation and test batches are whole clips, one at a time, each on one process only.

    Args:
        store: Folder of a track store, or several.
        window: Frames of a training window.
        batch_size: Windows of a training batch, on each process.
        workers: Processes that load; 0 loads in the training process.
        validation_fraction: Share of frames to validate on, by speaker, where the stores give no split.
        test_fraction: The same for test.
        split_seed: Seed of the split.
        split_by: ``speaker``, or ``time``: each speaker's beginning is trained on, the rest validated and tested on.
        seed: Seed of the windows.
        store_weights: How often clips of each store are drawn, 1 for as often as their length says.
        windows_per_clip: Windows an epoch of each clip, instead of as many as its length holds.
        limit_clips: Use only so many training clips, evenly spaced (to try things out).
        limit_validation_clips: The same for validation.
        allow_shared_speakers: Accept splits given by a corpus that have a speaker on two sides.
        gain_decibels: Training sound is louder or softer by up to so much.
        noise_snr: Training sound gets noise, at this signal-to-noise ratio in decibels or above.
        babble: Share of training windows with other people in the background.
        reverberation: Share of training windows that sound as in a room.
        codec: Share of training windows that sound as through a telephone or a codec.
        pitch: Share of training windows with a higher or lower voice.
        speed: Training windows are faster or slower by up to this share, face and sound alike.
        augmentations: Further changes of the training sound.
        silent_runs: Falls silent and shuts the lips in a share of the training windows; None for none.
        features: Folder of each store's speech features (`expnet.data.store.feature_cache`), or a list of them; empty
            for none.

    Raises:
        DataError: If a store cannot be read, the stores do not fit together, or nothing is left to train on.
        ConfigError: If an option cannot be used.
    """

    def __init__(
        self,
        store: str | Sequence[str],
        *,
        window: int = 64,
        batch_size: int = 16,
        workers: int = 0,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.1,
        split_seed: int = 0,
        split_by: str = "speaker",
        seed: int = 0,
        store_weights: Sequence[float] | None = None,
        windows_per_clip: float | None = None,
        limit_clips: int | None = None,
        limit_validation_clips: int | None = None,
        allow_shared_speakers: bool = False,
        gain_decibels: float = 0.0,
        noise_snr: float | None = None,
        babble: float = 0.0,
        reverberation: float = 0.0,
        codec: float = 0.0,
        pitch: float = 0.0,
        speed: float = 0.0,
        augmentations: Sequence[Augmentation] = (),
        silent_runs: SilentRuns | None = None,
        features: str | Sequence[str] = "",
    ) -> None:
        super().__init__()
        self.paths = [store] if isinstance(store, str) or not isinstance(store, Sequence) else list(store)
        if not self.paths or not all(str(path) for path in self.paths):
            raise ConfigError("data.store is empty; give the folder of a track store, such as data.store=tracks")
        self.store_weights = [1.0] * len(self.paths) if store_weights is None else list(store_weights)
        if len(self.store_weights) != len(self.paths) or min(self.store_weights) < 0:
            raise ConfigError(f"data.store_weights needs {len(self.paths)} numbers of 0 or more, one for each store")
        self.window, self.batch_size, self.workers, self.seed = window, batch_size, workers, seed
        self.windows_per_clip = windows_per_clip
        self.limit_clips, self.limit_validation_clips = limit_clips, limit_validation_clips
        self._split_options: dict[str, Any] = {
            "validation_fraction": validation_fraction,
            "test_fraction": test_fraction,
            "seed": split_seed,
            "allow_shared_speakers": allow_shared_speakers,
        }
        self.split_by = split_by
        self.augmentations, self.speed = list(augmentations), speed
        self._sound_options: dict[str, Any] = {
            "gain_decibels": gain_decibels,
            "noise_snr": noise_snr,
            "babble": babble,
            "reverberation": reverberation,
            "codec": codec,
            "pitch": pitch,
        }
        self.silent_runs = silent_runs
        self._feature_paths = [features] if isinstance(features, str) else list(features)
        if any(self._feature_paths) and silent_runs is not None:
            raise ConfigError("data.silent_share falls silent in the mel only: set it to 0 with data.features")
        self._resume = (0, 0)

    @cached_property
    def stores(self) -> list[TrackStore]:
        """The opened stores."""
        stores = [TrackStore(path) for path in self.paths]
        models = sorted({store.face_model for store in stores if len(store)})
        if len(models) > 1:
            raise DataError(f"the stores have different face models ({', '.join(models)}); use stores of one")
        return stores

    @cached_property
    def splits(self) -> dict[str, list[ClipEntry]]:
        """Clips of each split, in the order of stores and names."""
        entries = [ClipEntry(store, row) for store in self.stores for row in store.rows]
        splits: dict[str, list[ClipEntry]] = {TRAIN: [], VALIDATION: [], TEST: []}
        for entry, parts in zip(entries, self._divide([entry.row for entry in entries]), strict=True):
            for split, row in parts:
                splits[split].append(ClipEntry(entry.store, row))
        splits[TRAIN] = evenly_spaced(splits[TRAIN], self.limit_clips)
        splits[VALIDATION] = evenly_spaced(splits[VALIDATION], self.limit_validation_clips)
        return splits

    def _divide(self, rows: list[ManifestRow]) -> list[list[tuple[str, ManifestRow]]]:
        """Return each clip's parts with their splits; all of it, where clips are not cut."""
        options = self._split_options
        if self.split_by == "time":
            return split_by_time(rows, options["validation_fraction"], options["test_fraction"])
        # Clips of different stores may have the same name; a speaker of the same name counts as the same person.
        return [[(split, row)] for split, row in zip(split_by_speaker(rows, **options), rows, strict=True)]

    @cached_property
    def features(self) -> dict[str, FeatureCache]:
        """Speech features by the location of their store; empty where none are used."""
        if not any(self._feature_paths):
            return {}
        if len(self._feature_paths) != len(self.stores):
            raise ConfigError(f"data.features needs {len(self.stores)} folders, one for each store of data.store")
        caches = [FeatureCache(path, store) for path, store in zip(self._feature_paths, self.stores, strict=True)]
        for cache in caches[1:]:
            if cache.source != caches[0].source:
                first, other = (f"{it.folder} ({it.source.describe()})" for it in (caches[0], cache))
                raise DataError(f"{first} and {other} are features of different networks; use those of one")
        return {store.files.location: cache for store, cache in zip(self.stores, caches, strict=True)}

    @property
    def feature_source(self) -> FeatureSource | None:
        """Where the speech features come from, None where none are used."""
        return next((cache.source for cache in self.features.values()), None)

    @property
    def face_model(self) -> str:
        """Name of the stores' face model."""
        return next((store.face_model for store in self.stores if len(store)), "")

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """Training speakers; their position is ``FaceBatch.style``, position 0 is anybody else."""
        return (UNKNOWN_SPEAKER, *sorted({entry.row.speaker for entry in self.splits[TRAIN]}))

    @cached_property
    def emotions(self) -> tuple[str, ...]:
        """Training emotions; their position is ``FaceBatch.emotion``, position 0 is neutral or unknown."""
        return (NEUTRAL, *sorted({entry.row.emotion for entry in self.splits[TRAIN]} - {"", NEUTRAL}))

    @cached_property
    def statistics(self) -> CoefficientStatistics:
        """Statistics over the training split."""
        return measure_statistics(evenly_spaced(self.splits[TRAIN], STATISTICS_CLIPS), self.window)

    def facts(self) -> dict[str, Any]:
        """What a model should say about its data, in plain values: stores with fingerprints, and the splits' sizes."""
        return {
            "stores": [
                {"name": str(path).rstrip("/").rpartition("/")[2], "fingerprint": store.fingerprint()}
                for path, store in zip(self.paths, self.stores, strict=True)
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
            DataError: If nothing is left to train on.
        """
        if not self.splits[TRAIN] and stage in (None, "fit"):
            raise DataError(f"{', '.join(map(str, self.paths))} has no clip to train on; add clips or change the split")
        _log.info("Clips: %s", {split: len(entries) for split, entries in self.splits.items()})

    def train_dataloader(self) -> DataLoader[FaceBatch]:
        """Random windows, with the sampler where a resumed run stopped."""
        entries = self.splits[TRAIN]
        rank, world = self._rank_and_world()
        sampler = WindowSampler(
            self._expected_windows(entries), batch_size=self.batch_size, seed=self.seed, rank=rank, world=world
        )
        self._go_on(sampler, world)
        dataset = self._dataset(
            TRAIN,
            window=self.window,
            augmentations=[*self.augmentations, *sound_augmentations(entries, **self._sound_options)],
            speed=self.speed,
            silent_runs=self.silent_runs,
        )
        return self._loader(dataset, sampler, collate, batch_size=self.batch_size, drop_last=True)

    def val_dataloader(self) -> DataLoader[FaceBatch]:
        """Whole validation clips."""
        return self._whole_clips(VALIDATION)

    def test_dataloader(self) -> DataLoader[FaceBatch]:
        """Whole test clips."""
        return self._whole_clips(TEST)

    def state_dict(self) -> dict[str, Any]:
        """Where in which epoch the run is; Lightning puts this into the checkpoint."""
        trainer = self.trainer
        if trainer is None:
            return {}
        batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        # Windows and not batches: they say where the epoch is also to another number of processes.
        return {"epoch": trainer.current_epoch, "windows_done": batches * self.batch_size * trainer.world_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the windows that a checkpoint's run has trained on."""
        self._resume = (state_dict["epoch"], state_dict["windows_done"])

    def _go_on(self, sampler: WindowSampler, world: int) -> None:
        """Leave out what a resumed run has trained on."""
        epoch, windows = self._resume
        start = windows // world
        if start >= len(sampler) // self.batch_size * self.batch_size:
            epoch, start = epoch + 1, 0
        sampler.resume(epoch, start)

    def _expected_windows(self, entries: Sequence[ClipEntry]) -> np.ndarray:
        weight_of = {id(store): weight for store, weight in zip(self.stores, self.store_weights, strict=True)}
        natural = [self.windows_per_clip or max(entry.row.frames / self.window, 1.0) for entry in entries]
        expected = np.array(natural) * [weight_of[id(entry.store)] for entry in entries]
        if not expected.sum() > 0:
            raise ConfigError("data.store_weights leaves no clip to train on; give a store with clips some weight")
        return expected

    def _dataset(self, split: str, **options: Any) -> FaceDataset:
        return FaceDataset(
            self.splits[split],
            seed=self.seed,
            emotions=self.emotions,
            speakers=self.speakers,
            features=self.features,
            **options,
        )

    def _whole_clips(self, split: str) -> DataLoader[FaceBatch]:
        rank, world = self._rank_and_world()
        dataset = self._dataset(split)
        return self._loader(dataset, ShardSampler(len(dataset), rank=rank, world=world), collate, batch_size=1)

    def _loader(self, dataset: Dataset[Any], sampler: Any, joined: Any, **options: Any) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=joined,
            # Of its own: an iterator draws a number when it is made, which would make a resumed run differ.
            generator=torch.Generator().manual_seed(self.seed),
            **options,
        )

    def _rank_and_world(self) -> tuple[int, int]:
        if self.trainer is not None:
            return self.trainer.global_rank, self.trainer.world_size
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1
