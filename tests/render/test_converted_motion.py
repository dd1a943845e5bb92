"""Motions between the built-in face model and Basel coefficients, there and back, and the mesh driven by them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError
from expnet.face.basel_map import basel_expression_change, built_in_expression_change
from expnet.face.facial_features import FEATURES, feature_space
from expnet.face.morphable import load_face_model
from expnet.render.converted_motion import BaselDrivenRenderer, from_basel, to_basel
from expnet.render.open_renderer import open_renderer
from expnet.render.portrait import Portrait


@pytest.fixture
def basel(portrait: Any) -> FaceCoefficients:
    return FaceCoefficients(
        expression=np.linspace(-1, 1, 64)[None],
        rotation=[[0.1, 0.2, -0.1]],
        translation=[[0.01, -0.02, 0.5]],
        identity=np.zeros(80),
        crop=portrait.fit.crop * [1.0, 1.0, 1.1],
        face_model="bfm2009",
    )


def turning(portrait: Any) -> FaceCoefficients:
    generator = np.random.default_rng(0)
    steps = generator.normal(0, 0.1, (9, 6))
    return portrait.driven(9, rotation=steps[:, :3], translation=steps[:, 3:])


def test_head_poses_come_back_as_they_went(portrait: Any, basel: FaceCoefficients) -> None:
    motion = turning(portrait)
    there = to_basel(portrait.fit, basel).convert(motion)
    back = from_basel(basel, portrait.fit).convert(there)
    assert (there.face_model, back.face_model) == ("bfm2009", "mediapipe468")
    assert np.abs(there.rotation - motion.rotation).max() > 0.05
    np.testing.assert_allclose(back.rotation, motion.rotation, atol=1e-5)
    np.testing.assert_allclose(back.translation, motion.translation, atol=1e-5)


@pytest.mark.parametrize(("feature", "least"), [("lip_gap", 0.5), ("lids_apart", 0.5)])
def test_expressions_that_go_there_and_back_are_the_same_and_smaller(portrait: Any, feature: str, least: float) -> None:
    """The maps are regressions, so the way there and back shrinks a motion; it must not turn it into another one."""
    space = feature_space(portrait.model)
    amounts = np.eye(len(FEATURES))[FEATURES.index(feature)]
    if feature == "lip_gap":
        amounts = np.array(
            [space.with_gap[name] for name in FEATURES]
        )  # lips open with chin and lip, which the clips of the fit show
    change = np.outer([0.02, 0.04, -0.02], space.inverse @ amounts)
    back = built_in_expression_change(basel_expression_change(change))
    rest, before, after = (
        space.measured(np.zeros(portrait.model.identity_size), one)[feature] for one in (0.0 * change, change, back)
    )
    share = (after - rest) / (before - rest)
    np.testing.assert_allclose(share, share[0], atol=1e-6)
    assert least < share[0] < 1.1


def test_basel_coefficients_drive_the_mesh(portrait: Any, basel: FaceCoefficients) -> None:
    model = load_face_model("bfm-deep3d")
    renderer = open_renderer("mesh").make(Portrait(portrait.image, portrait.points, basel), model)
    assert isinstance(renderer, BaselDrivenRenderer)
    assert (renderer.size, renderer.lookahead) == (portrait.image.shape[:2], 0)
    own = open_renderer("mesh").make(Portrait(portrait.image, portrait.points, portrait.fit), portrait.model)
    opening = portrait.expression_for(13, 14, 0.1)
    motion = to_basel(portrait.fit, basel).convert(portrait.driven(2, expression=[0.0 * opening, opening]))
    still, opened = renderer.render(motion)
    assert np.abs(still.astype(int) - next(own.render(portrait.fit))).mean() < 1.0, "the first frame is the portrait"
    differs = np.abs(opened.astype(int) - still).max(axis=-1) > 20
    mouth = portrait.points[[13, 14], :2].mean(axis=0).astype(int)
    assert differs[mouth[1] - 20 : mouth[1] + 20, mouth[0] - 25 : mouth[0] + 25].any()
    parts = [SimpleNamespace(coefficients=motion[index], blink=np.zeros(1, np.float32)) for index in range(2)]
    for frame, expected in zip(renderer.render_parts(parts), (still, opened), strict=True):
        np.testing.assert_array_equal(frame, expected)
    with pytest.raises(InputError, match="described by Basel coefficients, but the motion by mediapipe468"):
        renderer.render(portrait.fit)
