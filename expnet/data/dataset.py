"""The dataset of clips in track stores: random windows for training, whole clips for evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from expnet.audio.alignment import SAMPLES_PER_FRAME, fit_length, mel_for_frames
from expnet.audio.augmentation import Augmentation, Voice
from expnet.audio.mel import MEL_BANDS
from expnet.data.batch import NO_CLIP, FaceBatch, without_valid_frames
from expnet.data.clip_entry import ClipEntry
from expnet.data.disturbed_copies import draw_version, runs_of
from expnet.data.sampling import WindowDraw
from expnet.data.silent_windows import SilentRun, SilentRuns, silence
from expnet.data.speaking_rate import resample_frames, source_frames
from expnet.data.store.feature_cache import FeatureCache
from expnet.data.store.shards import FRAME_ARRAYS
from expnet.data.store.track import blink_closure
from expnet.data.window_audio import AUDIO_MARGIN, Window, audio_inside_clip, audio_with_context

COEFFICIENTS = ("expression", "rotation", "translation")
_Item = dict[str, Any]
"""A window or clip: the fields of `FaceBatch` without the batch, as arrays and numbers, and what these are made of."""


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
        return _join([self._read(*self._draw(index))])

    def __getitems__(self, indices: Sequence[int | WindowDraw]) -> list[FaceBatch]:
        """Read the windows of a batch at once, which takes a fraction of the time of one after the other."""
        if NO_CLIP in indices:
            return [self[index] for index in indices]
        return [_join([self._read(*self._draw(index)) for index in indices])]

    def _draw(self, index: int | WindowDraw) -> tuple[ClipEntry, Window]:
        """Return the clip of an index and the window of it: all of it, or one that is drawn with its augmentation."""
        if isinstance(index, int) and self.window:
            index = WindowDraw(index, 0, index)
        if isinstance(index, int):
            entry = self.clips[index]
            return entry, Window(0, entry.row.frames)
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
        return entry, Window(first, self.window, speed, generator, run, copy, reference)

    def _cache(self, entry: ClipEntry) -> FeatureCache | None:
        return self.features.get(entry.store.files.location)

    def _silence(self, entry: ClipEntry, window: Window) -> list[SilentRun]:
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

    def _audio(self, entry: ClipEntry, window: Window) -> tuple[NDArray[np.float32], int]:
        """Return the augmented audio of a window and its context, and the frames of context before the window."""
        if self.audio_context is None:
            context, offset = audio_with_context(entry, window, self._cache(entry))
        elif window.generator is None:
            return entry.store.read_audio(entry.row, window.first_frame, window.frames), 0
        else:
            context, offset = audio_inside_clip(entry, window, max(self.audio_context, AUDIO_MARGIN))
        if window.generator is not None:
            if window.run is not None:
                context = silence(context, window.run, window.frames, offset, window.generator)
            for augmentation in self.augmentations:
                context = augmentation(context, window.generator)
        return context, offset

    @property
    def _as_stored(self) -> bool:
        """Whether the audio of windows is that of the store, so that the batch can have its 16-bit integers."""
        changed = self.augmentations or self.speed or self.silent_runs is not None or self.audio_context is not None
        return not changed and not self.features

    def _stored_audio(self, entry: ClipEntry, window: Window) -> tuple[NDArray[np.int16], int]:
        """Return the 16-bit audio of a window and its context, and the frames of context before the window."""
        row = entry.row
        begin = max(window.first_frame - AUDIO_MARGIN, 0)
        end = min(window.first_frame + window.frames + AUDIO_MARGIN, row.frames)
        samples = entry.store.shard(row).encoded_audio(row.first_frame + begin, end - begin)
        return samples, window.first_frame - begin

    def _unaugmented(self, entry: ClipEntry, window: Window) -> _Item:
        """Return the audio of a window, equally long for all windows, and what is needed to augment it in the batch."""
        assert window.generator is not None
        audio, before = self._stored_audio(entry, window) if self._as_stored else self._audio(entry, window)
        outside, inside = 0, len(audio)
        if self.audio_context is None:
            outside, frames = (AUDIO_MARGIN - before) * SAMPLES_PER_FRAME, window.frames + 2 * AUDIO_MARGIN
            before = AUDIO_MARGIN
            if outside or inside < frames * SAMPLES_PER_FRAME:
                audio = fit_length(np.concatenate([np.zeros(outside, audio.dtype), audio]), frames)
        item = {"audio": audio, "audio_before": before, "audio_inside": (outside, outside + inside)}  # audio (640 N,)
        if self.babble is not None:
            item["babble"] = self.babble(len(audio), window.generator)
        return item | {"seed": int(window.generator.integers(2**63))}

    def _sound(self, entry: ClipEntry, window: Window) -> _Item:
        """Return the fields of a window that its audio decides."""
        if self.batched and window.generator is not None:
            return {"mel": np.zeros((MEL_BANDS, 0), np.float32), **self._unaugmented(entry, window)}
        if not self.mel and self.audio_context is None:
            return {"mel": np.zeros((MEL_BANDS, 0), np.float32)}
        audio, before = self._audio(entry, window)
        mel = mel_for_frames(audio, before, window.frames).numpy() if self.mel else np.zeros((MEL_BANDS, 0), np.float32)
        return {"mel": mel} if self.audio_context is None else {"mel": mel, "audio": audio, "audio_before": before}

    def _read(self, entry: ClipEntry, window: Window) -> _Item:
        row, shard, frames = entry.row, entry.store.shard(entry.row), window.frames
        available = min(source_frames(frames, window.speed), row.frames - window.first_frame)
        first = row.first_frame + window.first_frame
        present = min(frames, int(available / window.speed))

        def fitted(array: NDArray[Any]) -> NDArray[Any]:
            if window.speed != 1:
                array = resample_frames(array, present, window.speed)
            if present < frames:  # pad with the last frame, so that values are finite and nothing moves
                array = np.concatenate([array, np.repeat(array[-1:], frames - present, axis=0)])
            return array

        item: _Item = {name: fitted(shard.frames(name, first, available)) for name in FRAME_ARRAYS}
        item["valid"][present:] = False
        # Taken before the lips close: in a portrait they may be apart, whatever the audio that follows.
        start = {name: item[name][0] for name in COEFFICIENTS}
        if window.reference is not None:
            start = {name: shard.frames(name, row.first_frame + window.reference, 1)[0] for name in COEFFICIENTS}
        item["first_expression"] = start["expression"].copy()
        item["first_pose"] = np.concatenate([start["rotation"], start["translation"]])
        silence_here = self._silence(entry, window)
        if silence_here and self.silent_runs is not None:
            item["expression"] = self.silent_runs.close(item["expression"], *silence_here)
        cache = self._cache(entry)
        if cache is not None:
            item["features"] = fitted(cache.frames(row.shard, first, available, window.copy))
        item |= {
            "identity": shard.clip("identity", row.shard_clip),
            "emotion": self._emotions.get(row.emotion, 0),
            "style": self._speakers.get(row.speaker, 0),
            "frames": present,
            "first_frame": window.first_frame,
            "eye_open": np.float32(row.eye_open),
            "clip_id": row.clip_id,
        }
        return item | self._sound(entry, window)


def _join(items: Sequence[_Item]) -> FaceBatch:
    """Join windows that are equally long, or a single clip, to a batch."""
    seeds = tuple(item.pop("seed") for item in items if "seed" in item)
    clip_ids = tuple(item.pop("clip_id") for item in items)
    arrays = {name: np.stack([item[name] for item in items]) for name in items[0]}  # (B, ...) each
    blink = blink_closure(arrays.pop("landmarks"), arrays.pop("eye_open")[:, None])  # (B, T)
    fields = {name: torch.from_numpy(array) for name, array in (arrays | {"blink": blink}).items()}
    return FaceBatch(**fields, clip_ids=clip_ids, seeds=seeds)
