"""Alignment for Deep3DFaceRecon's network."""

import numpy as np
import pytest
from PIL import Image

from expnet.face.alignment import align_face, cut_aligned

STANDARD = np.array(
    [
        [-0.31148657, 0.29036078],
        [0.30979887, 0.28972036],
        [0.0032535, -0.04617932],
        [-0.25216928, -0.38133916],
        [0.2484662, -0.38128236],
    ]
)


def marks_at(scale: float, x: float, y: float) -> np.ndarray:
    """68 landmarks of a standard face, seen from the front, whose origin is at x, y."""
    marks = np.full((68, 2), np.nan)
    for rows, point in zip(((36, 39), (42, 45), (30,), (48,), (54,)), STANDARD, strict=True):
        marks[list(rows)] = [x + scale * point[0], y - scale * point[1]]
    return marks


def test_a_standard_face_becomes_102_pixels_a_face_unit() -> None:
    alignment = align_face(marks_at(204.0, 300.0, 200.0), 480)
    assert alignment.scale == pytest.approx(0.5)
    # The original counts rows from the bottom, H - 1 - y, and turns them back with H: one pixel further down.
    assert alignment.centre == pytest.approx((300.0, 201.0))
    assert alignment.side == pytest.approx(448.0)


@pytest.mark.parametrize(("scale", "x", "y"), [(150.0, 200.0, 180.0), (90.0, 60.0, 200.0), (60.0, 320.0, 100.0)])
def test_the_aligned_image_is_that_of_scaling_the_whole_image(scale: float, x: float, y: float) -> None:
    rows, columns = np.mgrid[:360, :400]
    image = np.stack([rows / 2, columns / 2, 127 + 100 * np.sin(rows / 17) * np.cos(columns / 23)], axis=-1).astype(
        np.uint8
    )
    alignment = align_face(marks_at(scale, x, y), 360)
    width, height = int(400 * alignment.scale), int(360 * alignment.scale)
    left = int(width / 2 - 112 + (alignment.centre[0] - 200) * alignment.scale)
    top = int(height / 2 - 112 + (alignment.centre[1] - 180) * alignment.scale)
    whole = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    expected = np.asarray(whole.crop((left, top, left + 224, top + 224)), int)
    cut = cut_aligned(image, alignment)
    assert cut.shape == (224, 224, 3)
    assert np.abs(cut - expected).max() <= 2  # the part that is seen is scaled alone
