"""Videos -> Basel coefficients by the regressor -> a store that trains and evaluates; small random weights here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from expnet.assets.sadtalker import SadTalkerNetworks
from expnet.config import load_config
from expnet.data.preprocess.videos import preprocess
from expnet.data.store.track_store import TrackStore
from expnet.evaluation.main import main as evaluate
from expnet.media.video_reader import write_video
from expnet.training.main import train
from expnet.training.run_folder import RUN_VARIABLE

FRAMES = 70


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, small_sadtalker: SadTalkerNetworks, face_tracker: object) -> Path:
    """Four speakers: one photograph that moves through the frame and gets brighter, with noise as speech."""
    folder = tmp_path_factory.mktemp("basel")
    (folder / "videos").mkdir()
    image = astronaut()
    speakers = {}
    for number in range(4):
        generator = np.random.default_rng(number)
        shift = np.rint(6 * np.sin(np.arange(FRAMES) / (5 + number))).astype(int)
        frames = [np.ascontiguousarray(image[6:306, 80 + step : 380 + step]) for step in shift]
        loudness = np.repeat(generator.uniform(0.02, 0.3, FRAMES), 640)
        audio = (loudness * generator.normal(0, 0.4, FRAMES * 640)).clip(-1, 1).astype(np.float32)
        write_video(folder / "videos" / f"clip{number}.mp4", frames, fps=25, audio=audio, sample_rate=16000)
        speakers[f"clip{number}.mp4"] = f"person{number}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("expnet.data.preprocess.clip_maker.open_coefficient_regressor", lambda: small_sadtalker.regressor)
        summary = preprocess(
            folder / "videos", folder / "store", face_model="bfm-deep3d", workers=0, speakers=speakers, progress=False
        )
    assert (summary.clips, summary.dropped) == (4, {})
    return folder / "store"


def test_the_store_holds_basel_coefficients_and_tracked_landmarks(store: Path) -> None:
    track = TrackStore(store).read("clip0")
    coefficients = track.coefficients
    assert (coefficients.face_model, coefficients.frames) == ("bfm2009", track.frames)
    assert (coefficients.identity.shape, coefficients.crop.shape) == ((80,), (3,))
    assert track.frames >= FRAMES - 2
    assert np.isfinite(coefficients.expression).all()
    # The translation follows the photograph through the frame: a pixel is a pixel of the crop.
    pixels = np.diff(track.landmarks[:, 30, 0])
    moved = np.diff(coefficients.translation[:, 0])
    assert np.corrcoef(pixels, moved)[0, 1] > 0.9


@pytest.mark.slow
@pytest.mark.usefixtures("sadtalker_found")
def test_it_trains_both_networks_and_evaluates_with_every_renderer(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    root = Path(__file__).parents[3]
    runs = {}
    for task, window in (("expression", 32), ("pose", 33)):
        runs[task] = train(
            load_config(
                [
                    str(root / "configs" / f"smoke_{task}.yaml"),
                    f"data.store={store}",
                    "face_model=bfm-deep3d",
                    f"data.window={window}",
                    "trainer.accelerator=cpu",
                    "trainer.max_steps=2",
                    "trainer.validate_every=2",
                    f"output={tmp_path / task}",
                ]
            )
        )
        checkpoint = torch.load(runs[task] / "checkpoints" / "last.ckpt", weights_only=True)
        assert all(torch.isfinite(value).all() for value in checkpoint["state_dict"].values())
    for renderer in ("mesh", "sadtalker"):
        output = tmp_path / renderer
        options = [
            f"data.store={store}",
            "data.split=all",
            "data.limit=1",
            "face_model=bfm-deep3d",
            f"expression={runs['expression']}",
            f"pose={runs['pose']}",
            "per_frame=none",
            "protocol.realism=false",
            "protocol.resamples=50",
            "pictures.clips=1",
            "pictures.frames=6",
            f"pictures.renderer={renderer}",
            f"output={output}",
        ]
        assert evaluate(options) == 0
        results = json.loads((output / "results.json").read_text())
        metrics = results["systems"]["ground_truth"]["metrics"]
        assert metrics["psnr"]["n"] == 1
        assert np.isfinite(metrics["psnr"]["mean"])
        assert results["protocol"]["pictures"]["compared with"] == "real frames"
