"""FID of every system, from the features of the finished clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import MetricSummary
from expnet.evaluation.videos.finished_clips import WorkFolder
from expnet.evaluation.videos.pairing import PairedClip
from expnet.metrics.functional.frechet import Moments, frechet_distance

FEW_PICTURES = 2048
"""Below as many pictures as features the covariance has no full rank, and the distance is far too large."""
FEW_CLIPS = 50


def frechet_summaries(
    systems: Sequence[str], clips: Sequence[PairedClip], work: WorkFolder
) -> tuple[dict[str, MetricSummary], dict[str, int]]:
    """FID of each system against the real pictures of the clips that it has.

    One clip's features are in memory at a time. There is no interval: the distance is of the whole set, and drawing
    clips again would add the bias of repeated pictures.

    Returns:
        Summaries and numbers of pictures by system, the first system's distance as what the others differ from.
    """
    distances: dict[str, float] = {}
    counts: dict[str, tuple[int, int]] = {}
    for system in systems:
        sides = _moments(system, clips, work)
        if sides is None:
            continue
        real, generated, used = sides
        distances[system] = float(frechet_distance(real, generated))
        counts[system] = int(generated.count), used
    summaries = {
        system: MetricSummary(
            mean=distance,
            ci95=None,
            n=counts[system][1],
            unscored=len(clips) - counts[system][1],
            difference_to_first=distance - distances[systems[0]]
            if system != systems[0] and systems[0] in distances
            else None,
        )
        for system, distance in distances.items()
    }
    return summaries, {system: pictures for system, (pictures, _) in counts.items()}


def few_pictures(counts: Mapping[str, int], summaries: Mapping[str, MetricSummary]) -> str:
    """A warning where a set is too small for the distance to mean much; empty where none is."""
    small = [system for system in counts if counts[system] < FEW_PICTURES or summaries[system].n < FEW_CLIPS]
    if not small:
        return ""
    named = ", ".join(f"{system} {counts[system]} pictures of {summaries[system].n} clips" for system in small)
    return (
        f"FID comes from few pictures ({named}): below {FEW_PICTURES} of them, or {FEW_CLIPS} clips, it is biased "
        "upwards and compares only with sets of the same size."
    )


def _moments(system: str, clips: Sequence[PairedClip], work: WorkFolder) -> tuple[Moments, Moments, int] | None:
    """Moments of the real pictures and of a system's, and how many clips they are of; None without any."""
    real = generated = None
    used = 0
    for clip in clips:
        features = work.features(clip)
        if system not in features or GROUND_TRUTH not in features:
            continue
        first, second = Moments.of(features[GROUND_TRUTH]), Moments.of(features[system])
        real = first if real is None else real + first
        generated = second if generated is None else generated + second
        used += 1
    return None if real is None or generated is None else (real, generated, used)
