"""Renderers by name: what each is given, what is refused, and reenactment with any of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from expnet.errors import InputError, MissingAssetError
from expnet.render.face_vid2vid.renderer import SadTalkerRenderer
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.open_renderer import open_renderer
from expnet.render.portrait import Portrait
from expnet.render.reenactment import REAL, Reenactment


@pytest.fixture(scope="module")
def opened(portrait: Any) -> Portrait:
    return Portrait(portrait.image, portrait.points, portrait.fit)


@pytest.mark.usefixtures("sadtalker_found")
def test_a_name_or_a_class_makes_the_renderer_of_a_portrait(portrait: Any, opened: Portrait, glowing: type) -> None:
    for choice, kind, name, lookahead in (
        ("mesh", MeshRenderer, "mesh", 0),
        ("sadtalker", SadTalkerRenderer, "sadtalker 256", 13),
        (glowing, glowing, "Brightness", 0),
    ):
        renderer = open_renderer(choice)
        made = renderer.make(opened, portrait.model)
        assert (type(made), renderer.name, made.lookahead) == (kind, name, lookahead)
        assert made.size == opened.image.shape[:2]
        assert next(made.render(portrait.fit)).shape == opened.image.shape
    assert open_renderer("mesh").make_pair is not None
    assert open_renderer("sadtalker").make_pair is None
    assert open_renderer("sadtalker", size=512).square == 512


def test_what_does_not_fit_together_is_one_sentence(glowing: type, assets_folder: Any) -> None:
    with pytest.raises(InputError, match="renderer dlib: expected one of mesh, sadtalker"):
        open_renderer("dlib")
    for choice in ("mesh", glowing):
        with pytest.raises(InputError, match="renderer size 256: only SadTalker's renderer has sizes"):
            open_renderer(choice, size=256)
    with pytest.raises(InputError, match="a refiner corrects the mesh renderer's mouths"):
        open_renderer("sadtalker", refiner="run")
    with pytest.raises(MissingAssetError, match="run 'expnet assets fetch sadtalker-256'"):
        open_renderer("sadtalker")


@pytest.mark.usefixtures("sadtalker_found")
@pytest.mark.parametrize("choice", ["mesh", "sadtalker", "glowing"])
def test_frames_of_a_reenactment_do_not_depend_on_which_are_shown(
    portrait: Any, opened: Portrait, glowing: type, choice: str
) -> None:
    """A renderer that looks ahead must see the frames between those that are shown."""
    renderer = open_renderer(glowing if choice == "glowing" else choice).make(opened, portrait.model)
    steps = np.random.default_rng(0).normal(0, 1, (20, 64)).cumsum(axis=0)
    motion = portrait.driven(20, expression=steps - steps[0])
    stage = Reenactment(renderer, [], np.array([210.0, 120.0, 200.0]), portrait.fit.identity, lambda *_: motion, REAL)
    if renderer.lookahead == 0:
        stage = Reenactment(
            renderer,
            [],
            stage.crop,
            stage.identity,
            lambda expression, _: portrait.driven(len(expression), expression=expression.numpy()),
            REAL,
        )
    expression, pose = torch.from_numpy((steps - steps[0]).astype(np.float32)), torch.zeros(20, 6)
    whole = stage.render(expression, pose)
    some = stage.render(expression, pose, [3, 8, 19])
    assert len(some) == 3
    for frame, index in zip(some, (3, 8, 19), strict=True):
        np.testing.assert_array_equal(frame, whole[index])
