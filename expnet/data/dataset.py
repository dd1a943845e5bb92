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

from expnet.audio.alignment import MEL_CONTEXT, SAMPLES_PER_FRAME, fit_length, mel_for_frames
from expnet.audio.augmentation import Augmentation, Voice
from expnet.audio.mel import HOP, MEL_BANDS, WINDOW
from expnet.data.batch import NO_CLIP, FaceBatch, without_valid_frames
from expnet.data.clip_entry import ClipEntry
from expnet.data.disturbed_copies import draw_version, runs_of
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
        run: Run of silence that the window's audio gets; None for none.
        copy: Number of the disturbed copy whose audio and features these are; 0 for the original.
        reference: Frame of the clip whose expression and pose are given as the first; None for the window's first.
    """

    first_frame: int
    frames: int
    speed: float = 1.0
    generator: np.random.Generator | None = None
    run: SilentRun | None = None
    copy: int = 0
    reference: int | None = None


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
        silent_runs: Mutes the speech and closes the lips in a share of the windows; None for none. With features, these
            windows come from the disturbed copies in which the speech is muted already.
        features: Speech features of each store's clips, by the store's location; empty for none.
        reference_share: Share of windows whose ``first_expression`` and ``first_pose`` are those of a random frame of
            their clip, as for a window in the middle of a long recording.
        mel: Whether to compute the mel spectrogram; without it, batches have one of no columns.
        audio_context: Frames of context on either side of the audio that batches carry; None for batches without audio.
        batched: Leaves windows without a spectrogram and gives them their audio, for `expnet.data.batched_audio`.
        babble: Draws other people's speech for a window with that; None for none.
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
        reference_share: float = 0.0,
        mel: bool = True,
        audio_context: int | None = None,
        batched: bool = False,
        babble: Voice | None = None,
    ) -> None:
        self.clips = list(clips)
        self.window = window
        self.seed = seed
        self.augmentations = list(augmentations)
        self.speed = speed
        self.silent_runs = silent_runs
        self.features = dict(features or {})
        self.reference_share = reference_share
        self.mel = mel
        self.audio_context = audio_context
        self.batched = batched
        self.babble = babble
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
        run, copy, cache = None, 0, self._cache(entry)
        if cache is not None and cache.copies:
            runs = [runs_of(cache.silent(entry.row, number)) for number in range(1, cache.copies + 1)]
            share = 0.0 if self.silent_runs is None else self.silent_runs.share
            copy, first = draw_version(runs, entry.row.frames, (first, first + needed), share, generator)
        elif cache is None and self.silent_runs is not None:
            run = self.silent_runs.draw(self.window, generator)
        reference = None
        if self.reference_share and generator.random() < self.reference_share:
            reference = int(generator.integers(entry.row.frames))
        return self._read(entry, _Window(first, self.window, speed, generator, run, copy, reference))

    def _cache(self, entry: ClipEntry) -> FeatureCache | None:
        return self.features.get(entry.store.files.location)

    def _silence(self, entry: ClipEntry, window: _Window) -> list[SilentRun]:
        """Return the runs of silence in the audio of a window, in its frames."""
        if window.run is not None:
            return [window.run]
        cache = self._cache(entry)
        if cache is None or not window.copy:
            return []
        found = []
        for first, end in runs_of(cache.silent(entry.row, window.copy)):
            begin, until = (round((place - window.first_frame) / window.speed) for place in (first, end))
            if begin < window.frames and until > 0:
                # Before the clip and after it is silence, so nothing fades there.
                begin = 0 if first == 0 else begin
                found.append(SilentRun(begin, window.frames if end == entry.row.frames else until, 0.0, 0.0))
        return found

    def _audio(self, entry: ClipEntry, window: _Window) -> tuple[NDArray[np.float32], int]:
        """Return the augmented audio of a window and its context, and the frames of context before the window."""
        if self.audio_context is None:
            context, offset = _audio_with_context(entry, window, self._cache(entry))
        elif window.generator is None:
            return entry.store.read_audio(entry.row, window.first_frame, window.frames), 0
        else:
            context, offset = _audio_inside_clip(entry, window, max(self.audio_context, _AUDIO_MARGIN))
        if window.generator is not None:
            if window.run is not None:
                context = silence(context, window.run, window.frames, offset, window.generator)
            for augmentation in self.augmentations:
                context = augmentation(context, window.generator)
        return context, offset

    def _unaugmented(self, entry: ClipEntry, window: _Window) -> dict[str, Tensor]:
        """Return the audio of a window as fields of a batch, equally long for all windows, and babble to be added."""
        assert window.generator is not None
        audio, before = self._audio(entry, window)
        outside, inside = 0, len(audio)
        if self.audio_context is None:
            outside = (_AUDIO_MARGIN - before) * SAMPLES_PER_FRAME
            audio = fit_length(np.pad(audio, (outside, 0)), window.frames + 2 * _AUDIO_MARGIN)
            before = _AUDIO_MARGIN
        fields = {
            "audio": torch.from_numpy(audio)[None],  # (1, 640 N)
            "audio_before": torch.tensor([before]),
            "audio_inside": torch.tensor([[outside, outside + inside]]),
        }
        if self.babble is not None:
            fields["babble"] = torch.from_numpy(self.babble(len(audio), window.generator))[None]
        return fields

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
        first_expression, first_rotation, first_translation = expression[:1], rotation[:1], translation[:1]
        if window.reference is not None:
            first_expression, first_rotation, first_translation = (
                torch.from_numpy(shard.frames(name, row.first_frame + window.reference, 1))
                for name in ("expression", "rotation", "translation")
            )
        silence_here = self._silence(entry, window)
        if silence_here and self.silent_runs is not None:
            expression = torch.from_numpy(self.silent_runs.close(expression.numpy(), *silence_here))
        cache, features = self._cache(entry), {}
        if cache is not None:
            features["features"] = fitted(cache.frames(row.shard, first, available, window.copy))[None]
        mel, seeds = torch.zeros(MEL_BANDS, 0), ()
        if self.batched and window.generator is not None:
            features |= self._unaugmented(entry, window)
            seeds = (int(window.generator.integers(2**63)),)
        elif self.mel or self.audio_context is not None:
            audio, before = self._audio(entry, window)
            if self.mel:
                mel = mel_for_frames(audio, before, frames)
            if self.audio_context is not None:
                features |= {"audio": torch.from_numpy(audio)[None], "audio_before": torch.tensor([before])}
        return FaceBatch(
            mel=mel[None],  # (1, 80, columns)
            expression=expression[None],  # (1, T, 64)
            identity=torch.from_numpy(shard.clip("identity", row.shard_clip))[None],  # (1, K)
            rotation=rotation[None],  # (1, T, 3)
            translation=translation[None],  # (1, T, 3)
            first_expression=first_expression,  # (1, 64)
            first_pose=torch.cat([first_rotation, first_translation], dim=1),  # (1, 6)
            blink=blink[None],  # (1, T)
            valid=valid[None],  # (1, T)
            emotion=torch.tensor([self._emotions.get(row.emotion, 0)]),
            style=torch.tensor([self._speakers.get(row.speaker, 0)]),
            frames=torch.tensor([present]),
            clip_ids=(row.clip_id,),
            first_frame=torch.tensor([window.first_frame]),
            seeds=seeds,
            **features,  # (1, T, F)
        )


def _audio_with_context(
    entry: ClipEntry, window: _Window, cache: FeatureCache | None
) -> tuple[NDArray[np.float32], int]:
    """Return the audio of a window and its context, and the number of context frames before the window."""
    row, first = entry.row, window.first_frame

    def read(begin: int, frames: int) -> NDArray[np.float32]:
        if cache is not None and window.copy:
            return cache.read_audio(row, begin, frames, window.copy)
        return entry.store.read_audio(row, begin, frames)

    if window.speed == 1:
        begin = max(first - _AUDIO_MARGIN, 0)
        return read(begin, first + window.frames + _AUDIO_MARGIN - begin), first - begin
    frames = window.frames + 2 * _AUDIO_MARGIN
    place = first - _AUDIO_MARGIN * window.speed  # where the audio begins in the clip, in frames
    begin = max(math.floor(place), 0)
    samples = read(begin, math.ceil(place + frames * window.speed) + 2 - begin)
    return resample_audio(samples, place - begin, frames, window.speed), _AUDIO_MARGIN


def _audio_inside_clip(entry: ClipEntry, window: _Window, margin: int) -> tuple[NDArray[np.float32], int]:
    """Return the audio of a window and ``2 margin`` frames of context, and how many of these come before the window.

    At the ends of the clip, the context on the other side is longer instead, so that all audio is real and all windows
    have the same length. Only a clip that is shorter than that is padded, with silence at its end.
    """
    row, speed = entry.row, window.speed
    first, clip = window.first_frame / speed, row.frames / speed  # at the window's speed
    frames = window.frames + 2 * margin
    before = max(margin, math.ceil(first + frames - clip))
    before = min(before, math.floor(first))
    if speed == 1:
        return fit_length(entry.store.read_audio(row, window.first_frame - before, frames), frames), before
    place = window.first_frame - before * speed  # where the audio begins in the clip, in frames
    begin = math.floor(place)
    samples = entry.store.read_audio(row, begin, math.ceil(place + frames * speed) + 2 - begin)
    return resample_audio(samples, place - begin, frames, speed), before
