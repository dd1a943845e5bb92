"""The per-pixel loop that paints the mouth interior."""

import numpy as np
from numpy.typing import NDArray

from expnet.render.mouth_geometry import between, on_arch, smoothstep
from expnet.render.mouth_shading import drawn_colour
from expnet.render.rasterize import compiled_fast, fetch

Array = NDArray[np.float64]
Colour = tuple[float, float, float]

# Brightness over the teeth's below which the portrait's own mouth is a shadow, and above which it is something to see.
_IN_SHADOW, _IN_LIGHT = 0.4, 0.65
# Half the width of the dark line between closed lips, face units.
_SEAM_WIDTH = 0.008
# Lip distances (face units) below which a portrait shows only the dark seam, and above which it shows teeth.
_SEAM_ONLY, _SHOWS_TEETH = 0.015, 0.04
# Light on a portrait's own teeth behind lips that are all but closed, relative to a wide opening.
_LEAST_LIGHT = 0.5
# How far a portrait's own teeth are continued where the lips uncover more of them, and how far from the middle: farther
# aside, a mirrored tooth would taper to both ends. Face units.
_CONTINUED, _CONTINUED_ASIDE = 0.06, 0.15
# Distance below the seam of the lips that the lower teeth's biting edge keeps, face units.
_OVERLAPPED = 0.012


@compiled_fast
def opening_light(opening: float) -> float:
    """Light that an opening of this height lets fall on the teeth."""
    return _LEAST_LIGHT + (1.0 - _LEAST_LIGHT) * smoothstep(0.015, 0.08, opening)


@compiled_fast
def own_place(
    skull: bool,
    place: tuple[float, float, float],
    source_upper: Array,
    source_lower: Array,
    source_camera: Array,
    mouth: Array,
) -> tuple[float, float, float]:
    """Place in the portrait that shows what lies at a place in the mouth, and how far that can be trusted.

    What the lips uncover beyond the portrait's own teeth continues them, mirrored at their visible edge.

    Args:
        skull: True for the part that stays with the skull, False for the one that moves with the jaw.
        place: Point (x, y, z) on the arch of the teeth, in face space.
        source_upper: (11, 2) inner edge of the upper lip in the portrait.
        source_lower: (11, 2) inner edge of the lower lip in the portrait.
        source_camera: (12,) rotation, offset and scale of the portrait.
        mouth: See `paint_pixels`.

    Returns:
        Pixel x and y, and a share from 0 to 1.
    """
    x, y, z = place
    scale, split = source_camera[11], mouth[7]
    if not skull:
        y -= mouth[4]
    right = source_camera[0] * x + source_camera[1] * y + source_camera[2] * z
    up = source_camera[3] * x + source_camera[4] * y + source_camera[5] * z
    sx, sy = source_camera[9] + scale * right, source_camera[10] - scale * up
    growth = max(mouth[5] - mouth[6], 0.0) * scale  # pixels
    # The tracked contour misses the edge of the lips by a pixel, which must not stay on the teeth.
    erosion = -2.0 + 3.0 * min(growth, 1.0)
    from_upper, from_lower, inside = between(source_upper, source_lower, sx, sy)
    share = from_upper / (from_upper + from_lower + 1e-9)
    own = 1.0 - smoothstep(split, split + 0.12, share) if skull else smoothstep(split - 0.08, split, share)
    known = smoothstep(erosion - 1.0, erosion + 1.0, inside)
    near, across = (from_upper, from_lower) if skull else (from_lower, from_upper)
    if growth > 0.0 and inside < erosion + 1.0 and near < across:
        short = erosion + 1.0 - inside
        continued = 1.0 - smoothstep(0.3 * _CONTINUED, _CONTINUED, short / scale)
        continued *= 1.0 - smoothstep(0.5 * _CONTINUED_ASIDE, _CONTINUED_ASIDE, abs(place[0] - mouth[0]))
        known = max(known, continued * smoothstep(erosion, erosion + 2.0, across - 2.0 * short))
        step = (2.0 if skull else -2.0) * short / np.sqrt(source_camera[1] ** 2 + source_camera[4] ** 2)
        sx, sy = sx - step * source_camera[1], sy + step * source_camera[4]
    return sx, sy, own * known


@compiled_fast
def lay_own_mouth(
    colour: Colour,
    padded: NDArray[np.float32],
    margin: int,
    place: tuple[float, float, float],
    source_upper: Array,
    source_lower: Array,
    source_camera: Array,
    mouth: Array,
    kept: float,
    lit: float,
) -> Colour:
    """Lay the portrait's own mouth over a drawn colour: first the part that moves with the jaw, then the skull's.

    Args:
        colour: The drawn colour.
        padded: The portrait, padded by ``margin`` pixels on each side.
        margin: The padding in pixels.
        place: Point (x, y, z) on the arch of the teeth, in face space.
        source_upper: (11, 2) inner edge of the upper lip in the portrait.
        source_lower: (11, 2) inner edge of the lower lip in the portrait.
        source_camera: (12,) rotation, offset and scale of the portrait.
        mouth: See `paint_pixels`.
        kept: Share of the portrait's mouth that is not the dark line between closed lips.
        lit: Brightness of a lit incisor.
    """
    growth = max(mouth[5] - mouth[6], 0.0) * source_camera[11]  # pixels
    shade = min(opening_light(mouth[5]) / opening_light(mouth[6]), 1.0)
    red, green, blue = colour
    for skull in (False, True):
        if not skull and mouth[7] >= 1.0:  # nothing of the portrait's mouth moves with the jaw
            continue
        sx, sy, own = own_place(skull, place, source_upper, source_lower, source_camera, mouth)
        own *= kept
        if own > 0.0:
            own_red = fetch(padded, sx + margin, sy + margin, 0)
            own_green = fetch(padded, sx + margin, sy + margin, 1)
            own_blue = fetch(padded, sx + margin, sy + margin, 2)
            # A shadow between the portrait's lips says nothing about what shows when they part further.
            seen = smoothstep(_IN_SHADOW, _IN_LIGHT, (own_red + own_green + own_blue) / (3.0 * lit))
            own *= 1.0 - min(0.25 * growth, 1.0) * (1.0 - seen)
            red += own * (shade * own_red - red)
            green += own * (shade * own_green - green)
            blue += own * (shade * own_blue - blue)
    return red, green, blue


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
        mouth: (9,) in face units: x, seam, teeth_z, height of the lower teeth above the lower lip, jaw relative to the
            portrait, opening, the portrait's opening, the share of the latter that belongs to the skull, and half the
            width of an edge as blurred as the portrait's.
        tint: (5, 3) colours of teeth, cavity, tongue, gum and lower lip.
    """
    middle, seam, teeth_z, lower_shown, _, opening, source_opening, _, blurred = mouth
    scale, source_scale = camera[11], source_camera[11]
    growth = max(opening - source_opening, 0.0) * source_scale  # pixels
    # The dark line between nearly closed lips must not be textured as teeth, so it fades out as the mouth opens.
    kept = max(smoothstep(_SEAM_ONLY, _SHOWS_TEETH, source_opening), 1.0 - min(0.5 * growth, 1.0))
    # The lower teeth cannot pass through the upper ones, which overlap them.
    lower_lip = on_arch(camera, lower[5, 0], lower[5, 1], middle, teeth_z)[1]
    lower_edge = min(lower_lip + lower_shown, seam - _OVERLAPPED)
    softness = max(0.8 / scale, 0.005, blurred)
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
            place = on_arch(camera, column, row, middle, teeth_z)
            colour = drawn_colour(
                place[0] - middle,
                place[1],
                to_upper / scale,
                to_lower / scale,
                seam,
                lower_edge,
                opening,
                softness,
                tint,
            )
            if kept > 0.0:
                colour = lay_own_mouth(
                    colour, padded, margin, place, source_upper, source_lower, source_camera, mouth, kept, lit
                )
            for channel in range(3):
                mixed = frame[row, column, channel] * (1.0 - cover) + colour[channel] * cover
                frame[row, column, channel] = np.uint8(min(max(mixed + 0.5, 0.0), 255.0))
