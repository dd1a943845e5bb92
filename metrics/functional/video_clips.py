"""Input of the video network of the Frechet video distance: which frames, which crop, which range of values.

Each protocol is that of published code; their values are not comparable.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from expnet.metrics.functional.sync import UnscorableClipError

SIDE = 224


@dataclass(frozen=True)
class VideoProtocol:
    """How a video becomes the input of the network.

    Attributes:
        source: The published code.
        first: The first frame that is used.
        frames: The number of successive frames.
        face: Whether each frame is cut to the face and resized by area, or resized whole and bilinearly.
        signed: Whether values are scaled to [-1, 1], as the network was trained, or to [0, 1].
    """

    source: str
    first: int
    frames: int
    face: bool
    signed: bool


VIDEO_PROTOCOLS: dict[str, VideoProtocol] = {
    # eval_fvd.py divides by 255 and asks the network not to rescale, so that it sees [0, 1].
    "latentsync": VideoProtocol("bytedance/LatentSync eval/eval_fvd.py", 20, 16, face=True, signed=False),
    "stylegan_v": VideoProtocol("universome/stylegan-v fvd2048_16f", 0, 16, face=False, signed=True),
}

DETECTOR_MARGINS = (-0.02, 0.108, 0.048, -0.004)
"""Left, top, right and bottom of the face that MediaPipe detects, from those of its face mesh, in widths and heights of
the mesh: medians of 57 frames of 20 clips, where the boxes overlap by .91 (median)."""


def mesh_boxes(points: Tensor) -> Tensor:
    """Return face boxes as MediaPipe's face detector draws them, from the points of its face mesh.

    Args:
        points: (..., T, 468 or more, 2 or more) in pixels; NaN where there is no face.

    Returns:
        Left, top, right, bottom in pixels, (..., T, 4), NaN where there is no face.
    """
    face = points[..., :468, :2].double()
    low, high = face.amin(-2), face.amax(-2)  # (..., T, 2)
    margins = torch.tensor(DETECTOR_MARGINS, dtype=torch.float64, device=points.device)
    return torch.cat([low, high], -1) + margins * torch.cat([high - low, high - low], -1)


def video_input(frames: Tensor, protocol: str, *, boxes: Tensor | None = None) -> Tensor:
    """Return the part of a video that the network sees.

    Args:
        frames: (T, 3, H, W) uint8.
        protocol: One of `VIDEO_PROTOCOLS`.
        boxes: Left, top, right, bottom of the face in pixels, (T, 4), NaN where there is none; for a protocol that
            cuts the face.

    Returns:
        (3, 16, 224, 224) float32.

    Raises:
        UnscorableClipError: The video is too short, or a frame has no face.
        ValueError: Shape, dtype or protocol are wrong.
    """
    if protocol not in VIDEO_PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(VIDEO_PROTOCOLS)}, got {protocol!r}")
    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype is not torch.uint8:
        raise ValueError(f"frames must be (T, 3, H, W) uint8, got {tuple(frames.shape)} {frames.dtype}")
    rules = VIDEO_PROTOCOLS[protocol]
    end = rules.first + rules.frames
    if len(frames) < end:
        raise UnscorableClipError(f"the video has {len(frames)} frames, FVD ({protocol}) needs {end}")
    part = frames[rules.first : end]
    if not rules.face:
        resized = F.interpolate(part.float(), (SIDE, SIDE), mode="bilinear", align_corners=False)
    elif boxes is None or boxes.shape != (len(frames), 4):
        raise ValueError(f"protocol {protocol} needs face boxes (T, 4) of frames {tuple(frames.shape)}")
    else:
        resized = _faces(part, boxes[rules.first : end], protocol)
    values = resized / 127.5 - 1 if rules.signed else resized / 255
    return values.transpose(0, 1).contiguous()  # (3, 16, 224, 224)


def _faces(frames: Tensor, boxes: Tensor, protocol: str) -> Tensor:
    """Cut the face out of every frame and resize it by area, (T, 3, 224, 224) float32 with whole grey levels."""
    if not bool(boxes.isfinite().all()):
        raise UnscorableClipError(f"FVD ({protocol}) needs a face in each of its {len(frames)} frames")
    height, width = frames.shape[-2:]
    faces = []
    for image, box in zip(frames.permute(0, 2, 3, 1).cpu().numpy(), boxes.cpu().numpy(), strict=True):
        # The detector's corner and size are truncated separately, and the box is cut at the frame.
        left, top = int(box[0]), int(box[1])
        right, bottom = left + int(box[2] - box[0]), top + int(box[3] - box[1])
        face = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        if face.size == 0:
            raise UnscorableClipError(f"FVD ({protocol}): the face lies outside of the frame")
        faces.append(cv2.resize(np.ascontiguousarray(face), (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).to(frames.device).float()
