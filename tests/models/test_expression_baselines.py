"""The two other expression networks: two convolutions, and an autoregressive decoder."""

import pytest
import torch
from torch import nn

from expnet.audio.alignment import mel_columns
from expnet.audio.speech_encoders import FeatureSource
from expnet.errors import InputError
from expnet.models.autoregressive import AutoregressiveRegressor
from expnet.models.saved_model import build_model, load_model, save_model
from expnet.models.small_convolution import SmallConvolution

FRAMES = 20
SMALL = {"width": 16, "layers": 1, "heads": 2, "audio_channels": 8}


def trained(network: str, **options: object) -> nn.Module:
    """A network in evaluation mode whose last layer is no longer zero."""
    torch.manual_seed(0)
    model = build_model("expression", {"network": network, **options})
    last = model.write if isinstance(model, AutoregressiveRegressor) else model.head
    nn.init.normal_(last.weight, std=0.3)
    return model.eval()


@pytest.fixture(params=["autoregressive", "small_convolution"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    return trained(request.param, **(SMALL if request.param == "autoregressive" else {"width": 16}))


def mel_of(frames: int = FRAMES, seed: int = 1) -> torch.Tensor:
    return torch.randn(2, 80, mel_columns(frames), generator=torch.Generator().manual_seed(seed))


def test_untrained_networks_hold_the_first_frame() -> None:
    first = torch.randn(2, 64)
    for network in ("autoregressive", "small_convolution"):
        predicted = build_model("expression", {"network": network}).eval()(mel_of(), FRAMES, first)
        assert torch.equal(predicted, first[:, None].expand(2, FRAMES, 64))


def test_they_are_saved_and_loaded(model: nn.Module, tmp_path) -> None:
    loaded = load_model(save_model(tmp_path / "model.safetensors", model), "expression")
    assert type(loaded) is type(model)
    assert torch.equal(loaded(mel_of(), FRAMES, torch.ones(2, 64)), model(mel_of(), FRAMES, torch.ones(2, 64)))


def test_padding_and_loudness_change_nothing(model: nn.Module) -> None:
    short, first = mel_of(12), torch.ones(2, 64)
    padded = torch.cat([short, torch.full((2, 80, mel_columns(FRAMES) - mel_columns(12)), -4.0)], dim=-1)
    valid = (torch.arange(FRAMES) < 12).expand(2, -1)
    whole = model(short, 12, first)
    torch.testing.assert_close(model(padded, FRAMES, first, valid=valid)[:, :12], whole)
    torch.testing.assert_close(model(short + 0.5, 12, first), whole)


def test_the_convolution_sees_thirteen_frames() -> None:
    model = trained("small_convolution", width=16)
    assert isinstance(model, SmallConvolution)
    seen: list[torch.Tensor] = []
    model.enter.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].detach().requires_grad_()) or (seen[0],)
    )
    model(mel_of(), FRAMES, torch.zeros(2, 64))[0, 10].sum().backward()
    assert seen[0].grad is not None
    assert seen[0].grad[0].abs().sum(dim=0).nonzero().flatten().tolist() == list(range(4, 17))


@pytest.mark.parametrize("network", ["autoregressive", "small_convolution"])
def test_speech_features_move_the_face(network: str, tmp_path) -> None:
    source = FeatureSource("whisper", 3, 12, "ab" * 32)
    small = SMALL if network == "autoregressive" else {"width": 16}
    model = trained(network, speech_features=source.as_dict(), **small)
    features = torch.randn(2, FRAMES, 12, generator=torch.Generator().manual_seed(2))
    first = torch.ones(2, 64)
    before = model(mel_of(), FRAMES, first, features=features)
    changed = features.clone()
    changed[0, 10] += torch.arange(12.0)
    moved = (model(mel_of(), FRAMES, first, features=changed) - before).abs().amax(dim=-1)  # (2, T)
    assert moved[0, 10] > 0
    assert (moved[1] == 0).all()  # the other clip of the batch
    loaded = load_model(save_model(tmp_path / "model.safetensors", model), "expression")
    assert torch.equal(loaded(mel_of(), FRAMES, first, features=features), before)
    with pytest.raises(InputError, match="needs the speech features"):
        model(mel_of(), FRAMES, first)
    with pytest.raises(InputError, match=r"\(batch, 20, 12\)"):
        model(mel_of(), FRAMES, first, features=features[..., :5])


def test_the_convolution_reads_seven_frames_of_features_and_none_of_the_padding() -> None:
    source = FeatureSource("whisper", 3, 12, "ab" * 32)
    model = trained("small_convolution", width=16, speech_features=source.as_dict())
    features = torch.randn(2, FRAMES, 12, generator=torch.Generator().manual_seed(2)).requires_grad_()
    valid = (torch.arange(FRAMES) < 13).expand(2, -1)
    model(mel_of(), FRAMES, torch.zeros(2, 64), valid=valid, features=features)[0, 10].sum().backward()
    assert features.grad is not None
    assert features.grad[0].abs().sum(dim=-1).nonzero().flatten().tolist() == list(range(7, 13))


def test_cached_steps_equal_attention_over_the_whole_sequence() -> None:
    """Feeding the decoder's own output through plain masked attention at once gives that output again."""
    model = trained("autoregressive", **SMALL, decoder_layers=2, period=4, dropout=0.0)
    assert isinstance(model, AutoregressiveRegressor)
    features = torch.randn(2, FRAMES, 16)
    change = model.decode(features)  # (B, T, E)
    listened = model.read(features)
    shifted = torch.cat([torch.zeros(2, 1, 64), change[:, :-1]], dim=1)
    x = model.bias.add_positions(model.embed_past(shifted))
    mask = model.bias(FRAMES, device=x.device, dtype=x.dtype).flip(2)  # its rows come from the end
    for block in model.blocks:
        query, key, value = (
            part.unflatten(-1, (2, -1)).transpose(1, 2)
            for part in block.attention.project_in(block.norm_attention(x)).chunk(3, dim=-1)
        )
        scores = query @ key.transpose(-1, -2) / key.shape[-1] ** 0.5 + mask
        x = x + block.attention.project_out((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        x = x + block.listen(listened)
        x = x + block.feedforward(block.norm_feedforward(x))
    torch.testing.assert_close(model.write(model.norm(x)), change, atol=1e-5, rtol=1e-4)


def test_a_frame_depends_on_the_frames_before_it() -> None:
    model = trained("autoregressive", **SMALL)
    assert isinstance(model, AutoregressiveRegressor)
    features = torch.randn(1, FRAMES, 16)
    changed = features.clone()
    changed[:, 5] += 1.0  # a change of the audio of frame 5 ...
    before, after = model.decode(features), model.decode(changed)
    assert torch.equal(before[:, :5], after[:, :5])  # ... leaves earlier frames as they are
    assert ((before - after)[0, 5:].abs().amax(dim=-1) > 0).all()  # and changes all later ones
