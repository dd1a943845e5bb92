"""What can be configured in an ablation: the schema under ``expnet ablate FILE key=value``."""

from dataclasses import dataclass, field
from typing import Literal

from expnet.config import require


@dataclass
class AblationConfig:
    """Compare variants of the expression network."""

    output: str = "ablation"
    """Folder for the runs and the report; what is finished in it is not done again."""
    seeds: int = 3
    """Trainings of each variant, with seeds 0, 1, ..."""
    jobs: int = 1
    """Trainings that run at the same time."""
    split: Literal["test", "validation"] = "test"
    """Side of the split by speaker that is scored; validation has chosen each run's best checkpoint."""
    lengths: list[int] = field(default_factory=lambda: [64, 250, 750, 1500])
    """Frames that the network sees at once in the length curve; [] for no curve."""
    baselines: bool = True
    """Put ridge regression and the per-frame head beside the variants, learned on the same clips."""
    threads: int = 2
    """CPU threads of the scoring."""
    resamples: int = 2000
    """Bootstrap draws of an interval."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("seeds", "jobs", "threads", "resamples"):
            require(getattr(self, name) >= 1, f"{name} must be 1 or more, not {getattr(self, name)}.")
        require(all(length >= 2 for length in self.lengths), f"lengths must be 2 frames or more, not {self.lengths}.")
        require(len(set(self.lengths)) == len(self.lengths), f"lengths names one twice: {self.lengths}.")
        require(bool(self.output), "output must name a folder.")
