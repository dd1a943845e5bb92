"""Frechet distance: against scipy's matrix root, closed forms and the tools' resizing; moments; processes."""

import json
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from torch import nn

from expnet.metrics import Extractor, FrechetInceptionDistance, Moments
from expnet.metrics.functional import frechet_distance, inception_input

WORKER = Path(__file__).with_name("frechet_worker.py")
FEATURES = 24


class SmallNetwork(nn.Module):
    """Maps images to a few features, like Inception but fast."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 9, stride=9), nn.ReLU(), nn.Conv2d(8, FEATURES, 5, stride=5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images).mean((-1, -2))


def small_metric(**options: Any) -> FrechetInceptionDistance:
    return FrechetInceptionDistance(Extractor(SmallNetwork(), name="small"), features=FEATURES, **options)


def pictures(number: int, seed: int, contrast: float = 1.0) -> torch.Tensor:
    noise = torch.randn(number, 3, 32, 40, generator=torch.manual_seed(seed)) * 50 * contrast + 128
    return noise.clamp(0, 255).to(torch.uint8)


def draw(number: int, features: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(number, features)) @ generator.normal(size=(features, features)) + seed


def textbook(first: np.ndarray, second: np.ndarray) -> float:
    """The formula as pytorch-fid writes it: unbiased covariance, general matrix root."""
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = sqrtm(a @ b)
    return float(np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(a + b - 2 * root.real))


@pytest.mark.parametrize(("first", "second"), [(200, 170), (40, 300), (300, 40)])
def test_equals_the_general_matrix_root(first: int, second: int) -> None:
    x, y = draw(first, 32, 1), draw(second, 32, 2)
    distance = frechet_distance(Moments.of(torch.from_numpy(x)), Moments.of(torch.from_numpy(y)))
    assert distance.item() == pytest.approx(textbook(x, y), rel=1e-9)


def test_fewer_pictures_than_features() -> None:
    """Covariances are rank-deficient; the nuclear norm of the product of centred features gives the same root."""
    x, y = draw(10, 32, 1), draw(16, 32, 2)
    distance = frechet_distance(Moments.of(torch.from_numpy(x)), Moments.of(torch.from_numpy(y))).item()
    centred = [(value - value.mean(0)) / math.sqrt(len(value) - 1) for value in (x, y)]
    root = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    spread = sum(np.square(value).sum() for value in centred)
    assert distance == pytest.approx(np.sum((x.mean(0) - y.mean(0)) ** 2) + spread - 2 * root, rel=1e-9)


def test_one_dimension_by_hand() -> None:
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[5.0], [5.0], [11.0]])  # means 1 and 7, variances 2 and 12
    expected = (7 - 1) ** 2 + 2 + 12 - 2 * math.sqrt(2 * 12)
    assert frechet_distance(Moments.of(x), Moments.of(y)).item() == pytest.approx(expected)


def test_identity_shift_and_symmetry() -> None:
    x, y = torch.from_numpy(draw(100, 16, 1)), torch.from_numpy(draw(90, 16, 2))
    same = frechet_distance(Moments.of(x), Moments.of(x))
    assert 0 <= same.item() < 1e-9
    assert frechet_distance(Moments.of(x), Moments.of(x + 2)).item() == pytest.approx(4 * 16, rel=1e-9)
    forth, back = frechet_distance(Moments.of(x), Moments.of(y)), frechet_distance(Moments.of(y), Moments.of(x))
    assert forth.item() == pytest.approx(back.item(), rel=1e-10)
    still = torch.ones(5, 16)  # no variance at all
    assert frechet_distance(Moments.of(still), Moments.of(still * 2)).item() == pytest.approx(16)


def test_too_few_pictures_have_no_distance() -> None:
    some, one, none = Moments.of(torch.rand(9, 4)), Moments.of(torch.rand(1, 4)), Moments.none(4)
    assert frechet_distance(some, one).isnan()
    assert frechet_distance(none, some).isnan()
    with pytest.raises(ValueError, match="features"):
        frechet_distance(some, Moments.none(5))


def test_moments_add_up_and_are_kept_with_what_they_are_of(tmp_path: Path) -> None:
    features = torch.from_numpy(draw(50, 8, 4))
    parts = Moments.of(features[:13]) + Moments.none(8) + Moments.of(features[13:])
    np.testing.assert_allclose(parts.covariance, np.cov(features.T), rtol=1e-12)
    protocol = small_metric().protocol
    path = tmp_path / "real.safetensors"
    parts.save(path, protocol=protocol, data="clips of 5 people")
    loaded = Moments.load(path, protocol=protocol, data="clips of 5 people")
    assert all(torch.equal(getattr(loaded, name), getattr(parts, name)) for name in ("count", "total", "scatter"))
    assert [file.name for file in tmp_path.iterdir()] == ["real.safetensors"]
    with pytest.raises(ValueError, match="clips of 5 people"):
        Moments.load(path, protocol=protocol, data="clips of 6 people")
    with pytest.raises(ValueError, match="protocol"):
        Moments.load(path, protocol=small_metric(protocol_name="clean_fid").protocol, data="clips of 5 people")


def test_a_failed_save_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, about = tmp_path / "real.safetensors", {"protocol": small_metric().protocol, "data": "5 people"}
    Moments.none(8).save(path, **about)
    before = path.read_bytes()

    def fill_the_disk(tensors: object, filename: Path, **options: object) -> None:
        Path(filename).write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr("expnet.metrics.functional.frechet.save_file", fill_the_disk)
    with pytest.raises(OSError, match="no space"):
        Moments.of(torch.rand(9, 8)).save(path, **about)
    assert [file.name for file in tmp_path.iterdir()] == ["real.safetensors"]
    assert path.read_bytes() == before


def test_metric_equals_its_features_however_they_arrive() -> None:
    real, generated = pictures(20, 0), pictures(18, 1, 0.6)
    network = SmallNetwork().eval()
    with torch.no_grad():
        features = [network(inception_input(images, "pytorch_fid")).double() for images in (real, generated)]
    expected = textbook(*(value.numpy() for value in features))
    metric = small_metric()
    for part in real.split(7):
        metric.update(part, real=True)
    metric.update(generated.unflatten(0, (2, 9)), real=False)
    assert metric.compute().item() == pytest.approx(expected, rel=1e-6)
    assert metric.compute().dtype is torch.float64
    assert int(metric.moments(True).count) == 20

    saved = small_metric()
    saved.load_moments(metric.moments(True))
    saved.add_features(features[1], real=False)
    assert saved.compute().item() == pytest.approx(metric.compute().item(), rel=1e-6)
    saved.reset()
    with pytest.warns(UserWarning, match="before"):
        assert saved.compute().isnan()
    saved.update(generated, real=False)
    assert saved.compute().item() == pytest.approx(metric.compute().item(), rel=1e-6)
    with pytest.raises(ValueError, match="loaded"):
        saved.update(real, real=True)


def test_protocols_differ_and_wrong_inputs_are_refused() -> None:
    images = pictures(4, 0)
    inputs = {name: inception_input(images, name) for name in ("pytorch_fid", "torch_fidelity", "clean_fid")}
    assert all(value.shape == (4, 3, 299, 299) and value.dtype is torch.float32 for value in inputs.values())
    assert (inputs["pytorch_fid"] - inputs["torch_fidelity"]).abs().max() > 0.05
    assert (inputs["pytorch_fid"] - inputs["clean_fid"]).abs().max() > 0.05
    with pytest.raises(ValueError, match="uint8"):
        small_metric().update(images.float() / 255, real=True)
    with pytest.raises(ValueError, match="protocol_name"):
        small_metric(protocol_name="tensorflow")
    with pytest.raises(ValueError, match="features"):
        small_metric().add_features(torch.rand(3, 5), real=True)


@pytest.mark.parametrize("size", [(256, 256), (400, 350), (64, 80), (299, 299)])
def test_resize_equals_the_tools(size: tuple[int, int]) -> None:
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.manual_seed(0))
    channel = images[0, 0].numpy().astype(np.float32)
    bicubic = np.asarray(Image.fromarray(channel).resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255)
    ours = inception_input(images, "clean_fid")[0, 0] * 128 + 128
    assert np.abs(ours.numpy() - bicubic).max() < 0.01  # grey levels; the worst case is noise
    package = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    resized = package.interpolate_bilinear_2d_like_tensorflow1x(images.float(), (299, 299), align_corners=False)
    assert torch.equal(inception_input(images, "torch_fidelity"), (resized - 128) / 128)


def test_bfloat16_parent_autocast_reset_pickle_and_no_checkpoint() -> None:
    def feed(metric: FrechetInceptionDistance) -> float:
        metric.update(pictures(9, 0), real=True)
        metric.update(pictures(9, 1), real=False)
        return metric.compute().item()

    metric, parent = small_metric(), nn.Module()
    expected = feed(small_metric())
    parent.metric = metric
    parent.to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert feed(metric) == expected == metric.compute().item()
    metric.reset()
    assert feed(metric) == expected
    assert metric.real_scatter.dtype is torch.float64
    assert not parent.state_dict()
    assert not list(parent.parameters())
    assert pickle.loads(pickle.dumps(metric)).compute().item() == expected
    assert metric.protocol["extractor"] == "small"


def test_two_processes_equal_one(tmp_path: Path) -> None:
    outputs = [tmp_path / f"{rank}.json" for rank in range(2)]
    workers = [
        subprocess.Popen([sys.executable, str(WORKER), str(rank), str(tmp_path / "meet"), str(output)])
        for rank, output in enumerate(outputs)
    ]
    try:
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    metric = small_metric()
    metric.update(pictures(20, 0), real=True)
    metric.update(pictures(16, 1, 0.6), real=False)
    for output in outputs:
        got = json.loads(output.read_text())
        assert got == {split: [pytest.approx(metric.compute().item(), rel=1e-9)] * 2 for split in ("uneven", "empty")}
