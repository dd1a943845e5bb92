"""Each known conflict of packages is recognised when it is simulated, with the command that fixes it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numba
import pytest

from expnet.doctor import conflicts
from expnet.doctor import examine as doctor
from expnet.doctor.finding import version_numbers

Plant = Callable[..., None]


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Simulate other versions of packages: ``versions(numpy="1.26.4")``."""
    real = conflicts.version_of

    def plant(**planted: str | None) -> None:
        given = {name.replace("_", "-"): version for name, version in planted.items()}
        monkeypatch.setattr(conflicts, "version_of", lambda name: given.get(name, real(name)))

    return plant


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plant:
    """Shadow a package by one that cannot be imported."""

    def plant(name: str, error: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise {error}\n")
        for module in [one for one in sys.modules if one.partition(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.syspath_prepend(tmp_path)

    return plant


def has_fix(finding: conflicts.Finding | None, *parts: str) -> bool:
    """Whether there is a finding with a fix, whose line has these parts."""
    assert finding is not None
    assert finding.fix
    return all(part in finding.line() for part in parts)


def test_an_old_numpy(versions: Plant) -> None:
    versions(numpy="1.26.4")
    assert has_fix(conflicts.numpy_is_new_enough(), "1.26.4", "pip install 'numpy>=2'")


def test_a_torch_without_cuda_beside_torchvision(broken: Plant) -> None:
    broken("torchvision", "RuntimeError('operator torchvision::nms does not exist')")
    found = conflicts.torchvision_fits_torch()
    assert has_fix(found, "nms does not exist", "pip install --force-reinstall torch torchvision")
    assert not found.optional


def test_a_torchaudio_of_another_torch(broken: Plant) -> None:
    broken("torchaudio", "OSError('undefined symbol: _ZN5torch')")
    found = conflicts.torchaudio_fits_torch()
    assert has_fix(found, "undefined symbol", "pip uninstall torchaudio")
    assert found.optional


@pytest.mark.parametrize(
    ("built_for", "fix"), [("12.6", "update the NVIDIA driver"), (None, "--force-reinstall torch")]
)
def test_a_graphics_card_that_torch_cannot_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, built_for: str | None, fix: str
) -> None:
    import torch

    driver = tmp_path / "version"
    driver.touch()
    monkeypatch.setattr(conflicts, "_DRIVER", driver)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert has_fix(conflicts.cuda_has_a_driver(), "graphics card", fix)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert conflicts.cuda_has_a_driver() is None


@pytest.mark.parametrize("version", ["3.20.3", "5.29.2", "6.30.2", "7.1.0"])
def test_a_protobuf_that_mediapipe_cannot_read(versions: Plant, version: str) -> None:
    versions(protobuf=version, mediapipe="0.10.14")
    assert has_fix(conflicts.protobuf_fits_mediapipe(), version, "pip install 'protobuf>=4.25.3,<5'")


@pytest.mark.parametrize("version", ["4.25.9", "6.33.6"])
def test_a_protobuf_that_it_can(versions: Plant, version: str) -> None:
    versions(protobuf=version, mediapipe="0.10.14")
    assert conflicts.protobuf_fits_mediapipe() is None


def test_two_builds_of_opencv(versions: Plant) -> None:
    versions(opencv_contrib_python="5.0.0.93", opencv_python_headless="4.9.0.80", opencv_python=None)
    found = conflicts.opencv_is_of_one_version()
    assert has_fix(found, "opencv-python-headless 4.9.0.80 beside", "opencv-python-headless==5.0.0.93")
    versions(opencv_contrib_python="5.0.0.93", opencv_python_headless="5.0.0.93")
    assert conflicts.opencv_is_of_one_version() is None


def test_numba_without_a_folder_to_write_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.core.caching.CompileResultCacheImpl, "_locator_classes", [])
    found = conflicts.machine_code_can_be_kept()
    assert has_fix(found, "NUMBA_CACHE_DIR")
    assert found.optional


def test_the_doctor_reports_conflicts(versions: Plant) -> None:
    versions(numpy="1.26.4")
    report, healthy = doctor.examine()
    assert not healthy
    assert "missing  numpy" in report


def test_versions_are_compared_by_number() -> None:
    assert version_numbers("2.15.0+cu126") == (2, 15, 0)
    assert version_numbers("5.0") == (5, 0, 0)
    assert version_numbers("10.1.2") > version_numbers("9.9.9")
