"""``expnet doctor``: what this environment has, what it lacks, and the command that fixes it."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Callable, Sequence
from importlib import util

from expnet.assets.catalogue import ASSETS
from expnet.assets.registry import known, locate, verify
from expnet.doctor.conflicts import CONFLICTS
from expnet.doctor.finding import Finding, import_error, version_of
from expnet.errors import InputError, MissingAssetError
from expnet.face.mediapipe_backend import has_solutions
from expnet.face.tracking_models import FETCH, TRACKING_MODELS, locate_model, open_model
from expnet.models.packaged_weights import has_packaged_weights

_PACKAGES = (
    "torch", "torchvision", "pytorch-lightning", "torchmetrics", "omegaconf", "librosa", "wandb", "lpips",
    "scikit-image", "numpy", "numba", "av", "mediapipe", "ai-edge-litert", "protobuf", "opencv-python-headless",
    "safetensors", "pyarrow", "espeakng-loader",
)  # fmt: skip

_TRACKER = "face tracker"


def _python() -> Finding:
    return Finding("python", platform.python_version())


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
    try:
        import cv2  # noqa: F401
    except ImportError as error:  # opencv-python, the build with windows, needs libGL
        return Finding(_TRACKER, str(error), "pip install --force-reinstall --no-deps opencv-python-headless")
    if has_solutions():
        return Finding(_TRACKER, f"mediapipe {version_of('mediapipe')}")
    models = _tracking_models()
    if util.find_spec("ai_edge_litert") is None:
        mends = ["pip install ai-edge-litert", *([models.fix] if models.fix else [])]
        return Finding(_TRACKER, f"neither LiteRT nor a mediapipe with models; {models.status}", " && ".join(mends))
    return Finding(_TRACKER, f"LiteRT {version_of('ai-edge-litert')}, {models.status}", models.fix)


def _tracking_models() -> Finding:
    """Say whether the models that LiteRT runs are there."""
    missing = [model.file for model in TRACKING_MODELS if locate_model(model) is None]
    if missing:
        return Finding(_TRACKER, f"without {', '.join(missing)}", FETCH)
    for model in TRACKING_MODELS:
        try:
            place = open_model(model)
        except InputError as error:
            wrong = shlex.quote(str(locate_model(model)))
            return Finding(_TRACKER, str(error).partition(";")[0], f"rm {wrong} && {FETCH}")
    return Finding(_TRACKER, f"models in {place.parent}")


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
    from expnet.assets.encoders import ENCODERS
    from expnet.assets.packaged_expression import choose

    try:
        choice = choose()
    except InputError as error:
        return Finding("hearing", str(error).partition(";")[0], _fetched_again(ENCODERS))
    if choice.encoder is not None:
        return Finding("hearing", f"lips follow the speech encoder {choice.encoder}")
    if choice.missing:
        return Finding("hearing", "lips follow the mel", f"expnet assets fetch {choice.missing}", optional=True)
    return Finding("hearing", "lips follow the mel")


def _fetched_again(names: Sequence[str]) -> str:
    """Return the command that replaces the damaged ones among weight files."""
    damaged: dict[str, str] = {}
    for name in names:
        try:
            place = locate(name)
            verify(place, known(name))
        except MissingAssetError:
            continue
        except InputError:
            damaged[name] = shlex.quote(str(place))
    return f"rm {' '.join(damaged.values())} && expnet assets fetch {' '.join(damaged)}"


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
