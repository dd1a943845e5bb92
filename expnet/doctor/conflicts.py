"""Combinations of packages that are known to fail together, and the command that fixes each."""

from collections.abc import Callable
from importlib import util
from pathlib import Path

from expnet.doctor.finding import Finding, import_error, version_numbers, version_of

_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
_DRIVER = Path("/proc/driver/nvidia/version")
# The tracker's generated code works with protobuf 4.25 and, with a message on stderr, with 6.31.1 to 6.x.
_PROTOBUF_RANGES = (((4, 25, 3), (5, 0, 0)), ((6, 31, 1), (7, 0, 0)))
# Later releases of mediapipe have neither `solutions` nor models in the wheel.
_LAST_WITH_SOLUTIONS = (0, 10, 21)


def numpy_is_new_enough() -> Finding | None:
    """NumPy 1 lacks functions that expnet calls, and packages built for NumPy 2 refuse it."""
    version = version_of("numpy")
    if version is None or version_numbers(version) >= (2, 0, 0):
        return None
    return Finding("numpy", f"{version}, version 2 is needed", "pip install 'numpy>=2'")


def torchvision_fits_torch() -> Finding | None:
    """A torchvision built for another torch (release or CUDA) breaks lpips and torchmetrics.

    The error, ``operator torchvision::nms does not exist``, appears in whichever is imported first.
    """
    error = import_error("torchvision")
    if error is None:
        return None
    return Finding(
        "torchvision",
        f"{version_of('torchvision')} does not fit torch {version_of('torch')} ({error})",
        "pip install --force-reinstall torch torchvision  # both from the same index, in one command",
    )


def torchaudio_fits_torch() -> Finding | None:
    """The last torchaudio is older than torch and cannot be imported with it; expnet does not need it."""
    error = import_error("torchaudio")
    if error is None:
        return None
    status = f"{version_of('torchaudio')} does not fit torch {version_of('torch')} ({error})"
    return Finding("torchaudio", status, "pip uninstall torchaudio  # expnet does not need it", optional=True)


def cuda_has_a_driver() -> Finding | None:
    """With a driver that torch cannot use, everything silently runs on the CPU."""
    if util.find_spec("torch") is None or not _DRIVER.exists():
        return None
    import torch

    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return Finding("graphics card", "this torch is built without CUDA", "pip install --force-reinstall torch")
    status = f"not usable by this torch, which needs a driver for CUDA {torch.version.cuda}"
    return Finding("graphics card", status, "update the NVIDIA driver")


def protobuf_fits_mediapipe() -> Finding | None:
    """Several releases of protobuf cannot read mediapipe's generated code."""
    version = version_of("protobuf")
    mediapipe = version_of("mediapipe")
    if version is None or mediapipe is None or version_numbers(mediapipe) > _LAST_WITH_SOLUTIONS:
        return None  # later releases of mediapipe choose their own protobuf
    if any(low <= version_numbers(version) < high for low, high in _PROTOBUF_RANGES):
        return None
    return Finding("protobuf", f"{version} does not work with mediapipe", "pip install 'protobuf>=4.25.3,<5'")


def opencv_is_of_one_version() -> Finding | None:
    """The builds of OpenCV share one folder, which then holds files of both versions."""
    found = {package: version for package in _OPENCV if (version := version_of(package))}
    if len(set(found.values())) < 2:
        return None
    newest = max(found.values(), key=version_numbers)
    return Finding(
        "opencv",
        " beside ".join(f"{package} {version}" for package, version in found.items()),
        f"pip install --force-reinstall --no-deps {' '.join(f'{package}=={newest}' for package in found)}",
    )


def machine_code_can_be_kept() -> Finding | None:
    """Without a writable folder for numba, each process compiles the renderer's loops again."""
    if util.find_spec("numba") is None:
        return None
    import numba

    try:
        numba.njit(cache=True)(_identity)
    except RuntimeError:
        status = "no writable folder for compiled loops: every process compiles them again"
        return Finding("numba cache", status, "export NUMBA_CACHE_DIR=$HOME/.cache/numba  # any writable folder", True)
    return None


CONFLICTS: tuple[Callable[[], Finding | None], ...] = (
    numpy_is_new_enough,
    torchvision_fits_torch,
    torchaudio_fits_torch,
    cuda_has_a_driver,
    protobuf_fits_mediapipe,
    opencv_is_of_one_version,
    machine_code_can_be_kept,
)
"""Checks, each of which returns a finding if its combination is installed, or None."""


def _identity(value: float) -> float:
    return value
