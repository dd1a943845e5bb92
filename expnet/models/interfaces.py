"""What the code that animates and evaluates may ask of a network, whatever its architecture.

Every network of the tasks ``expression`` and ``pose`` declares these members; callers ask for a capability
(`takes_pieces`, `frame_by_frame`, `measures_styles`) and never for a class.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Protocol, TypeGuard, cast

import torch
from torch import Tensor, nn

from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.mel_source import MelSource
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import load_model


class ExpressionNetwork(Protocol):
    """Regresses the expression of every frame from speech and the first frame's expression.

    Attributes:
        task: ``expression``.
        options: Arguments of its constructor, which are stored with its weights.
        face_model: Name of the face model that the coefficients belong to.
        blink: Whether it takes the closure of the eyelids as an input.
        takes_pieces: Whether ``mel`` may be a function that returns the mel piece by piece.
        streaming: Whether it was trained for live speech, with loudness measured against the average so far.
        frame_by_frame: Whether it can regress live speech one frame at a time, see `runs_live`.
    """

    task: str
    options: dict[str, Any]
    face_model: str
    blink: bool
    takes_pieces: bool
    streaming: bool

    @property
    def frame_by_frame(self) -> bool:
        """Whether it can regress live speech one frame at a time."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return its weights."""
        ...

    def __call__(
        self,
        mel: Tensor | MelSource,
        frames: int,
        first_expression: Tensor,
        blink: Tensor | None = None,
        emotion: Tensor | None = None,
        valid: Tensor | None = None,
        **speech_features: Tensor,
    ) -> Tensor:
        """Return coefficients (B, T, E); for the arguments see `ExpressionRegressor.forward`."""
        ...


class HeadPoseNetwork(Protocol):
    """Draws the head motion of a clip from its speech.

    Attributes:
        options: Arguments of its constructor, which are stored with its weights.
        takes_pieces: Whether ``mel`` may be a function that returns the mel piece by piece.
        frame_by_frame: Whether it can draw window by window while speech is arriving, see `draws_live`.
        measures_styles: Whether a style can be measured in a clip, see `measures_styles`.
    """

    options: dict[str, Any]
    takes_pieces: bool
    frame_by_frame: bool
    measures_styles: bool

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return its weights."""
        ...

    def sample(
        self,
        mel: Tensor | MelSource,
        frames: int,
        first_pose: Tensor,
        style: Tensor | None = None,
        generator: torch.Generator | None = None,
        *,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw poses (B, T, 6) relative to frame 0; for the arguments see `PoseCVAE.sample`."""
        ...


def runs_live(network: ExpressionNetwork) -> TypeGuard[ExpressionRegressor]:
    """Whether a network regresses live speech with ``next_frame``."""
    return network.frame_by_frame


def draws_live(network: HeadPoseNetwork) -> TypeGuard[PoseCVAE]:
    """Whether a network draws the head motion of live speech with ``next_window``."""
    return network.frame_by_frame


def measures_styles(network: HeadPoseNetwork) -> TypeGuard[PoseCVAE]:
    """Whether a network measures the style of a clip with ``style_of``."""
    return network.measures_styles


def load_expression_network(path: str | os.PathLike[str]) -> ExpressionNetwork:
    """Load an expression network of any architecture, see `expnet.models.saved_model.open_model`."""
    return cast(ExpressionNetwork, load_model(os.fspath(path), "expression"))


def load_head_pose_network(path: str | os.PathLike[str]) -> HeadPoseNetwork:
    """Load a head-pose network of any architecture, see `expnet.models.saved_model.open_model`."""
    return cast(HeadPoseNetwork, load_model(os.fspath(path), "pose"))


def load_motion_network(path: str | os.PathLike[str]) -> MotionFlow:
    """Load a motion network, see `expnet.models.saved_model.open_model`."""
    return cast(MotionFlow, load_model(os.fspath(path), "motion"))
