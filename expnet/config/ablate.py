"""The configuration of an ablation: the schema under ``expnet ablate FILE.yaml KEY=VALUE``."""

from dataclasses import dataclass, field
from typing import Literal

from expnet.config.checks import at_least, require


@dataclass
class AblationConfig:
    """Compare variants of the expression network."""

    output: str = "ablation"
    """Folder for the runs and the report; what is finished in it is not computed again."""
    seeds: int = 3
    """Number of trainings of each variant, with seeds 0, 1, ..."""
    jobs: int = 1
    """Number of trainings that run at the same time."""
    split: Literal["test", "validation"] = "test"
    """Split that is scored; the validation split has already chosen each run's best checkpoint."""
    lengths: list[int] = field(default_factory=lambda: [64, 250, 750, 1500])
    """Points of the length curve: frames that the network sees at once; [] for no curve."""
    baselines: bool = True
    """Add ridge regression and SadTalker's per-frame head, trained on the same clips, to the table."""
    threads: int = 2
    """CPU threads used for scoring."""
    resamples: int = 2000
    """Bootstrap resamples of each interval."""

    def __post_init__(self) -> None:
        """Check ranges."""
        at_least("", self, seeds=1, jobs=1, threads=1, resamples=1)
        require(all(length >= 2 for length in self.lengths), f"lengths must be 2 frames or more, not {self.lengths}.")
        require(len(set(self.lengths)) == len(self.lengths), f"lengths contains a value twice: {self.lengths}.")
        require(bool(self.output), "output must name a folder.")
