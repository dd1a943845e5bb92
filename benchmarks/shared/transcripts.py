"""What is said in a clip, and in which language: CSV files by name of the clip, and names that tell the text.

A CSV file names its clips in a column ``clip`` or, as in the manifests of collections, ``file``; columns may be called
``text`` or ``transcript``, and ``language`` or ``lang``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from expnet.audio.speech_synthesis import Phoneme
from expnet.errors import InputError
from expnet.evaluation.store.clips import Clip
from shared.csv_files import read_csv
from shared.forced_alignment import align_text

VOICES = {"": "en-us", "en": "en-us", "zh": "cmn", "pt": "pt-br"}
"""eSpeak NG's names of languages whose code it does not know, or knows as another dialect."""
TRUNCATED = ("...", "…")
"""Ends of a transcript that leaves out what follows; it cannot be aligned."""
_GRID = re.compile(r"grid_(?:s\d+_)?([blps])([bgrw])([abiw])([a-z])([0-9z])([anps])")
_GRID_WORDS: tuple[dict[str, str], ...] = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {chr(letter): chr(letter).upper() for letter in range(ord("a"), ord("z") + 1)},
    {"z": "zero", "1": "one", "2": "two", "3": "three", "4": "four"}
    | {"5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine"},
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
"""Words of the GRID corpus by the letters of a clip's name (Cooke et al. 2006)."""
_CREMAD = re.compile(r"cremad_\d+_([A-Z]{3})_")
_CREMAD_SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
"""Sentences of CREMA-D by the code in a clip's name (Cao et al. 2014)."""


def text_from_name(clip: str) -> str:
    """Return what a clip of GRID or CREMA-D says by its name, such as grid_s1_bbaf2n; "" for other clips."""
    if match := _GRID.fullmatch(clip):
        return " ".join(words[letter] for words, letter in zip(_GRID_WORDS, match.groups(), strict=True))
    if match := _CREMAD.match(clip):
        return _CREMAD_SENTENCES.get(match[1], "")
    return ""


def read_languages(files: Sequence[Path]) -> dict[str, str]:
    """Read the language of each clip.

    Raises:
        InputError: A file lacks a column, see above.
    """
    return {clip: language for clip, (language,) in _read(files, ("language", "lang")) if language}


def read_transcripts(files: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """Read the text of each clip and its language as eSpeak NG calls it, which is en-us where none is given.

    Clips without a text, or whose text is cut off with an ellipsis, are left out.

    Raises:
        InputError: A file lacks a column, see above.
    """
    found = {}
    for clip, (text, language) in _read(files, ("text", "transcript"), ("language", "lang", "")):
        if text and not text.endswith(TRUNCATED):
            found[clip] = text, voice_of(language)
    return found


def voice_of(language: str) -> str:
    """Return eSpeak NG's name of a language."""
    return VOICES.get(language, language)


def phonemes_of(clip: Clip, transcripts: dict[str, tuple[str, str]]) -> tuple[Phoneme, ...]:
    """Phonemes of a clip: those in its store, or those of its transcript aligned with the audio."""
    if clip.track.phonemes or clip.clip_id not in transcripts:
        return clip.track.phonemes
    text, language = transcripts[clip.clip_id]
    return align_text(clip.track.audio, text, language=language)


def _read(files: Sequence[Path], *names: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Yield each clip's name and one value for each column, given by its possible names; "" means it may be absent."""
    for file in files:
        try:
            rows = read_csv(file)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file} cannot be read as a CSV file ({error}).") from error
        for row in rows:
            values = []
            for possible in (("clip", "file"), *names):
                name = next((name for name in possible if name in row or not name), None)
                if name is None:
                    raise InputError(f"{file} has no column {' or '.join(possible)}; it has {', '.join(row)}.")
                values.append((row[name] or "").strip() if name else "")
            yield values[0] if "clip" in row else Path(values[0]).stem, values[1:]
