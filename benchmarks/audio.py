"""How fast is the audio front end, compared in the same run with what it replaces?

python benchmarks/audio.py [--seconds 60]
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from expnet.assets.encoders import ENCODERS
from expnet.assets.registry import locate
from expnet.audio.alignment import mel_for_frames, sadtalker_windows
from expnet.audio.mel import log_mel
from expnet.audio.speech_encoders import load_speech_encoder
from expnet.audio.speech_synthesis import synthesize_speech
from expnet.audio.wave import load_audio, write_wav
from expnet.errors import MissingAssetError


def best(function: Callable[[], object], repeats: int = 5) -> float:
    """Shortest of a few runs in seconds, after a warm-up run."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def reference_mel(samples: np.ndarray) -> np.ndarray:
    """SadTalker's audio.melspectrogram with librosa, as its users call it."""
    import librosa
    from scipy.signal import lfilter

    spectrum = np.abs(librosa.stft(y=lfilter([1, -0.97], [1], samples), n_fft=800, hop_length=200, win_length=800))
    basis = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    decibel = 20 * np.log10(np.maximum(1e-5, basis @ spectrum)) - 20
    return np.clip(8 * (decibel + 100) / 100 - 4, -4, 4)


def encoder_rows(samples: np.ndarray) -> list[str]:
    """Return lines on the speech encoders that are found: seconds of one core for a second of audio, and memory.

    Memory is what the process grows by at its largest while it encodes ten times the audio after the audio itself.
    """
    lines = []
    for name in ENCODERS:
        try:
            encoder = load_speech_encoder(locate(name))
        except MissingAssetError:
            lines.append(f"{name:32s} not found: expnet assets fetch {name}")
            continue
        frames = len(samples) // 640
        times = []
        for _ in range(4):  # the first warms up
            start = time.process_time()
            encoder(samples, frames)
            times.append(time.process_time() - start)
        long = np.tile(samples, 10)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        features = encoder(long, 10 * frames)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        cost = min(times) / (len(samples) / 16_000)
        lines.append(
            f"{name:32s} {cost:9.4f} s of one core a second; {len(long) / 16_000:.0f} s of audio: +{grown:.0f} MB, "
            f"{features.nbytes / 2**20:.0f} MB of them features"
        )
    return lines


def main() -> None:
    """Print a table of the steps, their time, and their speed relative to real time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = "The old fisherman brings back five small paper bags before the bus leaves. " * int(options.seconds / 4 + 1)
    start = time.perf_counter()
    speech = synthesize_speech(text)
    spoken = time.perf_counter() - start
    samples = speech.samples[: int(options.seconds * 16_000)]
    tensor = torch.from_numpy(samples)
    frames = len(samples) // 640
    window = min(64, frames)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        write_wav(path, samples)
        rows = [
            ("built-in speech", spoken * len(samples) / len(speech.samples)),
            ("load_audio, wav", best(lambda: load_audio(path))),
            ("log_mel", best(lambda: log_mel(tensor))),
            ("the same with librosa", best(lambda: reference_mel(samples))),
            ("log_mel + SadTalker's windows", best(lambda: sadtalker_windows(log_mel(tensor), frames).contiguous())),
        ]
    seconds = len(samples) / 16_000
    for name, taken in rows:
        print(f"{name:32s} {1000 * taken:9.1f} ms   {seconds / taken:9.0f} x real time")
    print("\n".join(encoder_rows(samples)))
    part = best(lambda: mel_for_frames(tensor, frames - window, window), 50)
    print(f"mel_for_frames, {window} frames of it: {1000 * part:.2f} ms")
    difference = np.abs(log_mel(tensor).numpy() - reference_mel(samples)).max()
    print(f"largest difference to librosa (range 8): {difference:.1e}")


if __name__ == "__main__":
    main()
