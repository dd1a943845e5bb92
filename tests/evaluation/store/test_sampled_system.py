"""Motion networks in ``evaluate.py``: a row of samples beside the regression."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from expnet.config.evaluate import EvaluateConfig
from expnet.config.grammar import merge
from expnet.errors import InputError
from expnet.evaluation.main import main
from expnet.evaluation.store.clips import select_clips
from expnet.evaluation.store.sampled_system import SampledMotion
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.saved_model import save_model


@pytest.fixture
def motion(tmp_path: Path) -> Path:
    """A motion network with random weights, which hears the mel."""
    return save_model(tmp_path / "motion" / "model.safetensors", random_network())


def random_network(**changes: Any) -> MotionFlow:
    torch.manual_seed(0)
    network = MotionFlow(width=16, layers=1, audio_channels=8, **changes)
    torch.nn.init.normal_(network.head.weight, std=0.3)
    return network.eval()


def test_the_row_of_a_motion_network(options: list[str], motion: Path) -> None:
    assert main([*options, f"motion={motion}", "data.limit=4", "protocol.pose_samples=2"]) == 0
    output = next(option.partition("=")[2] for option in options if option.startswith("output="))
    results = json.loads((Path(output) / "results.json").read_text())
    assert list(results["systems"])[2:4] == ["ours", "sampled"]
    scores = results["systems"]["sampled"]["metrics"]
    # noise of a random network moves the brows, and two seeds differ
    assert scores["brows_deviation_ratio"]["mean"] > 0.5
    assert scores["pose_diversity"]["mean"] > 0
    assert "Motion network" in results["systems"]["sampled"]["description"]


def test_samples_depend_on_the_clip_and_the_seed_alone(options: list[str], world: SimpleNamespace) -> None:
    config: Any = merge(EvaluateConfig, options)
    selection, network = select_clips(config), random_network()
    clips = [selection.read(entry) for entry in selection.scored[:2]]
    several = [SampledMotion(network, samples=2).predict(clip) for clip in clips]
    again = SampledMotion(network, samples=2).predict(clips[1])
    assert several[1].expression_samples is not None
    assert again.expression_samples is not None
    assert torch.equal(again.expression_samples, several[1].expression_samples)
    assert torch.equal(again.expression, again.expression_samples[0])
    assert not torch.equal(again.expression_samples[0], again.expression_samples[1])
    one = SampledMotion(network, samples=1).predict(clips[1])
    torch.testing.assert_close(one.expression, again.expression)
    assert one.expression_samples is None
    other = SampledMotion(network, samples=1, seed=1).predict(clips[1])
    assert not torch.allclose(other.expression, one.expression)
    # the pose is absolute: frame 0 is that of the clip
    assert one.pose is not None
    torch.testing.assert_close(one.pose[0], clips[1].pose[0])


def test_a_network_without_expression_is_refused(options: list[str], tmp_path: Path) -> None:
    path = save_model(tmp_path / "head" / "model.safetensors", random_network(groups=["head"]))
    with pytest.raises(InputError, match="draws no expression: there is nothing to compare with the clips"):
        main([*options, f"motion={path}"])
