"""The grain of closed lids."""

from __future__ import annotations

import numpy as np

from expnet.render.lids import _grain


def test_grain_is_the_cheeks_texture_without_its_shading() -> None:
    noise = np.random.default_rng(0).normal(0.0, 6.0, (120, 160, 3))
    shading = np.linspace(60.0, 200.0, 160)[None, :, None]
    padded = np.ones((120, 160, 4), np.float32)
    padded[..., :3] = shading + noise
    grain = _grain(padded, np.array([80.0, 60.0]), 40.0, (30, 50))
    assert grain.shape == (30, 50, 3)
    assert abs(float(grain.mean())) < 1.0
    assert 4.0 < float(grain.std()) < 6.5
    # a smooth cheek has none
    padded[..., :3] = shading
    assert np.abs(_grain(padded, np.array([80.0, 60.0]), 40.0, (30, 50))).max() < 1.5


def test_grain_at_the_corner_of_the_image() -> None:
    padded = np.ones((90, 90, 4), np.float32)
    for centre in ((0.0, 0.0), (89.0, 89.0)):
        assert _grain(padded, np.array(centre), 40.0, (12, 70)).shape == (12, 70, 3)
