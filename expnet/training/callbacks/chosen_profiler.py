"""Lightning's profilers beside the clock of the data, since a Trainer takes only one profiler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from expnet.training.callbacks.throughput import FetchClock

PROFILERS: dict[str, type[Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}


class ProfiledFetchClock(FetchClock):
    """A `FetchClock` that passes every action on to another profiler.

    Args:
        profiler: The other profiler.
    """

    def __init__(self, profiler: Profiler) -> None:
        super().__init__()
        self.profiler = profiler

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Open the output of the other profiler."""
        # Lightning's Trainer hands the module to its profiler in this way.
        self.profiler._lightning_module = self._lightning_module  # type: ignore[attr-defined]
        self.profiler.setup(stage, local_rank, log_dir)

    def start(self, action_name: str) -> None:
        """Start an action in both."""
        self.profiler.start(action_name)
        super().start(action_name)

    def stop(self, action_name: str) -> None:
        """Stop an action in both."""
        super().stop(action_name)
        self.profiler.stop(action_name)

    def summary(self) -> str:
        """Return the text of the other profiler."""
        return self.profiler.summary()

    def describe(self) -> None:
        """Write the text of the other profiler."""
        self.profiler.describe()

    def teardown(self, stage: str | None) -> None:
        """Close the output of the other profiler."""
        self.profiler.teardown(stage)


def build_profiler(name: str, folder: Path) -> FetchClock:
    """Return the clock of the data, and with it the profiler of a name, which writes profile-*.txt into a folder."""
    if name == "none":
        return FetchClock()
    options: dict[str, Any] = {"dirpath": folder, "filename": f"profile-{name}"}
    return ProfiledFetchClock(PROFILERS[name](**options))
