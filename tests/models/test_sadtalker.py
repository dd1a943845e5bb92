"""SadTalker's networks: its three files load and give the output of its graph, which is written out here by name."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from expnet.audio.alignment import mel_for_frames, sadtalker_mel, sadtalker_windows
from expnet.audio.mel import log_mel
from expnet.errors import InputError
from expnet.models.audio_encoder import frame_windows
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.sadtalker import SadTalkerPose, smooth
from expnet.models.saved_model import load_model, read_header, save_model

NAMES = Path(__file__).with_name("sadtalker_names.txt")
STRIDES = (1, 1, 1, (3, 1), 1, 1, 3, 1, 1, (3, 2), 1, 1, 1)
PADDINGS = (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0)
RESIDUAL = (1, 2, 4, 5, 7, 8, 10)
Weights = dict[str, Tensor]


def published_weights() -> Weights:
    """Random weights under every published name, with batch statistics away from 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    weights: Weights = {}
    for line in NAMES.read_text().splitlines():
        if line.startswith("#"):
            continue
        name, _, text = line.partition(" ")
        shape = ast.literal_eval(text)
        value = torch.randn(shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            weights[name] = 0.5 + torch.rand(shape, generator=generator)
        elif len(shape) > 1:  # so wide that the signal does not vanish
            weights[name] = value * (2 / value[0].numel()) ** 0.5
        else:
            weights[name] = 0.1 * value
    return weights


def below(weights: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def weights() -> Weights:
    return published_weights()


@pytest.fixture(scope="module")
def files(tmp_path_factory, weights: Weights) -> dict[str, dict[str, Path]]:
    """The layouts: one safetensors with the renderer's tensors in it too, or one .pth per network."""
    folder = tmp_path_factory.mktemp("published")
    both = folder / "SadTalker_V0.0.2_256.safetensors"
    save_file({**weights, "generator.first.conv.weight": torch.zeros(3)}, both)
    files = {"safetensors": {"expression": both, "pose": both}, "pth": {}}
    for task, name, prefix in (
        ("expression", "auido2exp_00300-model.pth", "audio2exp."),
        ("pose", "auido2pose_00140-model.pth", "audio2pose."),
    ):
        model = below(weights, prefix)
        optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]}
        torch.save({"model": model, "optimizer": optimizer, "epoch": 300}, folder / name)
        files["pth"][task] = folder / name
    return files


def normalise(x: Tensor, w: Weights, name: str) -> Tensor:
    mean, variance, scale, shift = (
        w[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def convolve(x: Tensor, w: Weights, name: str, stride: int | tuple[int, int] = 1, padding: int = 1) -> Tensor:
    return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding)


def linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def audio_features(w: Weights, windows: Tensor) -> Tensor:
    """Features (T, 512) of windows (T, 80, 16)."""
    x = windows[:, None]
    for layer in range(13):
        block = f"audio_encoder.{layer}.conv_block"
        y = normalise(convolve(x, w, f"{block}.0", STRIDES[layer], PADDINGS[layer]), w, f"{block}.1")
        x = (y + x if layer in RESIDUAL else y).relu()
    return x.flatten(1)


def unet(w: Weights, x: Tensor) -> Tensor:
    """Residual U-net on (B, 1, 32, 6)."""

    def block(x: Tensor, name: str, stride: int | tuple[int, int] = 1) -> Tensor:
        y = convolve(normalise(x, w, f"{name}.conv_block.0").relu(), w, f"{name}.conv_block.2", stride)
        y = convolve(normalise(y, w, f"{name}.conv_block.3").relu(), w, f"{name}.conv_block.5")
        return y + normalise(convolve(x, w, f"{name}.conv_skip.0", stride), w, f"{name}.conv_skip.1")

    def double(x: Tensor, name: str) -> Tensor:
        weight, bias = w[f"{name}.upsample.weight"], w[f"{name}.upsample.bias"]
        halves = [torch.einsum("bchw,cd->bdhw", x, weight[:, :, row, 0]) for row in (0, 1)]
        return torch.stack(halves, dim=3).flatten(2, 3) + bias[:, None, None]

    first = normalise(convolve(x, w, "input_layer.0"), w, "input_layer.1").relu()
    levels = [convolve(first, w, "input_layer.3") + convolve(x, w, "input_skip.0")]
    for name in ("residual_conv_1", "residual_conv_2", "bridge"):
        levels.append(block(levels[-1], name, (2, 1)))
    y = levels[3]
    for step in (1, 2, 3):
        y = block(torch.cat([double(y, f"upsample_{step}"), levels[3 - step]], dim=1), f"up_residual_conv{step}")
    return convolve(y, w, "output_layer.0", padding=0).sigmoid()


def decode(w: Weights, z: Tensor, audio: Tensor, first_pose: Tensor, style: int) -> Tensor:
    """Motion (32, 6) for z (64), audio (32, 512), first_pose (6)."""
    x = torch.cat([first_pose, z + w["classbias"][style], linear(audio, w, "linear_audio").flatten()])
    x = linear(linear(x, w, "MLP.L0").relu(), w, "MLP.L1").sigmoid().view(1, 1, 32, 6)
    return linear(unet(below(w, "resunet."), x)[0, 0], w, "pose_linear")


def clip(frames: int) -> tuple[Tensor, Tensor]:
    """Audio (S,) and the windows (T, 80, 16) that SadTalker cuts from its spectrogram."""
    samples = torch.from_numpy(np.random.default_rng(frames).uniform(-0.5, 0.5, 640 * frames).astype(np.float32))
    return samples, sadtalker_windows(log_mel(samples), frames)


@pytest.mark.parametrize("layout", ["safetensors", "pth"])
@pytest.mark.parametrize("frames", [1, 2, 12])
def test_the_expression_network_is_the_published_one(files, weights, layout: str, frames: int) -> None:
    model = load_model(files[layout]["expression"], "expression")
    assert isinstance(model, ExpressionRegressor)
    assert model.face_model == "bfm2009"
    samples, windows = clip(frames)
    first, blink = torch.randn(64), torch.rand(frames)
    own = below(weights, "audio2exp.")
    given = torch.cat([audio_features(own, windows), first.expand(frames, -1), blink[:, None]], dim=1)  # (T, 577)
    expected = linear(given, own, "mapping1")
    with torch.no_grad():
        found = model(sadtalker_mel(samples, frames)[None], frames, first[None], blink=blink[None])[0]
    assert expected.abs().mean() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", ["safetensors", "pth"])
@pytest.mark.parametrize("frames", [1, 2, 9, 33, 40, 75])
def test_the_pose_network_is_the_published_one(files, weights, layout: str, frames: int) -> None:
    """Windows of 32 after the first frame, the last one right-aligned, each with a draw of its own."""
    model = load_model(files[layout]["pose"], "pose")
    assert isinstance(model, SadTalkerPose)
    samples, windows = clip(frames)
    first, own = torch.randn(6), below(weights, "audio2pose.")
    audio = audio_features(below(own, "audio_encoder."), windows[1:]) if frames > 1 else torch.zeros(0, 512)
    generator = torch.Generator().manual_seed(5)
    expected = [torch.zeros(1, 6)]
    for start in range(0, frames - 1, 32):
        whole = start + 32 <= frames - 1
        encoded = audio[start : start + 32] if whole else audio[-32:]
        encoded = torch.cat([encoded[:1].expand(32 - len(encoded), -1), encoded])
        motion = decode(below(own, "netG.decoder."), torch.randn(64, generator=generator), encoded, first, 11)
        expected.append(motion if whole else motion[-(frames - 1 - start) :])
    drawn = model.sample(
        sadtalker_mel(samples, frames)[None], frames, first[None], torch.tensor([11]), torch.Generator().manual_seed(5)
    )[0]
    absolute = first + torch.cat(expected)
    torch.testing.assert_close(first + drawn, smooth(absolute[None])[0], atol=1e-5, rtol=0)
    if frames > 1:
        assert (absolute - first).abs().max() > 0.05


def test_the_posterior_and_its_tied_variance(files, weights) -> None:
    model = load_model(files["pth"]["pose"], "pose")
    mel, motion, first = torch.rand(2, 80, 2 * 16 + 208) * 8 - 4, torch.randn(2, 65, 6), torch.randn(2, 6)
    with torch.no_grad():
        windows = model(mel, motion, first, torch.tensor([3, 40]))
    assert windows.target.shape == windows.predicted.shape == (4, 32, 6)
    assert torch.equal(windows.mean, windows.log_variance)  # the published cvae.py uses one layer for both
    own = below(weights, "audio2pose.netG.encoder.")
    encoded = audio_features(below(weights, "audio2pose.audio_encoder."), frame_windows(mel[1:], 65)[0, 33:])
    x = torch.cat(
        [
            first[1],
            unet(below(own, "resunet."), motion[1, 33:][None, None]).flatten(),
            linear(encoded, own, "linear_audio").flatten(),
            own["classbias"][40],
        ]
    )
    expected = linear(linear(x, own, "MLP.L0").relu(), own, "linear_means")
    torch.testing.assert_close(windows.mean[3], expected, atol=1e-5, rtol=0)
    with torch.no_grad():
        free = SadTalkerPose(tied_variance=False)(mel, motion, first)
    assert not torch.equal(free.mean, free.log_variance)


def test_edges_are_repeated_as_in_the_original() -> None:
    for frames in (1, 2, 3, 7, 20):
        samples, windows = clip(frames)
        assert torch.equal(frame_windows(sadtalker_mel(samples, frames)[None], frames)[0], windows)
        inside = slice(2, frames - 2)  # away from the ends the two mels agree
        ours = frame_windows(mel_for_frames(samples, 0, frames)[None], frames)[0]
        torch.testing.assert_close(ours[inside], windows[inside], atol=1e-4, rtol=0)


def test_a_converted_file_is_the_same_network(files, tmp_path: Path) -> None:
    for task, path in files["safetensors"].items():
        model = load_model(path, task)
        loaded = load_model(save_model(tmp_path / f"{task}.safetensors", model), task)
        assert type(loaded) is type(model)
        assert loaded.options == model.options
        for name, value in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name


def test_the_audio_encoder_stays_frozen_in_training() -> None:
    model = SadTalkerPose().train()
    frozen = {name: value.clone() for name, value in model.audio_encoder.state_dict().items()}
    windows = model(torch.rand(2, 80, 32 + 106) * 8 - 4, torch.randn(2, 33, 6), torch.zeros(2, 6), from_prior=True)
    (windows.predicted.square().mean() + windows.mean.square().mean()).backward()
    assert all(parameter.grad is None for parameter in model.audio_encoder.parameters())
    assert model.encoder.linear_means.weight.grad.abs().sum() > 0
    assert model.decoder.pose_linear.weight.grad.abs().sum() > 0
    assert windows.from_prior.shape == (2, 32, 6)
    for name, value in frozen.items():
        assert torch.equal(model.audio_encoder.state_dict()[name], value), name


def test_wrong_files_are_refused(files, tmp_path: Path, weights: Weights) -> None:
    with pytest.raises(InputError, match="does not hold SadTalker's pose network, only its expression network"):
        load_model(files["pth"]["expression"], "pose")
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="its names are not those of the published files"):
        load_model(tmp_path / "other.pth", "pose")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(InputError, match="has no entry 'model'"):
        load_model(tmp_path / "list.pth", "pose")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(InputError, match="is not a readable checkpoint"):
        load_model(tmp_path / "text.pth", "pose")
    cut = {name: value for name, value in weights.items() if "linear_means" not in name}
    save_file(cut, tmp_path / "cut.safetensors")
    with pytest.raises(InputError, match="do not fit"):
        load_model(tmp_path / "cut.safetensors", "pose")
    with pytest.raises(InputError, match="needs at least 33 frames"):
        SadTalkerPose()(torch.zeros(1, 80, 80), torch.zeros(1, 12, 6), torch.zeros(1, 6))
    with pytest.raises(InputError, match="was not written by expnet"):
        read_header(files["safetensors"]["pose"])


def test_a_pth_that_would_run_code_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"model": Trap()}, tmp_path / "auido2exp_00300-model.pth")
    with pytest.raises(InputError, match="is not a readable checkpoint"):
        load_model(tmp_path / "auido2exp_00300-model.pth", "expression")
    assert not (tmp_path / "sprung").exists()
