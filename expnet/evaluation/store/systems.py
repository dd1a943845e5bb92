"""The systems of the table: the networks that are evaluated, and the baselines beside them."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from expnet.assets.encoders import HearingNetwork, open_speech_encoder, source_of
from expnet.assets.packaged_expression import expression_weights
from expnet.audio.speech_encoders import SpeechEncoder
from expnet.coefficients import split_pose
from expnet.config.evaluate import EvaluateConfig
from expnet.data.clip_entry import ClipEntry
from expnet.errors import InputError
from expnet.evaluation.store.clips import Clip, Selection
from expnet.evaluation.store.per_frame_head import train_per_frame
from expnet.evaluation.store.prediction import Prediction, System
from expnet.evaluation.store.ridge import RidgeRegression, fit_ridge
from expnet.evaluation.store.sampled_system import SampledMotion
from expnet.evaluation.store.trivial_systems import ClipMean, GroundTruth, HoldFirstFrame
from expnet.models.interfaces import (
    ExpressionNetwork,
    HeadPoseNetwork,
    load_expression_network,
    load_head_pose_network,
    load_motion_network,
)
from expnet.models.packaged_weights import has_packaged_weights, packaged_weights

_log = logging.getLogger(__name__)


class Ridge:
    """Ridge regression from log-mel, or from speech features.

    Args:
        regression: The fitted regression.
        features: Whether it was fitted on the clips' speech features.
    """

    kind = "baseline"

    def __init__(self, regression: RidgeRegression, *, features: bool = False) -> None:
        self.regression, self.features = regression, features
        self.name = "ridge_features" if features else "ridge"
        self.title = "Ridge on speech features" if features else "Ridge on mel"
        heard = "speech features" if features else "13 frames of 40-band log-mel"
        self.description = (
            f"Ridge regression from {heard}, clip means removed, on {regression.clips} training clips; penalty "
            f"{regression.penalty:g} of the mean eigenvalue."
        )

    def predict(self, clip: Clip) -> Prediction:
        """Add the regressed motion to the first frame."""
        speech = clip.speech_features() if self.features else clip.mel
        return Prediction(self.regression.predict(speech, clip.expression[0], clip.frames))


class Networks:
    """An expression network, optionally with a head-pose network.

    Args:
        name: The key of the row.
        title: The heading of the row.
        kind: ``model`` or ``baseline``.
        description: What the row is, in one sentence.
        expression: The expression network.
        speech_encoder: Computes the features of an expression network that was trained on them, see
            `open_encoder_for`; None if it needs none, or the clips bring them.
        pose: The head-pose network; None leaves the head out.
        pose_samples: The number of head motions drawn for each clip.
        seed: The seed of the draws, which also depend on the name of the clip, but not on its position.
    """

    def __init__(
        self,
        name: str,
        title: str,
        kind: str,
        description: str,
        *,
        expression: ExpressionNetwork,
        speech_encoder: SpeechEncoder | None = None,
        pose: HeadPoseNetwork | None = None,
        pose_samples: int = 1,
        seed: int = 0,
    ) -> None:
        self.name, self.title, self.kind, self.description = name, title, kind, description
        self.expression, self.pose = expression, pose
        self.speech_encoder, self._hears_features = speech_encoder, source_of(expression) is not None
        self.pose_samples, self.seed = pose_samples, seed

    @torch.no_grad()
    def predict(self, clip: Clip) -> Prediction:
        """Regress the expression, and draw the head's motion."""
        emotions = int(self.expression.options.get("emotions", 0))
        expression = self.expression(
            clip.mel[None],
            clip.frames,
            clip.expression[:1],
            blink=clip.blink[None] if self.expression.blink else None,
            emotion=torch.tensor([clip.emotion if clip.emotion < emotions else 0]) if emotions else None,
            **self._features(clip),
        )[0]
        if self.pose is None:
            return Prediction(expression)
        draws = [self._draw(self.pose, clip, number) for number in range(self.pose_samples)]
        samples = torch.stack([split_pose(draw)[0] for draw in draws]) if len(draws) > 1 else None
        return Prediction(expression, draws[0], samples)

    def _features(self, clip: Clip) -> dict[str, Tensor]:
        """Return the speech features (1, T, F) as the network's argument; none for a network on the mel alone."""
        if not self._hears_features:
            return {}
        features = clip.speech_features() if self.speech_encoder is None else clip.encode(self.speech_encoder)
        return {"features": features[None]}

    def _draw(self, pose: HeadPoseNetwork, clip: Clip, number: int) -> Tensor:
        """One head motion, absolute (T, 6)."""
        seed = zlib.crc32(f"{self.seed}/{number}/{clip.clip_id}".encode())
        generator = torch.Generator().manual_seed(seed)
        first = clip.pose[:1]
        return first + pose.sample(clip.mel[None], clip.frames, first, None, generator)[0]


def build_systems(config: EvaluateConfig, selection: Selection, metric: Tensor, notes: list[str]) -> tuple[System, ...]:
    """Load and train every system of the table.

    Args:
        config: The configuration of the evaluation.
        selection: The clips; baselines learn from its training side.
        metric: (E, E) how much the coefficients move the face.
        notes: Warnings are appended here.
    """
    models = (_our_networks(config, selection, notes), _sampled_motion(config, selection))
    return (
        GroundTruth(),
        *(model for model in models if model is not None),
        *build_baselines(config, selection, metric, notes),
    )


def build_baselines(
    config: EvaluateConfig, selection: Selection, metric: Tensor, notes: list[str]
) -> tuple[System, ...]:
    """Fit, train or load the systems beside a model; the arguments are those of `build_systems`."""
    systems: list[System] = []
    if config.baselines.ridge:
        _add_ridge(systems, selection, metric, notes)
    _add_per_frame(systems, config, selection, metric, notes)
    return (*systems, HoldFirstFrame(), ClipMean())


def open_encoder_for(network: HearingNetwork, selection: Selection, path: str | None = None) -> SpeechEncoder | None:
    """Open the speech encoder of a network; None if it needs none, or the clips bring its features.

    Args:
        network: The network.
        selection: The clips.
        path: File or folder of the encoder; None to search the fetched assets.

    Raises:
        InputError: The clips bring features of another encoder or block, or the encoder cannot be opened.
    """
    source = source_of(network)
    if source is not None:
        for cache in selection.features.values():
            if cache.source != source:
                raise InputError(
                    f"The {network.task} network was trained on {source.describe()}, but {cache.folder} holds "
                    f"{cache.source.describe()}: leave data.features out, or compute features of the same layer and "
                    "weights."
                )
        if selection.features:
            return None
    return open_speech_encoder(network, path, option="speech_encoder=PATH")


def _our_networks(config: EvaluateConfig, selection: Selection, notes: list[str]) -> Networks | None:
    """Load the model that is evaluated; None without an expression network."""
    if config.expression is None and not has_packaged_weights("expression"):
        notes.append("No expression network was given (expression=RUN), so the table has baselines alone.")
        return None
    weights = expression_weights(config.expression, speech_encoder=config.speech_encoder)
    expression = load_expression_network(weights)
    head = config.pose or (packaged_weights("pose") if has_packaged_weights("pose") else None)
    if head is None:
        notes.append("No head-pose network was given (pose=RUN), so the model's head is not scored.")
    pose = load_head_pose_network(head) if head is not None else None
    _check_face_model(f"expression={weights}", expression.face_model, selection)
    if selection.features and source_of(expression) is None:
        notes.append("The expression network reads the mel alone, so data.features was not used.")
    return Networks(
        "ours",
        "expnet",
        "model",
        _describe(expression) + ("." if pose is None else " and head-pose cVAE."),
        expression=expression,
        speech_encoder=open_encoder_for(expression, selection, config.speech_encoder),
        pose=pose,
        pose_samples=config.protocol.pose_samples,
        seed=config.seed,
    )


def _sampled_motion(config: EvaluateConfig, selection: Selection) -> SampledMotion | None:
    """Load the motion network of the table; None if there is none."""
    if config.motion is None:
        return None
    network = load_motion_network(packaged_weights("motion") if config.motion == "packaged" else config.motion)
    if "expression" not in network.layout:
        raise InputError(f"motion={config.motion} draws no expression: there is nothing to compare with the clips.")
    _check_face_model(f"motion={config.motion}", network.face_model, selection)
    return SampledMotion(
        network,
        speech_encoder=open_encoder_for(network, selection, config.speech_encoder),
        samples=config.protocol.pose_samples,
        seed=config.seed,
    )


def _check_face_model(option: str, face_model: str, selection: Selection) -> None:
    """Refuse a network whose coefficients are of another face model than those of the clips."""
    stored = sorted({entry.store.face_model for entry in selection.scored} - {face_model})
    if stored:
        raise InputError(
            f"{option} gives coefficients of the face model '{face_model}', but the clips have those of "
            f"'{stored[0]}': their coefficients cannot be compared."
        )


def _describe(expression: ExpressionNetwork) -> str:
    """Describe an expression network by its architecture, its size and what it hears."""
    size = sum(parameter.numel() for parameter in expression.parameters())
    source = source_of(expression)
    hears = "" if source is None else f", on the mel and {source.describe()}"
    return f"Expression network ({_architecture(expression.options)}, {size / 1000:.0f} k parameters{hears})"


def _architecture(options: dict[str, Any]) -> str:
    """Name the architecture of an expression network in a few words."""
    kind = options.get("temporal_module")
    temporal = f"{kind}, {options['attention_bias']}" if kind == "transformer" else kind
    named = [str(options["network"]).replace("_", " ")] if "network" in options else []
    return ", ".join([*named, *([str(temporal)] if temporal else [])])


def _add_ridge(systems: list[System], selection: Selection, metric: Tensor, notes: list[str]) -> None:
    """Fit the ridge regression, or note why there is none."""

    def examples(entries: Sequence[ClipEntry]) -> list[tuple[Tensor, Tensor, Tensor]]:
        clips = (selection.read(entry) for entry in entries)
        return [(clip.mel, clip.expression, clip.valid) for clip in clips]

    if not selection.train:
        notes.append("The stores have no clip on the training side, so there is no ridge regression.")
        return
    _log.info("fitting the ridge regression on %d clips", len(selection.train))
    systems.append(Ridge(fit_ridge(examples(selection.train), examples(selection.validation), metric=metric)))


def _add_per_frame(
    systems: list[System], config: EvaluateConfig, selection: Selection, metric: Tensor, notes: list[str]
) -> None:
    """Load or train the per-frame head, or note why there is none."""
    if config.per_frame == "none":
        return
    if config.per_frame != "train":
        model = load_expression_network(config.per_frame)
        if model.options.get("temporal_module") != "none":
            raise InputError(
                f"per_frame={config.per_frame} relates frames to each other; give a run of configs/per_frame.yaml, or "
                "per_frame=train."
            )
        how = "A separate training run."
    elif not selection.train:
        notes.append("The stores have no clip on the training side, so the per-frame head could not be trained.")
        return
    else:
        steps = config.baselines.per_frame_steps
        _log.info("training the per-frame head for %d steps", steps)
        clips = [selection.read(entry) for entry in selection.train]
        model = train_per_frame(clips, steps=steps, metric=metric, seed=config.seed)
        how = f"Trained here, {steps} steps of 256 frames on {len(clips)} clips."
    text = f"SadTalker's design: a linear layer on 200 ms of audio, the first frame and the true blinks. {how}"
    systems.append(Networks("per_frame", "Per-frame head", "baseline", text, expression=model))
