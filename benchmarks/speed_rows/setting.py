"""What the rows share: how much to measure, on what, and built-in videos where no real ones are given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.data import astronaut

from expnet.animate.animator import Animator
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.speech_synthesis import synthesize_speech
from expnet.data.corpora import read_corpus

TEXT = "The old fisherman brings back five small paper bags before the bus leaves, and nobody can say why he would."


@dataclass(frozen=True)
class Setting:
    """What is measured on.

    Attributes:
        folder: for whatever the rows write.
        clips: folder of real videos, None for the built-in ones.
        quick: fewer repetitions of less.
    """

    folder: Path
    clips: Path | None = None
    quick: bool = False

    @property
    def device(self) -> torch.device:
        """Where networks run: the accelerator where there is one."""
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def network_clock(self) -> str:
        """The clock of one thread's work: processor seconds, which no neighbour counts into, or wall on a GPU."""
        return "processor" if self.device.type == "cpu" else "wall"

    @property
    def repeats(self) -> int:
        """Pairs of a comparison."""
        return 3 if self.quick else 7

    @cached_property
    def animator(self) -> Animator:
        """The networks of the package."""
        return Animator()

    @cached_property
    def portrait(self) -> NDArray[np.uint8]:
        """The head of the astronaut of scikit-image, (256, 256, 3)."""
        return np.ascontiguousarray(astronaut()[:256, 90:346])

    @cached_property
    def videos(self) -> list[Path]:
        """Real videos, at most eight evenly from the sorted list, or four built-in ones."""
        if self.clips is None:
            return sorted(self._built_in().iterdir())
        found = self.every_video
        return found[:: max(1, -(-len(found) // self.most))][: self.most]

    @cached_property
    def every_video(self) -> list[Path]:
        """All of them."""
        return self.videos if self.clips is None else [video.path for video in read_corpus(self.clips)]

    @property
    def most(self) -> int:
        """Videos that a row looks at, at most."""
        return 2 if self.quick else 8

    def speech(self, seconds: float) -> NDArray[np.float32]:
        """The built-in voice, over and over: (S,) at 16 kHz."""
        return np.resize(synthesize_speech(TEXT).samples, round(seconds * SAMPLE_RATE)).astype(np.float32)

    def _built_in(self) -> Path:
        """Short videos of the package's own making, which anybody has."""
        folder = self.folder / "videos"
        folder.mkdir(exist_ok=True)
        for seed in range(self.most if self.quick else 4):
            self.animator.animate(self.portrait, self.speech(3.0 + seed), folder / f"made_{seed}.mp4", seed=seed)
        return folder
