"""A track store whose audio offsets are estimated anew."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from expnet.audio.speech_encoders import load_speech_encoder
from expnet.cli import main
from expnet.data.preprocess.mouth_listener import MouthListener, best_listener, open_listener
from expnet.data.preprocess.resynchronise import resynchronise
from expnet.data.preprocess.sync_offset import OffsetPolicy
from expnet.data.store.manifest import DROPPED, OK
from expnet.data.store.track_store import TrackStore
from expnet.data.store.writer import TrackStoreWriter
from expnet.data.synthetic.corpus import synthesize
from expnet.errors import DataError
from expnet.models.expression_regressor import ExpressionRegressor

pytest.importorskip("espeakng_loader", reason="the built-in corpus needs pip install 'expnet[speech]'")
LATE = 4


@pytest.fixture(scope="module")
def late_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three clips, one of which has late audio, and of a dropped clip."""
    folder = tmp_path_factory.mktemp("late")
    synthesize(folder / "made", clips=3, seed=3, languages=("en",))
    made = TrackStore(folder / "made")
    with TrackStoreWriter(folder / "store") as writer:
        for place, row in enumerate(made.rows):
            track = replace(made.read(row.clip_id), phonemes=())
            if place == 1:
                silence = np.zeros(LATE * 640, np.float32)
                track = replace(track, audio=np.concatenate([silence, track.audio[: -LATE * 640]]))
            writer.add(track, sha256=f"{place}")
        writer.add_dropped("gone", "gone.mp4", "no face")
        writer.finish()
    return folder / "store"


def test_late_audio_is_advanced_and_the_manifest_says_so(late_store: Path, tmp_path: Path) -> None:
    before = TrackStore(late_store)
    summary = resynchronise(before, tmp_path / "new", OffsetPolicy("correct"))
    after = TrackStore(tmp_path / "new")
    late = before.rows[1].clip_id
    assert (summary.clips, summary.moved, summary.dropped) == (3, 1, {})
    assert [row.sync_shift for row in after.rows] == pytest.approx([0, -LATE, 0], abs=1)
    shift = after.row(late).sync_shift
    old, new = before.read(late), after.read(late)
    assert new.frames == old.frames + shift
    np.testing.assert_array_equal(new.audio, old.audio[-shift * 640 :][: new.frames * 640])
    np.testing.assert_array_equal(new.coefficients.expression, old.coefficients.expression[: new.frames])
    assert after.row(late).sha256 == before.row(late).sha256
    assert [(row.clip_id, row.drop_reason) for row in after.dropped] == [("gone", "no face")]


def test_shifts_add_up_and_an_exact_estimate_is_wanted_where_nothing_is_tolerated(
    late_store: Path, tmp_path: Path
) -> None:
    store, late = TrackStore(late_store), TrackStore(late_store).rows[1].clip_id
    resynchronise(store, tmp_path / "once", OffsetPolicy("correct"))
    resynchronise(TrackStore(tmp_path / "once"), tmp_path / "twice", OffsetPolicy("correct", max_offset=0))
    once, twice = (TrackStore(tmp_path / name).row(late) for name in ("once", "twice"))
    assert abs(twice.sync_shift - once.sync_shift) <= 1
    assert twice.sync_offset - once.sync_shift in (-1, 0, 1)
    doubtful = OffsetPolicy("correct", max_offset=0, min_confidence=1.1)
    assert resynchronise(store, tmp_path / "doubtful", doubtful).moved == 0


def test_clips_are_dropped_with_a_reason_and_a_run_is_resumed(
    late_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = TrackStore(late_store).rows[1].clip_id
    arguments = ["synchronise", str(late_store), "--output", str(tmp_path / "new"), "--offset", "drop"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "2 clips, the audio of 0 shifted, 1 dropped" in printed
    assert f"{late}: audio late: by" in printed
    assert main(arguments) == 0  # all is done: the same store, the same words
    assert capsys.readouterr().out == printed
    manifest = TrackStore(tmp_path / "new")
    assert [row.status for row in manifest.rows] == [OK, OK]
    assert {row.clip_id: row.status for row in manifest.dropped} == {late: DROPPED, "gone": DROPPED}


def test_faulty_outputs_are_refused(late_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synchronise", str(late_store), "--output", str(late_store)]) == 2
    assert str(late_store) in capsys.readouterr().err
    synthesize(tmp_path / "other", clips=1, seed=9, languages=("en",))
    with pytest.raises(DataError, match=r"has clips of another store, such as .*: give another --output"):
        resynchronise(TrackStore(late_store), tmp_path / "other", OffsetPolicy("correct"))
    with pytest.raises(DataError, match="every one was dropped"):
        resynchronise(TrackStore(late_store), tmp_path / "none", OffsetPolicy("correct"), min_seconds=1e3)
    assert not (tmp_path / "none").exists()


def test_the_listener_on_speech_features_hears_them(
    tmp_path: Path, write_encoder: Callable[..., Path], late_store: Path, assets_folder: Path
) -> None:
    encoder = load_speech_encoder(write_encoder(tmp_path / "encoder.safetensors", 0))
    network = ExpressionRegressor(width=16, layers=1, audio_channels=8, speech_features=encoder.source.as_dict())
    torch.nn.init.normal_(network.head.weight)
    listener = MouthListener(network.eval(), encoder, evidence_per_frame=0.3, unrelated_correlation=0.2)
    track = TrackStore(late_store).read(TrackStore(late_store).rows[0].clip_id)
    heard = listener.landmarks(track)
    assert heard.shape == (track.frames, 68, 3)
    other = MouthListener(network, load_speech_encoder(write_encoder(tmp_path / "other.safetensors", 1)), 0.3, 0.2)
    assert not torch.allclose(other.landmarks(track), heard)
    assert best_listener() is open_listener(False)  # no encoder was fetched
