"""Shading of what is drawn between the lips: teeth, cavity, tongue, and the inside of the lower lip.

Lengths are in face units, of about 100 mm. Every function is smooth in the position and in the opening.
"""

import numpy as np
from numpy.typing import NDArray

from expnet.render.mouth_geometry import smoothstep
from expnet.render.rasterize import compiled_fast

Array = NDArray[np.float64]
Colour = tuple[float, float, float]

# Boundaries between teeth on one half of the arch, seen from the front, in face units from the middle
# (widths: central 8.5, lateral 6.7, canine 7.8, premolars 7 mm, along an arch of 30 mm radius).
_TOOTH_ENDS = np.array([0.0, 0.084, 0.146, 0.208, 0.252, 0.283])
_TOOTH_HEIGHT = 0.095
# Distances from the middle at which the teeth start to darken and at which they disappear in shadow, face units.
_ARCH_DARKENS, _ARCH_ENDS = 0.11, 0.23
# Distance of the upper teeth's biting edge below the seam of the lips, face units.
_UPPER_EDGE = 0.022
# Brightness of the mouth's red on teeth in full shadow, relative to the tongue.
_REFLECTED = 0.5
# Opacity of the inside of the lower lip, and its brightness relative to the outside.
_WET_OPACITY = 0.85
# Brightness of that inside relative to the outside, for a slightly and a widely open mouth.
_WET_TONE, _WET_TONE_WIDE = 0.85, 1.05
# Brightness of the crease between the two, relative to the outside, and its width in face units.
_CREASE_TONE, _CREASE = 0.5, 0.016
# Brightness of upper teeth behind the shadow of the lip, for a slightly and a widely open mouth.
_TEETH_TONE, _TEETH_TONE_WIDE = 0.5, 0.94


@compiled_fast
def tooth_tone(x: float, above: float, softness: float) -> tuple[float, float]:
    """Coverage and brightness of a row of teeth.

    Args:
        x: Distance from the middle, face units.
        above: Height above the row's biting edge (below it for the lower row), face units.
        softness: Width of an edge, face units.
    """
    x = abs(x)
    index = 0
    while index < 4 and x > _TOOTH_ENDS[index + 1]:
        index += 1
    left, right = _TOOTH_ENDS[index], _TOOTH_ENDS[index + 1]
    across = min(max((x - left) / (right - left), 0.0), 1.0)
    # The corners are rounded: the edge rises toward the neighbouring teeth.
    rim = 2.0 * across - 1.0
    rise = 0.010 * rim * rim * rim * rim + 0.014 * x
    cover = smoothstep(rise - softness, rise + softness, above)
    gap = min(x - left, right - x)
    if index == 0:
        gap = min(x, right - x)
    line = 1.0 - 0.08 * (1.0 - smoothstep(0.0, 0.009 + softness, gap))
    round_off = 1.0 - 0.06 * rim * rim
    back = 1.0 - 0.6 * smoothstep(0.05, 0.2, x)
    return cover * (1.0 - smoothstep(_ARCH_DARKENS, _ARCH_ENDS, x)), line * round_off * back


@compiled_fast
def depth_tones(side: float, share_down: float, above_lip: float, opening: float) -> tuple[float, float, float]:
    """Shading behind the teeth: the cavity and the tongue, which lies in it as a mound.

    Args:
        side: Distance from the middle, face units.
        share_down: Vertical position, 0 at the upper lip and 1 at the lower lip.
        above_lip: Distance from the lower lip, face units.
        opening: Opening of the mouth, face units.

    Returns:
        Brightness of the cavity, coverage of the tongue, and brightness of the tongue.
    """
    across = min(side * side / 0.04, 1.0)
    cavity = (0.5 + 0.6 * share_down) * (1.0 - 0.3 * smoothstep(0.08, 0.26, abs(side)))
    top = 0.42 + 0.4 * across
    cover = smoothstep(top - 0.15, top + 0.2, share_down) * smoothstep(0.05, 0.12, opening) * (1.0 - across)
    light = (0.75 + 0.35 * smoothstep(top, top + 0.4, share_down)) * (1.0 - 0.35 * across)
    # The shadow behind the lip keeps the edge of the lip visible.
    return cavity, cover, light * (0.5 + 0.5 * smoothstep(0.0, 0.03, above_lip))


@compiled_fast
def wet_lip(side: float, below_lip: float, above_lip: float) -> float:
    """Coverage of the inside of the lower lip, which curves back into the mouth; lengths are in face units.

    Args:
        side: Distance from the middle.
        below_lip: Distance from the upper lip.
        above_lip: Distance from the lower lip.
    """
    reach = 0.003 + 0.45 * (above_lip + below_lip)
    # A crease separates it from the outside, so that the edge of the lip stays visible.
    crease = smoothstep(0.0, 0.013, above_lip)
    return crease * (1.0 - smoothstep(0.1 * reach, reach, above_lip)) * (1.0 - 0.7 * smoothstep(0.15, 0.27, abs(side)))


@compiled_fast
def row_tones(
    jaw_row: bool,
    side: float,
    y: float,
    below_lip: float,
    above_lip: float,
    seam: float,
    jaw: float,
    opening: float,
    softness: float,
) -> tuple[float, float, float]:
    """Coverage, brightness and share of gum of one row of teeth; lengths are in face units.

    Args:
        jaw_row: True for the lower row, which is upside down and moves with the jaw.
        side: Distance from the middle.
        y: Height in face space.
        below_lip: Distance from the upper lip.
        above_lip: Distance from the lower lip.
        seam: Height at which the lips meet.
        jaw: Displacement of the jaw from neutral.
        opening: Opening of the mouth.
        softness: Width of an edge.
    """
    if jaw_row:
        above = seam - 0.006 + jaw - y
        shade = 0.62 * (0.4 + 0.6 * smoothstep(0.0, 0.06, below_lip))
        shade *= 0.6 + 0.4 * smoothstep(0.0, 0.02, above_lip)
    else:
        above = y - (seam - _UPPER_EDGE)
        shade = 0.58 + 0.42 * smoothstep(0.0, 0.045, below_lip)
        shade *= _TEETH_TONE + (_TEETH_TONE_WIDE - _TEETH_TONE) * smoothstep(0.01, 0.11, opening)
    cover, tone = tooth_tone(side, above, softness)
    return cover, tone * shade, smoothstep(_TOOTH_HEIGHT - 0.01, _TOOTH_HEIGHT + 0.01, above)


@compiled_fast
def blend(under: Colour, over: Array, tone: float, cover: float) -> Colour:
    """Lay a colour (3,) times a brightness over another one, with an opacity in [0, 1]."""
    return (
        under[0] + cover * (tone * over[0] - under[0]),
        under[1] + cover * (tone * over[1] - under[1]),
        under[2] + cover * (tone * over[2] - under[2]),
    )


@compiled_fast
def lay_teeth(under: Colour, teeth: float, tone: float, gum: float, tint: Array) -> Colour:
    """Lay a row of teeth and its gum over a colour.

    Args:
        under: Colour behind the row.
        teeth: Coverage in [0, 1].
        tone: Brightness relative to a lit incisor.
        gum: Share of gum.
        tint: (5, 3) colours of teeth, cavity, tongue, gum and lower lip.
    """
    # Teeth in shadow are lit by the red of the mouth around them, and are not grey.
    shadow = _REFLECTED * (1.0 - tone)
    red = tone * (tint[0, 0] + gum * (tint[3, 0] - tint[0, 0])) + shadow * tint[2, 0]
    green = tone * (tint[0, 1] + gum * (tint[3, 1] - tint[0, 1])) + shadow * tint[2, 1]
    blue = tone * (tint[0, 2] + gum * (tint[3, 2] - tint[0, 2])) + shadow * tint[2, 2]
    return (
        under[0] + teeth * (red - under[0]),
        under[1] + teeth * (green - under[1]),
        under[2] + teeth * (blue - under[2]),
    )


@compiled_fast
def drawn_colour(
    side: float,
    y: float,
    below_lip: float,
    above_lip: float,
    seam: float,
    jaw: float,
    opening: float,
    softness: float,
    tint: Array,
) -> Colour:
    """Colour of the drawn mouth at one place.

    Args:
        side: Distance from the middle, to the subject's left.
        y: Height in face space.
        below_lip: Distance from the upper lip.
        above_lip: Distance from the lower lip.
        seam: Height at which the lips meet.
        jaw: Displacement of the jaw from neutral.
        opening: Opening of the mouth.
        softness: Width of an edge.
        tint: (5, 3) colours of teeth, cavity, tongue, gum and lower lip.
    """
    share_down = below_lip / (above_lip + below_lip + 1e-9)
    glow, tongue, light = depth_tones(side, share_down, above_lip, opening)
    colour = (tint[1, 0] * glow, tint[1, 1] * glow, tint[1, 2] * glow)
    colour = blend(colour, tint[2], light, tongue)
    teeth, tone, gum = row_tones(True, side, y, below_lip, above_lip, seam, jaw, opening, softness)
    colour = lay_teeth(colour, teeth, tone, gum, tint)
    # The lower lip stands in front of the lower teeth and behind the upper ones.
    fold = 0.9 * (1.0 - smoothstep(0.0, _CREASE, above_lip)) * (1.0 - smoothstep(0.1, 0.26, abs(side)))
    colour = blend(colour, tint[4], _CREASE_TONE, fold)
    wet_tone = _WET_TONE + (_WET_TONE_WIDE - _WET_TONE) * smoothstep(0.04, 0.16, opening)
    colour = blend(colour, tint[4], wet_tone, _WET_OPACITY * wet_lip(side, below_lip, above_lip))
    teeth, tone, gum = row_tones(False, side, y, below_lip, above_lip, seam, jaw, opening, softness)
    return lay_teeth(colour, teeth, tone, gum, tint)
