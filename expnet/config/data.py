"""Where clips come from, how they are cut, and how their sound is disturbed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from expnet.config.checks import not_negative, require


@dataclass
class ClipsConfig:
    """Where the clips are, and who trains."""

    store: Any = ""
    """Track store, or list of them: folders that `expnet preprocess` or `expnet synthesize` wrote."""
    batch_size: int = 16
    """Windows in a training batch, on each device."""
    workers: int = 0
    """Processes that load data; 0 loads in the training process, which is fastest for small stores."""
    validation_fraction: float = 0.1
    """Share of the speakers to validate on, where the store does not say."""
    test_fraction: float = 0.1
    """Share of the speakers kept for evaluate.py, where the store does not say."""
    split_seed: int = 0
    """Seed of the split by speaker."""
    split_by: Literal["speaker", "time"] = "speaker"
    """speaker: nobody is on two sides. time: each speaker's beginning trains and the rest validates and tests, for a
    model of one person; the fractions are then shares of each speaker's frames."""
    allow_shared_speakers: bool = False
    """Accept a corpus's own splits that have speakers on two sides, such as MEAD's official test sentences."""
    limit_clips: int | None = None
    """Train on so many clips only, evenly spaced."""
    limit_validation_clips: int | None = None
    """Validate on so many clips only, evenly spaced."""

    def __post_init__(self) -> None:
        """Check ranges."""
        stores = [self.store] if isinstance(self.store, str) else self.store
        good = isinstance(stores, list) and all(isinstance(store, str) for store in stores)
        require(good, f"data.store is a folder or a list of folders, not {self.store!r}.")
        require(self.batch_size >= 1, f"data.batch_size must be 1 or more, not {self.batch_size}.")
        require(self.workers >= 0, f"data.workers must be 0 or more, not {self.workers}.")
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            require(0 <= value < 1, f"data.{name} must be at least 0 and below 1, not {value}.")


@dataclass
class DataConfig(ClipsConfig):
    """Where the clips are and how they are cut."""

    window: int = 64
    """Frames of a training window, 25 a second. The head-pose network takes 32 n + 1."""
    store_weights: list[float] | None = None
    """How often clips of each store are drawn; 1, or null, for as often as their length says."""
    gain_decibels: float = 6.0
    """Training sound is louder or softer by up to so much."""
    noise_snr: float | None = 10.0
    """Training sound gets noise, at this signal-to-noise ratio in decibels or above; null for none."""
    babble: float = 0.0
    """Share of training windows with other people's speech in the background."""
    reverberation: float = 0.0
    """Share of training windows that sound as in a room."""
    codec: float = 0.0
    """Share of training windows that sound as through a telephone or a low bit rate."""
    pitch: float = 0.0
    """Share of training windows with a higher or lower voice."""
    speed: float = 0.0
    """Training windows are played faster or slower by up to this share, face and sound alike."""
    silent_share: float = 0.0
    """Share of training windows in which speech falls silent, with or without noise, and the lips close."""
    features: Any = ""
    """Speech features that `expnet features` made of the store, or a list of folders, one a store; empty for none."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        folders = self.features if isinstance(self.features, list) else [self.features]
        good = all(isinstance(folder, str) for folder in folders)
        require(good, f"data.features is a folder or a list of folders, not {self.features!r}.")
        require(self.window >= 2, f"data.window must be 2 frames or more, not {self.window}.")
        for name in ("silent_share", "speed"):
            value = getattr(self, name)
            require(0 <= value < 1, f"data.{name} must be at least 0 and below 1, not {value}.")
        for name in ("babble", "reverberation", "codec", "pitch"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"data.{name} must be at least 0 and at most 1, not {value}.")


@dataclass
class RegionDataConfig(ClipsConfig):
    """Clips that are driven from their own frames, cut to pieces of the face."""

    crops: str = "runs/crops"
    """Folder that the pieces are made in, once; a run of other settings makes them anew."""
    portraits: int = 3
    """Frames of a clip that serve as portraits."""
    frames: int = 12
    """Frames that each of them is driven to."""
    clips_per_speaker: int | None = 6
    """At most so many clips of a person are used, evenly spread; null for all."""
    colour: float = 0.1
    """How far the light of training pairs is changed: standard deviation of the logarithms of gain and gamma."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        require(bool(self.crops), "data.crops is empty: give the folder that the pieces of faces are made in.")
        for name, least in (("portraits", 1), ("frames", 2)):
            value = getattr(self, name)
            require(value >= least, f"data.{name} must be {least} or more, not {value}.")
        require(self.colour >= 0, f"data.colour must be 0 or more, not {self.colour}.")
        limit = self.clips_per_speaker
        require(limit is None or limit >= 1, f"data.clips_per_speaker must be 1 or more, or null, not {limit}.")


@dataclass
class AugmentConfig:
    """How the mel spectrogram is disturbed in training."""

    time_masks: int = 2
    """Stretches of a window that are hidden."""
    time_mask_columns: int = 12
    """Longest such stretch, in columns of 12.5 ms."""
    band_masks: int = 2
    """Runs of mel bands that are hidden."""
    band_mask_bands: int = 16
    """Longest such run, of 80 bands."""
    gain: float = 0.4
    """Standard deviation of a change of loudness, in units of the mel (1 unit is 12.5 dB)."""
    tilt: float = 0.4
    """Standard deviation of a change of timbre: loudness that rises or falls over the bands, at their ends."""
    warp: float = 0.12
    """Bands are stretched or squeezed by up to this share: longer and shorter vocal tracts."""
    floor: float = 1.5
    """Background noise rises from below hearing up to this much above the mel's lowest value, in its units."""
    noise: float = 0.2
    """Standard deviation of noise in every cell, in units of the mel."""

    def __post_init__(self) -> None:
        """Check ranges."""
        not_negative("augment", self)
        require(self.warp < 0.5, f"augment.warp must be at least 0 and below 0.5, not {self.warp}.")
