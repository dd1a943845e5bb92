"""The built-in corpus: synthetic speech, faces and head motion, in the same store format as real clips.

    text -> eSpeak NG -> samples, phonemes -> articulators -> features -> expression coefficients
                                           +-> head motion, blinks, brow raises

A seed determines every clip. Clip i of a corpus does not depend on the clips made before it, on the number of
processes, or on the total number of clips (for the same number of speakers).
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME
from expnet.audio.speech_synthesis import Phoneme, synthesize_speech
from expnet.audio.wave import SAMPLE_RATE
from expnet.data.store.manifest import ManifestRow
from expnet.data.store.track import Track
from expnet.data.store.writer import TrackStoreWriter, write_clip
from expnet.data.synthetic.sentences import LANGUAGES, sentence
from expnet.data.synthetic.speakers import SyntheticSpeaker, make_speaker
from expnet.data.synthetic.utterance_track import CORPUS, utterance_track
from expnet.errors import InputError, MachineError
from expnet.face.emotions import EMOTION_TABLE, EMOTIONS
from expnet.face.facial_features import feature_space
from expnet.face.morphable import MorphableModel, builtin_face_model
from expnet.io.machine_faults import machine_faults_reported

_log = logging.getLogger(__name__)

CLIPS_PER_SPEAKER = 8
_NEUTRAL_SHARE = 0.5
_LETTERS_PER_SECOND = {"cmn": 4.5, "ja": 8.0, "ko": 6.0}


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the clips of a corpus.

    Attributes:
        seed: Seed of the corpus.
        languages: Languages, which the speakers take in turn.
        speakers: Number of speakers; clip i is spoken by speaker i modulo this number.
        seconds: Shortest and longest duration of a clip.
    """

    seed: int = 0
    languages: tuple[str, ...] = ("en", "de", "fr", "es", "it", "ru")
    speakers: int = 4
    seconds: tuple[float, float] = (3.0, 8.0)

    def clip_id(self, index: int) -> str:
        """Return the name of clip ``index``."""
        return f"{CORPUS}_{self.seed}_{index:06d}"


def synthesize(
    store: str | os.PathLike[str],
    *,
    clips: int,
    seed: int = Recipe.seed,
    languages: Sequence[str] = Recipe.languages,
    speakers: int | None = None,
    seconds: tuple[float, float] = Recipe.seconds,
    workers: int = 1,
    progress: bool = True,
) -> Path:
    """Make a corpus and write it as a track store; an interrupted store is completed.

    Args:
        store: Directory of the store.
        clips: Number of clips.
        seed: Seed of the corpus; the same seed gives the same bytes with any number of processes.
        languages: Languages, which the speakers take in turn.
        speakers: Number of speakers; None for one per 8 clips, and at least 4.
        seconds: Shortest and longest duration of a clip.
        workers: Number of processes.
        progress: Show a progress bar if there is a terminal.

    Returns:
        The path of the store.

    Raises:
        InputError: If a language is unknown, or a number is out of range.
        MissingAssetError: If the ``speech`` extra is not installed.
        DataError: If the store cannot be written.
        MachineError: If the machine is at fault; the next run continues.
    """
    _check(clips, languages, seconds, workers)
    speakers = speakers or max(4, -(-clips // CLIPS_PER_SPEAKER))
    recipe = Recipe(seed, tuple(languages), min(speakers, clips), (float(seconds[0]), float(seconds[1])))
    synthesize_speech("a", language=languages[0])  # report a missing extra before any work
    with machine_faults_reported(), TrackStoreWriter(store) as writer:
        todo = [index for index in range(clips) if recipe.clip_id(index) not in writer]
        jobs = [(str(store), recipe, index) for index in todo]
        _commit_all(writer, jobs, workers, _bar(len(jobs), progress))
        writer.finish()
    return Path(store)


def synthesize_clip(recipe: Recipe, index: int, model: MorphableModel | None = None) -> Track:
    """Make clip ``index`` of a corpus."""
    model = model or builtin_face_model()
    random = np.random.default_rng((recipe.seed, 1, index))
    speaker = _speaker(recipe, index % recipe.speakers)
    emotion, level = _draw_emotion(random)
    manner = EMOTION_TABLE[emotion].at(level)
    length = random.uniform(*recipe.seconds)
    text = _text(random, speaker.language, length * speaker.rate * manner.rate / 158)
    speech = synthesize_speech(
        text,
        language=speaker.voice,
        variant=speaker.variant,
        rate=int(np.clip(speaker.rate * manner.rate * random.normal(1.0, 0.05), 80, 300)),
        pitch=int(np.clip(speaker.pitch + manner.pitch, 0, 99)),
        pitch_range=speaker.pitch_range,
    )
    lead = random.uniform(0.12, 0.5)
    spoken = lead + speech.seconds + random.uniform(0.15, 0.5)
    frames = round(float(np.clip(min(spoken, length + 0.5), *recipe.seconds)) * FRAME_RATE)
    audio = _recording(random, speech.samples, round(lead * SAMPLE_RATE), frames)
    phonemes = tuple(
        Phoneme(phoneme.symbol, phoneme.start + lead, min(phoneme.end + lead, frames / FRAME_RATE))
        for phoneme in speech.phonemes
        if phoneme.start + lead < frames / FRAME_RATE
    )
    return utterance_track(
        audio,
        phonemes,
        speaker,
        random=random,
        clip_id=recipe.clip_id(index),
        emotion=emotion,
        level=level,
        model=model,
    )


def _recording(
    random: np.random.Generator, samples: NDArray[np.float32], lead: int, frames: int
) -> NDArray[np.float32]:
    """Place speech in a clip of the given number of frames, with a random gain and faint noise."""
    audio = random.normal(scale=10.0 ** random.uniform(-4.2, -3.3), size=frames * SAMPLES_PER_FRAME)
    part = samples[: len(audio) - lead]
    audio[lead : lead + len(part)] += part * random.uniform(0.5, 1.0)
    return np.clip(audio, -1.0, 1.0).astype(np.float32)


def _text(random: np.random.Generator, language: str, seconds: float) -> str:
    """Return sentences that last about this long at 158 words per minute, the last one cut at a word."""
    letters = round(1.05 * seconds * _LETTERS_PER_SECOND.get(language, 15.0))
    text = ""
    while len(text) < letters:
        text = f"{text} {sentence(random, language)}".strip()
    if " " not in text[:letters]:
        return text[:letters]
    return text if len(text) < letters + 8 else text[:letters].rsplit(" ", 1)[0]


def _draw_emotion(random: np.random.Generator) -> tuple[str, int]:
    if random.random() < _NEUTRAL_SHARE:
        return "neutral", 0
    return EMOTIONS[1 + int(random.integers(len(EMOTIONS) - 1))], int(random.integers(1, 4))


@lru_cache(maxsize=256)
def _speaker(recipe: Recipe, index: int) -> SyntheticSpeaker:
    language = recipe.languages[index % len(recipe.languages)]
    random = np.random.default_rng((recipe.seed, 0, index))
    name = f"{CORPUS}_{recipe.seed}_speaker_{index:04d}"
    return make_speaker(name, language, feature_space(builtin_face_model()), random)


def _check(clips: int, languages: Sequence[str], seconds: tuple[float, float], workers: int) -> None:
    if clips < 1 or workers < 1:
        raise InputError(f"cannot make {clips} clips in {workers} processes; give at least 1 of each.")
    unknown = [language for language in languages if language not in LANGUAGES]
    if unknown or not languages:
        raise InputError(f"there are no built-in sentences in {unknown}; choose languages from {', '.join(LANGUAGES)}.")
    if not 0.5 <= seconds[0] <= seconds[1] <= 600.0:
        raise InputError(f"clips of {seconds[0]} to {seconds[1]} s cannot be made; give 0.5 <= shortest <= longest.")


def _write(job: tuple[str, Recipe, int]) -> ManifestRow:
    """Make one clip and write it; runs in a worker."""
    store, recipe, index = job
    return write_clip(store, synthesize_clip(recipe, index))


def _one_thread() -> None:
    torch.set_num_threads(1)


def _commit_all(
    writer: TrackStoreWriter, jobs: list[tuple[str, Recipe, int]], workers: int, step: Callable[[], None]
) -> None:
    def commit(rows: Iterable[ManifestRow]) -> None:
        for row in rows:
            writer.commit([row])
            step()

    if workers == 1 or len(jobs) < 2 * workers:
        commit(map(_write, jobs))
        return
    # Not forked from this process: a fork of a process that has run torch in threads may hang.
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    if context.get_start_method() == "forkserver":  # which Windows has not
        context.set_forkserver_preload([__name__])
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
            commit(pool.map(_write, jobs, chunksize=4))
    except BrokenProcessPool as error:
        raise MachineError(
            "a process that makes clips was killed, most likely because memory ran out; free memory or use fewer "
            "workers, and run the command again: it continues where it stopped"
        ) from error


def _bar(total: int, shown: bool) -> Callable[[], None]:
    """Return a function that advances a progress bar, which is shown on a terminal only."""
    from tqdm.auto import tqdm

    bar = tqdm(total=total, desc="synthesize", unit="clip", disable=None if shown else True)

    def step() -> None:
        bar.update(1)
        if bar.n >= total:
            bar.close()

    return step
