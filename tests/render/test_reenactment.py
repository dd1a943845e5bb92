"""Reenactment of a rendered clip: the head turns and the background stays still."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from expnet.coefficients import concatenate
from expnet.data.store.track import Track
from expnet.face.morphable import MorphableModel, builtin_face_model
from expnet.media.video_reader import write_video
from expnet.render.portrait import Portrait, open_portrait
from expnet.render.reenactment import PORTRAIT, REAL, Reenactment, crop_frame, open_reenactment

pytestmark = pytest.mark.usefixtures("face_tracker")

TURNS = np.array([[0, 0, 0], [0, 0.25, 0], [0, -0.25, 0]], np.float32)


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return builtin_face_model()


def track_of(portrait: Portrait, source: str) -> Track:
    """A clip of the portrait whose head turns to both sides."""
    coefficients = concatenate([portrait.fit] * len(TURNS))
    return Track(
        "turns",
        "anna",
        coefficients.with_(
            rotation=coefficients.rotation + TURNS,
            identity=np.atleast_2d(portrait.fit.identity)[0],
            crop=np.atleast_2d(portrait.fit.crop)[0],
        ),
        landmarks=np.zeros((len(TURNS), 68, 2), np.float32),
        valid=np.ones(len(TURNS), bool),
        audio=np.zeros(len(TURNS) * 640, np.float32),
        corpus="test",
        frame_size=portrait.image.shape[:2],
        source=source,
    )


@pytest.mark.parametrize("side", [256, 1100])
def test_a_real_clip_turns_in_front_of_a_still_background(model: MorphableModel, tmp_path: Path, side: int) -> None:
    """Frames are used at any size, also beyond the limit for portraits."""
    picture = Image.fromarray(astronaut()[:256, 90:346]).resize((side, side), Image.Resampling.LANCZOS)
    path = tmp_path / "clip.mp4"
    write_video(path, [np.asarray(picture)] * 3, fps=25.0)
    portrait = open_portrait(np.asarray(picture), model, max_side=None)
    stage = open_reenactment(track_of(portrait, str(path)), model, 3)
    assert stage.kind == REAL
    check_background(stage, portrait)


def test_the_built_in_portrait_turns_in_front_of_a_still_background(model: MorphableModel) -> None:
    portrait = open_portrait(np.ascontiguousarray(astronaut()), model)
    stage = open_reenactment(track_of(portrait, ""), model, 3)
    assert stage.kind == PORTRAIT
    check_background(stage, portrait)


def check_background(stage: Reenactment, portrait: Portrait) -> None:
    """The first frame is the reference; in later frames the face moves, and the uncovered background does not."""
    track = track_of(portrait, "")
    pose = torch.from_numpy(np.array(track.coefficients.pose))
    first, *turned = stage.render(torch.from_numpy(np.array(track.coefficients.expression)), pose)
    assert np.array_equal(first, crop_frame(stage.reference[0], stage.crop))
    assert portrait.matte is not None
    person = np.repeat((255 * portrait.matte).astype(np.uint8)[..., None], 3, axis=2)
    background = crop_frame(person, stage.crop)[..., 0] == 0
    for frame in turned:
        change = np.abs(frame.astype(int) - first).max(axis=-1)
        assert (change[background] <= 2).mean() > 0.75  # the rest is where the head goes
        assert change[~background].mean() > 5
