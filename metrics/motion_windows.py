"""Distance between sets of real and generated windows of motion, and how well each set covers the other."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from expnet.metrics.base import NamedMetric
from expnet.metrics.functional.frechet import standardised_frechet_distance
from expnet.metrics.functional.motion_windows import (
    WINDOW_COEFFICIENTS,
    WINDOW_FEATURES,
    WINDOW_FRAMES,
    WINDOW_REGIONS,
    motion_windows,
    region_measures,
)
from expnet.metrics.functional.neighbours import NEIGHBOURS, neighbour_scores, standardised
from expnet.metrics.moments import MomentMetric

FEWEST_WINDOWS = 2 * WINDOW_FEATURES
"""Windows below which a set is not scored: with fewer windows than features the covariance has no full rank."""
NEIGHBOUR_SCORES = ("precision", "recall", "density", "coverage")
_TITLES = {
    "precision": "precision of windows",
    "recall": "recall of windows",
    "density": "density of windows",
    "coverage": "coverage of real windows",
}
_MEANINGS = {
    "precision": "Share of the generated seconds of motion that lie near a real one",
    "recall": "Share of the real seconds of motion that lie near a generated one, by the generated ones' own distances",
    "density": "Number of real seconds near a generated one, relative to the number near a real one",
    "coverage": "Share of the real seconds of motion that have a generated one near them",
}


class MotionFrechetDistance(MomentMetric):
    """Frechet distance between real and generated windows of motion, in units of the real spread.

    ``functional.motion_windows`` defines the features of a window, ``functional.standardised_frechet_distance`` the
    distance: dimensionless, at least 0, lower is better, 1 for a still face. All windows form two sets, so there is no
    score per clip. States are float64 sums.

    Args:
        region: ``lips``, ``upper_face`` or ``head``.
        fewest: Minimum number of windows in either set; with fewer, ``compute`` returns NaN.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    higher_is_better = False
    ideal = 0.0
    unit = "real variances"
    definition = "dct_windows"
    window_frames = WINDOW_FRAMES
    coefficients = WINDOW_COEFFICIENTS
    options: ClassVar[tuple[str, ...]] = ("definition", "region", "window_frames", "coefficients", "fewest")

    def __init__(self, region: str, *, fewest: int = FEWEST_WINDOWS, **kwargs: Any) -> None:
        super().__init__(WINDOW_FEATURES, **kwargs)
        self.region = _checked(region)
        self.fewest = fewest
        self.name = f"{region}_frechet_distance"
        self.title = f"{_named(region)} Fréchet distance of windows"
        self.explanation = (
            f"Distance between the sets of real and generated seconds of motion ({_named(region).lower()}): 1 is as "
            "far as a still face, and too much motion is as wrong as too little. It does not see whether the motion "
            "fits the audio. It is biased upwards for few windows, so compare sets of one size, and read it beside "
            "the distance between the real clips' own halves."
        )

    def update(self, motion: Tensor, valid: Tensor | None = None, *, real: bool) -> None:
        """Add the windows of a batch of clips.

        Args:
            motion: Landmarks without head pose, (B, T, 68, D), or for the head rotations, (B, T, 3), in radians.
            valid: Frames to use, (B, T) boolean.
            real: Whether the clips are real or generated.
        """
        self.add_features(_windows_of(motion, self.region, valid), real)

    def compute(self) -> Tensor:
        """Return the distance over all windows of all processes, () float64; NaN if a set has too few windows."""
        real, generated = self.moments(True), self.moments(False)
        if min(int(real.count), int(generated.count)) < self.fewest:
            return torch.full((), torch.nan, dtype=torch.float64, device=real.total.device)
        return standardised_frechet_distance(real, generated)


class MotionNeighbours(NamedMetric):
    """Precision, recall, density or coverage of generated windows of motion, by nearest neighbours.

    ``functional.NeighbourScores`` has definitions and sources, ``functional.motion_windows`` the features, which are
    divided by the real standard deviation. All windows form two sets, so there is no score per clip. States are the
    features themselves, 240 bytes for a second of a clip.

    Args:
        region: ``lips``, ``upper_face`` or ``head``.
        score: One of `NEIGHBOUR_SCORES`.
        neighbours: Neighbour that bounds the ball of a window.
        fewest: Minimum number of windows in either set; with fewer, ``compute`` returns NaN.
        **kwargs: Arguments of ``torchmetrics.Metric``.
    """

    # `forward` must not merge states by a reduction, because the states of two batches differ in length.
    full_state_update = True
    higher_is_better = None
    unit = "share"
    definition = "dct_windows"
    window_frames = WINDOW_FRAMES
    coefficients = WINDOW_COEFFICIENTS
    options: ClassVar[tuple[str, ...]] = (
        "definition",
        "region",
        "neighbours",
        "window_frames",
        "coefficients",
        "fewest",
    )
    real_windows: Tensor
    generated_windows: Tensor

    def __init__(
        self,
        region: str,
        *,
        score: str = "coverage",
        neighbours: int = NEIGHBOURS,
        fewest: int = FEWEST_WINDOWS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dist_sync_fn": _gather_rows, **kwargs})
        if score not in NEIGHBOUR_SCORES:
            raise ValueError(f"score must be one of {', '.join(NEIGHBOUR_SCORES)}, got {score!r}")
        self.region = _checked(region)
        self.which = score
        self.neighbours = neighbours
        self.fewest = fewest
        self.name = f"{region}_window_{score}"
        self.title = f"{_named(region)} {_TITLES[score]}"
        self.explanation = (
            f"{_MEANINGS[score]} ({_named(region).lower()}). Near means within the distance of the {neighbours}th "
            "neighbour of its own set. The value between the real clips' own halves is the aim. Average motions "
            "lie near many real ones, so cautious sets have a high precision and coverage: only their recall is low."
        )
        for side in ("real", "generated"):
            empty = torch.zeros(0, WINDOW_FEATURES, dtype=torch.float64)
            self.add_state(f"{side}_windows", empty, dist_reduce_fx=_only)

    def update(self, motion: Tensor, valid: Tensor | None = None, *, real: bool) -> None:
        """Add the windows of a batch of clips; the arguments are those of `MotionFrechetDistance.update`."""
        self.add_features(_windows_of(motion, self.region, valid), real)

    def add_features(self, features: Tensor, real: bool) -> None:
        """Add windows (N, 30) that were computed elsewhere."""
        side = "real_windows" if real else "generated_windows"
        kept = getattr(self, side)
        setattr(self, side, torch.cat([kept, features.detach().to(kept)]))
        self.changed()

    def compute(self) -> Tensor:
        """Return the score over all windows of all processes, () float64; NaN if a set has too few windows."""
        real, generated = self.real_windows, self.generated_windows
        if min(len(real), len(generated)) < self.fewest:
            return torch.full((), torch.nan, dtype=torch.float64, device=real.device)
        found = neighbour_scores(*standardised(real, generated), neighbours=self.neighbours)
        value: Tensor = getattr(found, self.which)
        return value


def _windows_of(motion: Tensor, region: str, valid: Tensor | None) -> Tensor:
    """Return the windows of all clips of a batch, (N, 30); each clip has its own mean and its own valid frames."""
    measures = region_measures(motion, region)  # (B, T, 3)
    clips = [motion_windows(clip, valid=None if valid is None else valid[place]) for place, clip in enumerate(measures)]
    return torch.cat([measures.new_zeros(0, WINDOW_FEATURES), *clips])


def _checked(region: str) -> str:
    if region not in WINDOW_REGIONS:
        raise ValueError(f"region must be one of {', '.join(WINDOW_REGIONS)}, got {region!r}")
    return region


def _named(region: str) -> str:
    """Return the region as the start of a title."""
    return region.replace("_", " ").capitalize()


def _only(gathered: Tensor) -> Tensor:
    """Return the one tensor that `_gather_rows` left."""
    return gathered[0]


def _gather_rows(state: Tensor, group: Any = None) -> Sequence[Tensor]:
    """Concatenate the rows of all processes in the order of their ranks, however many each has."""
    world = torch.distributed.get_world_size(group)
    counts = [torch.zeros((), dtype=torch.int64, device=state.device) for _ in range(world)]
    torch.distributed.all_gather(counts, torch.tensor(len(state), device=state.device), group=group)
    padded = state.new_zeros(max(int(count) for count in counts), state.shape[1])
    padded[: len(state)] = state
    parts = [torch.empty_like(padded) for _ in range(world)]
    torch.distributed.all_gather(parts, padded, group=group)
    return [torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])]
