"""Do the lips rest in silence and on noise, and do they follow speech in noise? Networks side by side, on real clips.

Usage: python benchmarks/silence_and_noise.py --scored STORE --networks NAME|RUN ... [--speech-encoder FILE]
           [--split test] [--limit N] [--output FILE.json]

A network is "mel" or "whisper" (the packaged ones), or a run folder, .ckpt or .safetensors. Every clip gives its first
expression, which each network animates to silence, noise, hum and music of the clip's length (at most 8 s), and to the
clip's own speech, clean and in noise. All values are means over clips. robustness.py asks the same of one network in
more detail, on synthetic voices and other languages.

- motion: root mean square of the change of the mouth opening from frame to frame, in percent of the distance between
  the outer eye corners; beside it, in percent of the same network's motion during clean speech.
- opening: mean opening in percent of that distance; closed: share of the frames in which it is below 2 %.
- agreement: correlation of the opening with that for clean speech; r: with the real opening of the clip.

The first half second is left out, in which the lips may close.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME
from expnet.audio.augmentation import mix
from expnet.data.even_spacing import evenly_spaced
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore
from expnet.errors import InputError
from expnet.face.measures import signed_mouth_opening
from expnet.io.markdown import markdown_table
from expnet.metrics.functional.mouth import pearson
from shared.folds import bucket
from shared.noise_and_music import Samples, at_level, hum, music, noise
from shared.predicted_lips import PredictedLips, open_lips

LONGEST = 8 * FRAME_RATE
SKIPPED = FRAME_RATE // 2
CLOSED = 0.02
"""Opening below which the lips count as closed, in distances of the outer eye corners."""
LOUD, QUIET = -26.0, -50.0
"""Root mean square levels in dB of full scale: that of speech, and that of a quiet room."""
RATIOS = (20, 10, 0)
Rows = dict[str, list[dict[str, float]]]


def audio_without_speech(samples: int, seed: int) -> Iterator[tuple[str, Samples]]:
    """Yield audio without speech by name."""
    yield "silence", np.zeros(samples, np.float32)
    for colour in ("white", "pink"):
        for level in (QUIET, LOUD):
            yield f"{colour} noise {level:.0f} dB", at_level(noise(colour, samples, seed), level)
    yield f"hum {LOUD:.0f} dB", at_level(hum(samples), LOUD)
    yield f"music {LOUD:.0f} dB", at_level(music(samples), LOUD)


def motion(opening: NDArray[np.float64]) -> float:
    """Root mean square of the change from frame to frame after the first half second."""
    return float(np.sqrt(np.mean(np.square(np.diff(opening[SKIPPED:])))))


def correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Correlation after the first half second; 0 where one of the two does not move."""
    pair = (torch.from_numpy(values[SKIPPED:]) for values in (first, second))
    return float(pearson(*pair).nan_to_num())


def real_opening(lips: PredictedLips, track: Track) -> NDArray[np.float64]:
    """Opening of the real lips, (T,)."""
    identity = torch.zeros(track.frames, lips.face.identity_size)
    points = lips.face.landmarks(identity, torch.from_numpy(np.array(track.coefficients.expression)))
    return signed_mouth_opening(points).double().numpy()


def measure_clip(lips: PredictedLips, track: Track, rows: Rows) -> None:
    """Add the scores of one clip to the rows, by the name of the audio."""
    seed = bucket(track.clip_id, 2**32)
    audio = np.array(track.audio)
    first = torch.from_numpy(np.array(track.coefficients.expression[0]))
    clean, real = lips.opening(audio, first), real_opening(lips, track)
    spoken = motion(clean)
    rows.setdefault("speech", []).append(
        {"motion": spoken, "share": 1.0, "opening": float(clean[SKIPPED:].mean()), "r": correlation(clean, real)}
    )
    for name, samples in audio_without_speech(min(track.frames, LONGEST) * SAMPLES_PER_FRAME, seed):
        opening = lips.opening(samples, first)
        moved, seen = motion(opening), opening[SKIPPED:]
        scores = {"motion": moved, "share": moved / max(spoken, 1e-9), "opening": float(seen.mean())}
        rows.setdefault(name, []).append({**scores, "closed": float((seen < CLOSED).mean())})
    for colour in ("white", "pink"):
        for ratio in RATIOS:
            opening = lips.opening(mix(audio, noise(colour, len(audio), seed), ratio), first)
            scores = {"agreement": correlation(opening, clean), "r": correlation(opening, real)}
            rows.setdefault(f"speech in {colour} noise at {ratio} dB", []).append(scores)


def measure_network(lips: PredictedLips, tracks: list[Track]) -> dict[str, dict[str, float]]:
    """Return the mean scores by the name of the audio."""
    rows: Rows = {}
    for track in tracks:
        measure_clip(lips, track, rows)
    return {
        name: {key: float(np.mean([clip[key] for clip in clips])) for key in clips[0]} for name, clips in rows.items()
    }


def tables(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return a table of audio without speech and one of speech in noise."""
    resting, speaking = [], []
    for network, found in results.items():
        for name, scores in found.items():
            if "motion" in scores:
                closed = f"{100 * scores['closed']:.0f}" if "closed" in scores else ""
                numbers = [f"{100 * scores[key]:.{digits}f}" for key, digits in (("motion", 2), ("share", 0))]
                resting.append([network, name, *numbers, f"{100 * scores['opening']:.1f}", closed])
            if "r" in scores:
                agreement = f"{scores['agreement']:.3f}" if "agreement" in scores else ""
                speaking.append([network, name, agreement, f"{scores['r']:.3f}"])
    heads = ["network", "audio", "motion, % of the eye distance", "motion, % of speech", "opening, %", "closed, %"]
    return "\n".join(
        [markdown_table(heads, resting), "", markdown_table(["network", "audio", "agreement", "r"], speaking)]
    )


def main() -> None:
    """Measure all networks and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scored", type=Path, required=True, metavar="STORE", help="Track store of the clips.")
    parser.add_argument("--networks", nargs="+", default=["mel", "whisper"], help="mel, whisper, or weights of a run.")
    parser.add_argument("--speech-encoder", metavar="FILE", help="Speech encoder of the networks that need one.")
    parser.add_argument("--split", help="Only clips of this split, as the store assigns them.")
    parser.add_argument("--limit", type=int, metavar="N", help="Most clips, evenly spaced.")
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON file for the scores.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = TrackStore(arguments.scored)
    rows = [row for row in store.rows if arguments.split in (None, row.split) and row.frames >= 2 * FRAME_RATE]
    if not rows:
        raise InputError(f"{arguments.scored} has no clip of two seconds or more of the split {arguments.split}.")
    tracks = [store.read(row.clip_id) for row in evenly_spaced(rows, arguments.limit)]
    results = {name: measure_network(open_lips(name, arguments.speech_encoder), tracks) for name in arguments.networks}
    print(f"{len(tracks)} clips of {len({track.speaker for track in tracks})} people\n\n{tables(results)}")
    if arguments.output:
        arguments.output.write_text(json.dumps({"clips": len(tracks), "networks": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
