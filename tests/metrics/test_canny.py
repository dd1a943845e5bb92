"""Canny's edges equal those of scikit-image to the pixel, including ties and plateaus."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.feature import canny

from expnet.metrics.functional.canny import canny_edges


def pictures() -> dict[str, NDArray[np.float64]]:
    generator = np.random.default_rng(0)
    return {
        "camera": data.camera()[:300, 100:350].astype(float),
        "noise": generator.integers(0, 256, (70, 130)).astype(float),
        "flat": np.full((80, 80), 90.0),
        "squares": np.kron(generator.integers(0, 2, (20, 20)), np.ones((8, 8))) * 255.0,
        "steps": np.round(data.coins() / 32.0) * 32.0,
        "ramp": np.tile(np.arange(200.0), (64, 1)),
        # Some maxima lie between the two thresholds, and count only if they are connected to a strong one.
        "faint": gaussian_filter(generator.normal(size=(200, 150)), 2.0) * 0.7,
    }


@pytest.mark.parametrize("name", list(pictures()))
@pytest.mark.parametrize("turned", [False, True])
def test_equals_scikit_image(name: str, turned: bool) -> None:
    picture = np.ascontiguousarray(pictures()[name].T if turned else pictures()[name])
    np.testing.assert_array_equal(canny_edges(picture), canny(picture))


def test_faint_pictures_need_the_linking() -> None:
    picture = pictures()["faint"]
    assert canny(picture, high_threshold=0.1).sum() > canny(picture).sum() > canny(picture, low_threshold=0.2).sum()
