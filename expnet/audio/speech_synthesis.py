"""Synthetic speech with the exact time of every phoneme, offline, from eSpeak NG.

eSpeak NG (GPL-3) is an optional extra, ``pip install 'expnet[speech]'``, loaded at run time. It keeps state between
utterances, which changes later ones by a few samples. The library is therefore loaded anew for each utterance (about
5 ms), so that the same call returns the same samples in any order and in any process.
"""

import _ctypes
import contextlib
import ctypes
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np

from expnet.audio.wave import SAMPLE_RATE
from expnet.errors import InputError, MissingAssetError

PAUSE = "_"
"""Symbol of a pause."""

LANGUAGES = (
    "en-us",
    "en",
    "de",
    "fr",
    "es",
    "it",
    "ru",
    "pt-br",
    "cmn",
    "ja",
    "ko",
    "hi",
    "ar",
    "pl",
    "nl",
    "sv",
    "tr",
)
"""Tested languages; eSpeak NG has about 140, and every one of its names is accepted."""

VARIANTS = ("", "f1", "f4", "m1", "m2", "m3", "m4", "m7", "klatt", "klatt3", "Alex", "linda")
"""Voices with identical samples in every process; voices with breath noise, such as f2 and f5, are random."""

_RATE_RANGE = (80, 360)
_PITCH_RANGE = (0, 100)
_SHORTEST_PAUSE = 0.06  # seconds; a shorter event without a name is the release or glide of the previous phoneme

# Constants of espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_PHONEME_EVENTS_IN_IPA_NO_EXIT = 0x0001 | 0x0002 | 0x8000
_UTF8 = 1
_EVENT_END_OF_LIST = 0
_EVENT_PHONEME = 7
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4

_one_at_a_time = threading.Lock()  # the library is not thread-safe


@dataclass(frozen=True)
class Phoneme:
    """One phoneme of an utterance.

    Attributes:
        symbol: IPA as written by eSpeak NG, with a leading stress mark if stressed; `PAUSE` for silence.
        start: Seconds from the beginning of the utterance.
        end: Seconds; the start of the next phoneme.
    """

    symbol: str
    start: float
    end: float


@dataclass(frozen=True)
class SpeechSynthesis:
    """A synthetic utterance.

    Attributes:
        samples: float32 (S,) at 16 kHz in [-1, 1].
        phonemes: Consecutive phonemes that cover the utterance without gaps.
    """

    samples: np.ndarray
    phonemes: tuple[Phoneme, ...]

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


def synthesize_speech(
    text: str,
    *,
    language: str = "en-us",
    variant: str = "",
    rate: int = 175,
    pitch: int = 50,
    pitch_range: int = 50,
) -> SpeechSynthesis:
    """Speak a text.

    Args:
        text: Text to speak, in the script of the language. Markup is not interpreted.
        language: eSpeak NG's name of the language, see `LANGUAGES`.
        variant: Voice, see `VARIANTS`; "" for the default voice of the language.
        rate: Words per minute, 80 to 360.
        pitch: Pitch of the voice, 0 to 100.
        pitch_range: Range of the intonation, 0 (monotone) to 100.

    Returns:
        The utterance, always the same for the same arguments.

    Raises:
        MissingAssetError: The ``speech`` extra is not installed.
        InputError: The language or voice is unknown, a number is out of range, or the text has no words.
    """
    for name, value, (low, high) in (
        ("rate", rate, _RATE_RANGE),
        ("pitch", pitch, _PITCH_RANGE),
        ("pitch_range", pitch_range, _PITCH_RANGE),
    ):
        if not low <= value <= high:
            raise InputError(f"speech {name} {value} is out of range; give a number from {low} to {high}.")
    with _one_at_a_time, _library() as (library, rate_of_library):
        if library.espeak_SetVoiceByName(f"{language}+{variant}".rstrip("+").encode()) != 0:
            raise InputError(f"eSpeak NG has no language {language!r}; give one such as {', '.join(LANGUAGES[:8])}.")
        if variant not in _known_variants():  # eSpeak NG would silently use the default voice
            raise InputError(f"eSpeak NG has no voice {variant!r}; give one such as {', '.join(VARIANTS[1:])}.")
        for parameter, value in ((_PARAMETER_RATE, rate), (_PARAMETER_PITCH, pitch), (_PARAMETER_RANGE, pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        samples, events = _speak(library, text)
    phonemes = _phonemes(events, len(samples), rate_of_library)
    if all(phoneme.symbol == PAUSE for phoneme in phonemes):
        raise InputError(f"there is nothing to say in the text {text[:40]!r}; give at least one word.")
    from scipy.signal import resample_poly  # slow to import, and many modules need only Phoneme

    divisor = gcd(SAMPLE_RATE, rate_of_library)
    up, down = SAMPLE_RATE // divisor, rate_of_library // divisor
    resampled = resample_poly(samples / 32768.0, up, down, window=_low_pass(max(up, down)))
    return SpeechSynthesis(samples=np.clip(resampled, -1.0, 1.0).astype(np.float32), phonemes=phonemes)


@lru_cache(maxsize=4)
def _low_pass(factor: int) -> np.ndarray:
    """Return the filter that resample_poly would otherwise design for each call."""
    from scipy.signal import firwin

    return firwin(20 * factor + 1, 1.0 / factor, window=("kaiser", 5.0))


@lru_cache(maxsize=1)
def _known_variants() -> frozenset[str]:
    """Return the names of the installed voice variants, and "" for the default voice."""
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return frozenset({"", *(file.name for file in folder.iterdir())})


class _EventIdentity(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventIdentity),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@contextlib.contextmanager
def _library() -> Iterator[tuple[ctypes.CDLL, int]]:
    """Yield a newly loaded and initialised library and its sample rate; unload it afterwards."""
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except (ImportError, OSError) as error:
        raise MissingAssetError(
            "synthetic speech needs eSpeak NG, which is not installed; run: pip install 'expnet[speech]'"
        ) from error
    try:
        data = str(espeakng_loader.get_data_path()).encode()
        sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS_IN_IPA_NO_EXIT)
        if sample_rate <= 0:
            raise MissingAssetError(
                "eSpeak NG does not find its voices; run: pip install --force-reinstall espeakng-loader"
            )
        yield library, sample_rate
        library.espeak_Terminate()
    finally:
        # Only unloading resets the state of the library; initialising it again or seeding does not.
        unload = getattr(_ctypes, "dlclose", None) or getattr(_ctypes, "FreeLibrary")  # noqa: B009
        unload(library._handle)


def _speak(library: ctypes.CDLL, text: str) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Return int16 samples (S,) at the rate of the library, and (sample, symbol) of every phoneme event."""
    chunks: list[np.ndarray] = []
    events: list[tuple[int, str]] = []

    def receive(samples: "ctypes._Pointer[ctypes.c_short]", count: int, event: "ctypes._Pointer[_Event]") -> int:
        if count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while event[index].type != _EVENT_END_OF_LIST:
            if event[index].type == _EVENT_PHONEME:
                # Eight bytes of UTF-8 without a terminator when full, so the last character may be incomplete.
                address = ctypes.addressof(event[index]) + _Event.id.offset
                name = ctypes.string_at(address, 8).split(b"\0")[0].decode("utf-8", errors="ignore")
                events.append((event[index].sample, name))
            index += 1
        return 0

    callback = _Callback(receive)  # this name keeps the callback alive while the library may call it
    library.espeak_SetSynthCallback(callback)
    encoded = text.replace("\0", " ").encode("utf-8")
    library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
    return (np.concatenate(chunks) if chunks else np.zeros(0, np.int16)), events


def _phonemes(events: list[tuple[int, str]], length: int, rate: int) -> tuple[Phoneme, ...]:
    """Turn (sample, symbol) events into phonemes that cover the utterance without gaps."""
    starts = [*(sample for sample, _ in events), length]
    found: list[list] = []  # symbol, first sample, end sample
    for index, (begin, name) in enumerate(events):
        end = min(starts[index + 1], length)
        if end <= begin:
            continue
        # "(en)" marks a change of language within the text and is not a phoneme.
        symbol = PAUSE if not name or re.fullmatch(r"\(.*\)?", name) else name
        short = symbol == PAUSE and end - begin < _SHORTEST_PAUSE * rate
        if found and (short or (symbol == PAUSE and found[-1][0] == PAUSE)):
            found[-1][2] = end
        else:
            found.append([symbol, begin if found else 0, end])
    return tuple(Phoneme(symbol, begin / rate, end / rate) for symbol, begin, end in found)
