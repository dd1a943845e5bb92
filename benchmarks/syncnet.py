"""Does SyncNet give the same numbers as the published script, and how much faster is it?

    python benchmarks/syncnet.py CLIPS... [--weights syncnet_v2.model] [--device cuda] [--limit FRAMES]
    python benchmarks/syncnet.py CLIPS... --ffmpeg ffmpeg       difference of the lossy steps from a given ffmpeg
    python benchmarks/syncnet.py CLIPS... --detector YUNET.onnx boxes from landmarks and from a face detector

CLIPS are videos with audio, or folders of them. Without weights, both sides use the same random weights, which say
nothing about a clip but reveal every difference. On CPU, time is processor time, which does not count other programs.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from expnet.errors import ExpnetError
from expnet.face.tracker import open_tracker
from expnet.media.video_reader import read_video
from expnet.metrics import Extractor, measure_sync
from expnet.metrics.functional import face_boxes
from expnet.metrics.functional.codec import recode_video
from expnet.metrics.functional.face_crop import resize_frames
from expnet.models.syncnet import SyncNet, load_syncnet
from shared.published_syncnet import published_scores, random_syncnet, read_clip

Result = TypeVar("Result")
SUFFIXES = (".avi", ".mkv", ".mov", ".mp4", ".webm")
# Arguments of ffmpeg in the published script, between "ffmpeg -i clip" and the output.
COMMANDS = {
    "jpeg": (["-threads", "1", "-f", "image2"], "%06d.jpg"),
    "jpeg_q2": (["-qscale:v", "2", "-threads", "1", "-f", "image2"], "%06d.jpg"),
    "mpeg4_q2": (["-an", "-qscale:v", "2", "-r", "25"], "clip.avi"),
    "h264": (["-an", "-qscale:v", "2", "-r", "25"], "clip.mp4"),
}


def timed(work: Callable[[], Result], device: str) -> tuple[Result, float]:
    """Result and seconds of a computation."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    result = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return result, clock() - start


def compare_network(clips: list[Path], network: SyncNet, device: str, limit: int) -> bool:
    """Print numbers and times of both sides for each clip; returns whether they agree to 1e-4."""
    network = network.to(device)
    extractor = Extractor(network)
    print(f"{'clip':40} frames  distance confidence offset  difference  original s  ours s  ratio")
    agree, ratios = True, []
    for path in clips:
        frames, audio = read_clip(path, limit)
        faces = np.stack([cv2.resize(frame, (224, 224)) for frame in frames])
        tensor, samples = torch.from_numpy(faces).permute(0, 3, 1, 2), torch.from_numpy(audio)
        with torch.no_grad():
            for _ in range(1 if device == "cpu" else 2):  # the first run on a GPU is a warm-up
                expected, slow = timed(lambda: published_scores(faces, audio, network, device), device)  # noqa: B023
                result, fast = timed(lambda: measure_sync(tensor.to(device), samples, extractor), device)  # noqa: B023
        difference = max(abs(result.distance - expected[0]), abs(result.confidence - expected[1]))
        agree &= difference < 1e-4 and result.offset == expected[2]
        ratios.append(slow / fast)
        print(
            f"{path.stem[:40]:40} {len(frames):6} {result.distance:9.4f} {result.confidence:10.4f} "
            f"{result.offset:6} {difference:11.2e} {slow:11.2f} {fast:7.2f} {slow / fast:6.2f}",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.2f}; the sides {'agree' if agree else 'DIFFER'}")
    return agree


def compare_steps(clips: list[Path], program: str, limit: int) -> None:
    """Print how far each lossy step lies from ffmpeg's, and from the original frames."""
    print(f"{'clip':40} step          from ffmpeg  ffmpeg's loss  our loss   grey levels, mean absolute")
    for path in clips:
        frames = torch.from_numpy(read_clip(path, limit)[0]).permute(0, 3, 1, 2)
        frames = frames[..., : frames.shape[-2] // 2 * 2, : frames.shape[-1] // 2 * 2]
        for step in (*COMMANDS, "opencv_mpeg4"):
            if step == "opencv_mpeg4":  # which is applied to crops only
                frames = resize_frames(frames)
            theirs = _opencv_step(frames) if step == "opencv_mpeg4" else _ffmpeg_step(path, program, step)
            ours = recode_video(frames, [step])
            count = min(len(theirs), len(ours))
            if theirs.shape[1:] != ours.shape[1:] or count < len(ours):
                print(f"{path.stem[:40]:40} {step:13} skipped: another size or rate than 25 frames/s")
                continue
            pairs = ((ours, theirs), (frames, theirs), (frames, ours))
            values = [(one[:count].float() - other[:count].float()).abs().mean().item() for one, other in pairs]
            print(f"{path.stem[:40]:40} {step:13} {values[0]:11.2f} {values[1]:14.2f} {values[2]:9.2f}", flush=True)


def _ffmpeg_step(path: Path, program: str, step: str) -> Tensor:
    options, output = COMMANDS[step]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "-y", "-loglevel", "error", "-i", str(path), *options, str(Path(folder) / output)]
        subprocess.run(command, check=True)  # noqa: S603 - the program that the user named
        files = sorted(Path(folder).iterdir())
        if step.startswith("jpeg"):
            return _stacked([cv2.imread(str(file))[:, :, ::-1] for file in files])
        return _stacked(list(read_video(files[0])))


def _opencv_step(frames: Tensor) -> Tensor:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "crop.avi")
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"XVID"), 25, tuple(frames.shape[:-3:-1]))
        for frame in frames:
            writer.write(np.ascontiguousarray(frame.permute(1, 2, 0).numpy()[:, :, ::-1]))
        writer.release()
        return _stacked(list(read_video(path)))


def _stacked(images: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def compare_boxes(clips: list[Path], detector: str) -> None:
    """Print the margins of a detector's box around the landmarks' box, in widths and heights of the latter."""
    margins, overlaps = [], []
    for path in clips:
        frames = list(islice(read_video(path), 0, 41, 10))
        landmarks = torch.from_numpy(open_tracker().track(frames).landmarks)
        height, width = frames[0].shape[:2]
        model = cv2.FaceDetectorYN.create(detector, "", (width, height), 0.8)
        for frame, points, box in zip(frames, landmarks, face_boxes(landmarks), strict=True):
            faces = model.detect(np.ascontiguousarray(frame[:, :, ::-1]))[1]
            if faces is None or not bool(points.isfinite().all()):
                continue
            left, top, wide, high = max(faces, key=lambda face: face[2] * face[3])[:4]
            found = torch.tensor([left, top, left + wide, top + high])
            size = points.amax(0) - points.amin(0)
            margins.append((found - torch.cat([points.amin(0), points.amax(0)])) / size.repeat(2))
            inner = (torch.minimum(found[2:], box[2:]) - torch.maximum(found[:2], box[:2])).clamp(min=0).prod()
            overlaps.append(float(inner / ((found[2:] - found[:2]).prod() + (box[2:] - box[:2]).prod() - inner)))
    values = torch.stack(margins)
    low, high = np.percentile(values.numpy(), [5, 95], axis=0)
    print(f"{len(values)} frames of {len(clips)} clips; left, top, right, bottom")
    print("median margin", np.round(values.median(0).values.numpy(), 3))
    print("5 % to 95 %  ", np.round(low, 3), np.round(high, 3))
    print(f"overlap with the boxes of face_boxes: median {statistics.median(overlaps):.3f}, worst {min(overlaps):.3f}")


def main() -> int:
    """Run the chosen comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=int, default=125, help="Frames of each clip (%(default)s).")
    parser.add_argument("--ffmpeg", help="Path of an ffmpeg program.")
    parser.add_argument("--detector", help="Path of a YuNet file, as cv2.FaceDetectorYN reads it.")
    options = parser.parse_args()
    clips = [
        file
        for path in options.clips
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file.suffix.lower() in SUFFIXES
    ]
    try:
        if options.ffmpeg:
            compare_steps(clips, options.ffmpeg, options.limit)
        elif options.detector:
            compare_boxes(clips, options.detector)
        else:
            network = load_syncnet(options.weights) if options.weights else random_syncnet()
            return 0 if compare_network(clips, network, options.device, options.limit) else 1
    except ExpnetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
