"""Do the faces in a folder of videos move as those in another? Two metrics, without a benchmark around them."""

import sys
from pathlib import Path

import torch

from expnet.evaluation.videos.reader import VideoReader
from expnet.metrics import ExpressionFrechetDistance, ThevalLipDynamics


def compare(real: str, generated: str) -> dict[str, float]:
    """Return the distance between the sets of expressions, and the motion of the lips over that of the real ones."""
    reader = VideoReader(seconds=10)  # decodes, tracks the face and fits the face model
    expressions = ExpressionFrechetDistance(face_model="mediapipe468")
    lips = {real: ThevalLipDynamics(), generated: ThevalLipDynamics()}
    for folder in (real, generated):
        for path in sorted(Path(folder).glob("*.mp4")):
            video = reader(path)
            if video.face is not None:
                coefficients = torch.tensor(video.face.coefficients.expression)  # (T, 64)
                expressions.update(coefficients, real=folder == real, valid=video.face.valid)
                size = torch.tensor(video.size[::-1])  # width, height
                lips[folder].update(video.face.mesh[None] / size, video.face.valid[None])
    ratio = lips[generated].compute() / lips[real].compute()
    return {"expressions": expressions.compute().item(), "lips": ratio.item()}


if __name__ == "__main__":
    sys.stdout.write(f"{compare(sys.argv[1], sys.argv[2])}\n")
