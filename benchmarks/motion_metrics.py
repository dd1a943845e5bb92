"""Motion metrics on real clips, and whether a planted audio shift is found with the right sign.

Usage: python benchmarks/motion_metrics.py CLIPS [--seconds 15] [--shifts -4 -2 0 2 4]

CLIPS is a folder of videos of one person each, or one video. For each clip, the command prints the number of blinks;
the beat alignment beside the mean of 50 random sets of as many beats (the score of a head that ignores the audio); and
the correlation and lag between the tracked mouth and the opening that the packaged network predicts from the clip's
audio. Then it prints the blink rate, and the lag over all clips after shifting their audio by a number of frames: the
sum of both columns should be constant.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, mel_for_frames
from expnet.audio.wave import load_audio
from expnet.face.morphable import load_face_model
from expnet.face.tracker import open_tracker
from expnet.media.video_reader import read_video
from expnet.metrics import AudioMouthCorrelation, AudioMouthLag, BeatAlignment, BlinkRate
from expnet.metrics.functional import audio_beats, blinks, eye_aspect_ratio, mouth_opening
from expnet.models.packaged_weights import packaged_weights
from expnet.models.saved_model import load_model

CHANCE_DRAWS = 50
MODEL = load_face_model("mediapipe468")
NETWORK = load_model(packaged_weights("expression-synthetic"), "expression")


@torch.no_grad()
def predicted_opening(samples: NDArray[np.float32], frames: int) -> Tensor:
    """Mouth opening (T,) that the network predicts from the audio, on the mean face."""
    expression = NETWORK(mel_for_frames(samples, 0, frames)[None], frames, torch.zeros(1, 64))[0]
    return mouth_opening(MODEL.landmarks(torch.zeros(MODEL.identity_size), expression))


def shifted(samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Audio delayed by a number of frames (negative: advanced), of the same length."""
    moved = np.zeros_like(samples)
    step = frames * SAMPLES_PER_FRAME
    if step >= 0:
        moved[step:] = samples[: len(samples) - step]
    else:
        moved[:step] = samples[-step:]
    return moved


def measure(path: Path, seconds: float, lags: dict[int, AudioMouthLag], rates: BlinkRate) -> str:
    """Line of one clip; its curves and blinks are added to those of all clips."""
    most = round(seconds * FRAME_RATE)
    samples = load_audio(path)
    track = open_tracker().track(itertools.islice(read_video(path, max_side=512), most))
    frames = min(len(track), len(samples) // SAMPLES_PER_FRAME)
    landmarks = torch.from_numpy(track.landmarks[None, :frames])  # (1, T, 68, 2)
    valid = torch.from_numpy(track.found[None, :frames])
    samples = samples[: frames * SAMPLES_PER_FRAME]

    rates.update(landmarks, valid)
    count = int(blinks(eye_aspect_ratio(landmarks), valid=valid))
    alignment, beats = BeatAlignment(), audio_beats(torch.from_numpy(samples))
    random = np.random.default_rng(0).uniform(0, frames / FRAME_RATE, (CHANCE_DRAWS, max(len(beats), 1)))
    aligned = float(alignment.score(landmarks, beats[None], valid)[0])
    chance = float(np.mean([float(alignment.score(landmarks, torch.from_numpy(d)[None], valid)[0]) for d in random]))
    correlation = AudioMouthCorrelation(network="expnet's, trained on synthetic speech")
    value = float(correlation.score(landmarks, predicted_opening(samples, frames)[None], valid)[0])
    for shift, lag in lags.items():
        lag.update(landmarks, predicted_opening(shifted(samples, shift), frames)[None], valid)
    unshifted = AudioMouthLag(network="expnet's, trained on synthetic speech")
    own = float(unshifted.score(landmarks, predicted_opening(samples, frames)[None], valid)[0])
    return f"{path.stem[:36]:38s}{frames:6d}{count:8d}{aligned:9.2f}{chance:9.2f}{value:9.2f}{own:6.0f}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--seconds", type=float, default=15.0, help="Seconds of each clip at most (%(default)s).")
    parser.add_argument("--shifts", type=int, nargs="+", default=[-4, -2, 0, 2, 4], help="Shifts in frames.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(arguments.clips.glob("*.mp4")) if arguments.clips.is_dir() else [arguments.clips]
    lags = {shift: AudioMouthLag(network="expnet's, trained on synthetic speech") for shift in arguments.shifts}
    rates = BlinkRate()
    print(f"{'clip':38s}{'frames':>6s}{'blinks':>8s}{'beats':>9s}{'chance':>9s}{'r':>9s}{'lag':>6s}")
    for path in paths:
        print(measure(path, arguments.seconds, lags, rates), flush=True)
    print(f"\n{len(paths)} clips, {float(rates.compute()):.1f} blinks a minute")
    print("audio later by   mouth after the audio by")
    for shift, lag in lags.items():
        print(f"{shift:13d}{float(lag.compute()):18.0f} frames")


if __name__ == "__main__":
    main()
