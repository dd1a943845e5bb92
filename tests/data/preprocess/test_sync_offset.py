from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expnet.data.preprocess.sync_offset import (
    LEAST_FRAMES,
    LONGEST_OFFSET,
    OffsetPolicy,
    delay_audio,
    estimate_offset,
    lag_correlations,
    synchronise,
)
from expnet.data.store.manifest import UnusableClipError
from expnet.data.store.track_store import TrackStore
from expnet.data.synthetic.corpus import synthesize


@pytest.fixture(scope="session")
def spoken(tmp_path_factory):
    """A synthetic clip of at least 4 s whose lips and audio are synchronous."""
    pytest.importorskip("espeakng_loader")
    store = tmp_path_factory.mktemp("spoken") / "store"
    synthesize(store, clips=4, seed=3, languages=("en",))
    tracks = [TrackStore(store).read(row.clip_id) for row in TrackStore(store).rows]
    return max(tracks, key=lambda track: track.frames)


def early(track, frames):
    """The clip without its first and last ten frames, with audio that is early by some frames (late if negative)."""
    begin = (LONGEST_OFFSET + frames) * 640
    length = track.frames - 2 * LONGEST_OFFSET
    return replace(track.window(LONGEST_OFFSET, length), audio=track.audio[begin : begin + length * 640])


@pytest.mark.parametrize("planted", [-10, -4, -1, 0, 2, 7])
def test_planted_offsets_are_found_with_their_sign(spoken, planted):
    estimate = estimate_offset(early(spoken, planted))
    assert abs(estimate.frames - planted) <= 1
    assert estimate.confidence > 0.8


def test_noise_gives_no_confidence(spoken):
    """What is heard in noise belongs to nothing."""
    noise = np.random.default_rng(0).normal(size=len(spoken.audio)).astype(np.float32) * 0.1
    assert estimate_offset(replace(spoken, audio=noise)).confidence < 0.8


def test_nothing_is_estimated_where_nothing_can_be(spoken):
    short = spoken.window(0, LEAST_FRAMES - 1)
    blind = replace(spoken, landmarks=np.zeros_like(spoken.landmarks))
    still = replace(spoken, landmarks=np.repeat(spoken.landmarks[:1], spoken.frames, axis=0))
    silent = replace(spoken, audio=np.zeros_like(spoken.audio))
    for track in (short, blind, still):
        assert estimate_offset(track).confidence == 0.0
    assert estimate_offset(silent).confidence < 0.8


def test_lags_are_counted_as_syncnet_counts_them():
    """Positive: the audio is early; what is heard now is seen later."""
    heard = np.random.default_rng(0).normal(size=(80, 3))
    for lag in (-6, 0, 4):
        seen = np.roll(heard, lag, axis=0)
        correlations = lag_correlations(seen, heard)
        assert correlations.shape == (2 * LONGEST_OFFSET + 1,)
        assert correlations.argmax() - LONGEST_OFFSET == lag
        assert correlations.max() == pytest.approx(1.0)
    expected = np.corrcoef(seen[5:, 0], heard[:-5, 0])[0, 1]
    assert lag_correlations(seen[:, :1], heard[:, :1])[LONGEST_OFFSET + 5] == pytest.approx(expected)


def test_a_column_that_does_not_move_counts_as_no_agreement():
    moving = np.random.default_rng(0).normal(size=(60, 1))
    both = np.hstack([moving, np.ones((60, 1))])
    assert lag_correlations(both, both)[LONGEST_OFFSET] == pytest.approx(0.5)


@pytest.mark.parametrize("offset", [-5, 0, 3])
def test_sound_is_delayed_by_whole_frames_and_what_is_left_without_is_cut_off(make_track, offset):
    """The source has 10 frames before the clip and 2 after it; its sample k has the value k."""
    clip = make_track("clip", 50, source_start=10 / 25)
    source = np.arange(62 * 640, dtype=np.float32)
    moved = delay_audio(clip, source, 10, offset)
    # Late audio (negative) needs frames after the clip, of which there are two.
    assert moved.frames == (50 if offset >= 0 else 47)
    assert moved.source_start == clip.source_start
    np.testing.assert_array_equal(moved.audio, source[(10 - offset) * 640 :][: moved.frames * 640])
    moved.validate()
    at_the_start = delay_audio(clip, source, 0, 3)
    assert at_the_start.frames == 47
    assert at_the_start.source_start == pytest.approx((10 + 3) / 25)
    np.testing.assert_array_equal(at_the_start.audio[:640], source[:640])


def test_nothing_left_is_said(make_track):
    with pytest.raises(UnusableClipError, match="none of it is left"):
        delay_audio(make_track("clip", 5), np.zeros(640 * 5, np.float32), 0, 8)


def test_policies(spoken):
    late = early(spoken, -6)
    # The source's audio, which begins ten frames before the clip.
    source, begin = spoken.audio, LONGEST_OFFSET - 6
    kept, estimate, shift = synchronise(late, source, begin, OffsetPolicy("keep"))
    assert kept is late
    assert shift == 0
    assert estimate.frames == pytest.approx(-6, abs=1)
    with pytest.raises(UnusableClipError, match=r"audio late: by [567] frames \(confidence \d\.\d\d\), at most 1"):
        synchronise(late, source, begin, OffsetPolicy("drop"))
    assert synchronise(late, source, begin, OffsetPolicy("drop", max_offset=8))[0] is late
    assert synchronise(late, source, begin, OffsetPolicy("drop", min_confidence=1.1))[0] is late
    corrected, estimate, shift = synchronise(late, source, begin, OffsetPolicy("correct"))
    assert shift == estimate.frames
    assert abs(estimate_offset(corrected).frames) <= 1


@pytest.mark.skipif(not (Path(__file__).parents[4] / "shared" / "clips").is_dir(), reason="no ../shared/clips")
def test_planted_offsets_are_found_in_a_real_clip(tmp_path):
    from expnet.data.preprocess.videos import preprocess

    video = Path(__file__).parents[4] / "shared" / "clips" / "syncnet_example.mp4"
    preprocess(video, tmp_path / "store", workers=0, progress=False)
    store = TrackStore(tmp_path / "store")
    row = store.row("syncnet_example")
    assert abs(row.sync_offset) <= 1  # that file's offset of 3 frames (SyncNet's README) was taken out of it
    assert row.sync_confidence > 0.9
    track = store.read("syncnet_example")
    for planted in (-7, 5):
        assert abs(estimate_offset(early(track, planted)).frames - row.sync_offset - planted) <= 1
