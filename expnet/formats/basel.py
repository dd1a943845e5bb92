"""Files for SadTalker's and PIRender's renderers, which speak the Basel face model of 2009.

Its shapes may not be redistributed, so that coefficients of the built-in face model can be turned into its own only
where the user has the file (Deep3DFaceRecon's BFM_model_front.mat). They are turned by making the faces of the clip
and fitting the Basel model to their 68 landmarks: the same least squares under the prior with which videos are fitted
(:mod:`expnet.face.fitting`), linear in the expression once the head's pose is taken off.
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
from expnet.formats.geometry import performed_faces
from expnet.formats.motion_clip import Performance


def in_basel(performance: Performance, basel: MorphableModel | None) -> FaceCoefficients:
    """The clip in coefficients of the Basel face model.

    Args:
        performance: the clip, of the Basel model (returned as it is) or of the built-in one.
        basel: the Basel face model, where the user has it.

    Raises:
        InputError: there is no Basel model, the model given is another, or the clip cannot be turned into it.
    """
    coefficients = performance.coefficients
    if coefficients.face_model == BASEL_FACE_MODEL:
        return coefficients
    if basel is None or basel.name != BASEL_FACE_MODEL:
        raise InputError(
            f"SadTalker and PIRender speak the face model {BASEL_FACE_MODEL}, this clip speaks "
            f"{coefficients.face_model}: give your own BFM_model_front.mat with --face-model, or choose another format."
        )
    model = builtin_face_model()
    if coefficients.face_model != model.name:
        raise InputError(f"a clip of the face model {coefficients.face_model} cannot be turned into {basel.name}.")
    if coefficients.crop is None:
        raise InputError("the clip has no crop, so that nobody knows where in the picture its face is.")
    pose = (coefficients.rotation, coefficients.translation, np.atleast_2d(coefficients.crop).astype(np.float32))
    faces = torch.from_numpy(performed_faces(model, performance))
    pixels = project_depth(faces, *(torch.from_numpy(part) for part in pose)).numpy()  # (T, 468, 3)
    points = np.zeros((coefficients.frames, MEDIAPIPE_POINTS, 3), np.float32)  # the irises are not fitted
    points[:, :MESH_POINTS] = pixels * np.array([1.0, 1.0, -1.0], np.float32)  # trackers count depth away from us
    return fit_clip(basel, points, fps=coefficients.fps)


def write_basel(path: Path, performance: Performance, layout: Layout, basel: MorphableModel | None) -> None:
    """Write a ``.mat`` file that SadTalker's or PIRender's renderer takes.

    ``sadtalker70`` drives (SadTalker's ``coeff_path``); ``sadtalker73`` describes the portrait (``first_coeff_path``,
    whose first frame is read) and holds ``full_3dmm``; ``pirender`` drives PIRender. The renderers read expression,
    pose and crop; texture and illumination, which their files hold too and nobody knows here, are written as zeros.
    """
    coefficients = in_basel(performance, basel)
    known = coefficients.with_(
        texture=np.zeros(TEXTURE_SIZE) if coefficients.texture is None else coefficients.texture,
        illumination=np.zeros(ILLUMINATION_SIZE) if coefficients.illumination is None else coefficients.illumination,
    )
    contents = CoefficientFile(known, layout, performance.frame_size or DEFAULT_FRAME_SIZE)
    if layout == "sadtalker73":
        contents = replace(contents, first_frame=known[0])
    write_coefficient_file(path, contents)
