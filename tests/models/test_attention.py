"""Attention against a loop that spells out the softmax."""

import math

import pytest
import torch

from expnet.config.built_in_parts import BUILT_IN
from expnet.errors import ConfigError
from expnet.models.attention import (
    PositionBias,
    SelfAttention,
    alibi_slopes,
    merge_padding,
    sinusoids,
)
from expnet.models.temporal import TemporalOptions, build_temporal


def slow_score_bias(kind: str, slope: float, i: int, j: int, period: int) -> float:
    if kind in ("sinusoidal", "none"):
        return 0.0
    if kind == "alibi_causal":
        return -slope * (i - j) if j <= i else -math.inf
    if kind == "alibi_periodic":
        return -slope * ((i - j) // period) if j <= i else -math.inf
    return -slope * abs(i - j)


def slow_attention(layer: SelfAttention, x: torch.Tensor, kind: str, valid, period: int) -> torch.Tensor:
    """One query, one head and one key at a time."""
    batch, frames, width = x.shape
    heads, size = layer.heads, width // layer.heads
    slopes = alibi_slopes(heads).tolist()
    query, key, value = layer.project_in(x).chunk(3, dim=-1)
    out = torch.zeros_like(x)
    for b in range(batch):
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            for i in range(frames):
                scores = []
                for j in range(frames):
                    score = float(query[b, i, part] @ key[b, j, part]) / math.sqrt(size)
                    score += slow_score_bias(kind, slopes[h], i, j, period)
                    scores.append(score if valid is None or valid[b, j] else -math.inf)
                top = max(scores)
                weights = [math.exp(score - top) for score in scores]
                for j in range(frames):
                    out[b, i, part] += weights[j] / sum(weights) * value[b, j, part]
    return layer.project_out(out)


@pytest.mark.parametrize("kind", BUILT_IN["attention_biases"])
@pytest.mark.parametrize("padded", [False, True])
def test_attention_equals_the_slow_loop(kind: str, padded: bool) -> None:
    torch.manual_seed(0)
    heads, frames, period = 3, 9, 4
    layer = SelfAttention(12, heads).eval()
    x = torch.randn(2, frames, 12)
    valid = None
    if padded:
        valid = torch.ones(2, frames, dtype=torch.bool)
        valid[1, 6:] = False
    bias = PositionBias(kind, heads, period=period)(frames, device=x.device, dtype=x.dtype)
    mask = merge_padding(bias, valid, batch=2, heads=heads, dtype=x.dtype)
    assert mask is None or mask.shape == (2, heads, frames, frames)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, mask), slow_attention(layer, x, kind, valid, period), atol=2e-6, rtol=1e-5)


def test_slopes_of_the_paper() -> None:
    assert alibi_slopes(8).tolist() == [2.0**-k for k in range(1, 9)]
    torch.testing.assert_close(alibi_slopes(4), torch.tensor([0.25, 0.0625, 0.015625, 0.00390625]))
    # Six heads: the four above, then every second slope of eight heads.
    torch.testing.assert_close(alibi_slopes(6), torch.tensor([0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]))
    for heads in range(1, 17):
        slopes = alibi_slopes(heads)
        assert len(slopes) == heads == len(set(slopes.tolist()))
        assert bool(((slopes > 0) & (slopes < 1)).all())
    with pytest.raises(ConfigError):
        alibi_slopes(0)


@pytest.mark.parametrize("kind", ["alibi_causal", "alibi_periodic"])
def test_causal_attention_ignores_the_future(kind: str) -> None:
    torch.manual_seed(0)
    module = build_temporal("transformer", 16, 4, TemporalOptions(2, heads=4, attention_bias=kind, period=3)).eval()
    x, condition = torch.randn(1, 20, 16), torch.zeros(1, 4)
    changed = x.clone()
    changed[:, 11:] = torch.randn(1, 9, 16)
    with torch.no_grad():
        before, after = module(x, condition), module(changed, condition)
    assert torch.equal(before[:, :11], after[:, :11])
    assert not torch.allclose(before[:, 11:], after[:, 11:])


@pytest.mark.parametrize("kind", ["alibi", "alibi_learned", "sinusoidal", "none"])
def test_other_biases_attend_to_both_sides(kind: str) -> None:
    torch.manual_seed(0)
    module = build_temporal("transformer", 16, 4, TemporalOptions(1, heads=4, attention_bias=kind)).eval()
    x, condition = torch.randn(1, 20, 16), torch.zeros(1, 4)
    changed = x.clone()
    changed[:, 19] = torch.randn(1, 16)
    with torch.no_grad():
        assert not torch.allclose(module(x, condition)[:, 0], module(changed, condition)[:, 0])


def test_every_bias_gives_another_output() -> None:
    outputs = []
    for kind in BUILT_IN["attention_biases"]:
        torch.manual_seed(0)
        module = build_temporal("transformer", 16, 4, TemporalOptions(2, heads=4, attention_bias=kind)).eval()
        if kind == "alibi_learned":
            with torch.no_grad():
                module.bias.log_slopes += 0.5
        torch.manual_seed(1)
        with torch.no_grad():
            outputs.append(module(torch.randn(1, 40, 16), torch.zeros(1, 4)))
    for first in range(len(outputs)):
        for second in range(first):
            assert not torch.allclose(outputs[first], outputs[second], atol=1e-4)


def test_learned_slopes_start_at_alibi_and_get_gradients() -> None:
    torch.manual_seed(0)
    bias = PositionBias("alibi_learned", 4)
    fixed = PositionBias("alibi", 4)
    arguments = {"device": torch.device("cpu"), "dtype": torch.float32}
    torch.testing.assert_close(bias(7, **arguments), fixed(7, **arguments))
    layer = SelfAttention(8, 4)
    layer(torch.randn(2, 7, 8), bias(7, **arguments)).square().sum().backward()
    assert bool((bias.log_slopes.grad.abs() > 0).all())


def test_without_bias_or_positions_the_order_does_not_matter() -> None:
    torch.manual_seed(0)
    module = build_temporal("transformer", 16, 4, TemporalOptions(1, heads=4, attention_bias="none")).eval()
    x, condition = torch.randn(1, 12, 16), torch.zeros(1, 4)
    order = torch.randperm(12)
    with torch.no_grad():
        torch.testing.assert_close(module(x[:, order], condition), module(x, condition)[:, order], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", BUILT_IN["temporal_modules"])
def test_padding_changes_nothing(kind: str) -> None:
    torch.manual_seed(0)
    module = build_temporal(kind, 16, 4, TemporalOptions(2, heads=4))
    if module is None:
        return
    module.eval()
    x, condition = torch.randn(2, 30, 16), torch.randn(2, 4)
    valid = torch.ones(2, 30, dtype=torch.bool)
    valid[:, 20:] = False
    other = x.clone()
    other[:, 20:] = 100.0
    with torch.no_grad():
        first, second = module(x, condition, valid), module(other, condition, valid)
    torch.testing.assert_close(first[:, :20], second[:, :20])
    assert torch.isfinite(first).all()


def test_fully_masked_rows_stay_finite() -> None:
    bias = PositionBias("alibi_causal", 2)(4, device=torch.device("cpu"), dtype=torch.float32)
    valid = torch.tensor([[False, False, True, True]])
    layer = SelfAttention(4, 2)
    x = torch.randn(1, 4, 4, requires_grad=True)
    layer(x, merge_padding(bias, valid, batch=1, heads=2, dtype=torch.float32)).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_sinusoids() -> None:
    code = sinusoids(torch.arange(3), 5)
    assert code.shape == (3, 5)
    torch.testing.assert_close(code[0], torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0]))
    torch.testing.assert_close(code[2, :2], torch.tensor([math.sin(2.0), math.cos(2.0)]))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="attention_bias must be one of alibi"):
        PositionBias("rotary", 4)
    with pytest.raises(ConfigError, match="temporal_module must be one of transformer"):
        build_temporal("lstm", 8, 4, TemporalOptions(1))
    with pytest.raises(ConfigError, match="multiple of heads"):
        SelfAttention(10, 4)


def test_a_bias_is_a_view_of_its_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    bias = PositionBias("alibi", 4)
    viewed = bias(1500, device=torch.device("cpu"), dtype=torch.float32)
    assert viewed.shape == (1, 4, 1500, 1500)
    assert viewed.untyped_storage().nbytes() == 4 * 4 * (2 * 1500 - 1)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.equal(bias(1500, device=torch.device("cpu"), dtype=torch.float32), viewed)
