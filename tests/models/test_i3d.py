"""I3D: its architecture against a plain functional version, and weight files of three kinds without running code.

With the same random weights the outputs equal those of https://github.com/piergiaj/pytorch-i3d exactly
(``benchmarks/i3d.py``).
"""

import importlib.util
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from expnet.errors import InputError, MissingAssetError
from expnet.models.i3d import I3D, in_layer_order, load_i3d
from expnet.models.torchscript_weights import read_torchscript_weights


@pytest.fixture(scope="module")
def network() -> I3D:
    torch.manual_seed(0)
    built = I3D().eval()
    for module in built.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return built


@pytest.fixture(scope="module")
def archive(network: I3D, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as a TorchScript archive."""
    path = tmp_path_factory.mktemp("script") / "i3d_torchscript.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, torch.zeros(1, 3, 16, 224, 224), check_trace=False)
        torch.jit.save(traced, str(path))
    return path


def test_parameters_are_those_of_the_published_network(network: I3D) -> None:
    assert sum(value.numel() for value in network.parameters()) == 12_697_264
    state = network.state_dict()
    assert state["Conv3d_1a_7x7.conv3d.weight"].shape == (64, 3, 7, 7, 7)
    assert state["Mixed_4f.b2b.conv3d.weight"].shape == (128, 32, 3, 3, 3)
    assert state["logits.conv3d.bias"].shape == (400,)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(16, 7, 2), (17, 7, 2), (224, 3, 2), (7, 3, 2), (4, 2, 2)])
def test_padding_is_tensorflows(size: int, kernel: int, stride: int) -> None:
    from expnet.models.i3d import _same_padding

    before, after, *_ = _same_padding(torch.zeros(1, 1, 1, 1, size), (1, 1, kernel), (1, 1, stride))
    # TensorFlow: ceil(size / stride) outputs; the odd one of the padding comes after.
    outputs = -(-size // stride)
    assert (size + before + after - kernel) // stride + 1 == outputs
    assert before + after == max((outputs - 1) * stride + kernel - size, 0)
    assert 0 <= after - before <= 1


@torch.no_grad()
def test_a_video_of_one_colour_by_hand(network: I3D) -> None:
    """The first layer of a constant video, away from the borders, is a sum over its kernel."""
    unit = network.Conv3d_1a_7x7
    video = torch.full((1, 3, 16, 32, 32), 0.5)
    kernel = unit.conv3d.weight.sum((2, 3, 4)) @ torch.full((3,), 0.5)  # (64,)
    slope = unit.bn.weight / (unit.bn.running_var + 1e-3).sqrt()
    expected = F.relu((kernel - unit.bn.running_mean) * slope + unit.bn.bias)
    torch.testing.assert_close(unit(video)[0, :, 4, 8, 8], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_every_file_gives_the_same_network(network: I3D, archive: Path, tmp_path: Path) -> None:
    plain = tmp_path / "rgb_imagenet.pt"
    torch.save(network.state_dict(), plain)
    for file in (archive, plain):
        loaded = load_i3d(file)
        for name, value in network.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                assert torch.equal(loaded.state_dict()[name], value), name


def test_the_script_writes_a_file_without_code(
    network: I3D, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(__file__).parents[2] / "scripts" / "convert_i3d.py"
    specification = importlib.util.spec_from_file_location("convert_i3d", path)
    assert specification is not None
    assert specification.loader is not None
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    assert script.main([str(archive), str(tmp_path / "i3d.safetensors")]) == 0
    assert "not the published file" in capsys.readouterr().out
    loaded = load_i3d(tmp_path / "i3d.safetensors")
    assert torch.equal(loaded.logits.conv3d.weight, network.logits.conv3d.weight)


def test_names_of_another_implementation_and_a_normalisation_without_slope(network: I3D) -> None:
    state = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    renamed = {name.replace("bn.", "batch3d.").lower(): value for name, value in state.items()}
    assert torch.equal(in_layer_order(renamed, "file")["Mixed_3b.b0.bn.bias"], state["Mixed_3b.b0.bn.bias"])
    sloped = {name: value for name, value in renamed.items() if "batch3d.weight" not in name}
    assert (in_layer_order(sloped, "file")["Mixed_5c.b3b.bn.weight"] == 1).all()
    swapped = dict(reversed(list(renamed.items())))
    with pytest.raises(InputError, match="do not fit"):
        in_layer_order(swapped, "file")


class _Malicious:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.folder),))


def test_code_is_never_run(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pt"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("bad/code/__torch__.py", "raise SystemExit")
        archive.writestr("bad/data.pkl", pickle.dumps(_Malicious(tmp_path / "made")))
    with pytest.raises(InputError, match=r"asks for (posix|nt)\.mkdir"):
        load_i3d(bad)
    assert not (tmp_path / "made").exists()
    (tmp_path / "text.pt").write_text("no archive")
    with pytest.raises(InputError, match="not a TorchScript archive"):
        read_torchscript_weights(tmp_path / "text.pt")
    with pytest.raises(MissingAssetError, match="no such weight file"):
        load_i3d(tmp_path / "none.pt")
