# ruff: noqa: RUF001 (phonetic symbols)
"""Built-in speech: phoneme times that hold, the same bytes every time, and a plain word when it is not installed."""

import hashlib
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from expnet.audio.speech_synthesis import LANGUAGES, PAUSE, VARIANTS, SpeechSynthesis, synthesize_speech
from expnet.errors import InputError, MissingAssetError

pytest.importorskip("espeakng_loader")

TEXT = "Hello world, this is a talking face."


def digest(speech: SpeechSynthesis) -> str:
    return hashlib.sha256(speech.samples.tobytes() + repr(speech.phonemes).encode()).hexdigest()


def spoken_digest(variant: str = "") -> str:
    return digest(synthesize_speech(TEXT, variant=variant))


def loudness(speech: SpeechSynthesis, start: float, end: float) -> float:
    part = speech.samples[round(start * 16_000) : round(end * 16_000)]
    return float(np.sqrt(np.mean(np.square(part))))


def test_phonemes_cover_the_utterance_and_match_its_sound() -> None:
    speech = synthesize_speech(TEXT)
    assert speech.samples.dtype == np.float32
    assert 1.5 < speech.seconds < 3.0
    assert speech.phonemes[0].start == 0.0
    assert abs(speech.phonemes[-1].end - speech.seconds) < 1e-3
    assert all(a.end == b.start for a, b in zip(speech.phonemes, speech.phonemes[1:], strict=False))
    symbols = [phoneme.symbol for phoneme in speech.phonemes]
    assert symbols[:8] == ["h", "ə", "l", "ˈoʊ", "w", "ˈɜː", "l", "d"]
    pause = speech.phonemes[8]
    assert pause.symbol == PAUSE
    assert loudness(speech, pause.start + 0.01, pause.end - 0.01) < 1e-3
    vowels = [phoneme for phoneme in speech.phonemes if phoneme.symbol.startswith("ˈ")]
    assert min(loudness(speech, vowel.start, vowel.end) for vowel in vowels) > 0.03


def test_resampling_keeps_phoneme_times() -> None:
    """The hiss of an s is where its phoneme is: zero crossings inside against a vowel's."""
    speech = synthesize_speech("a sa sa sa sa")

    def crossings(symbol: str) -> float:
        found = [
            np.mean(np.diff(np.sign(speech.samples[int(p.start * 16_000) : int(p.end * 16_000)])) != 0)
            for p in speech.phonemes
            if p.symbol.strip("ˈˌ") == symbol
        ]
        assert found
        return float(np.mean(found))

    assert crossings("s") > 0.25
    assert crossings("ɑː") < 0.15


def test_the_same_call_gives_the_same_bytes_in_any_order() -> None:
    first = spoken_digest()
    synthesize_speech("Something else, said in between.", language="de", variant="m3", rate=250)
    assert spoken_digest() == first


def test_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib, sys; from expnet.audio.speech_synthesis import synthesize_speech\n"
        "for variant in sys.argv[2:]:\n"
        "    speech = synthesize_speech(sys.argv[1], variant=variant)\n"
        "    print(hashlib.sha256(speech.samples.tobytes() + repr(speech.phonemes).encode()).hexdigest())"
    )
    command = [sys.executable, "-c", code, TEXT, *VARIANTS[1:4]]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert printed == [spoken_digest(variant) for variant in VARIANTS[1:4]]


def test_works_in_a_forked_process() -> None:
    """After the library was used here, as in a data loader's worker."""
    expected = spoken_digest()
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        assert pool.submit(spoken_digest).result(timeout=60) == expected


def test_rate_pitch_and_voice_matter() -> None:
    plain = synthesize_speech(TEXT)
    assert synthesize_speech(TEXT, rate=300).seconds < 0.75 * plain.seconds
    assert digest(synthesize_speech(TEXT, pitch=90)) != digest(plain)
    assert digest(synthesize_speech(TEXT, variant="m3")) != digest(plain)


@pytest.mark.parametrize("language", LANGUAGES)
def test_languages(language: str) -> None:
    text = {"ru": "привет", "cmn": "你好", "ja": "こんにちは", "ko": "안녕", "hi": "नमस्ते", "ar": "مرحبا"}.get(
        language, "mama"
    )
    assert len(synthesize_speech(text, language=language).phonemes) >= 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"language": "klingonese"}, "no language"),
        ({"variant": "nobody"}, "no voice"),
        ({"rate": 20}, "out of range"),
        ({"pitch": 101}, "out of range"),
    ],
)
def test_wrong_options(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        synthesize_speech(TEXT, **options)


def test_nothing_to_say() -> None:
    with pytest.raises(InputError, match="nothing to say"):
        synthesize_speech("")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingAssetError, match=r"pip install 'expnet\[speech\]'"):
        synthesize_speech(TEXT)


def test_audio_modules_never_import_librosa() -> None:
    code = (
        "import sys, expnet.audio.wave, expnet.audio.alignment, expnet.audio.speech_synthesis;"
        "sys.exit(any(name in sys.modules for name in ('librosa', 'numba', 'espeakng_loader')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
