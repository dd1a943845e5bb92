"""Evaluation of networks on a store: unseen speakers, systems, scores, then results.json, tables and a page.

Read ``evaluate_networks`` from top to bottom. Its parts are the modules beside this one, the maths is in
``expnet.metrics``, and ``expnet.evaluation.report`` writes the files.
"""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from expnet.assets.extractors import open_sync_expert
from expnet.config.evaluate import EvaluateConfig, PictureConfig
from expnet.data.even_spacing import evenly_spaced
from expnet.evaluation.clip_faults import CLIP_FAULTS, clip_fault
from expnet.evaluation.output_folder import prepare_output
from expnet.evaluation.protocol import model_fingerprint
from expnet.evaluation.report import Extras, write_report
from expnet.evaluation.report.results import UNDEFINED, Results, ScoredClip
from expnet.evaluation.report.wandb_tables import log_benchmark
from expnet.evaluation.scores import Scores
from expnet.evaluation.statistics.summary import LAG, summarise
from expnet.evaluation.statistics.table_warnings import table_warnings
from expnet.evaluation.store.clips import Clip, Selection, select_clips
from expnet.evaluation.store.curve_examples import curve_examples
from expnet.evaluation.store.prediction import Prediction, System
from expnet.evaluation.store.realism_record import OTHER_HALF, RealismRecord
from expnet.evaluation.store.rendered_clips import REAL, RenderedClip, render_clip
from expnet.evaluation.store.scoring import Scorer
from expnet.evaluation.store.systems import build_systems
from expnet.face.morphable import load_face_model
from expnet.face.tracker import open_tracker
from expnet.io.versions import package_versions
from expnet.render.open_renderer import OpenedRenderer, open_renderer

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Record:
    """What is kept of the clips while they are scored one after the other.

    Attributes:
        rows: One row for each system and clip.
        curves: The correlation by lag, by system and clip.
        rendered: The rendered clips.
        render_faults: The clips that could not be rendered, with the reason.
        renderer: Name of the renderer.
    """

    rows: list[ScoredClip] = field(default_factory=list)
    curves: dict[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)
    rendered: list[RenderedClip] = field(default_factory=list)
    render_faults: list[str] = field(default_factory=list)
    renderer: str = "mesh"


def evaluate_networks(config: EvaluateConfig) -> Path:
    """Score every system on every clip and write the report.

    Returns:
        The path of the page.

    Raises:
        InputError: A path, a store or a network cannot be used.
    """
    started = time.monotonic()
    torch.set_num_threads(config.threads)
    open_tracker(config.tracker)  # missing files are reported before any work
    renderer = open_renderer(config.pictures.renderer, size=config.pictures.renderer_size)
    output = prepare_output(config.output)
    model = load_face_model(config.face_model)
    expert = open_sync_expert(config.sync_expert) if config.sync_expert else None
    scorer = Scorer(model, config.protocol, expert)
    selection = select_clips(config)
    notes: list[str] = []
    systems = build_systems(config, selection, scorer.expression_metric, notes)
    realism = RealismRecord(model) if config.protocol.realism else None
    record = score_clips(config, selection, systems, scorer, output, realism, renderer)

    infos = (*scorer.infos(), *(realism.infos() if realism else ()))
    table = realism.described(systems) if realism else systems
    results = summarise(table, infos, record.rows, {LAG: record.curves}, config.protocol, seed=config.seed)
    if realism:
        results = realism.complete(results)
        notes += realism.windows.notes()
    corpora = sorted({entry.row.corpus for entry in selection.scored})
    notes += table_warnings(results, record.rows, config.protocol, corpora=corpora)
    notes += _notes_on_rendering(config, record)
    used = {key for system in results for key in system.metrics}
    report = Results(
        title=config.title or f"expnet on {', '.join(Path(store).name for store in config.data.stores)}",
        metrics=tuple(info for info in infos if info.key in used),
        systems=results,
        clips=tuple(record.rows),
        protocol={
            **protocol_of(config, selection, scorer, record),
            **({"realism": realism.protocol()} if realism else {}),
        },
        versions=package_versions(),
        details={**_details(config, selection), "seconds": round(time.monotonic() - started, 1)},
        notes=tuple(notes),
    )
    extras = Extras(
        curves=curve_examples(selection, systems, scorer, record.rows),
        strips=tuple(clip.strip for clip in record.rendered),
        training=_training_logs(config),
    )
    page = write_report(report, output, extras)
    log_benchmark(config.logger, report, output)
    return page


def score_clips(
    config: EvaluateConfig,
    selection: Selection,
    systems: Sequence[System],
    scorer: Scorer,
    output: Path,
    realism: RealismRecord | None = None,
    renderer: OpenedRenderer | None = None,
) -> Record:
    """Score the clips one after the other, and keep only rows, lag curves and a few rendered clips."""
    renderer = renderer or open_renderer(config.pictures.renderer, size=config.pictures.renderer_size)
    record = Record(renderer=renderer.name)
    tracker = open_tracker(config.tracker)
    table = realism.described(systems) if realism else systems
    rendered = {id(entry) for entry in evenly_spaced(selection.scored, config.pictures.clips)}
    for entry in tqdm(selection.scored, desc="Scoring", unit="clip", disable=None, leave=False):
        row = entry.row
        try:
            clip = selection.read(entry)
        except CLIP_FAULTS as error:
            reason = clip_fault(error)
            name = selection.name(entry)
            record.rows += [
                ScoredClip(name, system.name, row.speaker, row.frames, "failed", reason) for system in table
            ]
            continue
        predictions, scores, faults = _score_clip(clip, systems, scorer, realism)
        if id(entry) in rendered:
            titled = {s.name: (s.title, predictions[s.name]) for s in systems if s.name in predictions}
            try:
                rendering = (config.pictures, output, tracker, renderer)
                record.rendered.append(render_clip(clip, titled, scores, scorer, *rendering))
            except CLIP_FAULTS as error:
                record.render_faults.append(f"{clip.clip_id}: {clip_fault(error)}")
        for described in table:
            _keep(record, clip, described.name, scores.get(described.name), faults.get(described.name, ""))
    return record


def _score_clip(
    clip: Clip, systems: Sequence[System], scorer: Scorer, realism: RealismRecord | None
) -> tuple[dict[str, Prediction], dict[str, Scores], dict[str, str]]:
    """Return predictions, scores and faults of every system on one clip, by system name."""
    predictions: dict[str, Prediction] = {}
    scores: dict[str, Scores] = {}
    faults: dict[str, str] = {}
    real = None
    if realism is not None:
        try:
            real, scores[OTHER_HALF] = realism.add_real(clip)
        except CLIP_FAULTS as error:
            faults[OTHER_HALF] = clip_fault(error)
    for system in systems:
        try:
            prediction = system.predict(clip)
            scored = scorer.score(clip, prediction)
            if realism is not None and real is not None:
                realism.add(clip, system.name, prediction, real, scored)
            scores[system.name] = scored
            predictions[system.name] = prediction
        except CLIP_FAULTS as error:
            faults[system.name] = clip_fault(error)
            _log.warning("%s could not be scored on %s: %s", system.name, clip.clip_id, faults[system.name])
    return predictions, scores, faults


def _keep(record: Record, clip: Clip, system: str, scores: Scores | None, fault: str) -> None:
    """Record the scores of one system on one clip as a row."""
    known = (clip.clip_id, system, clip.track.speaker, clip.frames // 2 if system == OTHER_HALF else clip.frames)
    if scores is None:
        record.rows.append(ScoredClip(*known, "failed", fault))
        return
    undefined = [key for key, value in scores.values.items() if not np.isfinite(value)]
    reason = f"undefined: {', '.join(undefined)}" if undefined else ""
    unscored = dict.fromkeys(undefined, UNDEFINED)
    record.rows.append(ScoredClip(*known, "ok", reason, scores.values, scores.weights, unscored))
    if LAG in scores.curves:
        record.curves[system, clip.clip_id] = scores.curves[LAG]


def _details(config: EvaluateConfig, selection: Selection) -> dict[str, Any]:
    """Return what was evaluated; it does not change what the numbers mean."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "expression": config.expression or "the weights in the package",
        "pose": config.pose or "the weights in the package",
        "per_frame": config.per_frame,
        "stores": ", ".join(config.data.stores),
        "split taken from": selection.split_source,
        "training clips of the baselines": len(selection.train),
    }


def protocol_of(config: EvaluateConfig, selection: Selection, scorer: Scorer, record: Record) -> dict[str, Any]:
    """What must be equal for two tables to be comparable."""
    kinds = sorted({clip.kind for clip in record.rendered})
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
        "pictures": {
            **_pictures_protocol(config.pictures, record.renderer),
            "compared with": " and ".join(kinds) or "nothing",
        },
        "pose": {"samples": config.protocol.pose_samples, "seed": config.seed},
    }


def _pictures_protocol(pictures: PictureConfig, renderer: str) -> dict[str, Any]:
    """Return how clips were rendered; without the renderer where it is the mesh, as in tables of before the choice."""
    options = {key: value for key, value in asdict(pictures).items() if not key.startswith("renderer")}
    return options if renderer == "mesh" else {**options, "renderer": renderer}


def _notes_on_rendering(config: EvaluateConfig, record: Record) -> list[str]:
    """Say what PSNR and SSIM were measured on, and what could not be rendered."""
    notes = []
    kinds = {clip.kind for clip in record.rendered}
    if kinds and kinds != {REAL}:
        notes.append(
            "Some clips have no source video, so their PSNR and SSIM compare the built-in portrait rendered from "
            "predicted and from true coefficients. They measure the coefficients through the renderer, not realism."
        )
    if record.rendered:
        notes.append(
            f"PSNR and SSIM are measured on {len(record.rendered)} rendered clips, at every "
            f"{config.pictures.stride}th of the first {config.pictures.frames} frames, with the clip's own head motion"
            + ("." if record.renderer == "mesh" else f", drawn by the renderer {record.renderer}.")
        )
    if record.render_faults:
        notes.append(
            f"{len(record.render_faults)} clips could not be rendered ({'; '.join(record.render_faults[:3])})."
        )
    return notes


def _training_logs(config: EvaluateConfig) -> dict[str, Path]:
    """Find the metrics.csv of each run, for the training curves."""
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
