# ruff: noqa: RUF001 (phonetic symbols)
"""From phonetic symbols to lips: known and unknown phonemes, and coarticulation."""

import numpy as np
import pytest

from expnet.audio.speech_synthesis import PAUSE, Phoneme
from expnet.data.synthetic.coarticulation import articulate
from expnet.data.synthetic.visemes import ARTICULATORS, REST, visemes_of

OPENING, ROUNDING = ARTICULATORS.index("opening"), ARTICULATORS.index("rounding")
PRESS, TUCK = ARTICULATORS.index("press"), ARTICULATORS.index("tuck")


def spoken(symbols: str, *, length: float = 0.12, lead: float = 0.4) -> tuple[list[Phoneme], int]:
    """Phonemes of equal length after and before a silence, and the number of frames."""
    row = [
        Phoneme(symbol, lead + index * length, lead + (index + 1) * length)
        for index, symbol in enumerate(symbols.split())
    ]
    return row, round((row[-1].end + lead) * 25)


def during(symbols: str, index: int, **options: float) -> np.ndarray:
    """Articulators in the frame in the middle of a phoneme."""
    row, frames = spoken(symbols, **options)
    return articulate(row, frames)[int((row[index].start + row[index].end) / 2 * 25)]


@pytest.mark.parametrize("symbol", ["m", "b", "p", "bʰ", "pʲ", "ˈm", "pf", "ɓ"])
def test_bilabials_close(symbol: str) -> None:
    assert visemes_of(symbol)[0].closure


@pytest.mark.parametrize(
    ("symbol", "count"),
    [("a", 1), ("ˈaɪ", 2), ("tʃ", 2), ("th", 1), ("kʰ", 1), ("ɔø", 2), ("iː", 1), ("œ̃", 1), ("ʲ", 1), (PAUSE, 1)],
)
def test_symbols_are_broken_into_visemes(symbol: str, count: int) -> None:
    assert len(visemes_of(symbol)) == count


def test_stress_length_tone_and_nasality_change_no_target() -> None:
    assert visemes_of("ˈɑː") == visemes_of("ɑ") == visemes_of("ɑ̃") == visemes_of("ɑ5")


def test_labialisation_rounds() -> None:
    assert visemes_of("kʷ")[0].rounding > 0.5 > visemes_of("k")[0].rounding


@pytest.mark.parametrize("symbol", ["ƥ", "ƀ", "☃", "?", "Ж", "ᶢ", "あ"])
def test_any_symbol_gives_something(symbol: str) -> None:
    (viseme,) = visemes_of(symbol)
    assert viseme is not REST
    assert 0.0 <= viseme.opening < 0.2


def test_fallback_goes_by_the_letter_in_the_name() -> None:
    assert visemes_of("ƥ")[0].closure  # LATIN SMALL LETTER P WITH HOOK
    assert visemes_of("ƒ")[0].tuck == 1.0  # LATIN SMALL LETTER F WITH HOOK


def test_vowels_open_as_phonetics_has_it() -> None:
    opening = {vowel: during(f"t {vowel} t", 1)[OPENING] for vowel in ("a", "ɛ", "e", "i", "u")}
    assert opening["a"] > opening["ɛ"] > opening["e"] > opening["i"]
    assert opening["a"] > 2.0 * opening["u"]
    assert during("t u t", 1)[ROUNDING] > 0.6 > 0.1 > during("t i t", 1)[ROUNDING]
    assert during("a f a", 1)[TUCK] > 0.7 > 0.1 > during("a t a", 1)[TUCK]
    assert during("a m a", 1)[PRESS] > 0.7 > 0.1 > during("a n a", 1)[PRESS]


@pytest.mark.parametrize("length", [0.03, 0.05, 0.08, 0.15])
@pytest.mark.parametrize("consonant", ["m", "b", "p"])
def test_lips_touch_at_any_speed_and_phase(consonant: str, length: float) -> None:
    for shift in np.arange(0.0, 0.04, 0.007):
        row, frames = spoken(f"a {consonant} a", length=length, lead=0.4 + shift)
        opening = articulate(row, frames)[:, OPENING]
        around = slice(int((row[1].start - 0.06) * 25), int((row[1].end + 0.02) * 25) + 1)
        assert opening[around].min() == 0.0
        if length >= 0.08:
            assert opening[around.start - 2 : around.start + 1].max() > 0.02
            assert opening[around.stop : around.stop + 2].max() > 0.02


def test_silence_closes_the_lips_and_rests() -> None:
    row, frames = spoken("a a a", lead=0.6)
    values = articulate(row, frames)
    assert (values[:8, OPENING] == 0.0).all()
    assert (values[-8:, OPENING] == 0.0).all()
    assert np.abs(values[:8]).max() < 0.02
    assert (articulate([], 10)[:, OPENING] == 0.0).all()


def test_rounding_is_heard_coming() -> None:
    """Lips round for u while the consonants before it are still spoken, more than before i."""
    assert during("s t u", 0)[ROUNDING] > 0.15 > 0.02 > during("s t i", 0)[ROUNDING]


def test_fast_speech_reaches_less() -> None:
    slow, fast = (during("t a t", 1, length=length)[OPENING] for length in (0.2, 0.05))
    assert fast < 0.75 * slow


def test_movement_is_smooth() -> None:
    row, frames = spoken("h ə l oʊ w ɜː l d f a m ɪ l i ʃ u", length=0.08)
    values = articulate(row, frames)
    assert np.isfinite(values).all()
    assert np.abs(np.diff(values[:, OPENING])).max() < 0.13
    assert values.min() >= 0.0
