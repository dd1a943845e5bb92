"""One process of the two-process test: python distributed_worker.py RANK WORLD RENDEZVOUS OUTPUT.

Scores its share of the same clips as every other process, and writes what ``compute`` says.
"""

import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed
import torch.fx

from expnet.metrics import (
    AudioMouthCorrelation,
    AudioMouthLag,
    BeatAlignment,
    BlinkDuration,
    BlinkInterval,
    BlinkRate,
    BlurDetection,
    ClipMetric,
    IdentityDistance,
    IdentitySimilarity,
    JitterRatio,
    LandmarkDistance,
    LearnedPerceptualDistance,
    LipVertexError,
    MotionAmountRatio,
    MotionBandRatio,
    MouthOpeningCorrelation,
    MouthOpeningLag,
    MultiScaleStructuralSimilarity,
    PeakSignalToNoiseRatio,
    PoseDiversity,
    PoseRatio,
    SilentLipMotion,
    StructuralSimilarity,
    StructureTextureDistance,
    SyncConfidence,
    SyncDistance,
    SyncOffset,
    ThevalBrowDynamics,
    ThevalLipDynamics,
    ThevalLipSync,
    ThevalSilentLipStability,
    UpperFaceDynamicsDeviation,
    WithinClipR2,
)

CLIPS, FRAMES = 5, 24
# Clips that each rank scores: an uneven split, and one in which a rank has no clip.
SPLITS = {"uneven": [[0, 1, 2, 3], [4]], "empty": [[0, 1, 2, 3, 4], []], "one": [[0, 1, 2, 3, 4]]}
SILENT = torch.ones(CLIPS, FRAMES, dtype=torch.bool)
Case = tuple[ClipMetric, tuple[torch.Tensor, ...]]
Draw = Callable[..., torch.Tensor]


class Loudness(torch.nn.Module):
    """Stands in for SyncNet: the brightness of five frames and the level of five frames of audio."""

    def forward(self, frames: torch.Tensor, cepstra: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        level = cepstra[0].unfold(0, 20, 4)  # (T', 20)
        return frames.float().mean((1, 2, 3)).unfold(0, 5, 1), level.unflatten(1, (5, 4)).mean(2)


class Colour:
    """Stands in for a face recogniser: the mean colour."""

    name = "colour"
    checksum = ""

    def __call__(self, images: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        return images.double().mean((2, 3))

    def __reduce__(self) -> tuple[Any, ...]:
        return SimpleNamespace, ()  # unlike a class of this file, it can be pickled; a copy is only computed


def cases() -> dict[str, Case]:
    """Return every metric with the inputs of all clips, the same in every process."""
    generator = torch.Generator().manual_seed(7)
    draw: Draw = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    parts = (_landmark_cases, _mesh_cases, _motion_cases, _image_cases, _sync_cases)
    return {name: case for part in parts for name, case in part(draw).items()}


def _landmark_cases(draw: Draw) -> dict[str, Case]:
    predicted, target = draw(CLIPS, FRAMES, 68, 2), draw(CLIPS, FRAMES, 68, 2)
    valid = draw(CLIPS, FRAMES) > 0.1
    heard, beats = draw(CLIPS, FRAMES), draw(CLIPS, 3)
    blinking = predicted.clone()
    blinking[:, (5, 14, 20)] = blinking[:, :1]  # three shut frames, the middle of the lids on the line of the corners
    blinking[:, (5, 14, 20), 36:48, 1] *= 0.02
    return {
        "face": (LandmarkDistance(), (predicted, target, valid)),
        "mouth": (LandmarkDistance(region="mouth", normalisation="interocular"), (predicted, target, valid)),
        "correlation": (MouthOpeningCorrelation(), (predicted, target, valid)),
        "best_lag": (MouthOpeningCorrelation(max_lag=3), (predicted, target, valid)),
        "lag": (MouthOpeningLag(max_lag=3), (predicted, target, valid)),
        "silence": (SilentLipMotion(), (predicted, SILENT, valid)),
        "jitter": (JitterRatio(), (predicted, target, valid)),
        "blinks": (BlinkRate(shortest_clip=0.5), (predicted, valid)),
        "blink_duration": (BlinkDuration(), (blinking, valid)),
        "blink_interval": (BlinkInterval(), (blinking, valid | True)),
        "beats": (BeatAlignment(smoothing=0.04), (predicted, beats, valid)),
        "heard": (AudioMouthCorrelation(network="made up"), (predicted, heard, valid)),
        "heard_lag": (AudioMouthLag(network="made up", max_lag=3), (predicted, heard, valid)),
    }


def _mesh_cases(draw: Draw) -> dict[str, Case]:
    mesh, other_mesh, rest = draw(CLIPS, FRAMES, 9, 3), draw(CLIPS, FRAMES, 9, 3), draw(CLIPS, 9, 3)
    points, loudness, valid = draw(CLIPS, FRAMES, 478, 2), draw(CLIPS, FRAMES), draw(CLIPS, FRAMES) > 0.1
    return {
        "lip_vertices": (LipVertexError([1, 3, 4]), (mesh, other_mesh, valid)),
        "upper_face": (UpperFaceDynamicsDeviation([0, 2]), (mesh, other_mesh, rest, valid)),
        "theval_lips": (ThevalLipDynamics(), (points, valid)),
        "theval_brows": (ThevalBrowDynamics(), (points, torch.ones(CLIPS), valid)),
        "theval_silence": (ThevalSilentLipStability(speech_detector="made up"), (points, SILENT, valid)),
        "theval_sync": (ThevalLipSync(speech_detector="made up"), (points, loudness, SILENT, valid)),
    }


def _motion_cases(draw: Draw) -> dict[str, Case]:
    first, second = draw(CLIPS, FRAMES, 8), draw(CLIPS, FRAMES, 8)
    turns, real_turns, valid = draw(CLIPS, FRAMES, 3), draw(CLIPS, FRAMES, 3), draw(CLIPS, FRAMES) > 0.1
    moving, real_moving = draw(CLIPS, 110, 3, 3), draw(CLIPS, 110, 3, 3)
    tracked = torch.ones(CLIPS, 110, dtype=torch.bool)
    tracked[1, 30] = False
    return {
        "r2": (WithinClipR2(metric=torch.eye(8) * 2), (first, second, valid)),
        "diversity": (PoseDiversity(), (turns, valid)),
        "pose_ratio": (PoseRatio(), (turns, real_turns, valid)),
        "lip_amount": (MotionAmountRatio("lips"), (moving, real_moving, tracked)),
        "brow_speed": (MotionAmountRatio("brows", measure="speed"), (moving, real_moving, tracked)),
        "head_jitter": (MotionAmountRatio("head", measure="jitter"), (moving, real_moving, tracked)),
        "lip_band": (MotionBandRatio("lips", band="syllable"), (moving, real_moving, tracked)),
    }


def _image_cases(draw: Draw) -> dict[str, Case]:
    images, others = draw(CLIPS, 2, 3, 16, 16), draw(CLIPS, 2, 3, 16, 16)
    large, real_large = draw(CLIPS, 1, 3, 162, 164), draw(CLIPS, 1, 3, 162, 164)
    points, real_points = draw(CLIPS, 2, 68, 2) * 16, draw(CLIPS, 2, 68, 2) * 16
    # Networks of the metrics; each returns one distance per image pair.
    recogniser, difference = torch.nn.Sequential(torch.nn.AvgPool2d(28), torch.nn.Flatten()), torch.nn.L1Loss()
    shown, real_shown = (255 * images).to(torch.uint8), (255 * others).to(torch.uint8)
    return {
        "psnr": (PeakSignalToNoiseRatio(), (images, others)),
        "ssim": (StructuralSimilarity(), (images, others)),
        "ms_ssim": (MultiScaleStructuralSimilarity(), (large, real_large)),
        "cpbd": (BlurDetection(), (large,)),
        "lpips": (LearnedPerceptualDistance(difference), (large, real_large)),
        "dists": (StructureTextureDistance(difference), (large, real_large)),
        "csim": (IdentitySimilarity(recogniser), (images, others, points, real_points)),
        "identity_distance": (IdentityDistance(Colour(), every=1), (shown, real_shown, points, real_points)),
    }


def _sync_cases(draw: Draw) -> dict[str, Case]:
    shown = (draw(CLIPS, FRAMES, 1, 1, 1) * 255).to(torch.uint8).expand(-1, -1, 3, 224, 224)
    sound = draw(CLIPS, FRAMES * 640) - 0.5
    network = torch.fx.symbolic_trace(Loudness())  # unlike a class of this file, a graph can be pickled
    kinds = {"sync_distance": SyncDistance, "sync_confidence": SyncConfidence, "sync_offset": SyncOffset}
    return {name: (kind(network), (shown, sound)) for name, kind in kinds.items()}


def computed(chosen: list[int]) -> dict[str, list[float]]:
    """Score the chosen clips one at a time; return value, clips and unscored of each metric."""
    results = {}
    for name, (metric, inputs) in cases().items():
        for clip in chosen:
            metric.update(*(values[clip : clip + 1] for values in inputs))
        value = metric.compute()
        again = metric.compute()
        with metric.sync_context(should_sync=torch.distributed.is_initialized()):
            counts = [int(metric.clips), int(metric.unscored)]
        results[name] = [value.item(), again.item(), *counts]
    return results


if __name__ == "__main__":
    torch.set_num_threads(1)
    rank, world, rendezvous, output = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    torch.distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world)
    report: dict[str, Any] = {split: computed(SPLITS[split][rank]) for split in ("uneven", "empty")}
    report["modules"] = [name for name in sys.modules if name.startswith("expnet.")]
    with open(output, "w", encoding="utf-8") as stream:
        json.dump(report, stream)
    torch.distributed.destroy_process_group()
