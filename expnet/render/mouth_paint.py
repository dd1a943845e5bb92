"""The per-pixel loop that paints the mouth interior."""

import numpy as np
from numpy.typing import NDArray

from expnet.render.rasterize import compiled_fast, cubic_weights

Array = NDArray[np.float64]

# Boundaries between teeth on one half of the arch, seen from the front, in face units from the middle
# (widths: central 8.5, lateral 6.7, canine 7.8, premolars 7 mm, along an arch of 30 mm radius).
_TOOTH_ENDS = np.array([0.0, 0.084, 0.146, 0.208, 0.252, 0.283])
_TOOTH_HEIGHT = 0.095
# Distances from the middle at which the teeth start to darken and at which they disappear in shadow, face units.
_ARCH_DARKENS, _ARCH_ENDS = 0.11, 0.23
# Distance of the upper teeth's biting edge below the seam of the lips, face units.
_UPPER_EDGE = 0.022
# The arch curves back: depth decreases by this much times the squared distance from the middle.
_ARCH = 2.2
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
# Brightness over the teeth's below which the portrait's own mouth is a shadow, and above which it is something to see.
_IN_SHADOW, _IN_LIGHT = 0.4, 0.65
# Half the width of the dark line between closed lips, face units.
_SEAM_WIDTH = 0.003
# Lip distances (face units) below which a portrait shows only the dark seam, and above which it shows teeth.
_SEAM_ONLY, _SHOWS_TEETH = 0.015, 0.04


@compiled_fast
def smoothstep(low: float, high: float, value: float) -> float:
    """Smooth step from 0 at ``low`` to 1 at ``high``."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@compiled_fast
def chain_distance(chain: Array, x: float, y: float) -> float:
    """Distance from a point to a polyline (N, 2)."""
    best = 1e18
    for k in range(chain.shape[0] - 1):
        ax, ay = chain[k, 0], chain[k, 1]
        bx, by = chain[k + 1, 0] - ax, chain[k + 1, 1] - ay
        length = bx * bx + by * by
        t = 0.0
        if length > 0.0:
            t = min(max(((x - ax) * bx + (y - ay) * by) / length, 0.0), 1.0)
        dx, dy = x - ax - t * bx, y - ay - t * by
        best = min(best, dx * dx + dy * dy)
    return np.sqrt(best)


@compiled_fast
def crossings(chain: Array, x: float, y: float) -> int:
    """Number of times that a ray from a point to the right crosses a polyline."""
    count = 0
    for k in range(chain.shape[0] - 1):
        ay, by = chain[k, 1], chain[k + 1, 1]
        if (ay > y) != (by > y) and x < chain[k, 0] + (y - ay) * (chain[k + 1, 0] - chain[k, 0]) / (by - ay):
            count += 1
    return count


@compiled_fast
def between(upper: Array, lower: Array, x: float, y: float) -> tuple[float, float, float]:
    """Distances from a point to the upper lip, to the lower lip, and to the nearer one (negative outside the mouth)."""
    to_upper, to_lower = chain_distance(upper, x, y), chain_distance(lower, x, y)
    inside = min(to_upper, to_lower)
    if (crossings(upper, x, y) + crossings(lower, x, y)) % 2 == 0:
        inside = -inside
    return to_upper, to_lower, inside


@compiled_fast
def fetch(padded: NDArray[np.float32], x: float, y: float, channel: int) -> float:
    """Cubic sample of the padded portrait at padded coordinates."""
    x = min(max(x, 1.0), padded.shape[1] - 3.0)
    y = min(max(y, 1.0), padded.shape[0] - 3.0)
    left, top = int(x), int(y)
    wx = cubic_weights(np.float32(x - left))
    wy = cubic_weights(np.float32(y - top))
    total = 0.0
    for j in range(4):
        for i in range(4):
            total += float(wy[j] * wx[i]) * float(padded[top + j - 1, left + i - 1, channel])
    return total


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
def on_arch(camera: Array, column: int, row: int, middle: float, teeth_z: float) -> tuple[float, float, float]:
    """Point (x, y, z) in face space where a pixel's ray meets the arch of the teeth."""
    inverse = 1.0 / (camera[0] * camera[4] - camera[1] * camera[3])
    camera_x = (column - camera[9]) / camera[11]
    camera_y = (camera[10] - row) / camera[11]
    z, x, y = teeth_z, middle, 0.0
    for _ in range(2):
        z = teeth_z - _ARCH * min((x - middle) * (x - middle), 0.09)
        right, up = camera_x - camera[2] * z, camera_y - camera[5] * z
        x = (camera[4] * right - camera[1] * up) * inverse
        y = (camera[0] * up - camera[3] * right) * inverse
    return x, y, z


@compiled_fast
def paint_pixels(
    frame: NDArray[np.uint8],
    padded: NDArray[np.float32],
    margin: int,
    upper: Array,
    lower: Array,
    source_upper: Array,
    source_lower: Array,
    camera: Array,
    source_camera: Array,
    mouth: Array,
    tint: Array,
) -> None:
    """Paint every pixel between the lips.

    Args:
        frame: (H, W, 3), changed in place.
        padded: The portrait, padded by ``margin`` pixels on each side.
        margin: The padding in pixels.
        upper: (11, 2) inner edge of the upper lip in the frame, corner to corner.
        lower: (11, 2) inner edge of the lower lip in the frame.
        source_upper: (11, 2) inner edge of the upper lip in the portrait.
        source_lower: (11, 2) inner edge of the lower lip in the portrait.
        camera: (12,) rotation, offset and scale of the frame.
        source_camera: (12,) rotation, offset and scale of the portrait.
        mouth: (8,) in face units: x, seam, teeth_z, jaw relative to neutral, jaw relative to the portrait, opening,
            the portrait's opening; and the share of the portrait's opening that belongs to the skull.
        tint: (5, 3) colours of teeth, cavity, tongue, gum and lower lip.
    """
    middle, seam, teeth_z, jaw, jaw_moved, opening, source_opening, split = mouth
    scale, source_scale = camera[11], source_camera[11]
    growth = max(opening - source_opening, 0.0) * source_scale  # pixels
    erosion = -2.0 + 3.0 * min(growth, 1.0)
    # The dark line between nearly closed lips must not be textured as teeth, so it fades out as the mouth opens.
    kept = max(smoothstep(_SEAM_ONLY, _SHOWS_TEETH, source_opening), 1.0 - min(0.5 * growth, 1.0))
    softness = max(0.8 / scale, 0.005)
    wet_tone = _WET_TONE + (_WET_TONE_WIDE - _WET_TONE) * smoothstep(0.04, 0.16, opening)
    lit = (tint[0, 0] + tint[0, 1] + tint[0, 2]) / 3.0 + 1e-9
    # The rim of the lower lip carries the dark line of the portrait's seam, which would outline an open mouth.
    seam_width = min(0.25 * growth * scale / source_scale, _SEAM_WIDTH * scale)
    x_first = max(int(min(upper[:, 0].min(), lower[:, 0].min())) - 1, 0)
    x_last = min(int(max(upper[:, 0].max(), lower[:, 0].max())) + 2, frame.shape[1] - 1)
    y_first = max(int(min(upper[:, 1].min(), lower[:, 1].min())) - 1, 0)
    y_last = min(int(max(upper[:, 1].max(), lower[:, 1].max()) + seam_width) + 2, frame.shape[0] - 1)
    for row in range(y_first, y_last + 1):
        for column in range(x_first, x_last + 1):
            to_upper, to_lower, edge = between(upper, lower, column, row)
            if to_lower < to_upper:
                edge += seam_width
            cover = min(max(edge / 1.3 + 0.5, 0.0), 1.0)
            if cover <= 0.0:
                continue
            x, y, z = on_arch(camera, column, row, middle, teeth_z)
            side = x - middle
            below_lip, above_lip = to_upper / scale, to_lower / scale
            share_down = below_lip / (above_lip + below_lip + 1e-9)
            glow, tongue, light = depth_tones(side, share_down, above_lip, opening)
            dark_red, dark_green, dark_blue = tint[1, 0] * glow, tint[1, 1] * glow, tint[1, 2] * glow
            red = dark_red + tongue * (light * tint[2, 0] - dark_red)
            green = dark_green + tongue * (light * tint[2, 1] - dark_green)
            blue = dark_blue + tongue * (light * tint[2, 2] - dark_blue)
            for jaw_row in (True, False):
                teeth, tone, gum = row_tones(jaw_row, side, y, below_lip, above_lip, seam, jaw, opening, softness)
                # Teeth in shadow are lit by the red of the mouth around them, and are not grey.
                shadow = _REFLECTED * (1.0 - tone)
                red += teeth * (tone * (tint[0, 0] + gum * (tint[3, 0] - tint[0, 0])) + shadow * tint[2, 0] - red)
                green += teeth * (tone * (tint[0, 1] + gum * (tint[3, 1] - tint[0, 1])) + shadow * tint[2, 1] - green)
                blue += teeth * (tone * (tint[0, 2] + gum * (tint[3, 2] - tint[0, 2])) + shadow * tint[2, 2] - blue)
                if jaw_row:  # the lower lip stands in front of the lower teeth and behind the upper ones
                    fold = 0.9 * (1.0 - smoothstep(0.0, _CREASE, above_lip)) * (1.0 - smoothstep(0.1, 0.26, abs(side)))
                    red += fold * (_CREASE_TONE * tint[4, 0] - red)
                    green += fold * (_CREASE_TONE * tint[4, 1] - green)
                    blue += fold * (_CREASE_TONE * tint[4, 2] - blue)
                    wet = _WET_OPACITY * wet_lip(side, below_lip, above_lip)
                    red += wet * (wet_tone * tint[4, 0] - red)
                    green += wet * (wet_tone * tint[4, 1] - green)
                    blue += wet * (wet_tone * tint[4, 2] - blue)
            # Lay the portrait's own mouth over it: first the part that moves with the jaw, then that of the skull.
            for part in range(2):
                yy = y - jaw_moved if part == 0 else y
                sx = source_camera[9] + source_scale * (
                    source_camera[0] * x + source_camera[1] * yy + source_camera[2] * z
                )
                sy = source_camera[10] - source_scale * (
                    source_camera[3] * x + source_camera[4] * yy + source_camera[5] * z
                )
                from_upper, from_lower, inside = between(source_upper, source_lower, sx, sy)
                own = kept * smoothstep(erosion - 1.0, erosion + 1.0, inside)
                share = from_upper / (from_upper + from_lower + 1e-9)
                if part == 0:
                    own *= smoothstep(split - 0.08, split, share)
                else:
                    own *= 1.0 - smoothstep(split, split + 0.12, share)
                if own > 0.0:
                    own_red = fetch(padded, sx + margin, sy + margin, 0)
                    own_green = fetch(padded, sx + margin, sy + margin, 1)
                    own_blue = fetch(padded, sx + margin, sy + margin, 2)
                    # A shadow between the portrait's lips says nothing about what shows when they part further.
                    seen = smoothstep(_IN_SHADOW, _IN_LIGHT, (own_red + own_green + own_blue) / (3.0 * lit))
                    own *= 1.0 - min(0.25 * growth, 1.0) * (1.0 - seen)
                    red += own * (own_red - red)
                    green += own * (own_green - green)
                    blue += own * (own_blue - blue)
            values = (red, green, blue)
            for channel in range(3):
                mixed = frame[row, column, channel] * (1.0 - cover) + values[channel] * cover
                frame[row, column, channel] = np.uint8(min(max(mixed + 0.5, 0.0), 255.0))
