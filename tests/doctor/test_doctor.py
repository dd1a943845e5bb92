"""The doctor names what is missing, with the command that fixes it."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import pytest

from expnet.assets.registry import ASSETS
from expnet.cli import command_line
from expnet.config.benchmark import VideoBenchmarkConfig
from expnet.config.evaluate import EvaluateConfig
from expnet.doctor import conflicts
from expnet.doctor import examine as doctor


def test_this_environment_is_healthy() -> None:
    report, healthy = doctor.examine()
    assert healthy, report
    assert "missing" not in report
    assert "torch 2" in report
    assert "expression, sampled motion, live expression and head pose" in report
    assert "VP9" in report
    assert "go together" in report


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    found = doctor.util.find_spec
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None if name == "mediapipe" else found(name))
    report, healthy = doctor.examine()
    assert not healthy
    assert "pip install mediapipe==0.10.14" in report


def test_where_no_mediapipe_bundles_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """mediapipe 0.10.14 has no wheel for Python 3.13, so it is not recommended there."""
    found = doctor.util.find_spec
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None if name == "mediapipe" else found(name))
    for module in (doctor, conflicts):
        monkeypatch.setattr(module, "bundles_models", lambda: False)
    report, healthy = doctor.examine()
    assert not healthy
    line = next(line for line in report.splitlines() if "face tracker" in line)
    assert "0.10.14" not in line
    assert "--tracker FILE.task" in line


@pytest.mark.parametrize(
    "command",
    [
        "animate --image a.png --text a --output a.mp4",
        "animate --batch a.csv --output a",
        "ui",
        "styles --output a.png",
        "convert a.npz --to gltf --image a.png --output a.glb",
        "preprocess a --output b",
    ],
)
def test_every_command_that_looks_at_a_face_takes_the_recommended_tracker(command: str) -> None:
    parsed = command_line._parser().parse_args([*command.split(), "--tracker", "FILE.task"])
    assert parsed.tracker == "FILE.task"


@pytest.mark.parametrize("schema", [EvaluateConfig, VideoBenchmarkConfig])
def test_both_evaluations_take_the_recommended_tracker(schema: type) -> None:
    assert {"tracker"} <= {field.name for field in fields(schema)}


def test_the_command_that_fetches_weights_is_one_that_exists() -> None:
    text = doctor._assets().fix or f"expnet assets fetch {' '.join(ASSETS)}"
    parsed = command_line._parser().parse_args(text.split()[1:])
    assert set(parsed.names) <= set(ASSETS)


def test_a_torch_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "import_error", lambda name: f"{name}: libcudnn.so.9: cannot open shared object file")
    report, healthy = doctor.examine()
    assert not healthy
    assert "libcudnn.so.9" in report


def test_an_opencv_that_needs_a_screen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
    for module in [one for one in sys.modules if one.partition(".")[0] == "cv2"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(tmp_path)
    report, healthy = doctor.examine()
    assert not healthy
    assert "libGL.so.1" in report
    assert "opencv-python-headless" in report


def test_a_missing_extra_is_not_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    found = doctor.util.find_spec
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None if name == "espeakng_loader" else found(name))
    report, healthy = doctor.examine()
    assert healthy
    assert "optional" in report
    assert "expnet[speech]" in report


def test_missing_weight_files_are_not_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("EXPNET_ASSETS", str(tmp_path))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    (tmp_path / "syncnet_v2.model").touch()
    report, healthy = doctor.examine()
    assert healthy
    line = next(line for line in report.splitlines() if "metric weights" in line)
    assert "optional" in line
    assert "syncnet of" in line
    assert "expnet assets fetch inception alexnet" in line
