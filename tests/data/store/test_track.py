from dataclasses import replace

import numpy as np
import pytest

from expnet.data.store.track import blink_closure, eye_aspect_ratio, open_eye_ratio
from expnet.errors import DataError


def test_window_cuts_frames_sound_and_phonemes_alike(make_track):
    track = make_track(frames=50, source_start=2.0)
    window = track.window(10, 5)
    assert window.frames == 5
    np.testing.assert_array_equal(window.audio, track.audio[6400:9600])
    np.testing.assert_array_equal(window.landmarks, track.landmarks[10:15])
    assert window.source_start == pytest.approx(2.4)
    assert window.validate() is window
    # 0.4 s to 0.6 s: the end of the first and the start of the second phoneme
    (first, second) = window.phonemes
    assert first.symbol == "a"
    assert (first.start, first.end) == pytest.approx((0, 0.1))
    assert (second.start, second.end) == pytest.approx((0.1, 0.2))
    assert track.window(30, 5).phonemes == ()
    with pytest.raises(IndexError):
        track.window(48, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio": np.zeros(50 * 640 - 1, np.float32)}, r"audio has shape \(31999,\), expected \(32000,\)"),
        ({"landmarks": np.zeros((50, 67, 2), np.float32)}, "landmarks has shape"),
        ({"valid": np.zeros(50, bool)}, "none of its frames is valid"),
        ({"landmarks": np.full((50, 68, 2), np.nan, np.float32)}, "landmarks holds values that are not finite"),
        ({"speaker": ""}, "no speaker"),
        ({"clip_id": "a/b"}, "not a file name"),
        ({"split": "dev"}, "its split is 'dev'"),
    ],
)
def test_what_is_wrong_with_a_track_is_said(make_track, changes, message):
    with pytest.raises(DataError, match=message):
        replace(make_track(frames=50), **changes).validate()


def test_other_frame_rates_and_identities_a_frame_are_refused(make_track):
    track = make_track(frames=50)
    with pytest.raises(DataError, match=r"30\.0 frames/s"):
        replace(track, coefficients=track.coefficients.with_(fps=30)).validate()
    with pytest.raises(DataError, match="one identity per frame"):
        replace(track, coefficients=track.coefficients.with_(identity=np.zeros((50, 3)))).validate()


def test_blink_is_zero_with_open_and_one_with_shut_eyes(make_track):
    landmarks = make_track(frames=20).landmarks.copy()
    # The eyes of the fixture are 12 wide, and 6 high at both pairs of lid points.
    np.testing.assert_allclose(eye_aspect_ratio(landmarks), 0.5)
    for lid in (37, 38, 43, 44):
        landmarks[5, lid, 1] = 52.9
    ratio = open_eye_ratio(landmarks, np.ones(20, bool))
    closure = blink_closure(landmarks, ratio)
    assert ratio == pytest.approx(0.5)
    assert closure[5] == 1
    assert not closure[:5].any()
    assert not closure[6:].any()
