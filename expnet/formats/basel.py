"""Files for the renderers of SadTalker and PIRender, which use the Basel face model of 2009.

The Basel model may not be redistributed, so converting coefficients of the built-in face model requires the user's own
copy (Deep3DFaceRecon's BFM_model_front.mat). The conversion computes the faces of the clip and fits the Basel model to
their 68 landmarks, with the same regularised least squares that fits videos (:mod:`expnet.face.fitting`).
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.camera import project_depth
from expnet.face.fitting import fit_clip
from expnet.face.landmarks import MEDIAPIPE_POINTS, MESH_POINTS
from expnet.face.morphable import MorphableModel, builtin_face_model
from expnet.formats.coefficient_files import (
    BASEL_FACE_MODEL,
    DEFAULT_FRAME_SIZE,
    ILLUMINATION_SIZE,
    TEXTURE_SIZE,
    CoefficientFile,
    Layout,
    write_coefficient_file,
)
from expnet.formats.geometry import animated_faces
from expnet.formats.motion_clip import MotionClip


def in_basel(clip: MotionClip, basel: MorphableModel | None) -> FaceCoefficients:
    """Return the coefficients of a clip under the Basel face model.

    Args:
        clip: A clip of the Basel model (returned unchanged) or of the built-in one.
        basel: The Basel face model, if the user has it.

    Raises:
        InputError: The Basel model is missing, another model was given, or the clip cannot be converted.
    """
    coefficients = clip.coefficients
    if coefficients.face_model == BASEL_FACE_MODEL:
        return coefficients
    if basel is None or basel.name != BASEL_FACE_MODEL:
        raise InputError(
            f"SadTalker and PIRender use the face model {BASEL_FACE_MODEL}, but this clip uses "
            f"{coefficients.face_model}: give your own BFM_model_front.mat with --face-model, or choose another format."
        )
    model = builtin_face_model()
    if coefficients.face_model != model.name:
        raise InputError(f"a clip of the face model {coefficients.face_model} cannot be converted to {basel.name}.")
    if coefficients.crop is None:
        raise InputError("the clip has no crop, so the position of its face in the image is unknown.")
    pose = (coefficients.rotation, coefficients.translation, np.atleast_2d(coefficients.crop).astype(np.float32))
    faces = torch.from_numpy(animated_faces(model, clip))
    pixels = project_depth(faces, *(torch.from_numpy(part) for part in pose)).numpy()  # (T, 468, 3)
    points = np.zeros((coefficients.frames, MEDIAPIPE_POINTS, 3), np.float32)  # the irises are not fitted
    points[:, :MESH_POINTS] = pixels * np.array(
        [1.0, 1.0, -1.0], np.float32
    )  # trackers measure depth away from the viewer
    return fit_clip(basel, points, fps=coefficients.fps)


def write_basel(path: Path, clip: MotionClip, layout: Layout, basel: MorphableModel | None) -> None:
    """Write a ``.mat`` file for the renderer of SadTalker or PIRender.

    ``sadtalker70`` drives SadTalker (its ``coeff_path``); ``sadtalker73`` describes the portrait (``first_coeff_path``,
    whose first frame is read) and holds ``full_3dmm``; ``pirender`` drives PIRender. The renderers read expression,
    pose and crop. Their files also hold texture and illumination; if unknown, they are written as zeros.
    """
    coefficients = in_basel(clip, basel)
    known = coefficients.with_(
        texture=np.zeros(TEXTURE_SIZE) if coefficients.texture is None else coefficients.texture,
        illumination=np.zeros(ILLUMINATION_SIZE) if coefficients.illumination is None else coefficients.illumination,
    )
    contents = CoefficientFile(known, layout, clip.frame_size or DEFAULT_FRAME_SIZE)
    if layout == "sadtalker73":
        contents = replace(contents, first_frame=known[0])
    write_coefficient_file(path, contents)
