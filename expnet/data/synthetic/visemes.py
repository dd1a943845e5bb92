# ruff: noqa: RUF001 (phonetic symbols)
"""From phonetic symbols to articulatory targets: what the lips do for each phoneme.

A target has six numbers, one for each of ``ARTICULATORS``. Lengths are in outer-eye-corner distances, as in
``expnet.face.measures`` (a wide-open vowel has an inner-lip gap of about 0.17); the others range from 0 to 1. The
values were set by hand from phonetic descriptions (IPA chart: height, backness and rounding of vowels, place and manner
of consonants) and scaled so that the mouth opens about as far as in real clips; see ``benchmarks/synthetic.py``.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from expnet.audio.speech_synthesis import PAUSE

ARTICULATORS = ("opening", "jaw", "spread", "rounding", "press", "tuck")
"""Inner-lip gap; drop of the chin beyond what the gap causes; mouth corners apart; lips rounded and protruded; lips
pressed together; lower lip under the upper teeth."""


@dataclass(frozen=True)
class Viseme:
    """Articulatory targets of a phoneme, and how strongly they dominate those of its neighbours.

    Attributes:
        opening: Inner-lip gap in outer-eye-corner distances.
        jaw: Additional drop of the chin in the same unit.
        spread: Spreading of the mouth corners, 0 to 1.
        rounding: Rounding and protrusion of the lips, 0 to 1.
        press: Pressure of the lips onto each other, 0 to 1.
        tuck: Lower lip drawn under the upper teeth, 0 to 1.
        strength: Dominance over the neighbours; 1 for a vowel, almost 0 for an h.
        vowel: Whether it is a vowel.
        closure: Whether the lips must touch.
    """

    opening: float
    jaw: float = 0.0
    spread: float = 0.0
    rounding: float = 0.0
    press: float = 0.0
    tuck: float = 0.0
    strength: float = 1.0
    vowel: bool = False
    closure: bool = False

    @property
    def targets(self) -> tuple[float, ...]:
        """Values in the order of ``ARTICULATORS``."""
        return (self.opening, self.jaw, self.spread, self.rounding, self.press, self.tuck)

    @property
    def strengths(self) -> tuple[float, ...]:
        """Dominance for each of the ``ARTICULATORS``; those that a consonant does not need follow its neighbours."""
        free = 1.0 if self.vowel or self is REST else _UNCOMMITTED
        spread = self.strength * (1.0 if self.spread else free)
        rounding = self.strength * (1.0 if self.rounding else free)
        return (self.strength, self.strength, spread, rounding, self.strength, self.strength)


_UNCOMMITTED = 0.22

REST = Viseme(0.0, strength=0.8)
"""Silence: lips together without pressure."""


def _vowel(opening: float, spread: float = 0.0, rounding: float = 0.0, strength: float = 1.0) -> Viseme:
    return Viseme(opening, 0.22 * opening, spread, rounding, strength=strength, vowel=True)


_VOWELS = {
    "a": _vowel(0.165, 0.15),
    "ɐ": _vowel(0.13, 0.15, strength=0.8),
    "ɑ": _vowel(0.17, 0.0, 0.1),
    "ɒ": _vowel(0.14, 0.0, 0.45),
    "æ": _vowel(0.155, 0.4),
    "ʌ": _vowel(0.12, 0.1),
    "ɔ": _vowel(0.125, 0.0, 0.5),
    "o": _vowel(0.08, 0.0, 0.8),
    "ɤ": _vowel(0.085, 0.2),
    "u": _vowel(0.045, 0.0, 1.0, 1.3),
    "ʊ": _vowel(0.06, 0.0, 0.65),
    "ɯ": _vowel(0.05, 0.3, 0.1),
    "i": _vowel(0.05, 0.85),
    "ɪ": _vowel(0.065, 0.5, strength=0.8),
    "ɨ": _vowel(0.055, 0.4),
    "e": _vowel(0.08, 0.6),
    "ɛ": _vowel(0.11, 0.45),
    "ə": _vowel(0.075, 0.15, strength=0.5),
    "ɘ": _vowel(0.075, 0.25, strength=0.6),
    "ɜ": _vowel(0.09, 0.1, 0.2),
    "ɞ": _vowel(0.095, 0.0, 0.4),
    "ɚ": _vowel(0.075, 0.0, 0.3, 0.7),
    "ɝ": _vowel(0.085, 0.0, 0.3),
    "y": _vowel(0.045, 0.0, 0.95, 1.3),
    "ʏ": _vowel(0.06, 0.0, 0.7),
    "ø": _vowel(0.075, 0.0, 0.8),
    "œ": _vowel(0.1, 0.0, 0.6),
    "ɶ": _vowel(0.13, 0.0, 0.5),
    "ɵ": _vowel(0.07, 0.0, 0.6),
    "ʉ": _vowel(0.045, 0.0, 0.9, 1.2),
}

# Consonants by place of articulation; those articulated behind the teeth leave the lips to their neighbours.
_BILABIAL = Viseme(0.0, 0.015, press=1.0, strength=2.5, closure=True)
_BILABIAL_FRICATIVE = Viseme(0.015, 0.012, press=0.2, strength=2.0)
_LABIODENTAL = Viseme(0.012, 0.008, tuck=1.0, strength=2.5)
_LABIAL_GLIDE = Viseme(0.03, 0.008, rounding=1.0, strength=1.6)
_DENTAL = Viseme(0.055, 0.01, spread=0.1, strength=1.0)
_ALVEOLAR = Viseme(0.05, 0.006, spread=0.1, strength=0.7)
_SIBILANT = Viseme(0.038, 0.0, spread=0.35, strength=1.4)
_POSTALVEOLAR = Viseme(0.05, 0.0, rounding=0.6, strength=1.4)
_ALVEOLOPALATAL = Viseme(0.045, 0.0, spread=0.25, rounding=0.2, strength=1.2)
_RHOTIC = Viseme(0.05, 0.006, rounding=0.4, strength=0.9)
_PALATAL = Viseme(0.05, 0.006, spread=0.45, strength=0.8)
_VELAR = Viseme(0.06, 0.012, strength=0.45)
_UVULAR = Viseme(0.07, 0.015, strength=0.45)
_GLOTTAL = Viseme(0.07, 0.01, strength=0.15)

_CONSONANTS = {
    **dict.fromkeys("pbmɓʙʘ", _BILABIAL),
    **dict.fromkeys("βɸ", _BILABIAL_FRICATIVE),
    **dict.fromkeys("fvʋɱⱱ", _LABIODENTAL),
    **dict.fromkeys("wʍɥ", _LABIAL_GLIDE),
    **dict.fromkeys("θðǀ", _DENTAL),
    **dict.fromkeys("tdnlrɾɬɮɺɗǁǃʈɖɳɭɽ", _ALVEOLAR),
    **dict.fromkeys("szʦʣ", _SIBILANT),
    **dict.fromkeys("ʃʒʂʐʧʤ", _POSTALVEOLAR),
    **dict.fromkeys("ɕʑʨʥ", _ALVEOLOPALATAL),
    **dict.fromkeys("ɹɻ", _RHOTIC),
    **dict.fromkeys("jʎɲcɟʝçʄǂ", _PALATAL),
    **dict.fromkeys("kɡgxɣŋɰɫɠɧ", _VELAR),
    **dict.fromkeys("qχʁɴɢʀʛʟ", _UVULAR),
    **dict.fromkeys("hɦħʕʔʜʢʡ", _GLOTTAL),
}

_LETTERS = {**_VOWELS, **_CONSONANTS}
_ROUNDING_MARKS = "ʷᵝ"  # these round the letter before them


def is_stressed(symbol: str) -> bool:
    """Return whether a phoneme carries the main stress of its word."""
    return symbol.startswith("ˈ")


@lru_cache(maxsize=4096)
def visemes_of(symbol: str) -> tuple[Viseme, ...]:
    """Split a phoneme into its visemes in order: one for most, two for diphthongs and affricates.

    Stress, length, tone, nasality and palatalisation are ignored; labialisation adds rounding. A letter missing from
    the table falls back to the base letter in its Unicode name ("... LETTER B WITH HOOK" is a b), and finally to a
    consonant articulated behind the lips, so that any symbol gives a plausible result. Silence gives ``(REST,)``.
    """
    if symbol == PAUSE or not symbol:
        return (REST,)
    found: list[Viseme] = []
    for character in unicodedata.normalize("NFD", symbol.lower().replace("ç", "ʝ")):
        if character in _ROUNDING_MARKS:
            if found:
                last = found[-1]
                found[-1] = Viseme(
                    last.opening, last.jaw, 0.0, max(last.rounding, 0.6), last.press, last.tuck, last.strength,
                    last.vowel, last.closure,
                )  # fmt: skip
            continue
        viseme = _LETTERS.get(character) or _by_name(character)
        # The second half of a stop and the h of an aspirated one change nothing.
        if viseme is not None and not (found and (viseme is found[-1] or viseme is _GLOTTAL)):
            found.append(viseme)
    return tuple(found) or (_ALVEOLAR,)


def _by_name(character: str) -> Viseme | None:
    """Guess the viseme of an unlisted letter from its Unicode name; None for a modifier."""
    if unicodedata.category(character) not in ("Ll", "Lo", "Lu"):
        return None
    words = unicodedata.name(character, "").split()
    for word in words[words.index("LETTER") + 1 :] if "LETTER" in words else ():
        if len(word) == 1 and word.lower() in _LETTERS:
            return _LETTERS[word.lower()]
    return _ALVEOLAR
