"""Packages that are each well and do not go together: the combinations known to fail, and what mends each."""

from collections.abc import Callable
from importlib import util
from pathlib import Path

from expnet.doctor.finding import Finding, import_error, numbers, version_of

_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
_DRIVER = Path("/proc/driver/nvidia/version")
# The tracker's generated code is read by protobuf 4.25 and, with a message on stderr, by 6.31.1 to 6.x.
_PROTOBUF = (((4, 25, 3), (5, 0, 0)), ((6, 31, 1), (7, 0, 0)))
# mediapipe's later releases have neither `solutions` nor models in the wheel.
_LAST_WITH_SOLUTIONS = (0, 10, 21)


def numpy_is_new_enough() -> Finding | None:
    """NumPy 1 lacks what the code calls, and packages built for 2 refuse it."""
    version = version_of("numpy")
    if version is None or numbers(version) >= (2, 0, 0):
        return None
    return Finding("numpy", f"{version}, version 2 is needed", "pip install 'numpy>=2'")


def torchvision_fits_torch() -> Finding | None:
    """A torch without CUDA beside a torchvision with it (or another release) breaks lpips and torchmetrics.

    It shows as ``operator torchvision::nms does not exist`` in whatever is imported first.
    """
    error = import_error("torchvision")
    if error is None:
        return None
    return Finding(
        "torchvision",
        f"{version_of('torchvision')} does not fit torch {version_of('torch')} ({error})",
        "pip install --force-reinstall torch torchvision (both from one index, in one command)",
    )


def torchaudio_fits_torch() -> Finding | None:
    """The last torchaudio is older than torch and cannot be imported beside it; nothing here needs it."""
    error = import_error("torchaudio")
    if error is None:
        return None
    status = f"{version_of('torchaudio')} does not fit torch {version_of('torch')} ({error})"
    return Finding("torchaudio", status, "pip uninstall torchaudio (expnet does without)", optional=True)


def cuda_has_a_driver() -> Finding | None:
    """A graphics card whose driver this torch cannot use is slow without a word."""
    if util.find_spec("torch") is None or not _DRIVER.exists():
        return None
    import torch

    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return Finding("graphics card", "this torch is built without CUDA", "pip install --force-reinstall torch")
    status = f"not usable by this torch, which needs a driver for CUDA {torch.version.cuda}"
    return Finding(
        "graphics card", status, "update the NVIDIA driver, or install a torch built for the one that is there"
    )


def mediapipe_has_its_solutions() -> Finding | None:
    """Later releases of mediapipe have no ``solutions`` and no models in the wheel."""
    version = version_of("mediapipe")
    if version is None or (numbers(version) <= _LAST_WITH_SOLUTIONS and util.find_spec("mediapipe.python.solutions")):
        return None
    return Finding(
        "mediapipe",
        f"{version} has no `solutions`, with which faces are tracked and people cut out",
        "pip install mediapipe==0.10.14, or pass --tracker FILE.task",
    )


def protobuf_fits_mediapipe() -> Finding | None:
    """Several releases of protobuf cannot read what mediapipe was generated with."""
    version = version_of("protobuf")
    if version is None or version_of("mediapipe") is None:
        return None
    if any(low <= numbers(version) < high for low, high in _PROTOBUF):
        return None
    return Finding("protobuf", f"{version} cannot be read by mediapipe", "pip install 'protobuf>=4.25.3,<5'")


def opencv_is_of_one_version() -> Finding | None:
    """Its builds share one folder: of two versions, files of both lie in it."""
    found = {package: version for package in _OPENCV if (version := version_of(package))}
    if len(set(found.values())) < 2:
        return None
    newest = max(found.values(), key=numbers)
    return Finding(
        "opencv",
        " beside ".join(f"{package} {version}" for package, version in found.items()),
        f"pip install --force-reinstall --no-deps {' '.join(f'{package}=={newest}' for package in found)}",
    )


def machine_code_can_be_kept() -> Finding | None:
    """Where numba finds no folder to write to, each process compiles the renderer's loops anew."""
    if util.find_spec("numba") is None:
        return None
    import numba

    try:
        numba.njit(cache=True)(_anything)
    except RuntimeError:
        status = "no folder to keep compiled loops in: every process compiles them anew"
        return Finding(
            "numba cache", status, "export NUMBA_CACHE_DIR=$HOME/.cache/numba (any folder to write to)", True
        )
    return None


CONFLICTS: tuple[Callable[[], Finding | None], ...] = (
    numpy_is_new_enough,
    torchvision_fits_torch,
    torchaudio_fits_torch,
    cuda_has_a_driver,
    mediapipe_has_its_solutions,
    protobuf_fits_mediapipe,
    opencv_is_of_one_version,
    machine_code_can_be_kept,
)
"""Each gives a finding where its combination is here, None where all is well."""


def _anything(value: float) -> float:
    return value
