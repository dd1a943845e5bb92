"""Built-in speech: text to samples with the exact time of every phoneme, offline, from eSpeak NG.

eSpeak NG (GPL-3) is an optional extra, ``pip install 'expnet[speech]'``, loaded at run time. It keeps state from one
utterance to the next, which changes later ones by a few samples; so the library is loaded afresh for each utterance
(about 5 ms), and the same call gives the same samples in any order and in any process.
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
"""Symbol of a stretch without speech."""

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
"""Languages that were tried; eSpeak NG knows about 140, and any of its names is accepted."""

VARIANTS = ("", "f1", "f4", "m1", "m2", "m3", "m4", "m7", "klatt", "klatt3", "Alex", "linda")
"""Voices whose samples are bit-stable across processes (those with breath noise, such as f2 and f5, are not)."""

_RATE_RANGE = (80, 360)
_PITCH_RANGE = (0, 100)
_SHORTEST_PAUSE = 0.06  # seconds; a shorter nameless event is a release or glide of the phoneme before it

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
    """One sound of an utterance.

    Attributes:
        symbol: IPA as eSpeak NG writes it, a stress mark in front where there is one; ``PAUSE`` for silence.
        start: seconds from the beginning of the utterance.
        end: seconds; the start of the next phoneme.
    """

    symbol: str
    start: float
    end: float


@dataclass(frozen=True)
class SpeechSynthesis:
    """An utterance: ``samples`` float32 (S,) at 16 kHz in [-1, 1], and its ``phonemes``, without holes."""

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
        text: what to say, in the script of the language. Markup is not interpreted.
        language: eSpeak NG's name of it, see ``LANGUAGES``.
        variant: voice, see ``VARIANTS``; "" is the language's own.
        rate: words a minute, 80 to 360.
        pitch: 0 to 100.
        pitch_range: liveliness of the melody, 0 (monotone) to 100.

    Returns:
        The same samples and phonemes for the same arguments, always.

    Raises:
        MissingAssetError: the ``speech`` extra is not installed.
        InputError: unknown language or voice, or a number out of its range, or nothing to say.
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
        if variant not in _known_variants():  # it would speak on with the language's own voice
            raise InputError(f"eSpeak NG has no voice {variant!r}; give one such as {', '.join(VARIANTS[1:])}.")
        for parameter, value in ((_PARAMETER_RATE, rate), (_PARAMETER_PITCH, pitch), (_PARAMETER_RANGE, pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        samples, events = _speak(library, text)
    phonemes = _phonemes(events, len(samples), rate_of_library)
    if all(phoneme.symbol == PAUSE for phoneme in phonemes):
        raise InputError(f"there is nothing to say in the text {text[:40]!r}; give at least one word.")
    from scipy.signal import resample_poly  # slow to import, and this module is imported for Phoneme alone, too

    divisor = gcd(SAMPLE_RATE, rate_of_library)
    up, down = SAMPLE_RATE // divisor, rate_of_library // divisor
    resampled = resample_poly(samples / 32768.0, up, down, window=_low_pass(max(up, down)))
    return SpeechSynthesis(samples=np.clip(resampled, -1.0, 1.0).astype(np.float32), phonemes=phonemes)


@lru_cache(maxsize=4)
def _low_pass(factor: int) -> np.ndarray:
    """The filter that resample_poly would design anew for each call."""
    from scipy.signal import firwin

    return firwin(20 * factor + 1, 1.0 / factor, window=("kaiser", 5.0))


@lru_cache(maxsize=1)
def _known_variants() -> frozenset[str]:
    """Names of the voice variants beside the library, and "" for none."""
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
    """A freshly loaded and initialised library and its sample rate; unloaded afterwards."""
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except (ImportError, OSError) as error:
        raise MissingAssetError(
            "built-in speech needs eSpeak NG, which is not installed; run: pip install 'expnet[speech]'"
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
        # Unloading is what resets its state: neither initialising again nor seeding does.
        unload = getattr(_ctypes, "dlclose", None) or getattr(_ctypes, "FreeLibrary")  # noqa: B009
        unload(library._handle)


def _speak(library: ctypes.CDLL, text: str) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Return int16 samples (S,) at the library's rate, and (sample, symbol) of every phoneme event."""
    chunks: list[np.ndarray] = []
    events: list[tuple[int, str]] = []

    def receive(samples: "ctypes._Pointer[ctypes.c_short]", count: int, event: "ctypes._Pointer[_Event]") -> int:
        if count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while event[index].type != _EVENT_END_OF_LIST:
            if event[index].type == _EVENT_PHONEME:
                # Eight bytes of UTF-8, without a terminator when full, so a character may be cut.
                address = ctypes.addressof(event[index]) + _Event.id.offset
                name = ctypes.string_at(address, 8).split(b"\0")[0].decode("utf-8", errors="ignore")
                events.append((event[index].sample, name))
            index += 1
        return 0

    callback = _Callback(receive)  # kept alive by this name while the library may call it
    library.espeak_SetSynthCallback(callback)
    encoded = text.replace("\0", " ").encode("utf-8")
    library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
    return (np.concatenate(chunks) if chunks else np.zeros(0, np.int16)), events


def _phonemes(events: list[tuple[int, str]], length: int, rate: int) -> tuple[Phoneme, ...]:
    """Turn (sample, symbol) events into phonemes that cover the utterance without holes."""
    starts = [*(sample for sample, _ in events), length]
    found: list[list] = []  # symbol, first sample, end sample
    for index, (begin, name) in enumerate(events):
        end = min(starts[index + 1], length)
        if end <= begin:
            continue
        # "(en)" marks a change of language within the text: no sound of its own.
        symbol = PAUSE if not name or re.fullmatch(r"\(.*\)?", name) else name
        short = symbol == PAUSE and end - begin < _SHORTEST_PAUSE * rate
        if found and (short or (symbol == PAUSE and found[-1][0] == PAUSE)):
            found[-1][2] = end
        else:
            found.append([symbol, begin if found else 0, end])
    return tuple(Phoneme(symbol, begin / rate, end / rate) for symbol, begin, end in found)
