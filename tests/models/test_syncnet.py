"""SyncNet: the published layers, any clip length, and files that are not its weights."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from expnet.errors import InputError
from expnet.models.syncnet import SyncNet, load_syncnet

# (index, kernel, stride, padding) of the convolutions and poolings, from the published table of layers.
LIPS = [
    ("conv", 0, (5, 7, 7), (1, 2, 2), (0, 0, 0)),
    ("pool", 3, (1, 3, 3), (1, 2, 2), (0, 0, 0)),
    ("conv", 4, (1, 5, 5), (1, 2, 2), (0, 1, 1)),
    ("pool", 7, (1, 3, 3), (1, 2, 2), (0, 1, 1)),
    ("conv", 8, (1, 3, 3), (1, 1, 1), (0, 1, 1)),
    ("conv", 11, (1, 3, 3), (1, 1, 1), (0, 1, 1)),
    ("conv", 14, (1, 3, 3), (1, 1, 1), (0, 1, 1)),
    ("pool", 17, (1, 3, 3), (1, 2, 2), (0, 0, 0)),
    ("conv", 18, (1, 6, 6), (1, 1, 1), (0, 0, 0)),
]
AUDIO = [
    ("conv", 0, (3, 3), (1, 1), (1, 1)),
    ("conv", 4, (3, 3), (1, 1), (1, 1)),
    ("pool", 7, (3, 3), (1, 2), (0, 0)),
    ("conv", 8, (3, 3), (1, 1), (1, 1)),
    ("conv", 11, (3, 3), (1, 1), (1, 1)),
    ("conv", 14, (3, 3), (1, 1), (1, 1)),
    ("pool", 17, (3, 3), (2, 2), (0, 0)),
    ("conv", 18, (5, 4), (1, 1), (0, 0)),
]


@pytest.fixture(scope="module")
def network() -> SyncNet:
    """Random weights that keep the input's variation, with non-trivial normalisations, some of negative scale."""
    torch.manual_seed(0)
    network = SyncNet()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(layer.weight, -0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.2)
            layer.running_mean.normal_(std=0.2)
            layer.running_var.uniform_(0.5, 2.0)
        elif isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return network.requires_grad_(False)


def plain(state: dict[str, Tensor], tower: str, head: str, layers: list[tuple], x: Tensor) -> Tensor:
    """The towers layer by layer with nothing folded, reordered or merged."""
    volume = x.ndim == 5
    convolution, pool = (
        (functional.conv3d, functional.max_pool3d) if volume else (functional.conv2d, functional.max_pool2d)
    )
    for kind, index, kernel, stride, padding in layers:
        if kind == "pool":
            x = pool(x, kernel, stride, padding)
            continue
        weight = state[f"{tower}.{index}.weight"]
        assert weight.shape[2:] == kernel
        x = convolution(x, weight, state[f"{tower}.{index}.bias"], stride, padding)
        x = normalise(state, f"{tower}.{index + 1}", x).relu()
    x = functional.linear(x.flatten(1), state[f"{head}.0.weight"], state[f"{head}.0.bias"])
    x = normalise(state, f"{head}.1", x).relu()
    return functional.linear(x, state[f"{head}.3.weight"], state[f"{head}.3.bias"])


def normalise(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    values = [state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
    return functional.batch_norm(x, *values)


def test_the_published_file_fits(network: SyncNet) -> None:
    state = network.state_dict()
    assert len(state) == 102
    assert sum(parameter.numel() for parameter in network.parameters()) == 13_631_616
    assert {name.split(".")[0] for name in state} == {"netcnnaud", "netfcaud", "netcnnlip", "netfclip"}
    assert state["netcnnlip.18.weight"].shape == (512, 256, 1, 6, 6)
    assert state["netcnnaud.18.weight"].shape == (512, 256, 5, 4)


def test_equals_the_plain_layers_window_by_window(network: SyncNet) -> None:
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (14, 3, 224, 224), dtype=torch.uint8, generator=generator)  # more than one batch
    frames = (frames * torch.rand(14, 3, 1, 1, generator=generator)).to(torch.uint8)
    cepstra = torch.randn(13, 4 * 12 + 2, generator=generator) * 5
    lips, sound = network(frames, cepstra)
    assert lips.shape == (10, 1024)
    assert sound.shape == (8, 1024)
    state = network.state_dict()
    windows = torch.stack([frames[i : i + 5].float().transpose(0, 1) for i in range(10)])
    expected = plain(state, "netcnnlip", "netfclip", LIPS, windows)
    assert (lips - expected).abs().max() < 1e-5 * expected.abs().max()
    assert expected.std(0).mean() > 0.05 * expected.abs().mean()  # different windows, different features
    columns = torch.stack([cepstra[None, :, 4 * i : 4 * i + 20] for i in range(8)])
    expected = plain(state, "netcnnaud", "netfcaud", AUDIO, columns)
    assert (sound - expected).abs().max() < 1e-5 * expected.abs().max()
    assert torch.equal(network.lip_features(frames.float()), lips)


def test_one_window_is_enough_and_less_is_refused(network: SyncNet) -> None:
    lips, sound = network(torch.zeros(5, 3, 224, 224, dtype=torch.uint8), torch.zeros(13, 20))
    assert lips.shape == sound.shape == (1, 1024)
    with pytest.raises(ValueError, match="frames must be"):
        network.lip_features(torch.zeros(4, 3, 224, 224))
    with pytest.raises(ValueError, match="frames must be"):
        network.lip_features(torch.zeros(5, 3, 256, 256))
    with pytest.raises(ValueError, match="cepstra must be"):
        network.audio_features(torch.zeros(13, 19))


def test_stays_in_evaluation_mode(network: SyncNet) -> None:
    assert not SyncNet().training
    cepstra = torch.randn(13, 40, generator=torch.Generator().manual_seed(2))
    before = network.audio_features(cepstra)
    network.train()
    assert torch.equal(network.audio_features(cepstra), before)


@pytest.mark.parametrize("zipped", [False, True])
def test_loads_the_legacy_and_the_new_file_format(tmp_path: Path, network: SyncNet, zipped: bool) -> None:
    path = tmp_path / "syncnet_v2.model"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=zipped)
    loaded = load_syncnet(path)
    assert not loaded.training
    cepstra = torch.ones(13, 20)
    assert torch.equal(loaded.audio_features(cepstra), network.audio_features(cepstra))


def test_wrong_files_are_refused(tmp_path: Path, network: SyncNet) -> None:
    with pytest.raises(InputError, match="no such weight file"):
        load_syncnet(tmp_path / "absent")
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"<html>not found</html>")
    other = tmp_path / "other"
    torch.save(nn.Linear(2, 2).state_dict(), other)
    whole = tmp_path / "whole"
    torch.save([1, 2], whole)
    cut = tmp_path / "cut"
    torch.save(network.state_dict(), tmp_path / "full")
    cut.write_bytes((tmp_path / "full").read_bytes()[:1_000_000])
    for path in (garbage, other, whole, cut):
        with pytest.raises(InputError, match=path.name):
            load_syncnet(path)


def test_no_code_of_a_file_runs(tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (touched,)

    zipped, bare = tmp_path / "zipped.model", tmp_path / "bare.model"
    torch.save({"netfcaud.0.weight": Harmful()}, zipped)
    bare.write_bytes(pickle.dumps({"netfcaud.0.weight": Harmful()}, protocol=2))
    for path in (zipped, bare):
        with pytest.raises(InputError, match="not a plain weight file"):
            load_syncnet(path)
    assert not touched.exists()
