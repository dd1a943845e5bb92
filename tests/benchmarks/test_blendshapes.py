"""``benchmarks/blendshapes.py``: correlations of curves that are known by construction."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from expnet.formats.blendshapes import BLENDSHAPES


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("mediapipe")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("blendshapes")


def test_correlations_are_of_frames_that_both_have_and_of_shapes_that_move(benchmark: ModuleType) -> None:
    curve = np.sin(np.arange(40) / 3.0) / 2 + 0.5
    ours, theirs = np.zeros((40, 52)), np.zeros((40, 52))
    jaw, smile, blink = (BLENDSHAPES.index(name) for name in ("JawOpen", "MouthSmileLeft", "EyeBlinkRight"))
    ours[:, jaw], theirs[:, jaw] = curve, 0.3 * curve
    ours[:, smile], theirs[:, smile] = curve, 1 - curve
    ours[:, blink], theirs[:, blink] = curve, 0.001 * curve  # the network holds it still
    ours[7, jaw] = 99.0
    theirs[7] = np.nan  # no face there
    found = {name: one.correlation for name, one in benchmark.agreements(ours, theirs).items()}
    assert found == {"JawOpen": pytest.approx(1.0), "MouthSmileLeft": pytest.approx(-1.0)}
