"""Colours of the painted mouth interior, matched to the light and the colours of the portrait."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_CHEEKS = (50, 280, 205, 425, 117, 346, 101, 330, 151, 9, 195)
_LOWER_LIP = (86, 15, 316, 85, 16, 315)
# Colours of a mouth under the light in which average skin has the colour _SKIN.
_SKIN = np.array([205.0, 160.0, 138.0])
_TEETH = np.array([226.0, 216.0, 200.0])
_CAVITY = np.array([56.0, 22.0, 22.0])
_TONGUE = np.array([150.0, 74.0, 74.0])
_GUM = np.array([172.0, 98.0, 94.0])

# Skin tones differ by about this much under the same light, relative to brightness; only the excess is a colour cast.
_SKINS_DIFFER = 0.1
# Gain of the skin's saturation, so that pale skin still counts as fully coloured.
_CHROMA_GAIN = 2.5
# Fewer pixels between the lips than this say nothing about the teeth.
_FEW_PIXELS = 40


@dataclass(frozen=True)
class MouthColours:
    """RGB colours, each (3,) in [0, 255].

    Attributes:
        teeth: Colour of a lit incisor.
        cavity: Colour of the dark cavity.
        tongue: Colour of the lit back of the tongue.
        gum: Colour of the gum above the teeth.
        lip: Colour of the portrait's own lower lip near the seam, whose wet inside continues into the mouth.
    """

    teeth: Array
    cavity: Array
    tongue: Array
    gum: Array
    lip: Array

    def table(self) -> Array:
        """The five colours in one array (5, 3)."""
        return np.stack([self.teeth, self.cavity, self.tongue, self.gum, self.lip])


def estimate_mouth_colours(portrait: NDArray[np.uint8], points: Array, opening: Array) -> MouthColours:
    """Estimate the light from the skin, and remove colour where the portrait has none (drawings, black and white).

    Args:
        portrait: (H, W, 3) uint8.
        points: (V, 2) tracked points in pixels.
        opening: (N, 3) the portrait's pixels between the lips; few or none if the mouth is closed.
    """
    patches = _patches(portrait, points[list(_CHEEKS)])
    skin = np.median(patches, axis=0)
    # Dark skin and dim light look alike; bright patches tell more about the light than the average does.
    bright = float(np.percentile(patches.mean(axis=1), 80))
    light = np.clip(bright / _SKIN.mean(), 0.55, 1.1)
    # Pale skin has little colour as well; only nearly grey skin means an image without colour.
    chroma = np.clip(_CHROMA_GAIN * np.ptp(skin) / max(skin.mean(), 1.0) / (np.ptp(_SKIN) / _SKIN.mean()), 0.0, 1.0)
    cast = skin / max(skin.mean(), 1.0) - _SKIN / _SKIN.mean()
    cast = np.sign(cast) * np.maximum(np.abs(cast) - _SKINS_DIFFER, 0.0)

    def lit(colour: Array) -> Array:
        grey = colour.mean()
        tinted = grey + chroma * (colour - grey) + 0.8 * chroma * grey * cast
        return np.clip(tinted * light, 0.0, 250.0)

    own = _own_teeth(opening, bright)
    teeth = lit(_TEETH) if own is None else own
    if own is None:
        # Teeth are about as bright as lit fair skin, and brighter than dark skin.
        teeth *= min(0.95 * max(bright, 0.55 * bright + 80.0) / teeth.mean(), 1.0)
    lip = _lower_lip(portrait, points, bright)
    # The tongue is as red as the lips under the same light, and lies deeper.
    tongue = 0.5 * (lit(_TONGUE) + lip)
    return MouthColours(teeth=teeth, cavity=lit(_CAVITY), tongue=tongue, gum=lit(_GUM), lip=lip)


def _patches(portrait: NDArray[np.uint8], places: Array) -> Array:
    """Mean colours (N, 3) of patches of 5 x 5 pixels around places (N, 2)."""
    rows = np.clip(places[:, 1].round().astype(int), 2, portrait.shape[0] - 3)
    columns = np.clip(places[:, 0].round().astype(int), 2, portrait.shape[1] - 3)
    return np.stack(
        [
            portrait[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3).mean(axis=0)
            for row, column in zip(rows, columns, strict=True)
        ]
    )


def _lower_lip(portrait: NDArray[np.uint8], points: Array, skin_brightness: float) -> Array:
    """Colour of the middle of the lower lip, bounded by the skin's brightness: glossy lips reflect the light."""
    colour = np.median(_patches(portrait, points[list(_LOWER_LIP)]), axis=0)
    return colour * np.clip(colour.mean(), 0.55 * skin_brightness, 0.95 * skin_brightness) / max(colour.mean(), 1.0)


def _own_teeth(opening: Array, skin_brightness: float) -> Array | None:
    """Colour of the portrait's own teeth, or None where none are visible."""
    if len(opening) < _FEW_PIXELS:
        return None
    brightness = opening.mean(axis=1)
    lit = opening[brightness >= np.percentile(brightness, 75)]
    colour = lit.mean(axis=0)
    # Lips and tongue are redder than teeth.
    pale = np.ptp(colour) < 0.35 * colour.mean()
    return np.clip(colour * 1.05, 0.0, 250.0) if pale and colour.mean() > 0.65 * skin_brightness else None
