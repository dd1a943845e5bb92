"""What the rows share: how much to measure and on what, with generated videos where no real ones are given."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.data import astronaut

from expnet.animate.animator import Animator
from expnet.assets.packaged_expression import choose
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.speech_synthesis import synthesize_speech
from expnet.data.corpora import read_corpus

TEXT = "The old fisherman brings back five small paper bags before the bus leaves, and nobody can say why he would."


@dataclass(frozen=True)
class Setting:
    """What is measured, and on which data.

    Attributes:
        folder: Folder for the files that the rows write.
        clips: Folder of real videos, or None for generated ones.
        quick: Run fewer repetitions on less data.
    """

    folder: Path
    clips: Path | None = None
    quick: bool = False

    @property
    def device(self) -> torch.device:
        """Device of the networks: the accelerator if there is one."""
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def network_clock(self) -> str:
        """Clock for one thread's work: processor time, which does not count other programs, or wall time on a GPU."""
        return "processor" if self.device.type == "cpu" else "wall"

    @property
    def repeats(self) -> int:
        """Number of pairs of a comparison."""
        return 3 if self.quick else 7

    @cached_property
    def animator(self) -> Animator:
        """An animator with the packaged networks that read the mel alone."""
        return Animator(expression="mel")

    @cached_property
    def hearing_animator(self) -> Animator | None:
        """An animator with the packaged network on Whisper's features; None where its encoder was not fetched."""
        choice = choose()
        if choice.encoder is None:
            print(f"Rows with the speech encoder are left out. {choice.advice}", file=sys.stderr)
            return None
        return Animator(expression="whisper")

    @cached_property
    def sampling_animator(self) -> Animator | None:
        """An animator with the packaged motion network; None where its speech encoder was not fetched."""
        return None if self.hearing_animator is None else Animator(motion="sampled")

    @cached_property
    def portrait(self) -> NDArray[np.uint8]:
        """The head of scikit-image's astronaut, (256, 256, 3)."""
        return np.ascontiguousarray(astronaut()[:256, 90:346])

    @cached_property
    def videos(self) -> list[Path]:
        """At most eight real videos, evenly spaced in the sorted list, or four generated ones."""
        if self.clips is None:
            return sorted(self._built_in().iterdir())
        found = self.every_video
        return found[:: max(1, -(-len(found) // self.most))][: self.most]

    @cached_property
    def every_video(self) -> list[Path]:
        """All real videos, or the generated ones."""
        return self.videos if self.clips is None else [video.path for video in read_corpus(self.clips)]

    @property
    def most(self) -> int:
        """Largest number of videos that a row uses."""
        return 2 if self.quick else 8

    def speech(self, seconds: float) -> NDArray[np.float32]:
        """Repeated synthetic speech, (S,) at 16 kHz."""
        return np.resize(synthesize_speech(TEXT).samples, round(seconds * SAMPLE_RATE)).astype(np.float32)

    def _built_in(self) -> Path:
        """Generate short videos with the package itself."""
        folder = self.folder / "videos"
        folder.mkdir(exist_ok=True)
        for seed in range(self.most if self.quick else 4):
            self.animator.animate(self.portrait, self.speech(3.0 + seed), folder / f"made_{seed}.mp4", seed=seed)
        return folder
