"""The 224-pixel face crops that SyncNet takes, cut from face boxes as the original pipeline does."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import medfilt
from torch import Tensor

CROP_SIZE = 224
LARGEST_GAP = 25
"""Maximum distance in frames between two detections of one track."""
_SMALLEST_OVERLAP = 0.5
_MEDIAN_FRAMES = 13
_MARGIN = 0.4  # relative to half the box: the crop extends this far beyond its sides and twice as far below it
_PADDING = 110  # grey level outside the frame
_DETECTOR_MARGINS = (0.0, -0.33, 0.0, 0.0)  # left, top, right, bottom, relative to the landmarks' width and height
_UNIT = 2048  # OpenCV resizes in integer arithmetic, with 11-bit weights
_CHUNK = 16  # frames that are resampled at once, to bound the memory


@dataclass(frozen=True)
class FaceTrack:
    """One face over consecutive frames.

    Attributes:
        first: Index of the first frame.
        boxes: Left, top, right, bottom in pixels, (n, 4), without gaps.
    """

    first: int
    boxes: NDArray[np.float64]

    @property
    def frames(self) -> slice:
        """Frames of the clip that the track covers."""
        return slice(self.first, self.first + len(self.boxes))


def find_tracks(boxes: Tensor, *, min_track: int, min_size: float) -> list[FaceTrack]:
    """Link the face boxes of a clip to tracks.

    A box joins a track if its intersection over union with the track's last box exceeds 0.5 and that box is at most 25
    frames old. Gaps are interpolated linearly. A shot cut splits a track only if the face jumps, whereas the original
    also splits where its scene detector finds a cut.

    Args:
        boxes: Left, top, right, bottom in pixels, (T, 4), NaN in frames without a face.
        min_track: A track must have been detected in more frames than this.
        min_size: The longer side of a track's mean box must exceed this, in pixels.

    Returns:
        Tracks in the order of their first frames. They can overlap in time if a face jumps back and forth.

    Raises:
        ValueError: ``boxes`` has another shape.
    """
    seen = boxes.detach().double().cpu().numpy()
    if seen.ndim != 2 or seen.shape[1] != 4:
        raise ValueError(f"boxes must be (T, 4), got {seen.shape}")
    remaining = [int(frame) for frame in np.flatnonzero(np.isfinite(seen).all(axis=1))]
    tracks = []
    while remaining:
        members = [remaining[0]]
        for frame in remaining[1:]:
            if frame - members[-1] > LARGEST_GAP:
                break
            if _overlap(seen[frame], seen[members[-1]]) > _SMALLEST_OVERLAP:
                members.append(frame)
        remaining = sorted(set(remaining) - set(members))
        if len(members) <= min_track:
            continue
        every = np.arange(members[0], members[-1] + 1)
        filled = np.stack([np.interp(every, members, seen[members, side]) for side in range(4)], axis=1)  # (n, 4)
        if (filled[:, 2:] - filled[:, :2]).mean(axis=0).max() > min_size:
            tracks.append(FaceTrack(members[0], filled))
    return tracks


def crop_faces(frames: Tensor, boxes: NDArray[np.float64]) -> Tensor:
    """Crop the face from every frame.

    Let s be half the longer side of the box and (x, y) its centre, each filtered by a median over 13 frames (with zeros
    beyond the ends, as scipy does). The crop spans rows y - s to y + 1.8 s and columns x - 1.4 s to x + 1.4 s in whole
    pixels, has grey level 110 outside the frame, and is resized to 224 x 224 pixels.

    Args:
        frames: (n, 3, H, W) uint8.
        boxes: (n, 4) as in `FaceTrack`, with n >= 7 so that most values under the median filter are real.

    Returns:
        (n, 3, 224, 224) uint8.
    """
    left, top, right, bottom = boxes.T
    half = medfilt(np.maximum(bottom - top, right - left) / 2, _MEDIAN_FRAMES)  # (n,)
    y, x = medfilt((top + bottom) / 2, _MEDIAN_FRAMES), medfilt((left + right) / 2, _MEDIAN_FRAMES)
    # The original pads the frame and truncates padded coordinates; another order could round to another integer.
    pad = np.trunc(half * (1 + 2 * _MARGIN))
    y, x = y + pad, x + pad
    edges = [y - half, y + half * (1 + 2 * _MARGIN), x - half * (1 + _MARGIN), x + half * (1 + _MARGIN)]
    windows = np.stack([np.trunc(edge) - pad for edge in edges], axis=1)  # (n, 4)
    return _resample(frames, torch.from_numpy(windows).to(frames.device))


def resize_frames(frames: Tensor) -> Tensor:
    """Resize whole frames (T, 3, H, W) uint8 to 224 x 224, bilinear without antialiasing, as OpenCV does."""
    height, width = frames.shape[-2:]
    if (height, width) == (CROP_SIZE, CROP_SIZE):
        return frames
    whole = torch.tensor([0, height, 0, width], dtype=torch.float64, device=frames.device)
    return _resample(frames, whole.expand(len(frames), 4))


def face_boxes(landmarks: Tensor) -> Tensor:
    """Return face boxes like those of a face detector from landmarks.

    Detectors with the WIDER FACE convention, among them the S3FD of the original pipeline, box the face from forehead
    to chin. The box here is that of the landmarks with its top raised by 33 % of its height. The margins are medians
    over 190 frames of 38 clips against such a detector (YuNet); ``benchmarks/syncnet.py --detector`` prints them.

    Args:
        landmarks: iBUG landmarks in pixels, (T, 68, 2 or more), NaN in frames without a face.

    Returns:
        Left, top, right, bottom in pixels, (T, 4), NaN where any landmark is NaN.

    Raises:
        ValueError: ``landmarks`` has another shape.
    """
    if landmarks.ndim != 3 or landmarks.shape[1] != 68 or landmarks.shape[2] < 2:
        raise ValueError(f"landmarks must be (T, 68, 2 or 3), got {tuple(landmarks.shape)}")
    low, high = landmarks[..., :2].amin(1), landmarks[..., :2].amax(1)  # (T, 2); NaN propagates
    size = high - low
    return torch.cat([low, high], dim=1) + torch.cat([size, size], dim=1) * size.new_tensor(_DETECTOR_MARGINS)


def _overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the intersection over union of two boxes."""
    shared = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None).prod()
    areas = (first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod()
    return float(shared / (areas - shared))


def _resample(frames: Tensor, windows: Tensor) -> Tensor:
    """Resize a window of each frame to 224 x 224, bilinear.

    Args:
        frames: (n, 3, H, W) uint8.
        windows: First row, end row, first column, end column, (n, 4), integers; windows can extend beyond the frame.

    Returns:
        (n, 3, 224, 224) uint8 as from ``cv2.resize``; about one in 1000 values differs by one level.
    """
    pieces = zip(frames.split(_CHUNK), windows.split(_CHUNK), strict=True)
    return torch.cat([_resample_chunk(*piece) for piece in pieces])


def _resample_chunk(frames: Tensor, windows: Tensor) -> Tensor:
    # One pixel of padding stands for everything outside the frame.
    padded = torch.nn.functional.pad(frames, (1, 1, 1, 1), value=_PADDING)  # (n, 3, H + 2, W + 2)
    rows, down = _neighbours(windows[:, 0], windows[:, 1], frames.shape[-2])  # (n, 2, 224), (n, 224)
    columns, across = _neighbours(windows[:, 2], windows[:, 3], frames.shape[-1])
    down, across = down[:, :, None, None], across[:, None, None, :]
    clip = torch.arange(len(frames), device=frames.device)[:, None]

    def line(side: int) -> Tensor:
        """Return the rows before or after the samples, resized to 224 columns: (n, 224, 3, 224), times 2048."""
        picked = padded[clip, :, rows[:, side]]  # (n, 224, 3, W + 2)
        places = columns[:, :, None, None].expand(-1, -1, CROP_SIZE, 3, -1)  # (n, 2, 224, 3, 224)
        before, after = (picked.gather(3, places[:, side]).int() for side in range(2))
        return before * (_UNIT - across) + after * across

    # OpenCV's rounding; exact arithmetic would be brighter by an eighth of a grey level on average.
    faces = (((line(0) >> 4) * (_UNIT - down) >> 16) + ((line(1) >> 4) * down >> 16) + 2) >> 2
    return faces.to(torch.uint8).transpose(1, 2)


def _neighbours(first: Tensor, end: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the neighbouring pixels of a window's 224 samples along an axis, and their weights.

    Args:
        first: First pixel of each window, (n,).
        end: Pixel after the last of each window, (n,).
        size: Length of the unpadded axis in pixels.

    Returns:
        Indices on the padded axis of the pixels before and after each sample, (n, 2, 224), and the weight of the latter
        in units of 1 / 2048, (n, 224).
    """
    length = (end - first)[:, None]
    place = (torch.arange(CROP_SIZE, device=first.device) + 0.5) * (length / CROP_SIZE) - 0.5  # (n, 224)
    place = place.clamp(min=0.0).minimum(length - 1)
    before = place.floor()
    after = (before + 1).minimum(length - 1)
    indices = torch.stack([before, after], dim=1) + first[:, None, None]
    return (indices.clamp(-1, size) + 1).long(), ((place - before) * _UNIT).round().int()
