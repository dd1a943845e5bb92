"""Shading of what is drawn between the lips: teeth, cavity, tongue, and the inside of the lower lip.

Lengths are in face units, of about 100 mm. Every function is smooth in the position and in the opening, and what has a
texture or a highlight has it at a fixed place of the tooth, the tongue or the lip, so that nothing flickers.
"""

import numpy as np
from numpy.typing import NDArray

from expnet.render.mouth_geometry import smoothstep
from expnet.render.rasterize import compiled_fast

Array = NDArray[np.float64]
Colour = tuple[float, float, float]

# Boundaries between teeth on one half of each arch, seen from the front, from the middle (upper widths: central 8.5,
# lateral 6.7, canine 7.8, premolars 7 mm, along an arch of 30 mm radius; lower incisors 5.3 and 5.9 mm).
UPPER_ENDS = np.array([0.0, 0.084, 0.146, 0.208, 0.252, 0.283])
LOWER_ENDS = np.array([0.0, 0.053, 0.110, 0.170, 0.222, 0.260])
_TOOTH_HEIGHT = 0.095
# No two teeth are alike: brightness of each relative to the row's, the subject's right half and then the left.
_TONES = np.array([[1.0, 0.95, 0.94, 0.88, 0.88], [0.98, 0.93, 0.95, 0.88, 0.88]])
# Height of a tooth's highlight above its biting edge, and its place across it from -1 to 1, in the same order.
_GLINT_UP = np.array([[0.046, 0.041, 0.05, 0.04, 0.04], [0.05, 0.044, 0.046, 0.04, 0.04]])
_GLINT_ACROSS = np.array([[-0.15, 0.1, -0.2, 0.0, 0.0], [0.2, -0.1, 0.15, 0.0, 0.0]])
# Radius of that highlight, and its strength relative to the tooth.
_GLINT, _GLINT_LIGHT = 0.014, 0.3
# Half the width of the line between two teeth.
_LINE = 0.009
# Distances from the middle at which the teeth start to darken and at which they disappear in shadow.
_ARCH_DARKENS, _ARCH_ENDS = 0.11, 0.23
# Distance of the upper teeth's biting edge below the seam of the lips.
_UPPER_EDGE = 0.022
# Brightness of the mouth's red on teeth in full shadow, relative to the tongue.
_REFLECTED = 0.5
# Brightness of upper teeth behind the shadow of the lip, for a slightly and a widely open mouth.
_TEETH_TONE, _TEETH_TONE_WIDE = 0.53, 0.92
# Brightness of the lower teeth.
_LOWER_TONE = 1.12
# Brightness that the shadow of the lower lip leaves on the lower teeth at its edge.
_CONTACT = 0.75
# Opacity of the inside of the lower lip, and its brightness relative to the outside.
_WET_OPACITY = 0.85
# Brightness of that inside relative to the outside, for a slightly and a widely open mouth.
_WET_TONE, _WET_TONE_WIDE = 0.85, 1.05
# Brightness of the crease between the two, relative to the inside, and its width.
_CREASE_TONE, _CREASE = 0.6, 0.016


@compiled_fast
def tooth_tone(x: float, above: float, softness: float, ends: Array) -> tuple[float, float]:
    """Coverage and brightness of a row of teeth.

    Args:
        x: Distance from the middle, to the subject's left.
        above: Height above the row's biting edge (below it for the lower row).
        softness: Width of an edge.
        ends: (6,) boundaries between the teeth of one half of the row.
    """
    half = 1 if x > 0.0 else 0
    x = abs(x)
    index = 0
    while index < 4 and x > ends[index + 1]:
        index += 1
    left, right = ends[index], ends[index + 1]
    across = min(max((x - left) / (right - left), 0.0), 1.0)
    # The corners are rounded: the edge rises toward the neighbouring teeth.
    rim = 2.0 * across - 1.0
    rise = 0.010 * rim * rim * rim * rim + 0.014 * x
    cover = smoothstep(rise - softness, rise + softness, above)
    gap = min(x - left, right - x)
    if index == 0:
        gap = min(x, right - x)
    line = 1.0 - 0.11 * _LINE / (_LINE + max(softness - 0.005, 0.0)) * (1.0 - smoothstep(0.0, _LINE + softness, gap))
    round_off = 1.0 - 0.06 * rim * rim
    back = 1.0 - 0.6 * smoothstep(0.04, 0.19, x)
    # A blurred image has no sharp highlights: the same light is spread over a larger spot.
    radius = _GLINT + softness
    aside = 0.5 * (right - left) * (rim - _GLINT_ACROSS[half, index]) / radius
    upward = (above - _GLINT_UP[half, index]) / (1.6 * radius)
    spread = _GLINT / radius
    glint = 1.0 + _GLINT_LIGHT * spread * spread * np.exp(-aside * aside - upward * upward)
    cover *= 1.0 - smoothstep(_ARCH_DARKENS, _ARCH_ENDS, x)
    return cover, _TONES[half, index] * line * round_off * back * glint


@compiled_fast
def tongue_texture(side: float, height: float) -> float:
    """Brightness of the tongue's surface, about 1: a groove along the middle, and fixed unevenness some mm wide.

    Args:
        side: Distance from the middle.
        height: Height relative to the jaw, which the tongue moves with.
    """
    groove = side / 0.018
    rough = np.sin(97.0 * side + 41.0 * height) * np.sin(113.0 * height - 37.0 * side + 1.0)
    fine = np.sin(173.0 * side - 89.0 * height + 2.0) * np.sin(151.0 * height + 67.0 * side)
    return 1.0 - 0.12 * np.exp(-groove * groove) + 0.07 * rough + 0.05 * fine


@compiled_fast
def depth_tones(side: float, share_down: float, above_lip: float, opening: float) -> tuple[float, float, float]:
    """Shading behind the teeth: the cavity and the tongue, which lies in it as a mound.

    Args:
        side: Distance from the middle.
        share_down: Vertical position, 0 at the upper lip and 1 at the lower lip.
        above_lip: Distance from the lower lip.
        opening: Opening of the mouth.

    Returns:
        Brightness of the cavity, coverage of the tongue, and brightness of the tongue.
    """
    across = min(side * side / 0.04, 1.0)
    cavity = (0.45 + 0.5 * share_down) * (1.0 - 0.3 * smoothstep(0.08, 0.26, abs(side)))
    top = 0.42 + 0.4 * across
    cover = smoothstep(top - 0.15, top + 0.2, share_down) * smoothstep(0.05, 0.12, opening) * (1.0 - across)
    light = (0.75 + 0.35 * smoothstep(top, top + 0.4, share_down)) * (1.0 - 0.35 * across)
    # The shadow behind the lip keeps the edge of the lip visible.
    return cavity, cover, light * (0.5 + 0.5 * smoothstep(0.0, 0.03, above_lip))


@compiled_fast
def wet_lip(side: float, below_lip: float, above_lip: float, opening: float) -> tuple[float, float]:
    """Coverage of the inside of the lower lip, which curves back into the mouth, and its brightness.

    Args:
        side: Distance from the middle.
        below_lip: Distance from the upper lip.
        above_lip: Distance from the lower lip.
        opening: Opening of the mouth.
    """
    reach = 0.003 + 0.45 * (above_lip + below_lip)
    cover = (1.0 - smoothstep(0.1 * reach, reach, above_lip)) * (1.0 - 0.7 * smoothstep(0.15, 0.27, abs(side)))
    tone = _WET_TONE + (_WET_TONE_WIDE - _WET_TONE) * smoothstep(0.04, 0.16, opening)
    # A crease separates it from the outside, so that the edge of the lip stays visible.
    return _WET_OPACITY * cover, tone * (_CREASE_TONE + (1.0 - _CREASE_TONE) * smoothstep(0.0, _CREASE, above_lip))


@compiled_fast
def row_tones(
    jaw_row: bool, side: float, above: float, below_lip: float, above_lip: float, opening: float, softness: float
) -> tuple[float, float, float]:
    """Coverage, brightness and share of gum of one row of teeth.

    Args:
        jaw_row: True for the lower row, which is upside down and moves with the jaw.
        side: Distance from the middle, to the subject's left.
        above: Height above the row's biting edge (below it for the lower row).
        below_lip: Distance from the upper lip.
        above_lip: Distance from the lower lip.
        opening: Opening of the mouth.
        softness: Width of an edge.
    """
    if jaw_row:
        shade = _LOWER_TONE * (0.5 + 0.5 * smoothstep(0.0, 0.05, below_lip))
        shade *= _CONTACT + (1.0 - _CONTACT) * smoothstep(0.0, _CREASE, above_lip)
        cover, tone = tooth_tone(side, above, softness, LOWER_ENDS)
    else:
        shade = 0.5 + 0.5 * smoothstep(0.0, 0.035, below_lip)
        shade *= _TEETH_TONE + (_TEETH_TONE_WIDE - _TEETH_TONE) * smoothstep(0.015, 0.08, opening)
        cover, tone = tooth_tone(side, above, softness, UPPER_ENDS)
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
def lay_teeth(under: Colour, row: tuple[float, float, float], tint: Array) -> Colour:
    """Lay a row of teeth, as `row_tones` describes it, and its gum over a colour; tint (5, 3) as in `drawn_colour`."""
    teeth, tone, gum = row
    # Teeth in shadow are lit by the red of the mouth around them, and are not grey.
    shadow = _REFLECTED * max(1.0 - tone, 0.0)
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
    lower_edge: float,
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
        lower_edge: Height of the lower teeth's biting edge.
        opening: Opening of the mouth.
        softness: Width of an edge.
        tint: (5, 3) colours of teeth, cavity, tongue, gum and lower lip.
    """
    share_down = below_lip / (above_lip + below_lip + 1e-9)
    glow, tongue, light = depth_tones(side, share_down, above_lip, opening)
    colour = (tint[1, 0] * glow, tint[1, 1] * glow, tint[1, 2] * glow)
    colour = blend(colour, tint[2], light * tongue_texture(side, y - lower_edge), tongue)
    cover, tone = wet_lip(side, below_lip, above_lip, opening)
    colour = blend(colour, tint[4], tone, cover)
    row = row_tones(True, side, lower_edge - y, below_lip, above_lip, opening, softness)
    colour = lay_teeth(colour, row, tint)
    return lay_teeth(
        colour, row_tones(False, side, y - seam + _UPPER_EDGE, below_lip, above_lip, opening, softness), tint
    )
