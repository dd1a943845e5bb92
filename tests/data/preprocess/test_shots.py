import numpy as np
import pytest

from expnet.data.preprocess.shots import ShotDetector

RNG = np.random.default_rng(0)
SCENES = RNG.integers(0, 256, size=(3, 8, 6, 3)).astype(np.uint8).repeat(16, axis=1).repeat(16, axis=2)
FACE = RNG.uniform(20, 60, size=(30, 3)).astype(np.float32)


def detect(scenes, offsets, found=None, brightness=None):
    """Cuts of a video whose frame i shows a scene, with the face moved by an offset in pixels."""
    detector = ShotDetector()
    for index, scene in enumerate(scenes):
        noise = RNG.integers(-4, 5, size=SCENES[0].shape)
        light = 0 if brightness is None else brightness[index]
        detector.see(np.clip(SCENES[scene].astype(int) + noise + light, 0, 255).astype(np.uint8))
    shake = RNG.normal(size=(len(scenes), 1, 3)) * 0.5
    points = (FACE + np.array(offsets)[:, None, None] + shake).astype(np.float32)
    return detector.cuts(points, np.ones(len(scenes), bool) if found is None else np.array(found))


def test_cuts_are_found_where_picture_and_face_change():
    scenes = [0] * 20 + [1] * 15 + [2] * 15
    assert detect(scenes, [0] * 20 + [10] * 15 + [0] * 15) == [20, 35]


def test_a_flash_is_no_cut():
    flash = [90 if index in (10, 11) else 0 for index in range(30)]
    assert detect([0] * 30, [0] * 30, brightness=flash) == []


def test_a_face_that_moves_in_a_still_picture_is_no_cut():
    assert detect([0] * 30, [0] * 15 + [10] * 15) == []


def test_a_tracker_that_goes_over_to_another_face_is_a_cut():
    assert detect([0] * 30, [0] * 15 + [80] * 15) == [15]


@pytest.mark.parametrize("lost", [(20, 23), (18, 20), (20, 50)])
def test_a_cut_is_found_though_the_face_is_lost_around_it(lost):
    found = [not lost[0] <= index < lost[1] for index in range(50)]
    assert detect([0] * 20 + [1] * 30, [0] * 20 + [10] * 30, found=found) == [20]
