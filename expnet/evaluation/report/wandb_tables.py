"""The results on Weights & Biases: sent at once, or stored in the folder until they are synchronised."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from expnet.config import WandbConfig
from expnet.evaluation.report.first_screen import headline_tiles
from expnet.evaluation.report.results import Results, ScoredClip, SystemResult
from expnet.io.wandb_connection import wandb_mode

FILES = ("results.json", "results.csv", "table.md", "table.tex", "index.html")

Table = tuple[list[str], list[list[Any]]]
"""The columns and the rows."""


def log_benchmark(config: WandbConfig, results: Results, folder: Path) -> None:
    """Log an evaluation as a W&B run: tables of systems and clips, charts, the means as summary, the files as artifact.

    Does nothing unless ``config.wandb``.

    Args:
        config: The project and the name of the run.
        results: The results of the evaluation.
        folder: The folder of its files; without an API key the W&B run is stored there too.
    """
    if not config.wandb:
        return
    mode = wandb_mode()  # before wandb is imported and reads its settings
    import wandb

    name = config.name or results.title
    details = {"protocol_hash": results.protocol_hash, "protocol": results.protocol, "versions": results.versions}
    with wandb.init(
        project=config.project,
        name=name,
        dir=folder,
        mode=mode,
        config={**details},
        entity=config.entity,
        group=config.group,
        tags=list(config.tags) or None,
        job_type=config.job_type or "benchmark",
    ) as run:
        for key, (columns, rows) in (("benchmark", system_table(results)), ("clips", clip_table(results))):
            run.log({key: wandb.Table(columns=columns, data=rows)})
        for key, plot in system_plots(results).items():
            run.log({f"plots/{key}": plot})
        for system in results.systems:
            for metric, summary in system.metrics.items():
                run.summary[f"{system.name}/{metric}"] = summary.mean
        artifact = wandb.Artifact(f"benchmark-{results.protocol_hash}", type="benchmark", metadata=details)
        for file in FILES:
            artifact.add_file(str(folder / file))
        run.log_artifact(artifact)
    wandb.teardown()  # the service that has served one offline run with artifacts may fail in the next (wandb 0.28.0)


def system_plots(results: Results) -> dict[str, Any]:
    """Return a bar chart of the systems for each metric that the page shows first, as W&B's own charts."""
    import wandb

    infos = {info.key: info for info in results.metrics}
    plots = {}
    for key in (tile["key"] for tile in headline_tiles(results)):
        scored = [
            (system.title, _finite(system.metrics[key].mean)) for system in results.systems if key in system.metrics
        ]
        rows = [[title, mean] for title, mean in scored if mean is not None]
        table = wandb.Table(columns=["system", key], data=rows)
        plots[key] = wandb.plot.bar(table, "system", key, title=f"{infos[key].title}, {infos[key].unit}")
    return plots


def system_table(results: Results) -> Table:
    """Return one row for each system, with mean, ends of the 95 % interval and number of clips of each metric."""
    keys = [info.key for info in results.metrics]
    columns = ["system", "kind", *(f"{key}{part}" for key in keys for part in ("", "_low", "_high", "_n"))]
    return columns, [_system_row(system, keys) for system in results.systems]


def _system_row(system: SystemResult, keys: list[str]) -> list[Any]:
    row: list[Any] = [system.title, system.kind]
    for key in keys:
        summary = system.metrics.get(key)
        if summary is None:
            row += [None] * 4
        else:
            row += [_finite(summary.mean), *(summary.ci95 or (None, None)), summary.n]
    return row


def clip_table(results: Results) -> Table:
    """Return one row for each system and clip; those that could not be scored have a reason."""
    keys = [info.key for info in results.metrics]
    return ["system", "clip_id", "speaker", "frames", "status", "reason", *keys], [
        _clip_row(row, keys) for row in results.clips
    ]


def _clip_row(row: ScoredClip, keys: list[str]) -> list[Any]:
    values = (row.values.get(key) for key in keys)
    return [row.system, row.clip_id, row.speaker, row.frames, row.status, row.reason, *map(_finite, values)]


def _finite(value: float | None) -> float | None:
    """Return a value, or None where it is undefined, because a W&B table cannot hold NaN."""
    return None if value is None or not math.isfinite(value) else float(value)
