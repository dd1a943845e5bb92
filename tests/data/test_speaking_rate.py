"""Windows at another speaking rate: face and audio stay aligned at any rate and position in the clip."""

import numpy as np
import pytest

from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.data.clip_entry import ClipEntry
from expnet.data.dataset import FaceDataset
from expnet.data.sampling import WindowDraw
from expnet.data.speaking_rate import resample_audio, resample_frames, source_frames
from expnet.data.store.track_store import TrackStore

CLICK = 40
"""Frame whose middle clicks."""


@pytest.fixture
def clicking_track(make_track):
    """A clip whose first coefficient is the frame's number, and whose audio is one burst in the middle of frame 40."""
    track = make_track("clicking", 90, valid=np.arange(90) != 50)
    audio = np.zeros_like(track.audio)
    middle = CLICK * SAMPLES_PER_FRAME + SAMPLES_PER_FRAME // 2
    audio[middle - 80 : middle + 80] = 0.5 * np.hanning(160)
    track.audio[:] = audio
    track.coefficients.expression[:, 0] = np.arange(90)
    return track


@pytest.mark.parametrize("speed", [0.8, 0.97, 1.13, 1.25])
@pytest.mark.parametrize("begin", [-3.4, 0.0, 25.3, 33.0])
def test_a_sound_is_found_where_its_frame_is(speed, begin, clicking_track):
    frames = 70
    sound = resample_audio(clicking_track.audio, begin, frames, speed)
    assert sound.shape == (frames * SAMPLES_PER_FRAME,)
    heard = np.average(np.arange(len(sound)), weights=np.square(sound)) / SAMPLES_PER_FRAME - 0.5
    assert heard == pytest.approx((CLICK + 0.5 - begin) / speed - 0.5, abs=0.02)


def test_frames_lie_between_their_neighbours():
    values = np.arange(12, dtype=np.float32)[:, None] * [1, 2]
    faster = resample_frames(values, 6, 1.5)
    np.testing.assert_allclose(faster[:, 0], 1.5 * (np.arange(6) + 0.5) - 0.5)
    np.testing.assert_allclose(faster[:, 1], 2 * faster[:, 0])
    assert resample_frames(np.arange(12) != 5, 6, 1.5).tolist() == [True, True, True, False, True, True]
    assert source_frames(64, 1.0) == 64
    assert source_frames(64, 1.1) >= 64 * 1.1


def test_windows_at_another_speed_stay_in_step(make_store, clicking_track):
    store = TrackStore(make_store(clips=[clicking_track]))
    dataset = FaceDataset([ClipEntry(store, store.rows[0])], window=64, seed=2, speed=0.2)
    speeds, present = [], []
    for draw in range(40):
        batch = dataset[WindowDraw(0, 0, draw)]
        place = batch.expression[0, :, 0].numpy()  # each frame's place in the clip
        speeds.append(float(place[2] - place[1]))
        present.append(int(batch.frames))
        invalid = ~batch.valid[0].numpy()[: present[-1]]
        assert (np.abs(place[: present[-1]][invalid] - 50) < 1).all()
        # The loudest column of the mel, against the frame whose place in the clip clicks.
        column = float(batch.mel[0].mean(dim=0).argmax())
        if place[0] + 3 < CLICK < place[present[-1] - 1] - 3:
            assert (column - 16) / 3.2 - 0.5 == pytest.approx(np.interp(CLICK, place, np.arange(64)), abs=0.5)
    assert 0.8 <= min(speeds) < 0.88
    assert 1.12 < max(speeds) <= 1.2001
    assert max(present) == 64
    again = FaceDataset([ClipEntry(store, store.rows[0])], window=64, seed=2, speed=0.2)[WindowDraw(0, 0, 39)]
    assert again.mel.equal(batch.mel)
    assert again.expression.equal(batch.expression)
