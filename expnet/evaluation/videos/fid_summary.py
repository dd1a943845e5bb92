"""FID of every system, computed from the Inception features of the finished clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.report.results import MetricSummary
from expnet.evaluation.videos.finished_clips import FinishedClips
from expnet.evaluation.videos.pairing import PairedClip
from expnet.metrics.functional.frechet import Moments, frechet_distance

FEW_FRAMES = 2048
"""With fewer frames than features the covariance is rank-deficient and the distance far too large."""
FEW_CLIPS = 50


def frechet_summaries(
    systems: Sequence[str], clips: Sequence[PairedClip], work: FinishedClips, *, paired: bool = True
) -> tuple[dict[str, MetricSummary], dict[str, int]]:
    """Compute FID of each system against the real frames of the clips that it has.

    The features of one clip are in memory at a time. There is no interval: FID is a distance between whole sets, and
    resampling clips would add the bias of repeated frames.

    Args:
        systems: The systems.
        clips: The clips, those of a set of real videos among them.
        work: What was computed of the clips.
        paired: Whether the real frames are those of the clips that the system has, or all.

    Returns:
        The summaries and the numbers of frames, both by system. The differences are to the first system.
    """
    distances: dict[str, float] = {}
    counts: dict[str, tuple[int, int]] = {}
    for system in systems:
        sides = _moments(system, clips, work, paired=paired)
        if sides is None:
            continue
        real, generated, used = sides
        distances[system] = float(frechet_distance(real, generated))
        counts[system] = int(generated.count), used
    made = sum(set(clip.paths) != {GROUND_TRUTH} for clip in clips)
    summaries = {
        system: MetricSummary(
            mean=distance,
            ci95=None,
            n=counts[system][1],
            unscored=made - counts[system][1],
            difference_to_first=distance - distances[systems[0]]
            if system != systems[0] and systems[0] in distances
            else None,
        )
        for system, distance in distances.items()
    }
    return summaries, {system: frames for system, (frames, _) in counts.items()}


def few_frames_warning(counts: Mapping[str, int], summaries: Mapping[str, MetricSummary]) -> str:
    """Return a warning if a set is too small for FID to be meaningful, else an empty text."""
    small = [system for system in counts if counts[system] < FEW_FRAMES or summaries[system].n < FEW_CLIPS]
    if not small:
        return ""
    named = ", ".join(f"{system} {counts[system]} frames of {summaries[system].n} clips" for system in small)
    return (
        f"FID was computed from few frames ({named}). With fewer than {FEW_FRAMES} frames or {FEW_CLIPS} clips it is "
        "biased upwards and can only be compared between sets of the same size."
    )


def _moments(
    system: str, clips: Sequence[PairedClip], work: FinishedClips, *, paired: bool
) -> tuple[Moments, Moments, int] | None:
    """Return the moments of the real and the system's frames and the number of clips behind them, None without any."""
    real: Moments | None = None
    generated: Moments | None = None
    used = 0
    for clip in clips:
        features = work.features(clip)
        if paired and not {system, GROUND_TRUTH} <= features.keys():
            continue
        if GROUND_TRUTH in features:
            real = _added(real, features[GROUND_TRUTH])
        if system in features:
            generated = _added(generated, features[system])
            used += 1
    return None if real is None or generated is None else (real, generated, used)


def _added(moments: Moments | None, features: Tensor) -> Moments:
    """Return the moments of features (N, F), with those of earlier ones."""
    own = Moments.of(features)
    return own if moments is None else moments + own
