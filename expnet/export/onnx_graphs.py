"""The networks from mel to coefficients as ONNX graphs, for programs without Python or torch.

================  =========================================================  ===================================
file              inputs                                                     output
================  =========================================================  ===================================
expression.onnx   mel (B, 80, N), first_expression (B, 64), and if the       expression (B, T, 64)
                  network uses them blink (B, T), emotion (B,),
                  features (B, T, F)
pose_audio.onnx   mel (B, 80, N)                                             audio (B, T, A)
pose_window.onnx  audio (B, 32, A), past (B, P, 6), seen (B, P),             motion (B, 32, 6), pose (B, 32, 6)
                  first_pose (B, 6), style (B,), noise (B, Z)
motion_step.onnx  state (B, T, M), time (B,), known (B, T, G), features      velocity (B, T, M)
                  (B, T, F) or levelled mel (B, 80, N), heard (B,), and
                  if the network uses them first_expression (B, 64),
                  style (B, 12), anchor (B, 6), emotion (B,), styled (B,)
================  =========================================================  ===================================

``N = 32 + ceil(3.2 T)`` for any T: the mel of `expnet.audio.alignment.mel_for_frames`. Head motion is drawn window by
window, each from Gaussian ``noise`` and the preceding ``motion``; docs/guides/export.md has the loop. expression.onnx
runs long speech in one pass, at quadratic cost, whereas the module works in pieces beyond 2000 frames. The speech
encoder that computes ``features`` is not part of the graph.
motion_step.onnx is one evaluation of the motion network's velocity; `expnet.models.flow_matching.sampler` has the loop
around it.
"""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expnet import __version__
from expnet.audio.alignment import FRAME_RATE, frames_of_columns, mel_columns
from expnet.audio.mel import MEL_BANDS
from expnet.errors import ExpnetError, InputError, MissingAssetError
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.flow_matching.motion import Reference
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.pose_motion import POSE, within_reach
from expnet.models.pose_style import STYLE

TOLERANCE = 1e-4
"""Largest difference of a coefficient (in radians and face units for poses) between the graph and the module."""
_OPEN = {"mel": (0, 2), **dict.fromkeys(("blink", "features", "state", "known"), (0, 1))}
"""Axes of any size; of other inputs only the batch axis."""
_TRACED = {"batch": 2, "frames": 50}
_CHECKED = ({"batch": 1, "frames": 7}, {"batch": 3, "frames": 201})


class ExpressionGraph(nn.Module):
    """An `ExpressionRegressor` that derives the number of frames from its mel and runs in one pass."""

    name = "expression"
    outputs = ("expression",)

    def __init__(self, model: ExpressionRegressor) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        self.model.longest = 10**9  # one pass for any length

    def forward(
        self,
        mel: Tensor,
        first_expression: Tensor,
        blink: Tensor | None = None,
        emotion: Tensor | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """Regress mel (B, 80, N) to (B, T, E)."""
        frames = frames_of_columns(mel.shape[-1])
        return self.model(mel, frames, first_expression, blink, emotion, features=features)

    def example(self, *, batch: int, frames: int) -> dict[str, Tensor]:
        """Return random inputs of a given size."""
        options = self.model.options
        inputs = {"mel": _mel(batch, frames), "first_expression": torch.randn(batch, options["expression_size"])}
        if options["blink"]:
            inputs["blink"] = torch.rand(batch, frames)
        if options["emotions"]:
            inputs["emotion"] = torch.arange(batch) % options["emotions"]
        if options["speech_features"]:
            inputs["features"] = torch.randn(batch, frames, options["speech_features"]["size"])
        return inputs


class PoseAudioGraph(nn.Module):
    """The audio encoder of a `PoseCVAE`: features of every frame."""

    name = "pose_audio"
    outputs = ("audio",)

    def __init__(self, model: PoseCVAE) -> None:
        super().__init__()
        self.encoder = model.audio_encoder

    def forward(self, mel: Tensor) -> Tensor:
        """Encode mel (B, 80, N) to (B, T, A)."""
        return self.encoder(mel, frames_of_columns(mel.shape[-1]))

    def example(self, *, batch: int, frames: int) -> dict[str, Tensor]:
        """Return random inputs of a given size."""
        return {"mel": _mel(batch, frames)}


class PoseWindowGraph(nn.Module):
    """One window of a `PoseCVAE`, with inputs and outputs in radians and face units."""

    name = "pose_window"
    outputs = ("motion", "pose")
    latent_factor: Tensor

    def __init__(self, model: PoseCVAE) -> None:
        super().__init__()
        self.model = model
        # ONNX has no Cholesky decomposition; after training the covariance is constant.
        self.register_buffer("latent_factor", model.prior.factor())

    def forward(
        self, audio: Tensor, past: Tensor, seen: Tensor, first_pose: Tensor, style: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the window (B, W, 6) as the past of the next window, and as the pose to render."""
        z = self.model.prior.mean + noise @ self.latent_factor.T
        drawn = self.model.next_window(z, audio, past / self.model.pose_std, seen, first_pose, style)
        motion = drawn * self.model.pose_std
        return motion, within_reach(motion, first_pose, self.model.pose_std)

    def example(self, *, batch: int, frames: int) -> dict[str, Tensor]:
        """Return random inputs of a given batch size; the number of frames is that of the window."""
        options = self.model.options
        return {
            "audio": torch.randn(batch, options["window"], options["audio_features"]),
            "past": 0.05 * torch.randn(batch, options["previous"], POSE),
            "seen": torch.rand(batch, options["previous"]) < 0.8,
            "first_pose": 0.1 * torch.randn(batch, POSE),
            "style": torch.arange(batch) % options["styles"],
            "noise": torch.randn(batch, options["latent"]),
        }


class MotionStepGraph(nn.Module):
    """The velocity of a `MotionFlow` at one time of the flow; inputs that the network does not read are left out."""

    name = "motion_step"
    outputs = ("velocity",)

    def __init__(self, model: MotionFlow) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        state: Tensor,
        time: Tensor,
        known: Tensor,
        heard: Tensor,
        features: Tensor | None = None,
        mel: Tensor | None = None,
        first_expression: Tensor | None = None,
        style: Tensor | None = None,
        anchor: Tensor | None = None,
        emotion: Tensor | None = None,
        styled: Tensor | None = None,
    ) -> Tensor:
        """Return the velocity (B, T, M)."""
        model, batch = self.model, state.shape[0]
        speech = model.speech.without(model.speech(mel, features, state.shape[1]), heard)
        reference = Reference(
            state.new_zeros(batch, len(model.expression_mean)) if first_expression is None else first_expression,
            state.new_ones(batch, STYLE) if style is None else style,
            state.new_zeros(batch, POSE) if anchor is None else anchor,
            torch.zeros(batch, dtype=torch.long) if emotion is None else emotion,
        )
        styled = torch.ones(batch, dtype=torch.bool) if styled is None else styled
        return model(state, time, known, speech, model.condition(reference, styled))

    def example(self, *, batch: int, frames: int) -> dict[str, Tensor]:
        """Return random inputs of a given size."""
        model, options, layout = self.model, self.model.options, self.model.layout
        inputs = {
            "state": torch.randn(batch, frames, layout.size),
            "time": torch.rand(batch),
            "known": torch.rand(batch, frames, len(layout.groups)) < 0.2,
            "heard": torch.rand(batch) < 0.8,
        }
        source = options["speech_features"]
        inputs |= (
            {"mel": _mel(batch, frames)} if source is None else {"features": torch.randn(batch, frames, source["size"])}
        )
        if model.embed_first is not None:
            inputs["first_expression"] = torch.randn(batch, options["expression_size"])
        if "head" in layout:
            inputs |= {"style": torch.rand(batch, STYLE) + 0.5, "anchor": 0.1 * torch.randn(batch, POSE)}
        if options["emotions"]:
            inputs["emotion"] = torch.arange(batch) % options["emotions"]
        if model.no_style is not None:
            inputs["styled"] = torch.rand(batch) < 0.8
        return inputs


Graph = ExpressionGraph | PoseAudioGraph | PoseWindowGraph | MotionStepGraph


def export_onnx(model: nn.Module, folder: Path) -> dict[str, float]:
    """Write the graphs of a network, and compare each with its module at sizes other than the traced one.

    Args:
        model: An `ExpressionRegressor`, `PoseCVAE` or `MotionFlow`.
        folder: Folder for the files.

    Returns:
        Largest absolute difference from the module, for each file.

    Raises:
        MissingAssetError: The packages that write and run ONNX are not installed.
        InputError: The network has no graph, as SadTalker's head pose.
        ExpnetError: A graph differs from its module by more than `TOLERANCE`.
    """
    graphs: list[Graph]
    if isinstance(model, ExpressionRegressor):
        graphs = [ExpressionGraph(model)]
    elif isinstance(model, PoseCVAE):
        graphs = [PoseAudioGraph(model), PoseWindowGraph(model)]
    elif isinstance(model, MotionFlow):
        graphs = [MotionStepGraph(model)]
    else:
        raise InputError(
            f"A {type(model).__name__} cannot be written as ONNX; export an ExpressionRegressor, a PoseCVAE or a "
            "MotionFlow."
        )
    return {f"{graph.name}.onnx": _export(graph.eval(), folder / f"{graph.name}.onnx") for graph in graphs}


def _export(graph: Graph, path: Path) -> float:
    """Write one graph and return its difference from the module."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (torch.onnx needs it, and its own message is less clear)
    except ModuleNotFoundError as error:
        raise MissingAssetError(f"ONNX needs the package {error.name}: pip install 'expnet[onnx]'.") from error
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        program = _trace(graph, graph.example(**_TRACED))
        program.model.metadata_props["expnet"] = json.dumps({"version": __version__, "fps": FRAME_RATE})
        try:
            program.save(path)
        except OSError as error:
            raise InputError(f"Cannot write {path}: {error.strerror or error}.") from error
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        difference = max(_difference(graph, session, graph.example(**size)) for size in _CHECKED)
    if not difference <= TOLERANCE:
        raise ExpnetError(f"{path} differs from the network by {difference:.1e}, more than {TOLERANCE:.0e}.")
    return difference


def _trace(graph: Graph, inputs: dict[str, Tensor]) -> Any:
    """Trace a graph with dynamic batch and time axes."""
    shapes = {name: dict.fromkeys(_OPEN.get(name, (0,)), torch.export.Dim.DYNAMIC) for name in inputs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the exporter
        return torch.onnx.export(
            graph,
            kwargs=inputs,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=list(inputs),
            output_names=list(graph.outputs),
            verbose=False,
        )


def _difference(graph: Graph, session: Any, inputs: dict[str, Tensor]) -> float:
    """Return the largest absolute difference between a session and its module on the same inputs."""
    expected = graph(**inputs)
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    pairs = zip(found, (expected,) if isinstance(expected, Tensor) else expected, strict=True)
    return max(float((torch.from_numpy(ours) - theirs).abs().max()) for ours, theirs in pairs)


def _mel(batch: int, frames: int) -> Tensor:
    """Return noise (B, 80, N) in the range of a mel."""
    return torch.rand(batch, MEL_BANDS, mel_columns(frames)) * 8 - 4
