"""Does every metric respond as it should? Clips compared with copies that are degraded in known ways.

    python benchmarks/degradations.py CLIPS --output DIR [--limit N] [--seconds S] [--side PIXELS] [--copies NAME ...]
        [key=value ...]

The copies of a folder's clips are encoded at three qualities, have their audio shifted by -4 to +4 frames, a frozen
face, 10 % noise, or half the size. They are scored with ``evaluate.py``, which receives the further key=value
arguments, and the command prints the response of each metric beside the expected one. The exit code is 1 if a rule is
violated.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME, fit_length
from expnet.audio.wave import load_audio
from expnet.cli import guarded
from expnet.config.benchmark import GROUND_TRUTH
from expnet.data.even_spacing import evenly_spaced
from expnet.evaluation.main import main as evaluate
from expnet.evaluation.report.tables import NONE
from expnet.evaluation.videos.pairing import find_videos
from expnet.io.markdown import markdown_table
from expnet.media.video_reader import read_video, write_video

Frames = list[NDArray[np.uint8]]
Audio = NDArray[np.float32]
SHIFTS = (-4, -2, 2, 4)
QUALITIES = (23, 33, 43)
_BEST_QUALITY = 10
_NOISE = 0.1


@dataclass(frozen=True)
class Degradation:
    """One way to degrade a clip.

    Attributes:
        frames: Makes the degraded frames from the clip's frames.
        audio: Makes the degraded audio from the clip's audio.
        quality: Constant rate factor (crf) of x264.
    """

    frames: Callable[[Frames], Frames] = lambda frames: frames
    audio: Callable[[Audio], Audio] = lambda audio: audio
    quality: int = _BEST_QUALITY


def delayed(audio: Audio, frames: int) -> Audio:
    """Audio (S,) delayed by a number of video frames (negative: advanced), with silence where it is missing."""
    shift, silence = frames * SAMPLES_PER_FRAME, np.zeros(abs(frames) * SAMPLES_PER_FRAME, np.float32)
    return np.concatenate([silence, audio[:-shift]]) if shift > 0 else np.concatenate([audio[-shift:], silence])


def noisy(frames: Frames) -> Frames:
    """Add Gaussian noise with a standard deviation of a tenth of the range to every channel."""
    generator = np.random.default_rng(0)
    disturbed = (image + generator.normal(scale=255 * _NOISE, size=image.shape) for image in frames)
    return [image.round().clip(0, 255).astype(np.uint8) for image in disturbed]


def halved(frames: Frames) -> Frames:
    """Halve width and height, rounded to even numbers."""
    height, width = (side // 4 * 2 for side in frames[0].shape[:2])
    return [np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX)) for image in frames]


def shift_name(frames: int) -> str:
    """Name of the copies whose audio is delayed by a number of frames."""
    return f"sound_{'late' if frames > 0 else 'early'}_{abs(frames)}"


DEGRADATIONS = {
    **{f"quality_{crf}": Degradation(quality=crf) for crf in QUALITIES},
    **{shift_name(k): Degradation(audio=lambda audio, k=k: delayed(audio, k)) for k in SHIFTS},  # type: ignore[misc]
    "frozen": Degradation(frames=lambda frames: [frames[0]] * len(frames)),
    "noise": Degradation(frames=noisy),
    "half_size": Degradation(frames=halved),
}


@dataclass(frozen=True)
class Rule:
    """Expected value of a metric on one kind of copies.

    Attributes:
        metric: Key of the metric.
        system: Name of the copies.
        relation: ``<``, ``>``, or ``~`` for equality within ``tolerance``.
        other: Number, or name of the system to compare with.
        offset: Added to the other side.
        tolerance: Tolerance of ``~``.
    """

    metric: str
    system: str
    relation: str
    other: str | float
    offset: float = 0.0
    tolerance: float = 0.0

    def __str__(self) -> str:
        """Format the rule."""
        other = f"{self.other:g}" if isinstance(self.other, float) else _short(self.other)
        bound = other + (f" {self.offset:+g}" if self.offset else "")
        within = f" ± {self.tolerance:g}" if self.relation == "~" else ""
        return f"{self.metric}: {self.system} {self.relation} {bound}{within}"

    def check(self, value: Callable[[str, str], float]) -> tuple[bool | None, float, float]:
        """Whether the rule holds (None where a side was not scored), and the two sides."""
        own = value(self.system, self.metric)
        other = self.other if isinstance(self.other, float) else value(self.other, self.metric)
        other += self.offset
        if not (math.isfinite(own) and math.isfinite(other)):
            return None, own, other
        holds = {"<": own < other, ">": own > other, "~": abs(own - other) <= self.tolerance}
        return holds[self.relation], own, other


def rules(made: Collection[str] = tuple(DEGRADATIONS)) -> list[Rule]:
    """Rules for the responses that are known in advance.

    Args:
        made: Names of the copies; qualities are compared with the next better one of these.
    """
    found = []
    worse = [name for name in (f"quality_{crf}" for crf in QUALITIES) if name in made]
    for first, second in pairwise(worse):
        found += [Rule(key, second, "<", first) for key in ("psnr", "ssim", "ms_ssim", "csim")]
        higher = (
            "lpips",
            "fid",
            "landmark_distance",
            "fvd",
            "identity_distance_dlib",
            "expression_frechet_distance",
            "e_fid",
        )
        found += [Rule(key, second, ">", first) for key in higher]
    found += [
        Rule("cpbd", "quality_43", "<", GROUND_TRUTH),
        Rule("sync_confidence", "quality_43", "<", GROUND_TRUTH),
        Rule("sync_distance", "quality_43", ">", GROUND_TRUTH),
        Rule("mouth_opening_correlation", "quality_23", ">", 0.9),
    ]
    for shift in SHIFTS:
        name = shift_name(shift)
        # With late audio the mouth comes first, and SyncNet's offset (positive: audio first) decreases.
        found += [
            Rule("audio_mouth_lag", name, "~", GROUND_TRUTH, offset=-shift, tolerance=1),
            Rule("sync_offset", name, "~", GROUND_TRUTH, offset=-shift, tolerance=1),
            Rule("mouth_opening_correlation", name, ">", 0.97),
            Rule("psnr", name, ">", "quality_23"),
        ]
    found += [Rule("audio_mouth_correlation", shift_name(shift), "<", GROUND_TRUTH) for shift in (-4, 4)]
    found += [Rule("theval_lip_sync", shift_name(shift), ">", GROUND_TRUTH) for shift in (-4, 4)]
    found += [
        *(Rule(f"theval_{key}", "frozen", "<", GROUND_TRUTH) for key in ("lip_dynamics", "brow_dynamics")),
        Rule("theval_silent_lip_stability", "frozen", "<", GROUND_TRUTH),
        Rule("theval_brow_dynamics", "noise", ">", GROUND_TRUTH),
        Rule("expression_frechet_distance", "frozen", ">", "quality_23"),
        Rule("closeness_score", "frozen", "<", "quality_23"),
        Rule("closeness_score", "quality_43", "<", "quality_23"),
        Rule("fvd", "frozen", ">", "quality_23"),
        Rule("fvd", "noise", ">", "quality_23"),
        Rule("identity_distance_dlib", "noise", ">", "quality_23"),
    ]
    found += [
        Rule("mouth_opening_correlation", "frozen", "~", 0.0, tolerance=0.15),
        Rule("mouth_opening_correlation", "frozen", "<", "quality_43"),
        Rule("audio_mouth_correlation", "frozen", "<", GROUND_TRUTH),
        Rule("sync_confidence", "frozen", "<", GROUND_TRUTH),
        Rule("silent_lip_motion", "frozen", "<", GROUND_TRUTH),
        Rule("landmark_distance_mouth", "frozen", ">", "quality_23"),
        Rule("pose_diversity_ratio", "frozen", "<", 0.1),
        Rule("pose_speed_ratio", "frozen", "<", 0.3),  # the tracker converges, so even a still image moves slightly
        Rule("jitter_ratio", "frozen", "<", 0.1),
        Rule("blink_rate", "frozen", "~", 0.0),
        Rule("psnr", "frozen", "<", "quality_23"),
        Rule("psnr", "noise", "~", 20.0, tolerance=3.0),  # clipping and chroma subsampling reduce the noise
        Rule("ssim", "noise", "<", "quality_23"),
        Rule("ms_ssim", "noise", "<", "quality_23"),
        Rule("lpips", "noise", ">", "quality_23"),
        Rule("fid", "noise", ">", "quality_23"),
        Rule("cpbd", "noise", ">", GROUND_TRUTH),  # a known weakness: noise looks like sharpness
        Rule("jitter_ratio", "noise", ">", "quality_23"),
        Rule("psnr", "half_size", "<", shift_name(2)),
        Rule("ssim", "half_size", "<", shift_name(2)),
        Rule("lpips", "half_size", ">", shift_name(2)),
        Rule("mouth_opening_correlation", "half_size", ">", 0.8),
    ]
    return found


def make_copies(
    clips: Path, output: Path, *, limit: int, seconds: float, side: int, made: Collection[str] = tuple(DEGRADATIONS)
) -> None:
    """Write the clips at best quality, limited in size, and their degraded copies; an interrupted run resumes."""
    wanted = {name: degradation for name, degradation in DEGRADATIONS.items() if name in made}
    found = find_videos(clips)
    for name in evenly_spaced(sorted(found), limit or None):
        path, _ = found[name]
        decoded = read_video(path, fps=float(FRAME_RATE), max_side=side)
        frames = list(islice(decoded, round(seconds * FRAME_RATE)))
        audio = fit_length(load_audio(path), len(frames))
        for system, degradation in {GROUND_TRUTH: Degradation(), **wanted}.items():
            target = output / system / f"{name}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_file():
                continue
            images, samples = degradation.frames(frames), degradation.audio(audio)
            write_video(target, images, fps=float(FRAME_RATE), audio=samples, crf=degradation.quality)


def tell(results: dict[str, Any]) -> Iterator[str]:
    """The table of all metrics, then one line per rule."""
    systems = results["systems"]

    def value(system: str, metric: str) -> float:
        mean = systems.get(system, {"metrics": {}})["metrics"].get(metric, {}).get("mean")
        return math.nan if mean is None else float(mean)

    rows = []
    for metric in results["metrics"]:
        cells = (value(system, metric) for system in systems)
        rows.append([metric, *(NONE if math.isnan(cell) else f"{cell:.4g}" for cell in cells)])
    yield markdown_table(["metric", *map(_short, systems)], rows, align="lr")
    yield ""
    for rule in rules(systems):
        holds, own, other = rule.check(value)
        yield f"{_verdict(holds):10s} {rule}" + ("" if holds is None else f"   ({own:.4g}, {other:.4g})")


def broken(results: dict[str, Any]) -> int:
    """Number of violated rules."""
    return sum(line.startswith(_verdict(False)) for line in tell(results))


def _verdict(holds: bool | None) -> str:
    return {True: "ok", False: "BROKEN", None: "not scored"}[holds]


def _short(system: str) -> str:
    return "real" if system == GROUND_TRUTH else system


def main(argv: Sequence[str] | None = None) -> int:
    """Make the copies, score them, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="Folder of videos of talking faces with audio.")
    parser.add_argument("--output", type=Path, required=True, help="Folder for the copies and the report.")
    parser.add_argument("--limit", type=int, default=0, help="Number of clips, evenly spaced; 0 for all.")
    parser.add_argument("--seconds", type=float, default=6.0, help="Seconds of each clip (default: %(default)s).")
    parser.add_argument("--side", type=int, default=256, help="Longest side in pixels (default: %(default)s).")
    parser.add_argument(
        "--copies", nargs="+", choices=tuple(DEGRADATIONS), default=tuple(DEGRADATIONS), help="Copies; all by default."
    )
    parser.add_argument("overrides", nargs="*", help="key=value arguments of evaluate.py.")
    arguments = parser.parse_intermixed_args(argv)
    copies = arguments.output / "videos"
    size = {"limit": arguments.limit, "seconds": arguments.seconds, "side": arguments.side}
    make_copies(arguments.clips, copies, made=arguments.copies, **size)
    report = arguments.output / "report"
    evaluate(
        [
            f"reference={copies / GROUND_TRUTH}",
            *(f"systems.{name}={copies / name}" for name in arguments.copies),
            f"output={report}",
            "title=Clips against degraded copies of themselves",
            *arguments.overrides,
        ]
    )
    results = json.loads((report / "results.json").read_text(encoding="utf-8"))
    for line in tell(results):
        print(line)
    return 1 if broken(results) else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
