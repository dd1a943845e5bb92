"""``expnet doctor``: what this environment has, what it lacks, and the command that fixes it."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib import util

from expnet.assets.catalogue import ASSETS
from expnet.assets.registry import locate
from expnet.doctor.conflicts import CONFLICTS, TASK_FILE, bundles_models
from expnet.doctor.finding import Finding, import_error, version_of
from expnet.errors import InputError, MissingAssetError
from expnet.models.packaged_weights import has_packaged_weights

_PACKAGES = (
    "torch", "torchvision", "pytorch-lightning", "torchmetrics", "omegaconf", "librosa", "wandb", "lpips",
    "scikit-image", "numpy", "numba", "av", "mediapipe", "protobuf", "opencv-python-headless", "safetensors",
    "pyarrow", "espeakng-loader",
)  # fmt: skip


def _python() -> Finding:
    version = platform.python_version()
    if not bundles_models():
        return Finding("python", version, f"use Python 3.12 for the bundled tracker, or {TASK_FILE}", optional=True)
    return Finding("python", version)


def _torch() -> Finding:
    if util.find_spec("torch") is None:
        return Finding("compute", "torch is not installed", "pip install torch")
    error = import_error("torch")
    if error is not None:
        return Finding("compute", f"torch cannot be imported ({error})", "pip install --force-reinstall torch")
    import torch

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return Finding("compute", device)


def _codecs() -> Finding:
    try:
        from av.codec import Codec

        for name in ("libx264", "aac", "libvpx-vp9", "libopus"):
            Codec(name, "w")
    except (ImportError, ValueError) as error:
        return Finding("video codecs", str(error), "pip install --force-reinstall av")
    return Finding("video codecs", "H.264 and AAC (mp4), VP9 and Opus (webm)")


def _tracker() -> Finding:
    if util.find_spec("mediapipe") is None:
        return Finding(
            "face tracker",
            "mediapipe is not installed",
            "pip install mediapipe==0.10.14" if bundles_models() else f"pip install mediapipe, and {TASK_FILE}",
        )
    try:
        import cv2  # noqa: F401
    except ImportError as error:  # opencv-python, the build with windows, needs libGL
        return Finding(
            "face tracker",
            str(error),
            "pip install --force-reinstall --no-deps opencv-python-headless==5.0.0.93",
        )
    return Finding("face tracker", f"mediapipe {version_of('mediapipe')}")


def _speech() -> Finding:
    if util.find_spec("espeakng_loader") is None:
        return Finding("built-in speech", "not installed", "pip install 'expnet[speech]'", optional=True)
    return Finding("built-in speech", f"eSpeak NG by espeakng-loader {version_of('espeakng-loader')}")


def _weights() -> Finding:
    used = ("expression", "expression-whisper", "expression-streaming", "motion", "pose")
    missing = [name for name in used if not has_packaged_weights(name)]
    if missing:
        return Finding("built-in weights", f"no {' and no '.join(missing)}", "pip install --force-reinstall expnet")
    return Finding("built-in weights", "expression, sampled motion, live expression and head pose")


def _hearing() -> Finding:
    """Say which of the packaged expression networks is used."""
    if not any(has_packaged_weights(name) for name in ("expression", "expression-whisper")):
        return Finding("hearing", "no expression network", "pip install --force-reinstall expnet")
    if util.find_spec("torch") is None or import_error("torch") is not None:
        return Finding("hearing", "not known without torch", optional=True)
    from expnet.assets.packaged_expression import choose

    try:
        choice = choose()
    except InputError as error:
        return Finding("hearing", str(error), "expnet assets fetch, or expnet animate --expression mel")
    if choice.encoder is not None:
        return Finding("hearing", f"lips follow the speech encoder {choice.encoder}")
    if choice.missing:
        return Finding("hearing", "lips follow the mel", f"expnet assets fetch {choice.missing}", optional=True)
    return Finding("hearing", "lips follow the mel")


def _assets() -> Finding:
    present, missing = [], []
    metric_weights = [name for name, asset in ASSETS.items() if asset.for_metrics]
    for name in metric_weights:
        try:
            locate(name)
        except MissingAssetError:
            missing.append(name)
        else:
            present.append(name)
    status = f"{', '.join(present) or 'none'} of {len(metric_weights)}"
    if not missing:
        return Finding("metric weights", f"all of {len(metric_weights)}")
    return Finding("metric weights", status, f"expnet assets fetch {' '.join(missing)}", optional=True)


_CHECKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _torch,
    _codecs,
    _tracker,
    _speech,
    _weights,
    _hearing,
    _assets,
)


def _versions() -> str:
    found = [f"{package} {version}" for package in _PACKAGES if (version := version_of(package))]
    return "  versions: " + ", ".join(found)


def _conflicts() -> list[Finding]:
    """Return the known conflicts that are installed, or one line that says there are none."""
    found = [finding for conflict in CONFLICTS if (finding := conflict()) is not None]
    return found or [Finding("packages", f"go together (checked for {len(CONFLICTS)} known conflicts)")]


def examine() -> tuple[str, bool]:
    """Examine the environment.

    Returns:
        The report as text, and whether everything required is present.
    """
    findings = [*(check() for check in _CHECKS), *_conflicts()]
    healthy = not any(finding.fix and not finding.optional for finding in findings)
    return "\n".join([finding.line() for finding in findings] + [_versions()]), healthy
