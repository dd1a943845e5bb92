"""Evaluation: a store's unseen speakers -> systems -> scores -> results.json, tables and a page.

``python evaluate.py configs/evaluate.yaml data.store=STORE expression=RUN pose=RUN output=DIR``. Read ``evaluate`` from
top to bottom: the parts are in ``expnet.evaluation``, the maths in ``expnet.metrics``, the files in ``expnet.report``.
"""

from __future__ import annotations

import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from expnet import __version__
from expnet.errors import ExpnetError, InputError
from expnet.evaluation.clips import Clip, Selection, select_clips, spread
from expnet.evaluation.options import EvaluateConfig
from expnet.evaluation.pictures import REAL, Pictures, render_clip
from expnet.evaluation.scoring import Scorer, Scores, model_fingerprint
from expnet.evaluation.summary import summarise, warnings_about
from expnet.evaluation.systems import Prediction, System, build_systems
from expnet.face.morphable import load_face_model
from expnet.grammar import describe, merge, parse_arguments, to_yaml
from expnet.report import Extras, write_report
from expnet.report.charts import Series
from expnet.report.page import CurveExample
from expnet.report.results import ClipRow, Results

_log = logging.getLogger(__name__)

# What one bad clip may raise; anything else is a fault of this program and stops it.
_CLIP_FAULTS = (ExpnetError, ArithmeticError, LookupError, OSError, RuntimeError, ValueError)
_SHIPPED_CONFIG = "evaluate.yaml"


@dataclass(eq=False)
class Record:
    """What is kept while clips pass by.

    Attributes:
        rows: one a system and clip.
        curves: correlation by lag, by system and clip.
        pictures: rendered clips.
        picture_faults: clips that could not be rendered, with the reason.
    """

    rows: list[ClipRow] = field(default_factory=list)
    curves: dict[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)
    pictures: list[Pictures] = field(default_factory=list)
    picture_faults: list[str] = field(default_factory=list)


def evaluate(config: EvaluateConfig) -> Path:
    """Score every system on every clip and write the report.

    Returns:
        Path of the page.

    Raises:
        InputError: a path, a store or a network cannot be used.
    """
    started = time.monotonic()
    torch.set_num_threads(config.threads)
    output = _prepare_output(config.output)
    model = load_face_model(config.face_model)
    scorer = Scorer(model, config.protocol)
    selection = select_clips(config)
    notes: list[str] = []
    systems = build_systems(config, selection, scorer.expression_metric, notes)
    record = score_clips(config, selection, systems, scorer, output)

    infos = scorer.infos()
    results = summarise(systems, infos, record.rows, record.curves, config.protocol, seed=config.seed)
    corpora = sorted({entry.row.corpus for entry in selection.scored})
    notes += warnings_about(results, record.rows, config.protocol, corpora=corpora)
    notes += _notes_on_pictures(config, record)
    used = {key for system in results for key in system.metrics}
    report = Results(
        title=config.title or f"expnet on {', '.join(Path(store).name for store in config.data.stores)}",
        metrics=tuple(info for info in infos if info.key in used),
        systems=results,
        clips=tuple(record.rows),
        protocol=_protocol(config, selection, scorer, record),
        versions=_versions(),
        details={
            "command": shlex.join(["python", *sys.argv]),
            "expression": config.expression or "the weights in the package",
            "pose": config.pose or "the weights in the package",
            "per_frame": config.per_frame,
            "stores": ", ".join(config.data.stores),
            "split taken from": selection.split_source,
            "training clips of the baselines": len(selection.train),
            "seconds": round(time.monotonic() - started, 1),
        },
        notes=tuple(notes),
    )
    extras = Extras(
        curves=curve_examples(selection, systems, scorer, record.rows),
        strips=tuple(pictures.strip for pictures in record.pictures),
        training=_training_logs(config),
    )
    return write_report(report, output, extras)


def score_clips(
    config: EvaluateConfig, selection: Selection, systems: Sequence[System], scorer: Scorer, output: Path
) -> Record:
    """Pass over the clips once; only rows, lag curves and a few pictures are kept."""
    record = Record()
    rendered = {id(entry) for entry in spread(selection.scored, config.pictures.clips)} if config.pictures.clips else ()
    for entry in tqdm(selection.scored, desc="Scoring", unit="clip", disable=None, leave=False):
        row = entry.row
        try:
            clip = selection.read(entry)
        except _CLIP_FAULTS as error:
            reason = _reason(error)
            name = selection.name(entry)
            record.rows += [ClipRow(name, system.name, row.speaker, row.frames, "failed", reason) for system in systems]
            continue
        predictions, scores, faults = _score_clip(clip, systems, scorer)
        if id(entry) in rendered:
            titled = {s.name: (s.title, predictions[s.name]) for s in systems if s.name in predictions}
            try:
                record.pictures.append(render_clip(clip, titled, scores, scorer, config.pictures, output))
            except _CLIP_FAULTS as error:
                record.picture_faults.append(f"{clip.clip_id}: {_reason(error)}")
        for system in systems:
            _keep(record, clip, system.name, scores.get(system.name), faults.get(system.name, ""))
    return record


def _score_clip(
    clip: Clip, systems: Sequence[System], scorer: Scorer
) -> tuple[dict[str, Prediction], dict[str, Scores], dict[str, str]]:
    """Predictions, scores and faults of every system on one clip."""
    predictions: dict[str, Prediction] = {}
    scores: dict[str, Scores] = {}
    faults: dict[str, str] = {}
    for system in systems:
        try:
            prediction = system.predict(clip)
            scores[system.name] = scorer.score(clip, prediction)
            predictions[system.name] = prediction
        except _CLIP_FAULTS as error:
            faults[system.name] = _reason(error)
            _log.warning("%s could not be scored on %s: %s", system.name, clip.clip_id, faults[system.name])
    return predictions, scores, faults


def _keep(record: Record, clip: Clip, system: str, scores: Scores | None, fault: str) -> None:
    """Turn one system's scores on one clip into a row."""
    known = (clip.clip_id, system, clip.track.speaker, clip.frames)
    if scores is None:
        record.rows.append(ClipRow(*known, "failed", fault))
        return
    undefined = [key for key, value in scores.values.items() if not np.isfinite(value)]
    reason = f"undefined: {', '.join(undefined)}" if undefined else ""
    record.rows.append(ClipRow(*known, "ok", reason, scores.values, scores.weights))
    if scores.curve is not None:
        record.curves[system, clip.clip_id] = scores.curve


def curve_examples(
    selection: Selection, systems: Sequence[System], scorer: Scorer, rows: Sequence[ClipRow]
) -> tuple[CurveExample, ...]:
    """Mouth opening on the best, the median and the worst clip of the model, by correlation.

    Without a model the first baseline takes its place.
    """
    key = "mouth_opening_correlation"
    shown = next((s for kind in ("model", "baseline") for s in systems if s.kind == kind), None)
    if shown is None:
        return ()
    ranked = sorted(
        (
            (row.values[key], row.clip_id)
            for row in rows
            if row.system == shown.name and np.isfinite(row.values.get(key, np.nan))
        ),
        reverse=True,
    )
    if not ranked:
        return ()
    beside = next((s for s in systems if s.kind == "baseline" and s is not shown), None)
    scored = {(row.system, row.clip_id) for row in rows if row.status == "ok"}
    places = {0: "Best", len(ranked) // 2: "Median", len(ranked) - 1: "Worst"}
    entries = {selection.name(entry): entry for entry in selection.scored}
    examples = []
    for place, title in sorted(places.items()):
        value, clip_id = ranked[place]
        clip = selection.read(entries[clip_id])
        series = [Series("real", scorer.opening(clip, clip.expression).tolist(), "real")]
        for system, style in ((beside, "baseline"), (shown, "model")):
            if system is not None and (system.name, clip_id) in scored:
                opening = scorer.opening(clip, system.predict(clip).expression)
                series.append(Series(system.title, opening.tolist(), style))
        note = f"{clip.track.speaker}, r {value:.2f}"
        silent = tuple(bool(flag) for flag in clip.silent)
        examples.append(CurveExample(title, clip_id, note, tuple(series), silent))
    return tuple(examples)


def _prepare_output(name: str) -> Path:
    """Make the output folder before anything is computed."""
    output = Path(name).expanduser()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The results cannot be written to {output}: {error.strerror}; give another output=DIR."
        ) from error
    if not os.access(output, os.W_OK):
        raise InputError(f"The results cannot be written to {output}: it is read-only; give another output=DIR.")
    return output


def _protocol(config: EvaluateConfig, selection: Selection, scorer: Scorer, record: Record) -> dict[str, Any]:
    """What must be equal for two tables to be comparable."""
    kinds = sorted({pictures.kind for pictures in record.pictures})
    return {
        **scorer.protocol(),
        "face_model": model_fingerprint(scorer.model),
        "data": {
            "fingerprint": selection.fingerprint(),
            "clips": len(selection.scored),
            "split": config.data.split,
            **selection.split,
        },
        "intervals": {"bootstrap over": config.protocol.interval, "draws": config.protocol.resamples},
        "pictures": {**asdict(config.pictures), "compared with": " and ".join(kinds) or "nothing"},
        "pose": {"samples": config.protocol.pose_samples, "seed": config.seed},
    }


def _notes_on_pictures(config: EvaluateConfig, record: Record) -> list[str]:
    """Say what PSNR and SSIM were measured on, and what could not be rendered."""
    notes = []
    kinds = {pictures.kind for pictures in record.pictures}
    if kinds and kinds != {REAL}:
        notes.append(
            "Some clips have no source video, so their PSNR and SSIM compare the built-in portrait under predicted and "
            "under true coefficients: they measure the coefficients through the renderer, not realism."
        )
    if record.pictures:
        notes.append(
            f"PSNR and SSIM come from {len(record.pictures)} rendered clips, every {config.pictures.stride}th of the "
            f"first {config.pictures.frames} frames, with the clip's own head motion."
        )
    if record.picture_faults:
        notes.append(
            f"{len(record.picture_faults)} clips could not be rendered ({'; '.join(record.picture_faults[:3])})."
        )
    return notes


def _training_logs(config: EvaluateConfig) -> dict[str, Path]:
    """The runs' metrics.csv, for the training curves."""
    logs = {}
    named = (
        ("Expression network", config.expression),
        ("Head-pose network", config.pose),
        ("Per-frame head", config.per_frame),
    )
    for title, run in named:
        if run and (Path(run) / "metrics.csv").is_file():
            logs[title] = Path(run) / "metrics.csv"
    return logs


def _versions() -> dict[str, str]:
    """Python and the packages that numbers depend on."""
    found = {"expnet": __version__, "python": platform.python_version()}
    for package in ("torch", "torchmetrics", "numpy", "scipy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _reason(error: Exception) -> str:
    """An error as one line, with its type where its words alone would not do."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ExpnetError) else f"{type(error).__name__}: {text}"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``evaluate.py`` and ``expnet evaluate``.

    Args:
        argv: configuration files and key=value overrides; those of the process by default.

    Returns:
        0; errors are raised as ExpnetError, for the caller to print.
    """
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    if arguments.help:
        print(_HELP + describe(EvaluateConfig))  # noqa: T201
        return 0
    config = merge(EvaluateConfig, arguments.layers)
    if arguments.print_config:
        print(to_yaml(config), end="")  # noqa: T201
        return 0
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    page = evaluate(config)
    print((page.parent / "table.md").read_text(encoding="utf-8"))  # noqa: T201
    print(page)  # noqa: T201
    return 0


_HELP = """usage: evaluate.py [FILE.yaml ...] [key=value ...] [--print-config]

Score networks beside the trivial baselines, on speakers that they did not train on:
  python evaluate.py configs/evaluate.yaml data.store=STORE expression=RUN pose=RUN output=DIR

"""
