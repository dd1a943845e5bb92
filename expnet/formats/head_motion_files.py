"""Head motion without expression: BVH for animation programs, JSON for scripts."""

import json
from pathlib import Path

import numpy as np

from expnet.coefficients import FaceCoefficients
from expnet.face.template import EYE_DISTANCE
from expnet.formats.motion_clip import MotionClip, write_output

METRES_PER_FACE_UNIT = 0.063 / EYE_DISTANCE
"""A face unit in metres, for an interpupillary distance of 63 mm, the average of adults."""

# BVH multiplies the rotations of a joint in the order of its channels, so this is R = Rz Ry Rx of the conventions.
_BVH_HEAD = """HIERARCHY
ROOT Head
{
\tOFFSET 0.0 0.0 0.0
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
\tEnd Site
\t{
\t\tOFFSET 0.0 10.0 0.0
\t}
}
"""


def write_bvh(path: Path, clip: MotionClip) -> None:
    """Write a skeleton of one bone, the head, with position in centimetres and rotation in degrees.

    x points to the image's right, y up and z toward the viewer, as in BVH players.
    """
    coefficients = clip.coefficients
    position = coefficients.translation.astype(np.float64) * METRES_PER_FACE_UNIT * 100.0
    rows = np.concatenate([position, np.degrees(coefficients.rotation[:, ::-1].astype(np.float64))], axis=1)
    motion = [f"MOTION\nFrames: {len(rows)}\nFrame Time: {1.0 / coefficients.fps:.8f}\n"]
    motion += [" ".join(f"{value:.6f}" for value in row) + "\n" for row in rows]
    write_output(path, (_BVH_HEAD + "".join(motion)).encode())


def write_json(path: Path, clip: MotionClip) -> None:
    """Write rotation and translation of every frame, the conventions in words, and the eyelid closure if known."""
    coefficients = clip.coefficients
    content = {
        "fps": coefficients.fps,
        "frames": coefficients.frames,
        "conventions": {
            "rotation": "pitch, yaw, roll in radians; R = Rz(roll) Ry(yaw) Rx(pitch) on column vectors",
            "translation": "x, y, z in face units; x to the image's right, y up, z toward the viewer",
            "metres_per_face_unit": METRES_PER_FACE_UNIT,
            "time": "frame k stands at k / fps seconds",
        },
        **_motion(coefficients),
        "blink": None if clip.blink is None else np.asarray(clip.blink, np.float64).round(6).tolist(),
    }
    write_output(path, json.dumps(content, indent=1, allow_nan=False).encode())


def _motion(coefficients: FaceCoefficients) -> dict[str, list[list[float]]]:
    return {
        name: getattr(coefficients, name).astype(np.float64).round(6).tolist() for name in ("rotation", "translation")
    }
