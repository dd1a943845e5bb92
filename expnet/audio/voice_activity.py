"""When somebody speaks, by Silero's voice activity detector (MIT), from the package ``silero-vad``."""

from __future__ import annotations

import warnings
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from expnet.errors import MissingAssetError

SAMPLE_RATE = 16000


class VoiceActivityDetector:
    """Finds segments of speech with the settings that Silero calls its defaults.

    Attributes:
        name: Name and version of the package, for protocols: its weights are part of it.

    Raises:
        MissingAssetError: The package is not installed.
    """

    def __init__(self) -> None:
        threads = torch.get_num_threads()
        try:
            import silero_vad
        except ImportError as error:
            raise MissingAssetError(
                "Silero's voice activity detector is not installed: pip install 'expnet[vad]'."
            ) from error
        finally:
            torch.set_num_threads(threads)  # importing the package sets one thread for the whole process
        with warnings.catch_warnings():
            # The package keeps its network as TorchScript and finds it with an old function: no concern of the user.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            self._network: Any = silero_vad.load_silero_vad()
        self._segments = silero_vad.get_speech_timestamps
        self.name = f"silero-vad {metadata.version('silero-vad')}"

    def __call__(self, samples: Tensor) -> list[tuple[float, float]]:
        """Return start and end of each segment of speech in seconds, rounded to .1 s as Silero does.

        Args:
            samples: Audio at 16 kHz in [-1, 1], (S,).
        """
        found = self._segments(samples.cpu().float(), self._network, sampling_rate=SAMPLE_RATE, return_seconds=True)
        return [(float(segment["start"]), float(segment["end"])) for segment in found]
