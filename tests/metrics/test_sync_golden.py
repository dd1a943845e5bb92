"""Published numbers of SyncNet on public clips: run with the authors' weights, ``pytest -m needs_weights``."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from expnet.assets.registry import locate
from expnet.audio.wave import load_audio
from expnet.errors import MissingAssetError
from expnet.face.tracker import open_tracker
from expnet.media.video_reader import read_video
from expnet.metrics import Extractor, SyncResult, measure_sync
from expnet.metrics.functional import face_boxes
from expnet.models.syncnet import load_syncnet

CLIPS = Path(__file__).parents[3] / "shared" / "assets"
pytestmark = pytest.mark.needs_weights


@pytest.fixture(scope="module")
def network() -> Extractor:
    try:
        return Extractor(load_syncnet(locate("syncnet")), name="syncnet_v2")
    except MissingAssetError as error:
        pytest.skip(str(error))


def opened(name: str) -> tuple[np.ndarray, Tensor, Tensor]:
    """Return the frames as array and tensor, and the audio."""
    path = CLIPS / name
    if not path.is_file():
        pytest.skip(f"no ../shared/assets/{name} beside the checkout")
    pictures = np.stack(list(read_video(path)))
    return pictures, torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(load_audio(path))


def measured_with_tracker(name: str, network: Extractor, protocol: str) -> SyncResult:
    pictures, frames, audio = opened(name)
    boxes = face_boxes(torch.from_numpy(open_tracker().track(pictures).landmarks))
    return measure_sync(frames, audio, network, protocol=protocol, boxes=boxes)


def test_example_of_the_original(network: Extractor) -> None:
    """README of joonson/syncnet_python: offset 3, distance 5.353, confidence 10.021 (one of FFmpeg's versions)."""
    _, frames, audio = opened("syncnet_example.avi")
    result = measure_sync(frames, audio, network, protocol="reference")
    assert result.offset == 3
    assert result.distance == pytest.approx(5.353, abs=0.1)
    assert result.confidence == pytest.approx(10.021, abs=0.1)
    assert result.windows == 312


@pytest.mark.parametrize("delay", [-4, -2, 2, 4])
def test_planted_shifts_of_the_example(network: Extractor, delay: int) -> None:
    """Delayed audio lowers the offset frame by frame."""
    _, frames, audio = opened("syncnet_example.avi")
    silence = torch.zeros(abs(delay) * 640)
    moved = torch.cat([silence, audio]) if delay > 0 else audio[-delay * 640 :]
    assert measure_sync(frames, moved, network).offset == 3 - delay


def test_without_the_jpeg_step_the_lips_are_nearer(network: Extractor) -> None:
    _, frames, audio = opened("syncnet_example.avi")
    direct = measure_sync(frames, audio, network)
    assert direct.offset == 3
    assert direct.distance == pytest.approx(5.353, abs=1.0)
    assert direct.distance != measure_sync(frames, audio, network, protocol="reference").distance


def test_example_through_the_whole_pipeline(network: Extractor) -> None:
    """5.370 and 9.892 are MoChaBench's; their offset of 5 holds two frames of FFmpeg's container delay."""
    result = measured_with_tracker("syncnet_example.avi", network, "reference")
    assert result.offset == 3
    assert result.distance == pytest.approx(5.370, abs=0.5)  # the boxes are our tracker's, not S3FD's
    assert result.confidence == pytest.approx(9.892, abs=0.8)


def test_example_of_mochabench(network: Extractor) -> None:
    """1, 9.255 and 4.497 with speech separated from the background; here with the original audio."""
    result = measured_with_tracker("mocha_example.avi", network, "latentsync")
    assert abs(result.offset - 1) <= 1
    assert result.distance == pytest.approx(9.255, abs=1.0)
    assert result.confidence == pytest.approx(4.497, abs=1.0)
