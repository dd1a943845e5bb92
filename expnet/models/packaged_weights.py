"""The trained networks that come with the package, and the one place that knows where they are.

``motion`` animates portraits: it draws expression, head motion and lids together. ``expression-whisper`` and ``pose``
do so where motion is regressed, and ``expression`` in place of the former where the weights of the speech encoder that
both networks need are missing (`expnet.assets.packaged_expression`). ``expression-streaming`` follows live speech.
``expression-synthetic`` was trained on synthetic speech only: training starts from it, and audio offsets are estimated
with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from expnet.errors import MissingAssetError

NAMES = ("expression", "expression-whisper", "expression-streaming", "expression-synthetic", "motion", "pose")
FOLDER = Path(__file__).parent / "weights"

MotionKind = Literal["regressed", "sampled"]
MOTIONS: tuple[MotionKind, ...] = get_args(MotionKind)
"""How a portrait can move: ``regressed``, the average of all plausible motions by the expression network, with a drawn
head and drawn blinks; or ``sampled``, one motion of expression, head and lids by the motion network."""
DEFAULT_MOTION: MotionKind = "sampled"
"""How portraits move when nobody chooses. Only this value decides it; where the speech encoder of the motion network is
missing, motion is regressed in any case."""


def packaged_weights(name: str) -> Path:
    """Return the file of a packaged network.

    Args:
        name: One of `NAMES`.

    Raises:
        MissingAssetError: This installation lacks the file.
    """
    path = packaged_path(name)
    if not path.is_file():
        task = name.partition("-")[0]
        raise MissingAssetError(
            f"{path}: the built-in {name} weights are missing from this installation; install expnet again, or train "
            f"your own with 'expnet train configs/{task}.yaml' and give them with --{task}."
        )
    return path


def has_packaged_weights(name: str) -> bool:
    """Tell whether this installation has the packaged network of that name."""
    return packaged_path(name).is_file()


def packaged_path(name: str) -> Path:
    """Return where the packaged network of that name belongs, whether or not it is there."""
    if name not in NAMES:
        raise ValueError(f"There are no packaged weights named {name!r}; the names are {', '.join(NAMES)}.")
    return FOLDER / f"{name}.safetensors"
