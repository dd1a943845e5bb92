"""Tables of head motion scores, with intervals over speakers."""

from __future__ import annotations

from dataclasses import dataclass

from expnet.io.markdown import markdown_table
from expnet.metrics.functional.statistics import bootstrap_interval

REAL = "real clips"
NONE = float("nan")

Row = dict[str, float]
Results = dict[str, dict[str, Row]]
"""Scores by system and clip; a score that a clip does not have is absent."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: Key of the score.
        title: Title of the column.
        over: Divisor of the sum over clips: ``real`` for the score of the real clips, the key of another score of the
            same row, or empty for a mean.
        largest: Whether to show the largest score of a clip instead of the mean.
    """

    key: str
    title: str
    over: str = ""
    largest: bool = False


TABLES: dict[str, tuple[Column, ...]] = {
    "Extent and speed (sampled over real; real: degrees, degrees a frame, energies)": (
        Column("diversity", "diversity", "real"),
        Column("speed", "speed", "real"),
        Column("smooth_speed", "speed without jitter", "real"),
        Column("slow_energy", "sways, .2 to 1.5 Hz", "real"),
        Column("nod_energy", "nods, 1.5 to 5 Hz", "real"),
        Column("out_of_range", "frames out of range"),
    ),
    "Timing": (
        Column("beat_alignment", "beat alignment"),
        Column("beat_alignment", "over real", "real"),
        Column("beat_alignment_other", "with the beats of other audio"),
        Column("follows_sound", "speed and audio energy, r"),
        Column("follows_other", "speed and energy of other audio, r"),
        Column("pace_other_sound", "speed and that for other audio, same latents, r"),
        Column("pace_other_latent", "speed and that of other latents, same audio, r"),
    ),
    "What it depends on": (
        Column("between_draws", "between samples, over from sample to real", "draw_to_real"),
        Column("swap_latent", "swap latents, degrees"),
        Column("swap_sound", "swap audio, degrees"),
        Column("kl", "KL, nats a window"),
        Column("reconstruction", "error from its own latent, over variance", "motion"),
        Column("blind_reconstruction", "from any latent", "motion"),
    ),
    "Three minutes": (
        Column("join_velocity", "velocity at joins, over inside"),
        Column("join_acceleration", "acceleration"),
        Column("spread_second", "spread, second minute over first", "spread_first"),
        Column("spread_third", "third over first", "spread_first"),
        Column("shift_to_third", "shift of the mean from first to third, in spreads", "spread_first"),
        Column("shift_to_third", "over that from first to second", "shift_to_second"),
        Column("long_largest_angle", "largest angle, radians", largest=True),
    ),
}


def tables(results: Results, people: dict[str, str]) -> str:
    """Format all tables as Markdown.

    Args:
        results: Scores by system and clip.
        people: Speaker of each clip.
    """
    blocks = []
    for title, columns in TABLES.items():
        lines = []
        for name, rows in results.items():
            cells = [cell(column, name, results, people) for column in columns]
            if any(cells):
                lines.append([f"{name} ({len({people[clip] for clip in rows})})", *cells])
        table = markdown_table(["", *(column.title for column in columns)], lines)
        blocks.append(f"{title}:\n\n{table}")
    clips = results[REAL]
    counted = f"{len(clips)} segments of {len({people[clip] for clip in clips})} people; in brackets: people of a row."
    return "\n\n".join([counted, *blocks])


def cell(column: Column, name: str, results: Results, people: dict[str, str]) -> str:
    """One cell; empty where no clip has the score."""
    rows = results[name]
    values = [row.get(column.key, NONE) for row in rows.values()]
    if all(value != value for value in values):
        return ""
    if column.largest:
        return f"{max(value for value in values if value == value):.2f}"
    weights = None
    if column.over == "real" and name != REAL:
        weights = [results[REAL][clip].get(column.key, NONE) for clip in rows]
    elif column.over and column.over != "real":
        weights = [row.get(column.over, NONE) for row in rows.values()]
    if weights is not None:
        values = [value / weight if weight else NONE for value, weight in zip(values, weights, strict=True)]
    interval = bootstrap_interval(values, weights=weights, groups=[people[clip] for clip in rows])
    if interval.low is None:
        return f"{interval.mean:.3g}"
    return f"{interval.mean:.3g} [{interval.low:.3g}, {interval.high:.3g}]"
