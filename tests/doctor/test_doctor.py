"""The doctor names what is missing, with the command that fixes it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from expnet.doctor import examine as doctor


def test_this_environment_is_healthy() -> None:
    report, healthy = doctor.examine()
    assert healthy, report
    assert "missing" not in report
    assert "torch 2" in report
    assert "live expression and head pose" in report
    assert "VP9" in report
    assert "go together" in report


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    found = doctor.util.find_spec
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None if name == "mediapipe" else found(name))
    report, healthy = doctor.examine()
    assert not healthy
    assert "pip install mediapipe==0.10.14" in report


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
    assert "expnet assets fetch inception|alexnet" in line
