"""From a configuration to a task: the network, its losses, its initial weights and its provenance."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from expnet.assets.registry import locate
from expnet.audio.speech_encoders import FeatureSource
from expnet.config import (
    Config,
    ExpressionLossConfig,
    LandmarkSyncConfig,
    MotionConfig,
    PoseConfig,
    PoseModelConfig,
    RefinerConfig,
    RendererConfig,
    RendererLossConfig,
)
from expnet.config.grammar import to_container
from expnet.errors import ConfigError
from expnet.face.morphable import load_face_model
from expnet.models.image_features import ImageFeatures
from expnet.models.landmark_sync import LandmarkSync
from expnet.models.packaged_weights import packaged_weights
from expnet.models.recomputation import recompute_blocks
from expnet.models.sadtalker import STYLES
from expnet.models.saved_model import load_model
from expnet.models.video_renderer import POSE
from expnet.training.run_folder import versions
from expnet.training.tasks.base_task import BaseTask
from expnet.training.tasks.expression_task import ExpressionTask
from expnet.training.tasks.landmark_sync_task import LandmarkSyncTask, SyncLoss
from expnet.training.tasks.motion_task import MotionTask
from expnet.training.tasks.pose_task import PoseTask
from expnet.training.tasks.refiner_task import RefinerTask
from expnet.training.tasks.renderer_task import VideoRendererTask

PACKAGED = {
    "synthetic": "expression-synthetic",
    "expression": "expression",
    "whisper": "expression-whisper",
    "streaming": "expression-streaming",
    "pose": "pose",
}
"""Weights in the package, by their name in the configuration key ``init``."""

if TYPE_CHECKING:
    from expnet.data.datamodule import TalkingFaceDataModule


def build_task(config: Config, data: TalkingFaceDataModule) -> BaseTask:
    """Build the network and its losses, normalised by the statistics of the training split.

    Raises:
        ConfigError: The options do not fit the data or one another.
    """
    shared: dict[str, Any] = {
        "optim": dataclasses.asdict(config.optim),
        "augment": dataclasses.asdict(config.augment),
        "max_steps": config.trainer.max_steps,
    }
    if isinstance(config, RefinerConfig):
        return RefinerTask(options=dataclasses.asdict(config.model), loss=dataclasses.asdict(config.loss), **shared)
    if isinstance(config, RendererConfig):
        return renderer_task(config, data, shared)
    shared["statistics"] = data.statistics
    if isinstance(config, PoseConfig):
        loss = dataclasses.asdict(config.loss)
        return PoseTask(options=pose_options(config.model, styles=len(data.speakers)), loss=loss, **shared)
    face_model = load_face_model(config.face_model)
    if data.face_model and face_model.name != data.face_model:
        raise ConfigError(
            f"The clips in {config.data.store} have coefficients of the face model '{data.face_model}', but face_model "
            f"is '{face_model.name}': set face_model to the one that the clips were tracked with."
        )
    options = dataclasses.asdict(config.model)
    if isinstance(config, LandmarkSyncConfig):
        return LandmarkSyncTask(options={**options, "face_model": face_model.name}, face_model=face_model, **shared)
    options["emotions"] = len(data.emotions) if options.pop("emotion") else 0
    options |= {"expression_size": face_model.expression_size, "face_model": face_model.name}
    source = data.feature_source
    options["speech_features"] = None if source is None else source.as_dict()
    loss = dataclasses.asdict(config.loss)
    if isinstance(config, MotionConfig):
        options["styles"] = len(data.speakers)
        return MotionTask(options=options, loss=loss, face_model=face_model, motion=data.motion_statistics, **shared)
    options = expression_options(options)
    return ExpressionTask(
        options=options, loss=loss, face_model=face_model, sync=sync_loss(config.loss, face_model.name), **shared
    )


def renderer_task(config: RendererConfig, data: TalkingFaceDataModule, shared: dict[str, Any]) -> VideoRendererTask:
    """Build the renderer that is trained, for the face model of the clips."""
    from expnet.render.video_renderer.datamodule import FrameDataModule

    assert isinstance(data, FrameDataModule)
    sizes = dataclasses.asdict(config.model)
    options = {"size": sizes.pop("size"), "face_model": data.face_model, "sizes": sizes}
    statistics = data.row_statistics
    return VideoRendererTask(
        options={**options, "expression_size": len(statistics.mean) - POSE},
        loss=dataclasses.asdict(config.loss),
        statistics=statistics,
        features=perceptual_features(config.loss),
        **shared,
    )


def perceptual_features(config: RendererLossConfig) -> ImageFeatures | None:
    """Return the network of a renderer's perceptual term; None without that term.

    Raises:
        MissingAssetError: Its weight file was not found; the message says how to get it.
    """
    if not config.perceptual_weight:
        return None
    weights = None if config.perceptual_network == "random" else locate("vgg16", config.perceptual_weights)
    return ImageFeatures(weights, stages=config.perceptual_stages)


def sync_loss(config: ExpressionLossConfig, face_model: str) -> SyncLoss | None:
    """Return the loss of the configured sync expert; None if its weight is 0.

    Raises:
        ConfigError: The expert was trained on another face model.
    """
    if not config.sync_weight:
        return None
    assert config.sync_expert  # the configuration refuses a weight without an expert
    expert = load_model(config.sync_expert, "landmark_sync")
    assert isinstance(expert, LandmarkSync)
    if expert.face_model != face_model:
        raise ConfigError(
            f"loss.sync_expert={config.sync_expert} was trained on the face model '{expert.face_model}', but "
            f"face_model is '{face_model}': train a sync expert on clips of '{face_model}'."
        )
    return SyncLoss(expert)


def expression_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the constructor arguments of the expression network that ``options["network"]`` names."""
    if options["network"] == "expnet":
        return {name: value for name, value in options.items() if name != "network"}
    if options["network"] == "small_convolution":
        taken = ("network", "expression_size", "width", "dropout", "speech_features", "face_model")
        return {name: options[name] for name in taken}
    if options["network"] == "autoregressive":
        return {name: value for name, value in options.items() if name != "network_options"}
    return options


def pose_options(model: PoseModelConfig, *, styles: int) -> dict[str, Any]:
    """Return the constructor arguments of the configured head-pose network."""
    options = dataclasses.asdict(model)
    network, tied_variance = options.pop("network"), options.pop("tied_variance")
    own = options.pop("network_options")
    if network == "expnet":
        return {**options, "styles": styles}
    if network != "sadtalker":
        return {**options, "network": network, "network_options": own, "styles": styles}
    # At least as many styles as the published network has, so that its weights fit.
    return {"network": network, "tied_variance": tied_variance, "styles": max(styles, STYLES)}


def start_from(path: str, task: BaseTask) -> None:
    """Copy the weights and statistics of a trained network into the task's network and its average.

    Args:
        path: Name of weights in the package, see `PACKAGED`, or a run folder, .ckpt or .safetensors.
        task: The task.

    A network on speech features may start from one on the mel alone: its features then begin without influence.

    Raises:
        ConfigError: The shapes, or the sources of speech features, differ.
    """
    file = packaged_weights(PACKAGED[path]) if path in PACKAGED else path
    network = load_model(file, task.model.task)  # type: ignore[arg-type]
    trained, configured = (_feature_source(model) for model in (network, task.model))
    if trained is not None and configured is not None and trained != configured:
        raise ConfigError(
            f"init={path} was trained on {trained.describe()}, but data.features holds {configured.describe()}: "
            "compute features of the same layer and weights."
        )
    for model in (task.model, task.averaged):
        if model is None:
            continue
        given = network.state_dict()
        if trained is None and configured is not None:
            given |= _silent_features(model)
        try:
            model.load_state_dict(given)
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip()
            raise ConfigError(f"init={path} has another shape than the configured network: {reason}") from error


def _feature_source(model: nn.Module) -> FeatureSource | None:
    """Return the speech features that a network reads; None if it reads none."""
    source = model.options.get("speech_features")  # type: ignore[operator, union-attr]
    return None if source is None else FeatureSource(**source)


def _silent_features(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a network's feature encoder whose output is zero, which changes nothing at first."""
    own = {name: value for name, value in model.state_dict().items() if name.startswith("embed_features.")}
    silent = (".project.weight", ".project.bias", ".convolution.bias")
    return {name: torch.zeros_like(value) if name.endswith(silent) else value for name, value in own.items()}


def describe_training(config: Config, data: TalkingFaceDataModule, task: BaseTask) -> dict[str, Any]:
    """Return the provenance that every checkpoint and the exported model carry, in plain values."""
    return {
        "config": to_container(config),
        "data": data.facts(),
        "versions": versions(),
        "monitor": monitored(config, task),
        "speakers": list(data.speakers),
        "emotions": list(data.emotions),
    }


def use_less_memory(config: Config, task: BaseTask) -> None:
    """Let the Transformer of a network compute its blocks twice, if that is configured.

    Raises:
        ConfigError: The network has no Transformer.
    """
    if config.trainer.activation_checkpointing and not recompute_blocks(task.model):
        raise ConfigError(
            "trainer.activation_checkpointing is for the blocks of a Transformer, of which this network has none: "
            "leave it off."
        )


def monitored(config: Config, task: BaseTask) -> str:
    """Return the name of the logged value that chooses best.ckpt."""
    return config.trainer.monitor or task.monitor
