"""Live motion: windows on a schedule that agree with one another, whatever is drawn."""

from __future__ import annotations

import pytest
import torch

from expnet.errors import InputError
from expnet.models.flow_matching.live import FADE, LiveFlow, Schedule, continued, steady
from expnet.models.flow_matching.motion import Motion, join
from expnet.models.flow_matching.solver import Sampling
from tests.models.flow_matching.test_motion_flow import E, inputs, network, same

QUICK, SCHEDULE = Sampling(steps=3), Schedule(hop=5, lookahead=5, history=20)


def drawn(flow: LiveFlow, frames: int, features: torch.Tensor) -> Motion:
    """Draw blocks from the features (B, T, F) of the whole speech, of which each window sees its own frames."""
    blocks = []
    while flow.frame < frames:
        first, end = flow.first, flow.schedule.heard(flow.frame)
        speech = flow.network.speech(None, features[:, first:end], end - first)
        blocks.append(flow.draw(speech).between(0, flow.schedule.hop))
    return join(blocks)


@pytest.mark.parametrize("groups", [["expression", "head", "lids"], ["expression"], ["head"]])
def test_a_motion_depends_on_its_own_seed_and_speech(groups: list[str]) -> None:
    model, given = network(groups=groups), inputs(batch=2, frames=70)
    first, pose, features = given["first_expression"], given["first_pose"], given["features"]
    both = drawn(LiveFlow(model, first, SCHEDULE, first_pose=pose, seed=[3, 4], sampling=QUICK), 60, features)
    flow = LiveFlow(model, first[1:], SCHEDULE, first_pose=pose[1:], seed=4, sampling=QUICK)
    alone = drawn(flow, 60, features[1:])
    for part, own in ((both.expression, alone.expression), (both.pose, alone.pose), (both.lids, alone.lids)):
        assert (part is None) == (own is None)
        if part is not None and own is not None:
            assert part.shape[1] == 60
            torch.testing.assert_close(part[1:], own, atol=1e-4, rtol=0)
            assert float((part[0] - part[1]).abs().max()) > 0.01
    if both.pose is not None:
        assert torch.equal(both.pose[:, 0], torch.zeros(2, 6))
    again = LiveFlow(model, first[1:], SCHEDULE, first_pose=pose[1:], seed=4, sampling=QUICK)
    assert same(alone, drawn(again, 60, features[1:]))


def test_speech_before_the_window_and_after_the_look_ahead_is_not_heard() -> None:
    model, given = network(groups=["expression"]), inputs(frames=70)
    changed = given["features"].clone()
    changed[:, 40:] *= -1
    one, other = (
        drawn(LiveFlow(model, given["first_expression"], SCHEDULE, sampling=QUICK), 60, x).expression
        for x in (given["features"], changed)
    )
    assert one is not None
    assert other is not None
    differs = (one != other).any(dim=-1)[0]
    assert not differs[:35].any()  # the block of frames 30 to 34 hears frames 10 to 39
    assert differs[35:].all()


def test_the_average_of_the_noise_is_that_of_every_window() -> None:
    layout = network().layout
    noise, constant = torch.randn(1, 16, layout.size), torch.randn(1, 1, layout.size)
    fixed, head = steady(noise, constant, layout), layout.slice("head")
    assert torch.equal(fixed[..., head], noise[..., head])
    expected = constant[:, 0] / 4
    assert torch.allclose(fixed.mean(dim=1)[:, :E], expected[:, :E], atol=1e-6)
    torch.testing.assert_close(fixed.diff(dim=1), noise.diff(dim=1))


def test_a_step_to_a_new_drawing_fades() -> None:
    motion = Motion(torch.zeros(1, 10, E), lids=torch.full((1, 10), 0.1))
    last = Motion(torch.ones(1, 1, E), lids=torch.full((1, 1), 0.0))
    redrawn = Motion(torch.zeros(1, 1, E), lids=torch.full((1, 1), 0.9))
    faded = continued(last, redrawn, motion)
    assert faded.expression is not None
    assert faded.lids is not None
    steps = torch.cat([last.expression, faded.expression], dim=1)[0, :, 0].diff()  # type: ignore[list-item]
    assert bool((steps <= 0).all())
    assert float(steps.abs().max()) < 0.3
    assert not faded.expression[0, FADE:].any()
    assert float(faded.lids.min()) == 0  # closures stay in range


def test_schedules() -> None:
    assert Schedule.of_seconds(0.4) == Schedule()
    assert Schedule().heard(10) == 25
    for values, said in (({"hop": 26}, "1 to 25"), ({"lookahead": -1}, "0 to 50"), ({"history": 0}, "1 to 250")):
        with pytest.raises(InputError, match=said):
            Schedule(**values)
    with pytest.raises(InputError, match="expected seconds of speech"):
        Schedule.of_seconds(float("nan"))
