"""Speakers of the built-in corpus: a face, a voice and a manner of speaking, all drawn from one seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expnet.audio.speech_synthesis import VARIANTS
from expnet.data.synthetic.head_gestures import HeadStyle
from expnet.data.synthetic.visemes import ARTICULATORS
from expnet.face.facial_features import FeatureSpace

Array = NDArray[np.float64]

_LARGEST_COEFFICIENT = 2.5
_ENGLISH_ACCENTS = ("en-us", "en")

# Standard deviation, across speakers, of the features of a face at rest.
_REST_SPREAD = {
    "mouth_width": 0.016,
    "upper_lip": 0.005,
    "corners_up": 0.009,
    "corners_uneven": 0.004,
    "chin": 0.006,
    "inner_brows": 0.008,
    "outer_brows": 0.008,
    "brows_uneven": 0.004,
    "lids_apart": 0.009,
    "lids_uneven": 0.004,
}


@dataclass(frozen=True)
class SyntheticSpeaker:
    """An imaginary speaker.

    Attributes:
        name: Name, unique within a corpus.
        language: Language of the sentences, one of ``sentences.LANGUAGES``.
        voice: Language of eSpeak NG, with accent.
        variant: Voice variant of eSpeak NG.
        rate: Words per minute.
        pitch: Pitch from 0 to 100.
        pitch_range: Pitch range from 0 to 100.
        identity: (K,) identity coefficients.
        rest: Offsets of the resting face's features, by name.
        rest_expression: (E,) remainder of the resting face, which changes no feature.
        articulation: (6,) factors on the articulators.
        uneven: How much further one corner of the mouth moves than the other.
        coupling: (E, 6) expression per unit of each articulator that changes no feature.
        blink_interval: Mean seconds between blinks.
        brow_share: Share of stressed syllables with a brow raise.
        brow_height: Height of a brow raise in feature units.
        head: How the head moves.
    """

    name: str
    language: str
    voice: str
    variant: str
    rate: int
    pitch: int
    pitch_range: int
    identity: Array
    rest: dict[str, float]
    rest_expression: Array
    articulation: Array
    uneven: float
    coupling: Array
    blink_interval: float
    brow_share: float
    brow_height: float
    head: HeadStyle


def make_speaker(name: str, language: str, space: FeatureSpace, random: np.random.Generator) -> SyntheticSpeaker:
    """Draw a speaker.

    Args:
        name: Unique name.
        language: Language of the speaker.
        space: Feature space of the face model.
        random: Random generator; the same state gives the same speaker.
    """
    identity_size, expression_size = space.identity_response.shape[1], space.expression_response.shape[1]
    unseen = 0.75 * np.asarray(random.normal(size=expression_size))
    identity = np.clip(random.normal(size=identity_size), -_LARGEST_COEFFICIENT, _LARGEST_COEFFICIENT)
    articulation = 1.3 * random.lognormal(0.0, 0.2) * random.lognormal(0.0, 0.08, len(ARTICULATORS))
    articulation[ARTICULATORS.index("press") :] = random.lognormal(0.0, 0.15, 2)
    return SyntheticSpeaker(
        name=name,
        language=language,
        voice=str(random.choice(_ENGLISH_ACCENTS)) if language == "en" else language,
        variant=VARIANTS[int(random.integers(len(VARIANTS)))],
        rate=int(np.clip(random.normal(158, 20), 115, 215)),
        pitch=int(np.clip(random.normal(48, 16), 10, 90)),
        pitch_range=int(np.clip(random.normal(55, 18), 10, 95)),
        identity=identity,
        rest={feature: random.normal(0.0, spread) for feature, spread in _REST_SPREAD.items()},
        rest_expression=space.without_features(unseen),
        articulation=articulation,
        uneven=random.normal(0.0, 0.06),
        coupling=_coupling(space, random),
        blink_interval=float(np.clip(random.lognormal(1.15, 0.4), 1.2, 8.0)),
        brow_share=random.uniform(0.0, 0.35),
        brow_height=random.lognormal(np.log(0.016), 0.35),
        head=_head_style(random),
    )


def _coupling(space: FeatureSpace, random: np.random.Generator) -> Array:
    """Draw how cheeks and chin move with the lips, which differs a little between speakers."""
    raw = random.normal(size=(len(ARTICULATORS), space.expression_response.shape[1]))
    scale = np.array([4.0, 3.0, 0.35, 0.35, 0.15, 0.15])  # coefficients per unit of each articulator
    return space.without_features(raw * scale[:, None]).T  # (E, 6)


def _head_style(random: np.random.Generator) -> HeadStyle:
    return HeadStyle(
        amplitude=random.lognormal(0.0, 0.45) * random.lognormal(0.0, 0.25, 3),
        nod=random.lognormal(np.log(0.026), 0.4),
        nod_share=random.uniform(0.3, 0.9),
        energy=random.normal(size=3) * np.array([0.02, 0.012, 0.008]),
        centre=random.normal(size=3) * np.array([0.05, 0.09, 0.03]),
        pivot=random.uniform([0.3, 0.3, 0.2], [1.0, 1.0, 0.9]),
        sway=random.lognormal(0.0, 0.3) * np.array([0.034, 0.014, 0.10]),
    )
