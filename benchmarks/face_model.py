"""How well does the built-in face model explain people it was not learned from?

    python benchmarks/face_model.py --clips CLIPS CLIPS_OPEN CLIPS_GRID_S1 \
        --one-person clips_grid_s1=s1 --same-person grid_a=s1 grid_g=s2 grid_e=s23

The people are divided into folds. For each fold, a model is learned from the others; the fold's clips are rigidly
aligned, their own average is subtracted, and the rest is projected on the first 16, 32 and 64 expression components.
Printed are the share of the variance explained, over all frames and as the mean over people; the residual of the
landmark-only fit; and the agreement of a single frame's expression with that of its clip.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from expnet.face.face_model_data import FaceModelData
from expnet.face.fitting import fit_clip, fit_residual
from expnet.face.landmarks import (
    EYE_POINTS,
    LANDMARKS_68_FROM_MEDIAPIPE,
    LIP_POINTS,
    MEDIAPIPE_POINTS,
    MESH_POINTS,
)
from expnet.face.measures import mouth_opening
from expnet.face.morphable import MorphableModel

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
from build_face_model import add_clip_arguments, clips_from
from learned_face.learning import LinearFace, TrackedClip, align_clip, learn_face

REGIONS = {"all": list(range(MESH_POINTS)), "lips": list(LIP_POINTS), "eyes": list(EYE_POINTS)}
COMPONENTS = (16, 32, 64)


def as_model(face: LinearFace) -> MorphableModel:
    """Convert the learned statistics to a model that can be fitted."""
    everyone = torch.arange(MESH_POINTS)
    data = FaceModelData(
        torch.from_numpy(face.mean),
        torch.from_numpy(face.identity_basis),
        torch.from_numpy(face.expression_basis),
        torch.zeros(1, 3),
        torch.tensor(LANDMARKS_68_FROM_MEDIAPIPE),
        name="fold",
        fit_vertices=everyone,
        fit_points=everyone,
        fit_weights=torch.from_numpy(face.vertex_weight),
        rigidity=torch.from_numpy(face.rigidity),
        noise=face.noise,
        identity_noise=face.identity_noise,
    )
    return MorphableModel(data)


def unexplained(face: LinearFace, motion: np.ndarray, components: int) -> np.ndarray:
    """Residual of a clip's motion (T, V, 3) after projection on the first components, in the metric of the model."""
    basis = face.expression_basis[..., :components].reshape(-1, components)
    root = np.sqrt(np.repeat(face.vertex_weight, 3))
    flat = motion.reshape(len(motion), -1)
    scores = (flat * root) @ np.linalg.pinv(basis * root[:, None]).T
    return (flat - scores @ basis.T).reshape(motion.shape)


def tracker_points(clip: TrackedClip) -> np.ndarray:
    """The clip's points in the form that a tracker returns, (T, 478, 3)."""
    points = np.zeros((len(clip.points), MEDIAPIPE_POINTS, 3), dtype=np.float32)
    points[:, :MESH_POINTS] = clip.points * [1.0, -1.0, -1.0]
    return points


def single_frames(model: MorphableModel, points: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Squared expression difference between single frame and clip, squared motion, and mouth openings (N, 2)."""
    clip = fit_clip(model, points)
    chosen = range(0, len(points), max(1, len(points) // 8))
    one = np.concatenate([fit_clip(model, points[i : i + 1]).expression for i in chosen])
    many = clip.expression[list(chosen)]
    metric = model.expression_metric.numpy()
    change, motion = one - many, many - many.mean(axis=0)
    neutral = torch.zeros(model.identity_size)
    openings = [mouth_opening(model.landmarks(neutral, torch.from_numpy(beta))).numpy() for beta in (one, many)]
    return (
        float(np.einsum("ti,ij,tj->", change, metric, change)) / len(one),
        float(np.einsum("ti,ij,tj->", motion, metric, motion)) / len(one),
        np.stack([opening - openings[1].mean() for opening in openings], axis=1),
    )


def main() -> None:
    """Run the folds and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_clip_arguments(parser)
    parser.add_argument("--folds", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = clips_from(arguments)
    people = sorted({clip.person for clip in clips})
    np.random.default_rng(0).shuffle(people)
    left: dict[tuple[int, str], dict[str, np.ndarray]] = defaultdict(lambda: defaultdict(lambda: np.zeros(2)))
    residuals, singles = defaultdict(list), []
    for fold in range(arguments.folds):
        out = set(people[fold :: arguments.folds])
        face = learn_face([clip for clip in clips if clip.person not in out])
        model = as_model(face)
        for clip in (one for one in clips if one.person in out):
            aligned = align_clip(clip.points, face.mean, face.rigidity)
            motion = aligned - aligned.mean(axis=0)
            for components in COMPONENTS:
                rest = unexplained(face, motion, components)
                for region, rows in REGIONS.items():
                    sums = [np.square(part[:, rows]).sum() for part in (rest, motion)]
                    left[components, region][clip.person] += sums
            points = tracker_points(clip)
            residuals[clip.person].append(fit_residual(model, fit_clip(model, points), points))
            singles.append(single_frames(model, points))
    frames = sum(len(clip.points) for clip in clips)
    print(f"{len(people)} people, {len(clips)} clips, {frames} frames; {arguments.folds} folds by person")
    print("variance of the rigidly aligned motion explained on left-out people")
    print("components  region  all frames  mean over people  worst person")
    for (components, region), by_person in left.items():
        rest, whole = np.sum(list(by_person.values()), axis=0)
        each = [1 - values[0] / values[1] for values in by_person.values()]
        print(f"{components:10d}  {region:6s}  {1 - rest / whole:10.4f}  {np.mean(each):16.4f}  {min(each):12.4f}")
    each = np.array([np.concatenate(values).mean() for values in residuals.values()])
    print(
        "landmark-only fit, rms distance in the image, left-out people: "
        f"mean {each.mean():.5f}, worst {each.max():.5f} face units (eye centres are 0.62 apart), "
        f"{100 * each.mean() / 0.62:.2f} % of the eye distance"
    )
    difference, motion = (np.mean([single[k] for single in singles]) for k in (0, 1))
    openings = np.concatenate([single[2] for single in singles])
    print(
        f"a single frame's expression against its clip's: {100 * difference / motion:.1f} % of the motion's variance; "
        f"mouth opening r {np.corrcoef(openings.T)[0, 1]:.4f}"
    )


if __name__ == "__main__":
    main()
