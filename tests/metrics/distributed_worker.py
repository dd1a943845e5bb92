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
Case = tuple[ClipMetric, tuple[torch.Tensor, ...]]


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
    draw: Callable[..., torch.Tensor] = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    predicted, target = draw(CLIPS, FRAMES, 68, 2), draw(CLIPS, FRAMES, 68, 2)
    valid = draw(CLIPS, FRAMES) > 0.1
    silent = torch.ones(CLIPS, FRAMES, dtype=torch.bool)
    first, second = draw(CLIPS, FRAMES, 8), draw(CLIPS, FRAMES, 8)
    images, others = draw(CLIPS, 2, 3, 16, 16), draw(CLIPS, 2, 3, 16, 16)
    turns, real_turns = draw(CLIPS, FRAMES, 3), draw(CLIPS, FRAMES, 3)
    mesh, other_mesh, rest = draw(CLIPS, FRAMES, 9, 3), draw(CLIPS, FRAMES, 9, 3), draw(CLIPS, 9, 3)
    heard, beats = draw(CLIPS, FRAMES), draw(CLIPS, 3)
    shown = (draw(CLIPS, FRAMES, 1, 1, 1) * 255).to(torch.uint8).expand(-1, -1, 3, 224, 224)
    sound = draw(CLIPS, FRAMES * 640) - 0.5
    sync_network = torch.fx.symbolic_trace(Loudness())  # unlike a class of this file, a graph can be pickled
    large, real_large = draw(CLIPS, 1, 3, 162, 164), draw(CLIPS, 1, 3, 162, 164)
    points, real_points = draw(CLIPS, 2, 68, 2) * 16, draw(CLIPS, 2, 68, 2) * 16
    moving, real_moving, tracked = (
        draw(CLIPS, 110, 3, 3),
        draw(CLIPS, 110, 3, 3),
        torch.ones(CLIPS, 110, dtype=torch.bool),
    )
    tracked[1, 30] = False
    blinking = predicted.clone()
    blinking[:, (5, 14, 20)] = blinking[:, :1]  # three shut frames, the middle of the lids on the line of the corners
    blinking[:, (5, 14, 20), 36:48, 1] *= 0.02
    mesh_points, loudness = draw(CLIPS, FRAMES, 478, 2), draw(CLIPS, FRAMES)
    # Networks of the metrics; each returns one distance per image pair.
    recogniser, difference = torch.nn.Sequential(torch.nn.AvgPool2d(28), torch.nn.Flatten()), torch.nn.L1Loss()
    return {
        "face": (LandmarkDistance(), (predicted, target, valid)),
        "mouth": (LandmarkDistance(region="mouth", normalisation="interocular"), (predicted, target, valid)),
        "correlation": (MouthOpeningCorrelation(), (predicted, target, valid)),
        "best_lag": (MouthOpeningCorrelation(max_lag=3), (predicted, target, valid)),
        "lag": (MouthOpeningLag(max_lag=3), (predicted, target, valid)),
        "silence": (SilentLipMotion(), (predicted, silent, valid)),
        "jitter": (JitterRatio(), (predicted, target, valid)),
        "r2": (WithinClipR2(metric=torch.eye(8) * 2), (first, second, valid)),
        "diversity": (PoseDiversity(), (turns, valid)),
        "pose_ratio": (PoseRatio(), (turns, real_turns, valid)),
        "psnr": (PeakSignalToNoiseRatio(), (images, others)),
        "ssim": (StructuralSimilarity(), (images, others)),
        "ms_ssim": (MultiScaleStructuralSimilarity(), (large, real_large)),
        "cpbd": (BlurDetection(), (large,)),
        "lpips": (LearnedPerceptualDistance(difference), (large, real_large)),
        "dists": (StructureTextureDistance(difference), (large, real_large)),
        "csim": (IdentitySimilarity(recogniser), (images, others, points, real_points)),
        "identity_distance": (
            IdentityDistance(Colour(), every=1),
            ((255 * images).to(torch.uint8), (255 * others).to(torch.uint8), points, real_points),
        ),
        "lip_vertices": (LipVertexError([1, 3, 4]), (mesh, other_mesh, valid)),
        "upper_face": (UpperFaceDynamicsDeviation([0, 2]), (mesh, other_mesh, rest, valid)),
        "blinks": (BlinkRate(shortest_clip=0.5), (predicted, valid)),
        "blink_duration": (BlinkDuration(), (blinking, valid)),
        "blink_interval": (BlinkInterval(), (blinking, valid | True)),
        "lip_amount": (MotionAmountRatio("lips"), (moving, real_moving, tracked)),
        "brow_speed": (MotionAmountRatio("brows", measure="speed"), (moving, real_moving, tracked)),
        "head_jitter": (MotionAmountRatio("head", measure="jitter"), (moving, real_moving, tracked)),
        "lip_band": (MotionBandRatio("lips", band="syllable"), (moving, real_moving, tracked)),
        "beats": (BeatAlignment(smoothing=0.04), (predicted, beats, valid)),
        "heard": (AudioMouthCorrelation(network="made up"), (predicted, heard, valid)),
        "sync_distance": (SyncDistance(sync_network), (shown, sound)),
        "sync_confidence": (SyncConfidence(sync_network), (shown, sound)),
        "sync_offset": (SyncOffset(sync_network), (shown, sound)),
        "theval_lips": (ThevalLipDynamics(), (mesh_points, valid)),
        "theval_brows": (ThevalBrowDynamics(), (mesh_points, torch.ones(CLIPS), valid)),
        "theval_silence": (ThevalSilentLipStability(speech_detector="made up"), (mesh_points, silent, valid)),
        "theval_sync": (ThevalLipSync(speech_detector="made up"), (mesh_points, loudness, silent, valid)),
        "heard_lag": (AudioMouthLag(network="made up", max_lag=3), (predicted, heard, valid)),
    }


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
