"""The columns of a motion, the noise that it is drawn from, and the steps from one to the other."""

import pytest
import torch
from torch import Tensor

from expnet.errors import ConfigError, InputError
from expnet.models.flow_matching.layout import GROUPS, MotionLayout
from expnet.models.flow_matching.noise import BLOCK, FrameNoise, smooth_head
from expnet.models.flow_matching.solver import Sampling, integrate

E = 5
LAYOUT = MotionLayout(GROUPS, E)


def test_columns_of_the_groups() -> None:
    assert (LAYOUT.slice("expression"), LAYOUT.slice("head"), LAYOUT.slice("lids")) == (
        slice(0, 5),
        slice(5, 11),
        slice(11, 12),
    )
    two = MotionLayout(["lids", "expression"], E)
    assert two.groups == ("expression", "lids")
    assert two.slice("lids") == slice(5, 6)
    assert two.spread(torch.tensor([[True, False]])).tolist() == [[True] * 5 + [False]]
    assert two.of_all(torch.arange(12)).tolist() == [0, 1, 2, 3, 4, 11]
    with pytest.raises(ConfigError, match="groups must be some of expression, head, lids, not"):
        MotionLayout(["mouth"], E)


@pytest.mark.parametrize("smooth", [0, 8])
def test_the_noise_of_a_frame_does_not_depend_on_the_window(smooth: int) -> None:
    noise = FrameNoise([3, 4], LAYOUT, smooth=smooth)
    whole = noise(0, 5 * BLOCK)
    for first, frames in ((0, 1), (1, 7), (BLOCK - 1, 2), (BLOCK, BLOCK), (70, 3 * BLOCK)):
        assert torch.equal(noise(first, frames), whole[:, first : first + frames])
    assert torch.equal(FrameNoise([4], LAYOUT, smooth=smooth)(9, 50)[0], whole[1, 9:59])
    assert not torch.equal(whole[0], whole[1])


def test_the_noise_of_a_group_does_not_depend_on_the_others() -> None:
    whole = FrameNoise([3], LAYOUT, smooth=4)(5, 40)
    alone = FrameNoise([3], MotionLayout(["head"], E), smooth=4)(5, 40)
    assert torch.equal(alone, whole[..., LAYOUT.slice("head")])


def test_the_noise_has_unit_variance_and_that_of_the_head_is_smooth() -> None:
    noise = FrameNoise(range(40), LAYOUT, smooth=8)(0, 250)
    assert noise.std(dim=(0, 1)).sub(1).abs().max() < 0.05
    assert noise[:, 0].std(dim=0).sub(1).abs().max() < 0.4  # the first frame, too
    change = noise.diff(dim=1).std(dim=(0, 1))
    assert change[LAYOUT.slice("head")].max() < 0.5
    assert change[LAYOUT.slice("expression")].min() > 1.3


def test_smoothing_frame_by_frame() -> None:
    white = torch.randn(2, 4 + 9, LAYOUT.size, generator=torch.Generator().manual_seed(0))
    found = smooth_head(white, LAYOUT, 4)
    taps = torch.tensor([0.25, 0.75, 1.0, 0.75, 0.25])
    taps = taps / taps.norm()
    for frame in range(9):
        expected = sum(tap * white[:, frame + k, 5:11] for k, tap in enumerate(taps))
        torch.testing.assert_close(found[:, frame, 5:11], expected)
    assert torch.equal(found[..., :5], white[:, 4:, :5])


def test_a_seed_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="A seed must be 0 or more, not -2"):
        FrameNoise([1, -2], LAYOUT, smooth=0)


def test_steps_along_a_straight_flow_are_exact() -> None:
    noise, data = torch.randn(1, 4, 3), torch.randn(1, 4, 3)
    for steps in (1, 4):
        drawn = integrate(lambda state, time: data - noise, noise, Sampling(steps=steps))
        torch.testing.assert_close(drawn, data)


def test_midpoint_steps_converge_faster() -> None:
    """``dx/dt = x`` ends at ``e x``: errors of Euler fall as 1 / steps, those of the midpoint as 1 / steps^2."""
    noise = torch.ones(1, 1, 1, dtype=torch.float64)

    def error(steps: int, method: str) -> float:
        drawn = integrate(lambda state, time: state, noise, Sampling(steps=steps, method=method))  # type: ignore[arg-type]
        return abs(float(drawn) - 2.718281828459045)

    assert error(20, "euler") / error(40, "euler") == pytest.approx(2, rel=0.1)
    assert error(20, "midpoint") / error(40, "midpoint") == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(
    ("audio", "style", "evaluations"), [(1.0, 1.0, 1), (1.5, 1.0, 2), (1.0, 1.5, 3), (2.0, 1.5, 3)]
)
def test_guidance_is_nested(audio: float, style: float, evaluations: int) -> None:
    values: dict[tuple[bool, bool], Tensor] = {
        (True, True): torch.tensor(5.0),
        (False, True): torch.tensor(3.0),
        (False, False): torch.tensor(-1.0),
    }
    branches = Sampling(audio_guidance=audio, style_guidance=style).branches()
    assert len(branches) == evaluations
    found = sum(weight * values[heard, styled] for heard, styled, weight in branches)
    assert float(found) == pytest.approx(-1 + style * (3 - -1) + audio * (5 - 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "1 step or more, not in 0"),
        ({"method": "heun"}, "euler, midpoint"),
        ({"temperature": -1}, "not -1"),
    ],
)
def test_sampling_out_of_range_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sampling(**changes)  # type: ignore[arg-type]
