"""The effect of an emotion on a talking face: offsets of its features, and a manner of speaking and moving.

The offsets follow the action units that Ekman and Friesen (FACS) assign to each emotion, in the units of
``facial_features``. At level 3 they are two to three times the standard deviation of the feature within real clips.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

EMOTIONS = ("neutral", "happy", "angry", "sad", "surprised", "fear", "disgusted", "contempt")
"""Names as in MEAD."""

LEVEL_GAIN = {0: 0.0, 1: 0.6, 2: 0.95, 3: 1.35}


@dataclass(frozen=True)
class Emotion:
    """One emotion at about level 2.

    Attributes:
        features: Offsets by feature name.
        articulation: Factor on the mouth opening.
        liveliness: Factor on head motion.
        rate: Factor on the speaking rate.
        pitch: Offset of the voice's pitch (0 to 100).
        nose_down: Offset of the head's pitch in radians.
        blinking: Factor on the time between blinks; below 1 the person blinks more often.
    """

    features: Mapping[str, float] = field(default_factory=dict)
    articulation: float = 1.0
    liveliness: float = 1.0
    rate: float = 1.0
    pitch: float = 0.0
    nose_down: float = 0.0
    blinking: float = 1.0

    def at(self, level: int) -> "Emotion":
        """Return the emotion at level 1 to 3; level 0 is neutral."""
        gain = LEVEL_GAIN[level]

        def scale_factor(factor: float) -> float:
            return 1.0 + gain * (factor - 1.0)

        return Emotion(
            features={name: gain * offset for name, offset in self.features.items()},
            articulation=scale_factor(self.articulation),
            liveliness=scale_factor(self.liveliness),
            rate=scale_factor(self.rate),
            pitch=gain * self.pitch,
            nose_down=gain * self.nose_down,
            blinking=scale_factor(self.blinking),
        )


EMOTION_TABLE: dict[str, Emotion] = {
    "neutral": Emotion(),
    "happy": Emotion(
        {
            "corners_up": 0.034,
            "mouth_width": 0.065,
            "upper_lip": 0.012,
            "lids_apart": -0.012,
            "inner_brows": 0.004,
            "outer_brows": 0.006,
        },
        articulation=1.1,
        liveliness=1.25,
        rate=1.04,
        pitch=12.0,
        nose_down=-0.02,
    ),
    "angry": Emotion(
        {
            "inner_brows": -0.034,
            "outer_brows": -0.016,
            "lids_apart": -0.006,
            "corners_up": -0.010,
            "upper_lip": 0.008,
            "mouth_width": 0.010,
            "chin": -0.006,
        },
        articulation=1.25,
        liveliness=1.4,
        rate=1.08,
        pitch=4.0,
        nose_down=0.05,
        blinking=1.4,
    ),
    "sad": Emotion(
        {
            "inner_brows": 0.022,
            "outer_brows": -0.010,
            "lids_apart": -0.016,
            "corners_up": -0.026,
            "mouth_width": -0.015,
            "lower_lip": 0.008,
        },
        articulation=0.78,
        liveliness=0.7,
        rate=0.86,
        pitch=-10.0,
        nose_down=0.08,
        blinking=0.8,
    ),
    "surprised": Emotion(
        {
            "inner_brows": 0.036,
            "outer_brows": 0.034,
            "lids_apart": 0.020,
            "mouth_width": -0.010,
            "chin": -0.012,
        },
        articulation=1.2,
        liveliness=1.15,
        rate=1.02,
        pitch=15.0,
        nose_down=-0.04,
        blinking=1.3,
    ),
    "fear": Emotion(
        {
            "inner_brows": 0.030,
            "outer_brows": 0.012,
            "lids_apart": 0.016,
            "mouth_width": 0.030,
            "corners_up": -0.010,
            "lower_lip": -0.006,
        },
        articulation=0.95,
        liveliness=0.9,
        rate=1.08,
        pitch=12.0,
        nose_down=-0.02,
        blinking=0.7,
    ),
    "disgusted": Emotion(
        {
            "upper_lip": 0.022,
            "corners_up": -0.006,
            "inner_brows": -0.020,
            "outer_brows": -0.014,
            "lids_apart": -0.016,
            "upper_lip_forward": 0.004,
        },
        articulation=0.95,
        rate=0.95,
        pitch=-5.0,
        nose_down=-0.03,
    ),
    "contempt": Emotion(
        {
            "corners_uneven": 0.022,
            "corners_up": 0.006,
            "brows_uneven": 0.016,
            "lids_apart": -0.010,
            "lids_uneven": 0.006,
        },
        articulation=0.85,
        liveliness=0.85,
        rate=0.95,
        pitch=-4.0,
        nose_down=-0.05,
    ),
}
