"""A regression guard of speed: ratios of processor time in one process, with generous bounds, and proof that it fires.

The bounds are a half or less of what `benchmarks/speed.py` measures (docs/results/speed.md): they catch a loop that
fell back to Python or a network that is run twice over, not a few per cent.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.data import astronaut
from skimage.feature import canny
from skimage.metrics import structural_similarity

from expnet.audio.alignment import mel_columns
from expnet.metrics.functional import cpbd, sharpness, ssim
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.sadtalker import SADTALKER_EXPRESSION
from expnet.render import rasterize

Sides = tuple[Callable[[], object], Callable[[], object]]


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("speed_rows.measure")


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def sharpness_sides() -> Sides:
    """CPBD against scikit-image's Canny alone, which took half of its time."""
    pictures = torch.from_numpy(astronaut()[:256, :256].copy()).permute(2, 0, 1).repeat(4, 1, 1, 1)
    greys = sharpness.luma(pictures).double().numpy()
    return lambda: cpbd(pictures), lambda: [canny(grey) for grey in greys]


def similarity_sides() -> Sides:
    """SSIM against scikit-image with the same settings."""
    first = astronaut()[:256, :256] / 255.0
    second = np.clip(first + np.random.default_rng(0).normal(size=first.shape) * 0.05, 0, 1)
    ours = [torch.from_numpy(image).permute(2, 0, 1)[None] for image in (first, second)]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return lambda: ssim(*ours), lambda: structural_similarity(first, second, channel_axis=2, **settings)


def expression_sides() -> Sides:
    """The default network on two seconds against SadTalker's windows."""
    own, published = ExpressionRegressor().eval(), ExpressionRegressor(**SADTALKER_EXPRESSION).eval()
    mel, first = torch.randn(1, 80, mel_columns(50)), torch.zeros(1, 64)

    def run(network: ExpressionRegressor) -> torch.Tensor:
        with torch.inference_mode():
            return network(mel, 50, first)

    return lambda: run(own), lambda: run(published)


def sampler_sides() -> Sides:
    """The renderer's cubic sampler with every pixel moved, against SciPy's on the three channels.

    SciPy's takes the same time in every process; copies of the frame, the yardstick before, were six times faster once
    the process had freed a larger block of memory.
    """
    picture = np.ascontiguousarray(astronaut()[:256, :256])
    padded, frame = rasterize.pad_image(picture), np.empty_like(picture)
    moved = rasterize.identity_map(256, 256) + np.float32(0.37)
    plate = np.zeros(picture.shape, np.float32)
    channels, places = picture.astype(np.float32), np.mgrid[:256, :256] + 0.37
    return (
        lambda: rasterize.sample(padded, moved, rasterize.PADDING, plate, frame),
        lambda: [
            ndimage.map_coordinates(channels[..., channel], places, order=3, mode="nearest", prefilter=False)
            for channel in range(3)
        ],
    )


@dataclass(frozen=True)
class Guard:
    """A comparison, and its smallest acceptable ratio (their seconds divided by ours)."""

    sides: Callable[[], Sides]
    floor: float


GUARDS = {
    "cpbd": Guard(sharpness_sides, 0.8),
    "ssim": Guard(similarity_sides, 0.5),
    "expression": Guard(expression_sides, 5.0),
    "sampler": Guard(sampler_sides, 4.0),
}


def ratio(measure: ModuleType, sides: Sides) -> float:
    return float(measure.compare(*sides, repeats=5).ratio("processor").median)


@pytest.mark.parametrize("name", list(GUARDS))
def test_nothing_has_become_much_slower(measure: ModuleType, name: str) -> None:
    assert ratio(measure, GUARDS[name].sides()) > GUARDS[name].floor


def test_a_planted_slowdown_is_noticed(measure: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's Canny is replaced by a Python loop over the same image."""
    compiled = sharpness.canny_edges

    def interpreted(grey: np.ndarray) -> np.ndarray:
        sum(1 for value in grey.ravel() if value > 0.1)
        return compiled(grey)

    monkeypatch.setattr(sharpness, "canny_edges", interpreted)
    assert ratio(measure, GUARDS["cpbd"].sides()) < GUARDS["cpbd"].floor


def test_a_slower_sampler_is_noticed(measure: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    original = rasterize.sample
    monkeypatch.setattr(rasterize, "sample", lambda *given: [original(*given) for _ in range(10)])
    assert ratio(measure, GUARDS["sampler"].sides()) < GUARDS["sampler"].floor


def test_help_needs_no_torch(measure: ModuleType) -> None:
    """``expnet --help`` in a process of its own, against importing torch."""
    commands = importlib.import_module("speed_rows.commands")  # beside `measure`, whose fixture made it importable
    helping = commands.run("-c", "import sys; from expnet.cli import main; main(['--help'])")
    pairs = measure.compare(helping, commands.run("-c", "import torch"), repeats=1, warm=False)
    assert pairs.ratio("processor").median > 3.0


def test_ratios_are_of_neighbours(measure: ModuleType) -> None:
    """A machine that is temporarily busy slows both sides of a pair, so the ratio does not change."""
    pairs = measure.Pairs(
        [measure.Seconds(w, w / 2) for w in (1.0, 9.0, 2.0)], [measure.Seconds(w, w) for w in (2.0, 18.0, 4.0)]
    )
    assert pairs.ratio("wall") == measure.Spread(2.0, 2.0, 2.0)
    assert pairs.ratio("processor").median == 4.0


def test_a_row_knows_on_which_side_of_its_aim_it_is(measure: ModuleType) -> None:
    def row(median: float, *, at_most: bool) -> Any:
        spread = measure.Spread(median, median, median)
        return measure.Row("name", "what", "against", 1.0, 1.0, "s", spread, 1.5, "wall", at_most=at_most)

    assert row(1.6, at_most=False).met
    assert not row(1.4, at_most=False).met
    assert row(1.4, at_most=True).met
    assert not row(1.6, at_most=True).met
    assert row(1.6, at_most=True).plain()["met"] is False
