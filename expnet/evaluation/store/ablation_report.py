"""Scores the variants of an ablation on the same clips and writes its report.

Scores are means over training seeds, intervals are bootstrapped over people, and differences are paired and tested.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from expnet.config import ExpressionConfig
from expnet.config.ablate import AblationConfig
from expnet.config.evaluate import (
    BaselineConfig,
    EvaluateConfig,
    EvaluateDataConfig,
    PictureConfig,
    ProtocolConfig,
)
from expnet.data.online_features import ONLINE
from expnet.evaluation.output_folder import prepare_output
from expnet.evaluation.report import write_report
from expnet.evaluation.report.results import Results, SystemResult
from expnet.evaluation.report.results_files import plain
from expnet.evaluation.statistics.summary import LAG, summarise
from expnet.evaluation.statistics.table_warnings import table_warnings
from expnet.evaluation.store.ablation_tables import Difference, paired_differences, write_differences
from expnet.evaluation.store.clips import Selection, select_clips
from expnet.evaluation.store.evaluate_networks import protocol_of, score_clips
from expnet.evaluation.store.length_curve import report_lengths
from expnet.evaluation.store.length_curve_tables import Point
from expnet.evaluation.store.prediction import System
from expnet.evaluation.store.scoring import Scorer
from expnet.evaluation.store.systems import Networks, build_baselines, open_encoder_for
from expnet.evaluation.store.trivial_systems import GroundTruth
from expnet.evaluation.store.variants import Variant, mean_curves, mean_over_seeds
from expnet.face.morphable import load_face_model
from expnet.io.atomic import write_atomically
from expnet.io.versions import package_versions

_log = logging.getLogger(__name__)


def report_ablation(variants: Sequence[Variant], trained: ExpressionConfig, options: AblationConfig) -> list[Path]:
    """Score every training on every clip and write the tables.

    The output folder gets results.json, results.csv, table.md, table.tex and index.html (the scores of the variants),
    differences.md and differences.tex (what each part contributes), the folder lengths (the length curve), and
    ablation.json (the differences, the points of the curve, and the scores of every single training).

    Args:
        variants: The variants, the reference first.
        trained: The configuration of the reference, which says where the clips are and how they were split.
        options: The options of the ablation.

    Returns:
        The pages that were written.
    """
    torch.set_num_threads(options.threads)
    folder = prepare_output(options.output)
    config = _evaluation(trained, variants[0].runs[0], options)
    scorer = Scorer(load_face_model(config.face_model), config.protocol)
    selection = select_clips(config)
    notes: list[str] = []
    baselines = build_baselines(config, selection, scorer.expression_metric, notes)
    trainings = [training for variant in variants for training in _trainings(variant, selection)]
    _log.info("scoring %d trainings on %d clips", len(trainings), len(selection.scored))
    record = score_clips(config, selection, [GroundTruth(), *trainings, *baselines], scorer, folder)

    names = {training.name for training in trainings}
    rows = [row for row in record.rows if row.system not in names] + mean_over_seeds(variants, record.rows)
    curves = {LAG: mean_curves(variants, record.curves)}
    shown: list[Variant | System] = [GroundTruth(), *variants, *baselines]
    systems = summarise(shown, scorer.infos(), rows, curves, config.protocol)
    used = {key for system in systems for key in system.metrics}
    corpora = sorted({entry.row.corpus for entry in selection.scored})
    results = Results(
        title=f"Ablation on {', '.join(Path(store).name for store in config.data.stores)}",
        metrics=tuple(info for info in scorer.infos() if info.key in used),
        systems=systems,
        clips=tuple(rows),
        protocol={**protocol_of(config, selection, scorer, record), "trainings of a variant": options.seeds},
        versions=package_versions(),
        details={"stores": ", ".join(config.data.stores), "split taken from": selection.split_source},
        notes=(*notes, *table_warnings(systems, rows, config.protocol, corpora=corpora), *_notes(trained, options)),
    )
    pages = [write_report(results, folder)]
    found = paired_differences(variants, results.metrics, [*rows, *record.rows], config.protocol)
    write_differences(found, variants, results, folder)
    curve = report_lengths(variants, options.lengths, selection, scorer, results, config.protocol, folder)
    seeds = summarise(trainings, results.metrics, record.rows, {LAG: record.curves}, config.protocol)
    points = curve.points if curve is not None else ()
    write_atomically(folder / "ablation.json", _ablation_as_json(variants, results, seeds, found, points))
    return pages if curve is None else [*pages, curve.page]


def _evaluation(trained: ExpressionConfig, run: Path, options: AblationConfig) -> EvaluateConfig:
    """Return the configuration with which ``expnet evaluate`` would score one of the runs."""
    # Features that were computed in the batch are computed again, with the encoder that the network names.
    features = "" if trained.data.features == ONLINE else trained.data.features
    return EvaluateConfig(
        expression=str(run),
        per_frame="train" if options.baselines else "none",
        output=options.output,
        face_model=trained.face_model,
        threads=options.threads,
        data=EvaluateDataConfig(store=trained.data.store, features=features, split=options.split),
        # The baselines learn from no more clips than the variants did.
        baselines=BaselineConfig(
            ridge=options.baselines, train_clips=trained.data.limit_clips or BaselineConfig.train_clips
        ),
        pictures=PictureConfig(clips=0),
        protocol=ProtocolConfig(resamples=options.resamples),
    )


def _trainings(variant: Variant, selection: Selection) -> list[Networks]:
    """Return the trainings of a variant as systems of their own."""
    return [
        Networks(
            name,
            name,
            "model",
            variant.description,
            expression=network,
            speech_encoder=open_encoder_for(network, selection),
        )
        for name, network in zip(variant.trainings, variant.networks(), strict=True)
    ]


def _notes(trained: ExpressionConfig, options: AblationConfig) -> list[str]:
    """Return notes on what the numbers stand for."""
    notes = [
        f"Each number of a variant is the mean over seeds ({options.seeds}) of trainings of "
        f"{trained.trainer.max_steps} steps on windows of {trained.data.window} frames. "
        "Intervals are over people, not over trainings; ablation.json has the scores of every training."
    ]
    if options.seeds < 3:
        notes.append("With fewer than three trainings of a variant, agreement of all seeds means little.")
    if options.split == "validation":
        notes.append(
            "The best checkpoint of each run was chosen on the validation clips, so these scores are optimistic."
        )
    return notes


def _ablation_as_json(
    variants: Sequence[Variant],
    results: Results,
    trainings: Sequence[SystemResult],
    differences: Sequence[Difference],
    points: Sequence[Point],
) -> str:
    """Return the differences, the length curve and the scores of every training as JSON."""
    content = {
        "protocol_hash": results.protocol_hash,
        "reference": variants[0].name,
        "variants": {variant.name: _described(variant) for variant in variants},
        "trainings": {one.name: {key: summary.mean for key, summary in one.metrics.items()} for one in trainings},
        "differences": [{**asdict(one), "significant": one.significant} for one in differences],
        "length_curve": [asdict(point) for point in points],
    }
    return json.dumps(plain(content), indent=1, allow_nan=False) + "\n"


def _described(variant: Variant) -> dict[str, Any]:
    """Return a variant as plain values."""
    changes = {key: {"value": here, "reference": there} for key, (here, there) in variant.changes.items()}
    return {"changes": changes, "runs": [str(run) for run in variant.runs]}
