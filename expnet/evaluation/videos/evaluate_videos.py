"""Evaluation of anybody's videos: folders, pairs of files, scores of every clip, then results.json, tables and a page.

Read ``evaluate_videos`` from top to bottom. Any number of processes score the clips, each clip into a file of its own
(``finished_clips``); whichever process finds all of them finished writes the report.
"""

from __future__ import annotations

import hashlib
import logging
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from expnet.config.benchmark import GROUND_TRUTH, VideoBenchmarkConfig
from expnet.evaluation.output_folder import prepare_output
from expnet.evaluation.report import write_report
from expnet.evaluation.report.results import Results, SystemResult, protocol_hash
from expnet.evaluation.report.wandb_tables import log_benchmark
from expnet.evaluation.statistics import closeness
from expnet.evaluation.statistics.summary import Curves, RealParts, summarise
from expnet.evaluation.statistics.table_warnings import table_warnings
from expnet.evaluation.videos.clip_inputs import ClipInputs
from expnet.evaluation.videos.clip_parts import in_parts
from expnet.evaluation.videos.example_clips import choose_clips
from expnet.evaluation.videos.examples import page_extras
from expnet.evaluation.videos.fid_summary import few_frames_warning, frechet_summaries
from expnet.evaluation.videos.finished_clips import ClipOutcome, FinishedClips
from expnet.evaluation.videos.pairing import SET_PREFIX, PairedClip, Pairing, pair_videos
from expnet.evaluation.videos.preset import preset_of
from expnet.evaluation.videos.processes import score_all
from expnet.evaluation.videos.scoring_setup import ScoringSetup, open_scoring_setup
from expnet.evaluation.videos.set_distances import add_set_distances
from expnet.evaluation.videos.video_warnings import lag_warnings, video_warnings
from expnet.io.launcher import launched_process
from expnet.io.versions import package_versions

_log = logging.getLogger(__name__)

_PACKAGES = ("torch", "torchmetrics", "torchvision", "numpy", "scipy", "av", "mediapipe", "lpips", "scikit-image")


@dataclass(frozen=True)
class VideoSystem:
    """A row of the table."""

    name: str
    title: str
    kind: str
    description: str


def evaluate_videos(config: VideoBenchmarkConfig) -> Path | None:
    """Score every video of every folder and write the report.

    Returns:
        The path of the page, or None when another process still has clips to score and will write the report.

    Raises:
        InputError: A folder, a weight file or the tracker cannot be used.
        MissingAssetError: Weights are missing and ``strict`` is set.
    """
    started = time.monotonic()
    process = launched_process()
    preset = preset_of(config)
    output = prepare_output(config.output)
    pairing = pair_videos(config)
    parts = in_parts(pairing.clips, config.protocol.part_seconds, config.protocol.seconds)
    pairing = replace(pairing, clips=tuple(parts))
    setup = open_scoring_setup(config, torch.device("cpu"))
    for note in setup.notes if process.rank == 0 else ():
        _log.warning("%s", note)
    work = FinishedClips(output, protocol_hash(setup.protocol))
    score_all(config, pairing.clips, work, process)
    outcomes = [work.read(clip) for clip in pairing.clips]
    finished = [outcome for outcome in outcomes if outcome is not None]
    if len(finished) < len(outcomes):
        left = len(outcomes) - len(finished)
        _log.info("%d clips are still being scored elsewhere; the last process to finish writes the report.", left)
        return None
    report, chosen_by = _summarise(config, pairing, setup, finished, work)
    details = {
        "command": shlex.join(["python", *sys.argv]),
        **_folders(config),
        **{f"systems.{name}": folder for name, folder in config.systems.items()},
        "seconds": round(time.monotonic() - started, 1),
        "processes": process.world if process.world > 1 else config.trainer.devices,
    }
    rows = [row for outcome in finished for row in outcome.rows]
    chosen = choose_clips(chosen_by, pairing.clips, rows, report.metrics, config.examples.clips)
    by_name = dict(zip((clip.clip_id for clip in pairing.clips), finished, strict=True))
    titles = {system.name: system.title for system in video_systems(config)}
    extras = page_extras(chosen, by_name, titles, output, config.examples)
    report = replace(report, details=details, preset=preset)
    if preset is not None:
        report = replace(report, protocol={**report.protocol, "preset": {"name": preset.name, "hash": preset.hash}})
    page = write_report(report, output, extras)
    log_benchmark(config.logger, report, output)
    return page


def video_systems(config: VideoBenchmarkConfig) -> tuple[VideoSystem, ...]:
    """Return the rows of the table: the real clips first, if there are any, then the systems in the order given."""
    rows = [VideoSystem(name, name, "model", f"Videos of {Path(path).name}.") for name, path in config.systems.items()]
    if config.real_videos is None:
        return tuple(rows)
    unpaired = ", not paired with those of the systems" if config.reference is None else ""
    real = (
        f"The real videos ({Path(config.real_videos).name}){unpaired}, scored in the same way as those of the systems."
    )
    return VideoSystem(GROUND_TRUTH, "Real clips" if config.reference else "Real set", "reference", real), *rows


def _folders(config: VideoBenchmarkConfig) -> dict[str, str]:
    """Return the folders and files that the user gave beside those of the systems."""
    given = {name: getattr(config, name) for name in ("reference_set", "audio", "portraits", "pairs")}
    return {"reference": config.reference or "none", **{name: path for name, path in given.items() if path}}


def _summarise(
    config: VideoBenchmarkConfig,
    pairing: Pairing,
    setup: ScoringSetup,
    outcomes: Sequence[ClipOutcome],
    work: FinishedClips,
) -> tuple[Results, str]:
    """Return the results without details, and the name of the system whose clips are shown as examples."""
    systems, infos = video_systems(config), setup.infos()
    rows = [row for outcome in outcomes for row in outcome.rows]
    curves, parts = _curves(setup, outcomes), _real_parts(setup, outcomes)
    results = summarise(systems, infos, rows, curves, config.protocol, seed=config.seed, real_parts=parts)
    notes = [*setup.notes, *pairing.notes]
    if any(info.key == "fid" for info in infos):
        names = [system.name for system in systems if system.kind == "model"]
        distances, frame_counts = frechet_summaries(names, pairing.clips, work, paired=config.reference is not None)
        results = tuple(_with_frechet(system, distances.get(system.name)) for system in results)
        notes.append(few_frames_warning(frame_counts, distances))
    keys = [info.key for info in infos]
    results, remarks = add_set_distances(results, keys, pairing.clips, work, paired=config.reference is not None)
    notes += remarks
    if closeness.KEY in keys:
        results, remarks = closeness.add_closeness(results, rows, config.protocol, seed=config.seed)
        notes += remarks
    notes += video_warnings(config, rows, [outcome.sources for outcome in outcomes])
    notes += lag_warnings(results, infos)
    notes += table_warnings(results, rows, config.protocol, corpora=())
    used = {key for system in results for key in system.metrics}
    first = next(iter(config.systems), GROUND_TRUTH)
    report = Results(
        title=config.title or _title(config, pairing.clips),
        metrics=tuple(info for info in infos if info.key in used),
        systems=results,
        clips=tuple(rows),
        protocol={
            **setup.protocol,
            "data": _data(pairing.clips),
            "intervals": {"bootstrap over": config.protocol.interval, "draws": config.protocol.resamples},
        },
        versions={**package_versions(_PACKAGES), **{f"weights of {n}": c for n, c in setup.checksums.items()}},
        notes=tuple(note for note in notes if note),
    )
    return report, first


def _title(config: VideoBenchmarkConfig, clips: Sequence[PairedClip]) -> str:
    """Name a few systems or count them, and the clips that are not those of an unpaired set."""
    made = [clip for clip in clips if not clip.clip_id.startswith(SET_PREFIX)]
    names = ", ".join(config.systems) if len(config.systems) <= 4 else f"{len(config.systems)} systems"
    return f"{names or 'Real clips'} on {len(made or clips)} clips"


def _curves(setup: ScoringSetup, outcomes: Sequence[ClipOutcome]) -> dict[str, Curves]:
    """Collect the correlation by lag of each metric, by system and clip."""
    return {
        key: {
            (system, video.row.clip_id): np.asarray(video.curves[key], dtype=np.float64)
            for outcome in outcomes
            for system, video in outcome.videos.items()
            if key in video.curves
        }
        for key in _lag_keys(setup)
    }


def _real_parts(setup: ScoringSetup, outcomes: Sequence[ClipOutcome]) -> RealParts:
    """Collect the real clips over the frames that shorter videos have."""
    parts = {
        (system, video.row.clip_id): video.real
        for outcome in outcomes
        for system, video in outcome.videos.items()
        if video.real is not None
    }
    curves = {
        key: {where: np.asarray(part.curves[key]) for where, part in parts.items() if key in part.curves}
        for key in _lag_keys(setup)
    }
    return RealParts({where: part.row for where, part in parts.items()}, curves)


def _lag_keys(setup: ScoringSetup) -> list[str]:
    """Return the metrics whose value is the peak of a curve."""
    return [metric.name for measure in setup.measures for metric in measure.metrics if hasattr(metric, "correlations")]


def _with_frechet(system: SystemResult, summary: Any | None) -> SystemResult:
    return system if summary is None else replace(system, metrics={**system.metrics, "fid": summary})


def _data(clips: Sequence[PairedClip]) -> dict[str, Any]:
    """Identify the scored clips by their names, the sizes of the reference's files and the files that were given."""
    lines = [f"{clip.clip_id}/{clip.reference.stat().st_size if clip.reference else ''}" for clip in clips]
    lines += [f"{clip.clip_id}<{_sizes(clip.inputs)}" for clip in clips if clip.inputs != ClipInputs()]
    return {"fingerprint": hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16], "clips": len(clips)}


def _sizes(inputs: ClipInputs) -> str:
    """Return the names and sizes of given files, which tell whether two benchmarks gave the same."""
    return "/".join(f"{path.stem}:{path.stat().st_size}" for path in (inputs.audio, inputs.portrait) if path)
