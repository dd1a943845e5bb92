"""The clips of an evaluation: selected by the split with which the model was trained, and read one at a time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from expnet.audio.alignment import mel_for_frames
from expnet.audio.speech_encoders import FeatureSource, SpeechEncoder
from expnet.config import SplitConfig
from expnet.config.evaluate import EvaluateConfig
from expnet.data.clip_entry import ClipEntry
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.data.even_spacing import evenly_spaced
from expnet.data.store.feature_cache import FeatureCache
from expnet.data.store.track import Track, blink_closure
from expnet.data.store_source import store_sources
from expnet.errors import DataError, InputError
from expnet.metrics.functional import silent_frames
from expnet.render.reenactment import source_video

DEFAULT_SPLIT: dict[str, Any] = {
    name: getattr(SplitConfig, name)
    for name in ("validation_fraction", "test_fraction", "split_seed", "split_by", "allow_shared_speakers")
}
_TYPICAL_OPEN_EYE = 0.3
"""Aspect ratio of an open eye where a store does not record it."""


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip: what systems may see of it, and what they are scored against.

    Attributes:
        track: The track as read from its store.
        eye_open: The aspect ratio of the eyes when open in this clip.
        clip_id: A name that is unique among the scored clips.
        emotion: The index of the emotion, 0 for neutral or unknown.
        features: Speech features (T, F) from the folder of the store, None where there is none.
    """

    track: Track
    eye_open: float
    clip_id: str
    emotion: int = 0
    features: Tensor | None = None
    _encoded: dict[FeatureSource, Tensor] = field(default_factory=dict, init=False, repr=False)

    @property
    def frames(self) -> int:
        """The number of frames, T."""
        return self.track.frames

    @cached_property
    def mel(self) -> Tensor:
        """Log-mel spectrogram with context, (80, 2 * 16 + ceil(3.2 T))."""
        return mel_for_frames(self.track.audio, 0, self.frames)

    @cached_property
    def expression(self) -> Tensor:
        """The true expression coefficients (T, 64)."""
        return torch.from_numpy(np.array(self.track.coefficients.expression))

    @cached_property
    def pose(self) -> Tensor:
        """The true absolute head pose (T, 6)."""
        return torch.from_numpy(np.array(self.track.coefficients.pose))

    @cached_property
    def blink(self) -> Tensor:
        """The true closure of the eyelids, (T,), for networks that take it as an input."""
        return torch.from_numpy(blink_closure(self.track.landmarks, self.eye_open))

    @cached_property
    def valid(self) -> Tensor:
        """The frames in which the face was tracked, (T,) boolean."""
        return torch.from_numpy(np.array(self.track.valid, dtype=bool))

    @cached_property
    def silent(self) -> Tensor:
        """The frames in which nobody speaks, (T,) boolean, judged by loudness."""
        return silent_frames(torch.from_numpy(np.array(self.track.audio)))

    def speech_features(self) -> Tensor:
        """The speech features (T, F).

        Raises:
            InputError: The clip was read without them.
        """
        if self.features is None:
            raise InputError(
                f"{self.clip_id} was read without speech features, which this system needs: compute those of its store "
                "with 'expnet features STORE'."
            )
        return self.features

    def encode(self, encoder: SpeechEncoder) -> Tensor:
        """Return speech features (T, F) of the audio, computed once for each encoder.

        They are rounded to half precision, as in the folders of ``expnet features``: both give the same scores.
        """
        if encoder.source not in self._encoded:
            features = encoder(np.asarray(self.track.audio, np.float32), self.frames)
            self._encoded[encoder.source] = torch.from_numpy(features.astype(np.float16).astype(np.float32))
        return self._encoded[encoder.source]

    @property
    def video(self) -> Path | None:
        """The source video, None where it no longer exists."""
        return source_video(self.track)


@dataclass(frozen=True)
class Selection:
    """The clips of an evaluation, by purpose.

    Attributes:
        scored: The clips to score.
        train: The clips that baselines may learn from.
        validation: The clips on which baselines may choose their regularisation.
        emotions: The names of the emotions, indexed as in training on these stores.
        split: The fractions and the seed that split the clips.
        split_source: Where these were taken from.
        features: Speech features of each store's clips, by the store's location; empty for none.
    """

    scored: tuple[ClipEntry, ...]
    train: tuple[ClipEntry, ...]
    validation: tuple[ClipEntry, ...]
    emotions: tuple[str, ...]
    split: dict[str, Any]
    split_source: str
    features: Mapping[str, FeatureCache] = field(default_factory=dict)

    def read(self, entry: ClipEntry) -> Clip:
        """Read one clip."""
        row = entry.row
        emotion = self.emotions.index(row.emotion) if row.emotion in self.emotions else 0
        cache = self.features.get(entry.store.files.location)
        features = None if cache is None else torch.from_numpy(cache.frames(row.shard, row.first_frame, row.frames))
        return Clip(entry.read(), row.eye_open or _TYPICAL_OPEN_EYE, self.name(entry), emotion, features)

    def name(self, entry: ClipEntry) -> str:
        """Return the name of a clip, prefixed with its store's where two stores have a clip of that name."""
        clip_id = entry.row.clip_id
        return f"{entry.store.name}:{clip_id}" if clip_id in self._ambiguous else clip_id

    @cached_property
    def _ambiguous(self) -> frozenset[str]:
        counts = Counter(entry.row.clip_id for entry in self.scored)
        return frozenset(name for name, count in counts.items() if count > 1)

    def fingerprint(self) -> str:
        """Return sixteen hexadecimal digits that identify the scored clips and their stores."""
        stores = sorted({entry.store.fingerprint() for entry in self.scored})
        names = sorted(f"{entry.row.corpus}/{entry.row.clip_id}/{entry.row.frames}" for entry in self.scored)
        return hashlib.sha256("\n".join([*stores, *names]).encode()).hexdigest()[:16]


def select_clips(config: EvaluateConfig) -> Selection:
    """Split the clips of the stores as the expression run did, and select the side to score.

    Raises:
        DataError: There is no store, the stores have different face models, or that side has no clip.
    """
    split, source = _split_options(config)
    sources = store_sources(config.data.stores, None, config.data.features)
    module = TalkingFaceDataModule(sources, split=SplitConfig(**split))
    sides = module.splits
    everything = [entry for side in sides.values() for entry in side]
    scored = sides.get(config.data.split, everything)
    if not scored:
        counts = ", ".join(f"{name} {len(entries)}" for name, entries in sides.items())
        raise DataError(
            f"{', '.join(config.data.stores)} has no clip on the {config.data.split} side of the split by speaker "
            f"({counts}); set data.split=validation or data.split=all, or give more speakers."
        )
    most = config.baselines.train_clips or None
    return Selection(
        scored=tuple(evenly_spaced(scored, config.data.limit or None)),
        train=tuple(evenly_spaced(sides["train"], most)),
        validation=tuple(evenly_spaced(sides["validation"], most)),
        emotions=module.emotions,
        split=split,
        split_source=source,
        features=module.features,
    )


def _split_options(config: EvaluateConfig) -> tuple[dict[str, Any], str]:
    """Return fractions and seed: those given, else those of the expression run, else the defaults of training."""
    given = {name: getattr(config.data, name) for name in DEFAULT_SPLIT if getattr(config.data, name) is not None}
    trained, source = _run_data(config.expression)
    if len(given) == len(DEFAULT_SPLIT):
        source = "the evaluation's configuration"
    return {**DEFAULT_SPLIT, **trained, **given}, source


def _run_data(run: str | None) -> tuple[dict[str, Any], str]:
    """Return the split from the config.yaml of a run folder, empty if there is none."""
    folder = Path(run) if run else None
    if folder is not None and folder.is_file():
        folder = folder.parent.parent if folder.parent.name == "checkpoints" else folder.parent
    path = folder / "config.yaml" if folder is not None else None
    if path is None or not path.is_file():
        return {}, "the defaults of training"
    try:
        data = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("data", {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise DataError(f"{path} cannot be read as the configuration of a run ({error}).") from error
    return {name: data[name] for name in DEFAULT_SPLIT if name in data}, str(path)
