"""Optimisers and schedules: Muon beside AdamW with one state, and the learning rates by hand."""

import copy

import pytest
import torch
from small_tasks import pose_task
from torch import nn

from expnet.config import OptimConfig, RendererOptimConfig
from expnet.errors import ConfigError
from expnet.training.tasks.optimizers import MuonWithAdamW, build_optimizer, learning_rate_factor, schedule_of

MUON = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="needs torch.optim.Muon")


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3))


def train(network: nn.Module, given: dict, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        x, y = torch.randn(16, 6, generator=generator), torch.randn(16, 3, generator=generator)
        given["optimizer"].zero_grad()
        (network(x) - y).square().mean().backward()
        given["optimizer"].step()
        given["lr_scheduler"]["scheduler"].step()


def test_a_constant_schedule_and_one_by_the_inverse_root_do_not_know_the_end() -> None:
    for schedule in ("constant", "inverse_sqrt"):
        short, long = (
            [learning_rate_factor(s, warmup=4, steps=n, final=0.1, schedule=schedule) for s in range(400)]
            for n in (100, 10_000)
        )
        assert short == long
        assert short[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert short[19] == pytest.approx(0.5)  # the root of 5 / 20
    assert min(short) == short[399] == pytest.approx(max(0.1, (5 / 400) ** 0.5))
    assert learning_rate_factor(10**6, warmup=4, steps=100, final=0.1, schedule="inverse_sqrt") == 0.1
    assert learning_rate_factor(10**6, warmup=4, steps=100, final=0.1, schedule="constant") == 1


@MUON
def test_muon_trains_the_matrices_and_adamw_the_rest() -> None:
    mine, theirs = small_network(), small_network()
    options = OptimConfig(optimizer="muon", lr=0.01, weight_decay=0.1, schedule="constant", warmup_steps=0)
    train(mine, schedule_of(build_optimizer(mine, options), options, 10), range(5))
    matrices = [theirs[0].weight, theirs[2].weight]
    others = [value for value in theirs.parameters() if value.dim() == 1]
    by_hand = [
        torch.optim.Muon(matrices, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=0.01, weight_decay=0.0),
    ]
    for step in range(5):
        generator = torch.Generator().manual_seed(step)
        x, y = torch.randn(16, 6, generator=generator), torch.randn(16, 3, generator=generator)
        for optimizer in by_hand:
            optimizer.zero_grad()
        (theirs(x) - y).square().mean().backward()
        for optimizer in by_hand:
            optimizer.step()
    for ours, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(ours, other)


@MUON
def test_muon_goes_on_from_its_state() -> None:
    options = OptimConfig(optimizer="muon", lr=0.01, warmup_steps=2)
    whole, parts = small_network(), small_network()
    train(whole, schedule_of(build_optimizer(whole, options), options, 8), range(8))
    first = schedule_of(build_optimizer(parts, options), options, 8)
    train(parts, first, range(4))
    saved = copy.deepcopy([first["optimizer"].state_dict(), first["lr_scheduler"]["scheduler"].state_dict()])
    second = schedule_of(build_optimizer(parts, options), options, 8)
    second["optimizer"].load_state_dict(saved[0])
    second["lr_scheduler"]["scheduler"].load_state_dict(saved[1])
    train(parts, second, range(4, 8))
    for ours, other in zip(parts.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, other)


@MUON
def test_every_trained_parameter_is_in_one_group() -> None:
    task = pose_task(adversarial_weight=1.0)
    optimizer = build_optimizer(task, OptimConfig(optimizer="muon"))
    grouped = [id(value) for group in optimizer.param_groups for value in group["params"]]
    assert sorted(grouped) == sorted(id(value) for value in task.parameters() if value.requires_grad)
    assert all(value.dim() == 2 for value in optimizer.param_groups[0]["params"])


def test_an_older_torch_and_the_renderer_refuse_muon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(ConfigError, match=r"needs PyTorch 2\.9 or newer, not .*: update it, or leave"):
        MuonWithAdamW([nn.Parameter(torch.zeros(2, 2))], [], lr=1e-3, weight_decay=0.0)
    with pytest.raises(ConfigError, match="the renderer is made of convolutions: use adamw"):
        RendererOptimConfig(optimizer="muon")
