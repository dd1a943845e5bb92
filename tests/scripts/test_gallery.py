"""The gallery is complete, stays small, and is made from an image that may be published."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from expnet.face.facial_features import FEATURES

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "gallery"


@pytest.fixture(scope="module")
def script() -> dict:
    return runpy.run_path(str(ROOT / "scripts" / "gallery.py"))


def test_every_picture_is_linked_and_all_are_small() -> None:
    linked = set(re.findall(r"\(\.\./gallery/([^)]+)\)", (ROOT / "docs" / "start" / "gallery.md").read_text()))
    assert linked == {path.name for path in PICTURES.iterdir()}
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 2_000_000
    with Image.open(PICTURES / "talking.webp") as moving:
        assert moving.n_frames > 20


def test_a_painting_has_fewer_tones_but_the_same_colours(script: dict) -> None:
    picture = astronaut()[60:180, 150:270]
    painting = script["painted"](picture)
    assert painting.shape == picture.shape
    assert np.abs(painting.mean((0, 1)) - picture.mean((0, 1))).max() < 6
    roughness = [np.abs(np.diff(image.astype(float), axis=1)).mean() for image in (picture, painting)]
    assert roughness[1] < roughness[0]


def test_poses_change_features_that_exist(script: dict) -> None:
    assert {name for features, _, _ in script["POSES"].values() for name in features} <= set(FEATURES)
