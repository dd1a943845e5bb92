"""The doctor names what is missing, with the command that fixes it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
import requests

from expnet.assets.registry import ASSETS
from expnet.cli import command_line
from expnet.config.benchmark import VideoBenchmarkConfig
from expnet.config.evaluate import EvaluateConfig
from expnet.doctor import examine as doctor
from expnet.face.tracking_models import LANDMARKS, TRACKING_MODELS, locate_model


def test_this_environment_is_healthy() -> None:
    report, healthy = doctor.examine()
    assert healthy, report
    assert "missing" not in report
    assert "torch 2" in report
    assert "expression, sampled motion, live expression and head pose" in report
    assert "VP9" in report
    assert "go together" in report


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Hide packages, and look for assets in ``tmp_path`` alone."""
    found = doctor.util.find_spec

    def hide(*packages: str) -> None:
        monkeypatch.setattr(doctor.util, "find_spec", lambda name: None if name in packages else found(name))
        monkeypatch.setenv("EXPNET_ASSETS", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.delenv("TORCH_HOME", raising=False)

    return hide


def line_of(report: str, name: str) -> str:
    return next(line for line in report.splitlines() if line[11:].startswith(name))


def test_a_missing_tracker_is_named_with_its_remedy(without: Callable[..., None]) -> None:
    without("mediapipe", "ai_edge_litert")
    report, healthy = doctor.examine()
    assert not healthy
    assert "->  pip install ai-edge-litert && expnet assets fetch face-tracker" in line_of(report, "face tracker")


def test_fetching_the_models_mends_the_tracker(
    without: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    served = {model.address: place for model in TRACKING_MODELS if (place := locate_model(model)) is not None}
    if len(served) < len(TRACKING_MODELS):
        pytest.skip("the models are not here")

    def get(address: str, **_: object) -> requests.Response:
        response = requests.Response()
        response.status_code, response.raw = 200, served[address].open("rb")
        return response

    without("mediapipe")
    monkeypatch.setattr(requests, "get", get)
    for state in ("missing", "damaged"):
        report, healthy = doctor.examine()
        assert not healthy, state
        fix = line_of(report, "face tracker").partition("->  ")[2]
        for command in fix.split(" && "):
            words = shlex.split(command)
            if words[0] == "rm":
                Path(words[1]).unlink()
            else:
                assert command_line.main(words[1:]) == 0
        report, healthy = doctor.examine()
        assert healthy, report
        assert "LiteRT" in line_of(report, "face tracker")
        (tmp_path / LANDMARKS.file).write_bytes(b"another version")


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
def test_every_command_that_looks_at_a_face_takes_a_tracker(command: str) -> None:
    parsed = command_line._parser().parse_args([*command.split(), "--tracker", "litert"])
    assert parsed.tracker == "litert"


@pytest.mark.parametrize("schema", [EvaluateConfig, VideoBenchmarkConfig])
def test_both_evaluations_take_a_tracker(schema: type) -> None:
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


def test_missing_weight_files_are_not_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, face_tracker: tuple[Path, ...]
) -> None:
    for model in face_tracker:
        (tmp_path / model.name).symlink_to(model)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("EXPNET_ASSETS", str(tmp_path))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    (tmp_path / "syncnet_v2.model").touch()
    report, healthy = doctor.examine()
    assert healthy
    line = next(line for line in report.splitlines() if "metric weights" in line)
    assert "optional" in line
    assert "syncnet of" in line
    assert "expnet assets fetch inception i3d alexnet" in line
