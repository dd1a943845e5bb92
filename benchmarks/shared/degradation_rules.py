"""How metrics should respond to degraded copies, where the response is known in advance."""

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from expnet.config.benchmark import GROUND_TRUTH
from shared.degraded_copies import DEGRADATIONS, QUALITIES, SHIFTS, shift_name


def copy_name(system: str) -> str:
    """Return the name of the copies for people."""
    return "real" if system == GROUND_TRUTH else system


@dataclass(frozen=True)
class Rule:
    """Expected value of a metric on one kind of copies.

    Attributes:
        metric: Key of the metric.
        system: Name of the copies.
        relation: ``<``, ``>``, or ``~`` for equality within ``tolerance``.
        other: Number, or name of the system to compare with.
        offset: Added to the other side.
        tolerance: Tolerance of ``~``.
    """

    metric: str
    system: str
    relation: str
    other: str | float
    offset: float = 0.0
    tolerance: float = 0.0

    def __str__(self) -> str:
        """Format the rule."""
        other = f"{self.other:g}" if isinstance(self.other, float) else copy_name(self.other)
        bound = other + (f" {self.offset:+g}" if self.offset else "")
        within = f" ± {self.tolerance:g}" if self.relation == "~" else ""
        return f"{self.metric}: {self.system} {self.relation} {bound}{within}"

    def check(self, value: Callable[[str, str], float]) -> tuple[bool | None, float, float]:
        """Whether the rule holds (None where a side was not scored), and the two sides."""
        own = value(self.system, self.metric)
        other = self.other if isinstance(self.other, float) else value(self.other, self.metric)
        other += self.offset
        if not (math.isfinite(own) and math.isfinite(other)):
            return None, own, other
        holds = {"<": own < other, ">": own > other, "~": abs(own - other) <= self.tolerance}
        return holds[self.relation], own, other


LOWER_BY_COMPRESSION = ("psnr", "ssim", "ms_ssim", "csim")
HIGHER_BY_COMPRESSION = (
    "lpips",
    "fid",
    "landmark_distance",
    "fvd",
    "identity_distance_dlib",
    "expression_frechet_distance",
    "e_fid",
)
STRONG_COMPRESSION = (
    Rule("cpbd", "quality_43", "<", GROUND_TRUTH),
    Rule("sync_confidence", "quality_43", "<", GROUND_TRUTH),
    Rule("sync_distance", "quality_43", ">", GROUND_TRUTH),
    Rule("mouth_opening_correlation", "quality_23", ">", 0.9),
    Rule("closeness_score", "quality_43", "<", "quality_23"),
)
FROZEN = (
    Rule("theval_lip_dynamics", "frozen", "<", GROUND_TRUTH),
    Rule("theval_brow_dynamics", "frozen", "<", GROUND_TRUTH),
    Rule("theval_silent_lip_stability", "frozen", "<", GROUND_TRUTH),
    Rule("expression_frechet_distance", "frozen", ">", "quality_23"),
    Rule("closeness_score", "frozen", "<", "quality_23"),
    Rule("fvd", "frozen", ">", "quality_23"),
    Rule("mouth_opening_correlation", "frozen", "~", 0.0, tolerance=0.15),
    Rule("mouth_opening_correlation", "frozen", "<", "quality_43"),
    Rule("audio_mouth_correlation", "frozen", "<", GROUND_TRUTH),
    Rule("sync_confidence", "frozen", "<", GROUND_TRUTH),
    Rule("silent_lip_motion", "frozen", "<", GROUND_TRUTH),
    Rule("landmark_distance_mouth", "frozen", ">", "quality_23"),
    Rule("pose_diversity_ratio", "frozen", "<", 0.1),
    Rule("pose_speed_ratio", "frozen", "<", 0.3),  # the tracker converges, so even a still image moves slightly
    Rule("jitter_ratio", "frozen", "<", 0.1),
    Rule("blink_rate", "frozen", "~", 0.0),
    Rule("psnr", "frozen", "<", "quality_23"),
)
NOISE = (
    Rule("theval_brow_dynamics", "noise", ">", GROUND_TRUTH),
    Rule("fvd", "noise", ">", "quality_23"),
    Rule("identity_distance_dlib", "noise", ">", "quality_23"),
    Rule("psnr", "noise", "~", 20.0, tolerance=3.0),  # clipping and chroma subsampling reduce the noise
    Rule("ssim", "noise", "<", "quality_23"),
    Rule("ms_ssim", "noise", "<", "quality_23"),
    Rule("lpips", "noise", ">", "quality_23"),
    Rule("fid", "noise", ">", "quality_23"),
    Rule("cpbd", "noise", ">", GROUND_TRUTH),  # a known weakness: noise looks like sharpness
    Rule("jitter_ratio", "noise", ">", "quality_23"),
)
HALF_SIZE = (
    Rule("psnr", "half_size", "<", shift_name(2)),
    Rule("ssim", "half_size", "<", shift_name(2)),
    Rule("lpips", "half_size", ">", shift_name(2)),
    Rule("mouth_opening_correlation", "half_size", ">", 0.8),
)


def rules(made: Collection[str] = tuple(DEGRADATIONS)) -> list[Rule]:
    """Return the rules of all copies.

    Args:
        made: Names of the copies; qualities are compared with the next better one of these.
    """
    return [*_compression_rules(made), *_shift_rules(), *FROZEN, *NOISE, *HALF_SIZE]


def _compression_rules(made: Collection[str]) -> Iterator[Rule]:
    worse = [name for name in (f"quality_{crf}" for crf in QUALITIES) if name in made]
    for first, second in pairwise(worse):
        yield from (Rule(key, second, "<", first) for key in LOWER_BY_COMPRESSION)
        yield from (Rule(key, second, ">", first) for key in HIGHER_BY_COMPRESSION)
    yield from STRONG_COMPRESSION


def _shift_rules() -> Iterator[Rule]:
    for shift in SHIFTS:
        name = shift_name(shift)
        # With late audio the mouth comes first, and SyncNet's offset (positive: audio first) decreases.
        yield Rule("audio_mouth_lag", name, "~", GROUND_TRUTH, offset=-shift, tolerance=1)
        yield Rule("sync_offset", name, "~", GROUND_TRUTH, offset=-shift, tolerance=1)
        yield Rule("mouth_opening_correlation", name, ">", 0.97)
        yield Rule("psnr", name, ">", "quality_23")
    for name in (shift_name(shift) for shift in (min(SHIFTS), max(SHIFTS))):
        yield Rule("audio_mouth_correlation", name, "<", GROUND_TRUTH)
        yield Rule("theval_lip_sync", name, ">", GROUND_TRUTH)
