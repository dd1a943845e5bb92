"""ExpressionRegressor: every switch changes the output, and an untrained one holds the first frame."""

import math

import pytest
import torch

from expnet.config.built_in_parts import BUILT_IN
from expnet.errors import InputError
from expnet.models.expression_regressor import ExpressionRegressor

SMALL = {"expression_size": 5, "width": 16, "heads": 4, "audio_channels": 8}


def mel_of(frames: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 80, 32 + math.ceil(3.2 * frames), generator=torch.Generator().manual_seed(frames))


def with_random_head(seed: int = 0, **options: object) -> ExpressionRegressor:
    """A model whose zero-initialised layers are random, as after training."""
    torch.manual_seed(seed)
    model = ExpressionRegressor(**{**SMALL, **options}).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def run(model: ExpressionRegressor, **arguments: torch.Tensor) -> torch.Tensor:
    first = torch.linspace(-1, 1, 10).view(2, 5)
    with torch.no_grad():
        return model(mel_of(40), 40, arguments.pop("first_expression", first), **arguments)


@pytest.mark.parametrize("temporal_module", ["transformer", "conv", "gru", "none"])
@pytest.mark.parametrize("residual", [True, False])
def test_untrained_it_holds_the_first_frame_or_the_mean(temporal_module: str, residual: bool) -> None:
    model = ExpressionRegressor(**SMALL, temporal_module=temporal_module, residual=residual).eval()
    model.expression_mean.fill_(0.5)
    out = run(model)
    expected = torch.linspace(-1, 1, 10).view(2, 1, 5) if residual else torch.full((2, 1, 5), 0.5)
    assert torch.equal(out, expected.expand(2, 40, 5))


def test_each_switch_changes_the_output() -> None:
    blink = torch.zeros(2, 40)
    blink[:, 10:13] = 1.0
    variants = {
        **{
            f"attention_bias={bias}": {"attention_bias": bias}
            for bias in BUILT_IN["attention_biases"]
            if bias != "alibi_learned"
        },
        **{f"temporal_module={kind}": {"temporal_module": kind} for kind in ("conv", "gru", "none")},
        "audio_encoder=window": {"audio_encoder": "window", "audio_channels": 2},
        "residual=false": {"residual": False},
        "first_frame_conditioning=false": {"first_frame_conditioning": False},
        "output_rank=3": {"output_rank": 3},
        "blink=true": {"blink": True},
        "emotions=4": {"emotions": 4},
    }
    outputs = {name: run(with_random_head(**options), blink=blink) for name, options in variants.items()}
    names = list(outputs)
    for i, first in enumerate(names):
        for second in names[:i]:
            assert not torch.allclose(outputs[first], outputs[second], atol=1e-5), (first, second)


@pytest.mark.parametrize("temporal_module", ["transformer", "none"])
def test_conditions_reach_the_output(temporal_module: str) -> None:
    model = with_random_head(temporal_module=temporal_module, blink=True, emotions=4)
    plain = run(model)
    assert torch.equal(plain, run(model, blink=torch.zeros(2, 40), emotion=torch.zeros(2, dtype=torch.long)))
    assert not torch.allclose(plain, run(model, blink=torch.ones(2, 40)), atol=1e-4)
    assert not torch.allclose(plain, run(model, emotion=torch.full((2,), 3)), atol=1e-4)
    other = torch.full((2, 5), 0.7)
    change = plain - torch.linspace(-1, 1, 10).view(2, 1, 5)
    assert not torch.allclose(run(model, first_expression=other) - other[:, None], change, atol=1e-4)
    blind = with_random_head(temporal_module=temporal_module, first_frame_conditioning=False)
    torch.testing.assert_close(
        run(blind, first_expression=other) - other[:, None], run(blind) - torch.linspace(-1, 1, 10).view(2, 1, 5)
    )


def test_padding_does_not_change_a_clip() -> None:
    model = with_random_head()
    mel, first = mel_of(60, batch=1), torch.zeros(1, 5)
    with torch.no_grad():
        alone = model(mel[..., : 32 + 128], 40, first)
        valid = torch.arange(60)[None] < 40
        noise = mel.clone()
        noise[..., 32 + 128 :] = 9.0
        padded = model(noise, 60, first, valid=valid)
    # the last frames differ only by what lies beyond the audio that the shorter window contains
    torch.testing.assert_close(padded[:, :40], alone, atol=1e-5, rtol=1e-4)


def test_long_speech_in_pieces_agrees_with_one_pass() -> None:
    model = with_random_head()
    mel, first = mel_of(403, batch=1), torch.zeros(1, 5)
    with torch.no_grad():
        whole = model(mel, 403, first)
        model.longest, model.overlap = 150, 50
        pieces = model(mel, 403, first)
        frame_by_frame = with_random_head(temporal_module="none")
        one = frame_by_frame(mel, 403, first)
        frame_by_frame.longest, frame_by_frame.overlap = 150, 50
        torch.testing.assert_close(frame_by_frame(mel, 403, first), one, atol=1e-5, rtol=1e-5)
    assert pieces.shape == whole.shape
    assert float((pieces - whole).square().mean().sqrt()) < 0.02 * float(whole.std())


def test_statistics_scale_the_change_and_weigh_the_condition() -> None:
    model = with_random_head()
    before = run(model, first_expression=torch.zeros(2, 5))
    std = torch.tensor([1.0, 2.0, 3.0, 0.0, 1.0])
    metric = torch.diag(torch.tensor([4.0, 1.0, 0.0, 1.0, 1.0]))
    model.set_statistics(
        expression_mean=torch.zeros(5),
        expression_std=std,
        mel_mean=torch.zeros(80),
        mel_std=torch.ones(80),
        expression_metric=metric,
    )
    after = run(model, first_expression=torch.zeros(2, 5))
    torch.testing.assert_close(after, before * std.clamp_min(1e-3), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.importance, torch.tensor([1.0, 1.0, 0.0, 0.0005, 0.5]))


def test_every_parameter_gets_a_gradient() -> None:
    for options in ({}, {"temporal_module": "conv"}, {"temporal_module": "gru"}, {"temporal_module": "none"}):
        model = with_random_head(
            dropout=0.0,
            stochastic_depth=0.0,
            first_frame_dropout=0.0,
            blink=True,
            emotions=3,
            output_rank=3,
            **options,
        ).train()
        out = model(mel_of(20), 20, torch.randn(2, 5), torch.rand(2, 20), torch.tensor([1, 2]))
        out.square().sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


def test_a_first_expression_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(batch, 5\) for a batch of 2, not \(2, 7\)"):
        run(with_random_head(), first_expression=torch.zeros(2, 7))


def test_the_first_frame_is_left_out_of_a_share_of_training_examples() -> None:
    model = with_random_head(dropout=0.0, stochastic_depth=0.0, first_frame_dropout=0.5).train()
    torch.manual_seed(0)
    shown = model._condition_on_first(torch.ones(1000, 5)).any(dim=1)
    assert 0.4 < float(shown.float().mean()) < 0.6
    assert torch.equal(model.eval()._condition_on_first(torch.ones(2, 5)), torch.ones(2, 5) * model.importance)
