"""Clips, splits, training windows and augmentation: the ``data`` and ``augment`` sections of a training configuration.

`expnet.data.datamodule.TalkingFaceDataModule` takes the same groups of options and has no defaults of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from expnet.config.checks import at_least, not_negative, require


@dataclass
class StoreConfig:
    """Where the clips are, and how they are loaded."""

    store: Any = ""
    """Track store or list of track stores: folders that `expnet preprocess` or `expnet synthesize` wrote."""
    batch_size: int = 16
    """Windows per training batch on each device."""
    workers: int = 0
    """Processes that load data; 0 loads in the training process, which is fastest for small stores."""

    def __post_init__(self) -> None:
        """Check ranges."""
        stores = [self.store] if isinstance(self.store, str) else self.store
        good = isinstance(stores, list) and all(isinstance(store, str) for store in stores)
        require(good, f"data.store must be a folder or a list of folders, not {self.store!r}.")
        at_least("data", self, batch_size=1, workers=0)


@dataclass
class SplitConfig:
    """How the clips are divided into training, validation and test, and how many of them are used."""

    validation_fraction: float = 0.1
    """Fraction of the speakers in the validation split, where the store assigns no splits."""
    test_fraction: float = 0.1
    """Fraction of the speakers in the test split, which evaluate.py scores, where the store assigns no splits."""
    split_seed: int = 0
    """Seed of the split by speaker."""
    split_by: Literal["speaker", "time"] = "speaker"
    """speaker: no speaker is in two splits. time: the beginning of each speaker's clips is for training and the rest
    for validation and test, for a model of one person; the fractions are then fractions of each speaker's frames."""
    allow_shared_speakers: bool = False
    """Accept a corpus's own splits that share speakers, such as MEAD's official test sentences."""
    limit_clips: int | None = None
    """Largest number of training clips, evenly spaced; null for all."""
    limit_validation_clips: int | None = None
    """Largest number of validation clips, evenly spaced; null for all."""
    limit_validation_clips_per_corpus: int | None = None
    """Largest number of validation clips of each corpus, evenly spaced, so that a large corpus does not crowd out a
    small one; null for all."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            require(0 <= value < 1, f"data.{name} must be at least 0 and below 1, not {value}.")


@dataclass
class ClipsConfig(SplitConfig, StoreConfig):
    """The clips of a run and their splits."""

    def __post_init__(self) -> None:
        """Check ranges."""
        StoreConfig.__post_init__(self)
        SplitConfig.__post_init__(self)


@dataclass
class WindowsConfig(ClipsConfig):
    """Clips that are cut into training windows."""

    window: int = 64
    """Frames of a training window, 25 per second. The head-pose network requires 32 n + 1."""
    store_weights: list[float] | None = None
    """Sampling weight of each store: 1 draws its clips as often as their duration suggests; null for 1 for all."""
    temperature: float = 1.0
    """Flattens the shares of several stores: each is drawn in proportion to its duration, times its weight, to the
    power 1 / temperature. 1 leaves the shares as they are; the larger, the more equal they become."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        at_least("data", self, window=2)
        require(self.temperature >= 1, f"data.temperature must be 1 or more, not {self.temperature}.")


@dataclass
class DisturbanceConfig:
    """How audio is disturbed without a change of its words and their timing."""

    gain_decibels: float = 6.0
    """Largest change of the level in decibels, up or down."""
    noise_snr: float | None = 10.0
    """Lowest signal-to-noise ratio of added noise in decibels; null for no noise."""
    babble: float = 0.0
    """Share of training windows with other people's speech in the background."""
    reverberation: float = 0.0
    """Share of training windows with reverberation."""
    codec: float = 0.0
    """Share of training windows that pass through a telephone band or a low-bit-rate codec."""
    pitch: float = 0.0
    """Share of training windows with a higher or lower voice."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("babble", "reverberation", "codec", "pitch"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"data.{name} must be at least 0 and at most 1, not {value}.")


@dataclass
class AudioAugmentationConfig(DisturbanceConfig):
    """How the audio of training windows is augmented."""

    speed: float = 0.0
    """Largest relative change of the speaking rate, faster or slower; face and audio change together."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(0 <= self.speed < 1, f"data.speed must be at least 0 and below 1, not {self.speed}.")
        super().__post_init__()


@dataclass
class CopyConfig(DisturbanceConfig):
    """How the audio of the copies that `expnet features --copies` makes is disturbed.

    The shares are shares of the copies. The defaults are stronger than those of `DisturbanceConfig`, since the original
    is always among the versions that a window is drawn from.
    """

    noise_snr: float | None = 5.0
    babble: float = 0.2
    reverberation: float = 0.3
    codec: float = 0.2
    pitch: float = 0.3
    silent_share: float = 0.25
    """Share of each clip's copies, rounded up, in which the speech falls silent in places."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("babble", "reverberation", "codec", "pitch", "silent_share"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"{name} of a copy must be at least 0 and at most 1, not {value}.")


@dataclass
class DataConfig(AudioAugmentationConfig, WindowsConfig):
    """The clips of a run, their splits, and the augmentation of training windows."""

    augment_on: Literal["workers", "device"] = "workers"
    """Where the audio of training windows is augmented and its mel spectrogram computed: workers, one window at a time
    where it is loaded, or device, in batches on the device that trains, so that workers only read."""
    silent_share: float = 0.0
    """Share of training windows in which the speech is muted, with or without noise, and the lips close."""
    features: Any = ""
    """Folder in which `expnet features` stored speech features of the store, or a list with one folder per store;
    online to compute them in the batch, from the augmented audio; empty for none."""
    encoder: str = "whisper-tiny.en"
    """Speech encoder of data.features=online, as `expnet assets fetch` gets it."""
    encoder_layer: int | None = None
    """Transformer block of that encoder whose output is used; null for its usual one, the third."""
    encoder_context: float = 2.0
    """Seconds of audio before and after a training window that the encoder of data.features=online hears."""

    def __post_init__(self) -> None:
        """Check ranges."""
        WindowsConfig.__post_init__(self)
        AudioAugmentationConfig.__post_init__(self)
        folders = self.features if isinstance(self.features, list) else [self.features]
        good = all(isinstance(folder, str) for folder in folders)
        require(good, f"data.features must be a folder or a list of folders, not {self.features!r}.")
        longest = (28 - self.window / 25) / 2
        context = self.encoder_context
        good = self.features != "online" or 0 <= context <= longest
        require(good, f"data.encoder_context must be at least 0 and at most {longest:g} s, not {context}.")
        share = self.silent_share
        require(0 <= share < 1, f"data.silent_share must be at least 0 and below 1, not {share}.")


@dataclass
class MotionDataConfig(DataConfig):
    """The clips of a run of the motion network, and the frames that its windows are told as the first."""

    reference_share: float = 0.5
    """Share of training windows that are given a random frame of their clip as the first frame, as windows in the
    middle of a long recording are; the others are given their own."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        share = self.reference_share
        require(0 <= share <= 1, f"data.reference_share must be at least 0 and at most 1, not {share}.")


@dataclass
class RegionDataConfig(ClipsConfig):
    """Clips that are reenacted from their own frames and cut into regions of the face, for the refiner."""

    crops: str = "runs/crops"
    """Folder in which the face regions are prepared once; a run with other settings prepares its own."""
    portraits: int = 3
    """Frames of a clip that serve as portraits."""
    frames: int = 12
    """Frames that each portrait is driven to."""
    clips_per_speaker: int | None = 6
    """Largest number of clips per speaker, evenly spaced; null for all."""
    colour: float = 0.1
    """Colour augmentation of training pairs: standard deviation of the logarithms of gain and gamma."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        require(bool(self.crops), "data.crops is empty: give the folder to prepare the face regions in.")
        at_least("data", self, portraits=1, frames=2, colour=0)
        limit = self.clips_per_speaker
        require(limit is None or limit >= 1, f"data.clips_per_speaker must be 1 or more, or null, not {limit}.")


@dataclass
class FrameDataConfig(ClipsConfig):
    """Clips whose frames are cut to the square around the face, for the renderer that is trained on them."""

    crops: str = "runs/frames"
    """Folder in which the squares are prepared once; a run with other settings prepares its own."""
    frames: int | None = 128
    """Largest number of frames kept of a training clip, evenly spaced; null for all. A frame of 256 pixels takes
    0.3 MB."""
    validation_frames: int = 100
    """Largest number of frames of a validation clip, from its beginning; the first one is driven to the others."""
    clips_per_speaker: int | None = None
    """Largest number of clips per speaker, evenly spaced; null for all."""
    pairs_per_speaker: int = 64
    """Pairs of frames drawn of each speaker in an epoch."""
    jitter: float = 0.05
    """How far a pair's square is turned (radians), scaled and shifted (shares of its half side) at most."""
    change: float = 0.12
    """The same for the changed frame of the equivariance term."""
    colour: float = 0.1
    """Colour augmentation of pairs: standard deviation of the logarithms of gain and gamma."""

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        require(bool(self.crops), "data.crops is empty: give the folder to prepare the frames in.")
        at_least("data", self, validation_frames=2, pairs_per_speaker=1, jitter=0, change=0, colour=0)
        for name, least in (("frames", 2), ("clips_per_speaker", 1)):
            value = getattr(self, name)
            require(value is None or value >= least, f"data.{name} must be {least} or more, or null, not {value}.")


@dataclass
class AugmentConfig:
    """How the mel spectrogram is augmented in training."""

    time_masks: int = 2
    """Number of masks in time (SpecAugment)."""
    time_mask_columns: int = 12
    """Longest mask in time, in columns of 12.5 ms."""
    band_masks: int = 2
    """Number of masks in frequency."""
    band_mask_bands: int = 16
    """Widest mask in frequency, of 80 mel bands."""
    gain: float = 0.4
    """Standard deviation of the change of level, in units of the mel spectrogram (1 unit is 12.5 dB)."""
    tilt: float = 0.4
    """Standard deviation of the change of spectral tilt at the outermost bands, in units of the mel spectrogram."""
    warp: float = 0.12
    """Largest relative stretch of the frequency axis, which imitates longer and shorter vocal tracts."""
    floor: float = 1.5
    """Highest level of background noise above the mel spectrogram's minimum, in its units."""
    noise: float = 0.2
    """Standard deviation of the noise added to every cell, in units of the mel spectrogram."""

    def __post_init__(self) -> None:
        """Check ranges."""
        not_negative("augment", self)
        require(self.warp < 0.5, f"augment.warp must be at least 0 and below 0.5, not {self.warp}.")
