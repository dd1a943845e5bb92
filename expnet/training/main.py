"""Training from top to bottom: configuration -> data, task, callbacks, loggers, Trainer -> fit -> exported network.

Heavy packages are imported where they are used, so that ``--help``, ``--print-config`` and configuration errors appear
at once.
"""

from __future__ import annotations

import faulthandler
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from expnet.config import (
    TASKS,
    Config,
    MotionConfig,
    RefinerConfig,
    RendererConfig,
    TrainerConfig,
    load_config,
    task_of,
)
from expnet.config.grammar import describe, parse_arguments, to_container, to_yaml
from expnet.errors import ConfigError
from expnet.training.run_folder import RunDirectory, command_line, export_weights, leave_run, open_run

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from expnet.data.datamodule import TalkingFaceDataModule
    from expnet.training.tasks.base_task import BaseTask

USAGE = """usage: python train.py FILE.yaml ... KEY=VALUE ... [--print-config] [--help]
       expnet train     FILE.yaml ... KEY=VALUE ... [--print-config] [--help]

Files and overrides are merged from left to right over these defaults. Start with configs/expression.yaml or
configs/pose.yaml and data.store=STORE. With --multirun a key may have several values, as optim.lr=1e-3,3e-4, and every
combination is trained (train.py --multirun --help).
"""
PROGRESS = {
    "expression": ("train/loss", "val/loss", "val/within_clip_r2", "val/mouth_opening_correlation"),
    "pose": ("train/loss", "val/loss", "val/kl", "val/active_units"),
    "motion": ("train/loss", "val/loss", "val/mouth_opening_correlation", "val/jitter_ratio"),
    "landmark_sync": ("train/loss", "val/loss", "val/offset_error"),
    "refiner": ("train/loss", "val/loss", "val/mouth_error", "val/mouth_drawn_error"),
    "renderer": ("train/loss", "val/loss", "val/error", "val/still_error"),
}

_log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Run ``train.py`` or ``expnet train``.

    Args:
        argv: Command-line arguments without the program's name.

    Returns:
        0. Errors raise `ExpnetError`, which the command line turns into one sentence and an exit code.
    """
    if "--multirun" in argv:
        from expnet.training.sweep.main import multirun

        return multirun(argv)
    arguments = parse_arguments(argv)
    if arguments.help:
        task = task_of(arguments.layers) if arguments.layers else "expression"
        sys.stdout.write(f"{USAGE}\n{describe(TASKS[task])}\n")
        return 0
    config = load_config(arguments.layers)
    if arguments.print_config:
        sys.stdout.write(to_yaml(config))
        return 0
    if not faulthandler.is_enabled():
        # A memory map whose file has gone ends the process without a word; this says in which line.
        faulthandler.enable()
    path = train(config, command=command_line(argv))
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    if getattr(rank_zero_only, "rank", 0) == 0:
        sys.stdout.write(f"{path}\n")
    return 0


def train(config: Config, *, command: Sequence[str] = ("expnet.training.main.train",)) -> Path:
    """Train a network.

    Args:
        config: The configuration, see `expnet.config.load_config`.
        command: The command line, recorded in the run folder's command.txt.

    Returns:
        The run folder, which contains the exported network as model.safetensors.
    """
    if not config.data.store:
        raise ConfigError("data.store is missing: give the folder of a track store, as in data.store=STORE.")
    from expnet.training.hardware import check_hardware, training_fault

    check_hardware(config.trainer)
    run = open_run(
        task=config.task,
        output=config.output,
        ckpt=config.ckpt,
        processes=abs(config.trainer.devices) * config.trainer.num_nodes,
    )
    try:
        fit(config, run, command)
    except (OSError, RuntimeError, MemoryError) as error:
        fault = training_fault(error, config.trainer)
        if fault is None:
            raise
        raise fault from error
    finally:
        leave_run(run)
        if config.logger.wandb:
            from expnet.training.loggers import close_wandb

            close_wandb(failed=sys.exc_info()[0] is not None)
    return run.path


def fit(config: Config, run: RunDirectory, command: Sequence[str]) -> None:
    """Build all parts of a training, fit the network and export it."""
    import pytorch_lightning as pl
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    from expnet.training.hardware import use_threads
    from expnet.training.loggers import log_result
    from expnet.training.resume_check import check_resume
    from expnet.training.run_length import with_steps
    from expnet.training.tasks.build import build_task, describe_training, start_from, use_less_memory

    _silence_lightning()  # after the import, which sets the log level itself
    use_threads(config.trainer.threads)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config)
    config.trainer = with_steps(config.trainer, data)
    task = build_task(config, data)
    task.notes = describe_training(config, data, task)
    if config.init:
        start_from(config.init, task)
    use_less_memory(config, task)
    if config.compile:
        task.model.compile()
    resume_step = check_resume(run, task, config)
    if getattr(rank_zero_only, "rank", 0) == 0:
        run.describe(to_yaml(config), command)
    trainer = build_trainer(config, run, task, data, resume_step)
    trainer.fit(task, datamodule=data, ckpt_path=str(run.resume) if run.resume else None)
    if trainer.interrupted:
        raise KeyboardInterrupt
    # With forked processes the trainer is attached to the task in the children only; the notes need its scores here.
    task.trainer = trainer
    if trainer.is_global_zero:
        export_weights(run, task)
        log_result(trainer, to_container(config))
    trainer.strategy.barrier()


def build_data(config: Config) -> TalkingFaceDataModule:
    """Open the track stores and split their clips into training, validation and test."""
    from expnet.data.audio_augmentation import WindowAugmentation
    from expnet.data.datamodule import TalkingFaceDataModule
    from expnet.data.online_features import ONLINE, open_online_features
    from expnet.data.silent_windows import SilentRuns
    from expnet.data.store_source import store_sources
    from expnet.face.morphable import load_face_model
    from expnet.render.refiner.datamodule import RegionDataModule
    from expnet.render.refiner.training_pairs import PairSettings

    clips = config.data
    data: TalkingFaceDataModule
    shared = {"batch_size": clips.batch_size, "workers": clips.workers, "seed": config.seed}
    if isinstance(config, RefinerConfig):
        regions, model = config.data, config.model
        pairs = PairSettings(
            kinds=tuple(model.kinds), size=model.size, portraits=regions.portraits, frames=regions.frames
        )
        data = RegionDataModule(
            regions.store,
            crops=regions.crops,
            pairs=pairs,
            colour=regions.colour,
            clips_per_speaker=regions.clips_per_speaker,
            split=regions,
            **shared,
        )
    elif isinstance(config, RendererConfig):
        from expnet.render.video_renderer.datamodule import FrameDataModule

        data = FrameDataModule(config.data.store, size=config.model.size, frames=config.data, **shared)
    else:
        windows = config.data
        share = windows.silent_share
        silent_runs = SilentRuns(load_face_model(config.face_model), share) if share else None
        online = None
        if windows.features == ONLINE:
            online = open_online_features(windows.encoder, windows.encoder_layer, windows.encoder_context)
        data = TalkingFaceDataModule(
            store_sources(windows.store, windows.store_weights, "" if online else windows.features),
            window=windows.window,
            split=windows,
            augmentation=WindowAugmentation.from_config(windows, silent_runs),
            online=online,
            temperature=windows.temperature,
            **shared,
        )
        # The motion network reads the mel only where there are no speech features.
        data.mel = not (isinstance(config, MotionConfig) and data.feature_source)
    data.setup("fit")
    return data


def build_trainer(
    config: Config, run: RunDirectory, task: BaseTask, data: TalkingFaceDataModule, resume_step: int | None
) -> pl.Trainer:
    """Build the Trainer with its callbacks and loggers."""
    import pytorch_lightning as pl

    from expnet.training.callbacks.chosen_profiler import build_profiler
    from expnet.training.callbacks.resume import AtomicCheckpoints
    from expnet.training.hardware import cluster_plugins, limit_waiting, strategy_name
    from expnet.training.loggers import build_loggers

    options = config.trainer
    validate = bool(data.splits["validation"])
    if not validate:
        _log.warning("There are no validation speakers: the last weights are exported without having been validated.")
    trainer = pl.Trainer(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy=strategy_name(options, task),
        precision=options.precision,
        deterministic=options.deterministic,
        max_steps=options.max_steps,
        max_epochs=-1,
        accumulate_grad_batches=options.accumulate,
        # Lightning counts batches here.
        val_check_interval=validation_interval(options) * options.accumulate if validate else None,
        check_val_every_n_epoch=None if validate else 1,
        limit_val_batches=None if validate else 0,
        num_sanity_val_steps=0,
        gradient_clip_val=config.optim.gradient_clip or None,
        log_every_n_steps=options.log_every,
        callbacks=build_callbacks(config, run, task, data, resume_step),
        logger=build_loggers(config.logger, run, resume_step, to_container(config)),
        plugins=[AtomicCheckpoints(), *cluster_plugins()],
        profiler=build_profiler(options.profiler, run.path),
        default_root_dir=run.path,
        enable_checkpointing=validate,  # without validation LastCheckpoint writes the only checkpoint
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    limit_waiting(trainer, options.timeout)
    return trainer


def validation_interval(options: TrainerConfig) -> int:
    """Return the steps between validations: a run that is shorter than ``validate_every`` is validated at its end."""
    if options.validate_every > options.max_steps:
        _log.warning(
            "trainer.validate_every=%d is more than trainer.max_steps=%d: the run is validated once, after its last "
            "step.",
            options.validate_every,
            options.max_steps,
        )
    return min(options.validate_every, options.max_steps)


def build_callbacks(
    config: Config, run: RunDirectory, task: BaseTask, data: TalkingFaceDataModule, resume_step: int | None
) -> list[pl.Callback]:
    """Build the callbacks of a run, in the order in which Lightning calls them."""
    from expnet.training.callbacks.build import build_checkpoints, build_metric_callbacks, build_monitors
    from expnet.training.callbacks.own_parts import own_callbacks
    from expnet.training.callbacks.progress import ProgressLine
    from expnet.training.callbacks.resume import RandomState, StepOfRows
    from expnet.training.callbacks.start_summary import StartSummary
    from expnet.training.tasks.expression_scores import ExpressionScores, GroupScores, groups_of
    from expnet.training.tasks.expression_task import ExpressionTask

    validation = data.splits["validation"]
    scores: list[pl.Callback] = []
    if isinstance(task, ExpressionTask):
        scores = [ExpressionScores(task.metric), GroupScores(task.metric, groups_of(validation, config.metrics.groups))]
    scores += [*build_metric_callbacks(config, validation, run.path / "samples"), *own_callbacks(config)]
    monitors = build_monitors(config, run, task, resume_step)
    checkpoints = build_checkpoints(config, run, task, scores, validate=bool(validation))
    # The progress line of a validation shows its scores, so it comes after the callbacks that compute them.
    summary = StartSummary(data.splits, config.data.batch_size)
    progress = ProgressLine(PROGRESS[config.task])
    return [summary, *scores, RandomState(), StepOfRows(), *monitors, progress, *checkpoints]


def _silence_lightning() -> None:
    """Hide Lightning's banners and the hints that do not apply here; its other warnings stay."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        # For small windows from memory-mapped files, loading in the training process is faster.
        r".*does not have many workers.*",
        r".*exists and is not empty.*",
        # Our dataloader resumes exactly, through the state of the DataModule.
        r".*your dataloader is not resumable.*",
        r".*is smaller than the logging interval.*",
        r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    ):
        warnings.filterwarnings("ignore", message=message)
