"""What the published files should show, for those who have them; nothing here has been run with the files.

    expnet assets fetch sadtalker
    EXPNET_TALKING_CLIP=clip.mp4 pytest -m needs_weights tests/render/face_vid2vid

The clip is a real video of one talking person. Bounds are what is known from elsewhere, with room: face-vid2vid reports
24.4 dB for the reconstruction of VoxCeleb2 at 256 pixels (Wang et al. 2021, table 1), and the fitted maps of
`expnet/face/basel_map.md` state how the two face models agree.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.data import astronaut
from skimage.metrics import peak_signal_noise_ratio

from expnet.assets.sadtalker import SadTalkerNetworks, open_sadtalker_networks
from expnet.coefficients import FaceCoefficients
from expnet.data.preprocess.regressed_coefficients import regress_clip
from expnet.errors import MissingAssetError
from expnet.face.fitting import fit_clip
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE
from expnet.face.measures import mouth_opening
from expnet.face.morphable import MorphableModel, builtin_face_model, load_face_model
from expnet.face.tracker import open_tracker
from expnet.media.video_reader import read_video
from expnet.render.face_vid2vid.face_crop import face_crop
from expnet.render.face_vid2vid.renderer import SadTalkerRenderer
from expnet.render.portrait import Portrait, open_portrait

pytestmark = [pytest.mark.needs_weights, pytest.mark.usefixtures("face_tracker")]
FRAMES = 50


@pytest.fixture(scope="module")
def published() -> SadTalkerNetworks:
    try:
        return open_sadtalker_networks(256)
    except MissingAssetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def clip() -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """Frames of a real clip, and their tracked points (T, 478, 3)."""
    path = os.environ.get("EXPNET_TALKING_CLIP", "")
    if not Path(path).is_file():
        pytest.skip("EXPNET_TALKING_CLIP names no video of one talking person")
    frames = list(islice(read_video(path, fps=25.0), FRAMES))
    track = open_tracker().track(frames)
    assert track.found.all(), "choose a clip whose first two seconds show the face"
    return frames, track.points


def reconstructed(
    clip: tuple[list[NDArray[np.uint8]], NDArray[np.float32]], networks: SadTalkerNetworks, model: MorphableModel
) -> list[NDArray[np.uint8]]:
    """Draw the first frame of a clip with the motion of the clip under a face model."""
    frames, points = clip
    landmarks = points[:, list(LANDMARKS_68_FROM_MEDIAPIPE), :2]
    motion: FaceCoefficients = fit_clip(model, points)
    if model.name == "bfm2009":
        motion = regress_clip(networks.regressor.cpu(), frames, landmarks, np.ones(len(frames), bool))
    renderer = SadTalkerRenderer(Portrait(frames[0], points[0], motion[:1]), model, networks)
    return list(renderer.render(motion))


@pytest.mark.parametrize("name", ["mediapipe468", "bfm-deep3d"])
def test_a_clip_is_reconstructed_from_its_first_frame(clip: Any, published: SadTalkerNetworks, name: str) -> None:
    """Expected: at least 20 dB in the square around the face, and lips that open when the real ones do (r > .7)."""
    frames, points = clip
    drawn = reconstructed(clip, published, load_face_model(name))
    crop = face_crop(points[0, list(LANDMARKS_68_FROM_MEDIAPIPE), :2].astype(np.float64))
    ratios = [
        peak_signal_noise_ratio(crop.cut(real, 256), crop.cut(ours, 256), data_range=255)
        for real, ours in zip(frames[1:], drawn[1:], strict=True)
    ]
    assert np.mean(ratios) > 20.0
    track = open_tracker().track(drawn)
    assert track.found.mean() > 0.95, "the drawn face is a face"
    opening, expected = (
        mouth_opening(torch.from_numpy(one[:, list(LANDMARKS_68_FROM_MEDIAPIPE)].astype(np.float32))).numpy()
        for one in (track.points, points)
    )
    assert np.corrcoef(opening[track.found], expected[track.found])[0, 1] > 0.7


def test_the_regressor_agrees_with_the_tracker(clip: Any, published: SadTalkerNetworks) -> None:
    """Expected: rotations within 3 degrees rms of the tracker's, up to a constant, and lip openings with r > .7."""
    frames, points = clip
    landmarks = points[:, list(LANDMARKS_68_FROM_MEDIAPIPE), :2]
    ours = fit_clip(builtin_face_model(), points)
    basel = regress_clip(published.regressor.cpu(), frames, landmarks, np.ones(len(frames), bool))
    difference = np.rad2deg(basel.rotation - ours.rotation)
    assert (difference.std(axis=0) < 3.0).all()
    model = load_face_model("bfm-deep3d")
    assert basel.identity is not None
    marks = model.landmarks(torch.from_numpy(basel.identity), torch.from_numpy(basel.expression))
    tracked = mouth_opening(torch.from_numpy(points[:, list(LANDMARKS_68_FROM_MEDIAPIPE)].astype(np.float32)))
    assert np.corrcoef(mouth_opening(marks).numpy(), tracked.numpy())[0, 1] > 0.7


def test_a_mirrored_face_turns_the_other_way(published: SadTalkerNetworks) -> None:
    """Expected: yaw and roll of the mirror image are the negatives within 4 degrees, and pitch is the same."""
    image = np.ascontiguousarray(astronaut()[:300, 70:370])
    rows = []
    for picture in (image, np.ascontiguousarray(image[:, ::-1])):
        portrait = open_portrait(picture, builtin_face_model())
        found = np.ones(1, bool)
        rows.append(regress_clip(published.regressor.cpu(), [picture], portrait.landmarks[None], found).rotation[0])
    np.testing.assert_allclose(np.rad2deg(rows[1]), np.rad2deg(rows[0]) * [1.0, -1.0, -1.0], atol=4.0)


def test_the_first_frame_is_the_portrait(published: SadTalkerNetworks) -> None:
    """Expected: the untouched portrait returns with at least 25 dB."""
    portrait = open_portrait(np.ascontiguousarray(astronaut()[:300, 70:370]), builtin_face_model())
    frame = next(SadTalkerRenderer(portrait, builtin_face_model(), published).render(portrait.fit))
    assert peak_signal_noise_ratio(portrait.image, frame, data_range=255) > 25.0
