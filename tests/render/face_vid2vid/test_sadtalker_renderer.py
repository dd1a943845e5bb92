"""SadTalker's renderer on small random networks: crop and paste, windows, conversion of motions, streaming."""

from __future__ import annotations

import weakref
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from expnet.assets.sadtalker import SadTalkerNetworks, open_sadtalker_networks
from expnet.coefficients import FaceCoefficients
from expnet.errors import InputError, MissingAssetError
from expnet.face.basel_map import basel_expression_change
from expnet.render.face_vid2vid.basel_motion import BaselMotion
from expnet.render.face_vid2vid.coefficient_windows import coefficient_windows, window_offsets
from expnet.render.face_vid2vid.face_crop import FaceCrop, face_crop
from expnet.render.face_vid2vid.renderer import SadTalkerRenderer
from expnet.render.portrait import Portrait


@pytest.fixture(scope="module")
def networks(small_sadtalker: SadTalkerNetworks) -> SadTalkerNetworks:
    return small_sadtalker


@pytest.fixture(scope="module")
def opened(portrait: Any) -> Portrait:
    return Portrait(portrait.image, portrait.points, portrait.fit)


def talking(portrait: Any, frames: int) -> FaceCoefficients:
    generator = np.random.default_rng(0)
    steps = generator.normal(0, 1, (frames, 64)).cumsum(axis=0)
    steps -= steps[0]
    return portrait.driven(frames, expression=steps, rotation=0.01 * steps[:, :3])


def test_frames_have_the_size_of_the_portrait_and_change_only_around_the_face(
    portrait: Any, opened: Portrait, networks: SadTalkerNetworks
) -> None:
    renderer = SadTalkerRenderer(opened, portrait.model, networks)
    frames = list(renderer.render(talking(portrait, 20)))
    assert renderer.size == opened.image.shape[:2]
    assert all(frame.shape == opened.image.shape and frame.dtype == np.uint8 for frame in frames)
    assert (frames[0] != frames[19]).any(), "the motion must be visible"
    crop = face_crop(opened.landmarks)
    outside = np.ones(opened.image.shape[:2], bool)
    outside[max(crop.top, 0) : crop.top + crop.side, max(crop.left, 0) : crop.left + crop.side] = False
    assert outside.any()
    np.testing.assert_array_equal(frames[19][outside], opened.image[outside])


def test_a_portrait_of_the_networks_size_is_drawn_whole(portrait: Any, networks: SadTalkerNetworks) -> None:
    image = np.ascontiguousarray(portrait.image[:64, :64])
    frames = list(
        SadTalkerRenderer(Portrait(image, portrait.points, portrait.fit), portrait.model, networks).render(portrait.fit)
    )
    assert frames[0].shape == (64, 64, 3)


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_motion_in_parts_has_the_same_frames(
    portrait: Any, opened: Portrait, networks: SadTalkerNetworks, cut: int
) -> None:
    motion = talking(portrait, 40)
    blink = np.zeros(40, np.float32)
    blink[20:24] = 1.0
    renderer = SadTalkerRenderer(opened, portrait.model, networks)
    whole = list(renderer.render(motion, blink=blink))
    parts = [
        SimpleNamespace(coefficients=motion[start : start + cut], blink=blink[start : start + cut])
        for start in range(0, 40, cut)
    ]
    seen: list[int] = []

    def arriving() -> Any:
        for number, part in enumerate(parts):
            seen.append(number)
            yield part

    frames = renderer.render_parts(arriving())
    first = next(frames)
    assert len(seen) == -(-14 // cut), "the first frame is drawn as soon as its 13 next frames have arrived"
    for ours, expected in zip([first, *frames], whole, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_windows_repeat_the_ends_and_have_the_frame_in_their_middle() -> None:
    rows = [np.array([value, -value], np.float32) for value in range(30)]
    windows = list(coefficient_windows(rows, window_offsets(25.0)))
    assert len(windows) == 30
    assert windows[0].shape == (2, 27)
    np.testing.assert_array_equal(windows[0][0], [*[0] * 14, *range(1, 14)])
    np.testing.assert_array_equal(windows[20][0], [*range(7, 30), *[29] * 4])
    np.testing.assert_array_equal(window_offsets(50.0), np.arange(-26, 27, 2))
    assert len(list(coefficient_windows(rows[:1], window_offsets(25.0)))) == 1


def test_long_motions_keep_one_window_in_memory() -> None:
    made: list[weakref.ref] = []

    def rows() -> Any:
        for _ in range(500):
            row = np.zeros(2, np.float32)
            made.append(weakref.ref(row))
            yield row

    alive = [sum(ref() is not None for ref in made) for _ in coefficient_windows(rows(), window_offsets(25.0))]
    assert len(alive) == 500
    assert max(alive) <= 28


def basel_of(portrait: Any) -> FaceCoefficients:
    return FaceCoefficients(
        expression=np.linspace(-1, 1, 64)[None],
        rotation=[[0.1, 0.2, -0.1]],
        translation=[[0.01, -0.02, 0.5]],
        crop=portrait.fit.crop,
        face_model="bfm2009",
    )


def test_the_portraits_own_coefficients_change_nothing(portrait: Any) -> None:
    basel = basel_of(portrait)
    converted = BaselMotion(portrait.fit, basel, portrait.model).convert(portrait.fit)
    for part in ("expression", "rotation", "translation"):
        np.testing.assert_allclose(getattr(converted, part), getattr(basel, part), atol=1e-6)


def test_motions_are_converted(portrait: Any) -> None:
    basel = basel_of(portrait).with_(rotation=np.zeros((1, 3)), translation=np.zeros((1, 3)))
    motion = BaselMotion(portrait.fit, basel, portrait.model)
    change = np.zeros((2, 64))
    change[1, 0] = 2.0
    turned = portrait.driven(
        2, expression=change, rotation=[[0, 0, 0], [0, 0.3, 0]], translation=[[0, 0, 0], [0.1, 0.2, 1]]
    )
    converted = motion.convert(turned)
    expected = basel_expression_change(change)[1]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(converted.expression[1] - basel.expression[0], expected, atol=1e-5)
    np.testing.assert_allclose(converted.rotation[1], [0, 0.3, 0], atol=1e-6)
    assert converted.translation[1, 2] == pytest.approx(1.0, abs=1e-5)
    # The Basel origin lies .2 face units behind the built-in one, so a turn to the right moves it to the left.
    assert converted.translation[1, 0] == pytest.approx(0.1 - 0.2 * np.sin(0.3), abs=0.01)
    assert converted.translation[1, 1] == pytest.approx(0.2, abs=0.01)


def test_a_blink_closes_the_lids_that_the_landmarks_show(portrait: Any) -> None:
    from expnet.face.basel_map import basel_landmark_data
    from expnet.face.morphable import MorphableModel

    basel = basel_of(portrait)
    converted = BaselMotion(portrait.fit, basel, portrait.model).convert(
        portrait.driven(2), np.array([0.0, 1.0], np.float32)
    )
    marks = MorphableModel(basel_landmark_data(portrait.model.mean)).landmarks(
        torch.zeros(80), torch.from_numpy(converted.expression)
    )
    apart = marks[:, [37, 38, 43, 44], 1].mean(dim=1) - marks[:, [41, 40, 47, 46], 1].mean(dim=1)
    assert apart[1] < apart[0] - 0.01


def test_motions_of_another_face_model_are_refused(portrait: Any) -> None:
    motion = BaselMotion(portrait.fit, basel_of(portrait), portrait.model)
    with pytest.raises(InputError, match="a motion of the face model flame cannot drive"):
        motion.convert(portrait.fit.with_(face_model="flame"))
    direct = basel_of(portrait)
    assert motion.convert(direct) is direct


def test_the_square_around_a_face() -> None:
    marks = np.zeros((68, 2))
    marks[36:42], marks[42:48] = (100.0, 100.0), (160.0, 100.0)
    marks[48], marks[54] = (110.0, 170.0), (150.0, 170.0)
    # |e| = 60, |m| = 70: half the side is 1.8 x 70, and the centre lies 7 below the eyes.
    assert face_crop(marks) == FaceCrop(left=4, top=-19, side=252)
    with pytest.raises(InputError, match="the square around it has 76 pixels, expected at least 100"):
        face_crop(marks * 0.3)


def test_pasting_what_was_cut_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    crop = FaceCrop(-10, 20, 100)
    square = crop.cut(image, 100)
    np.testing.assert_array_equal(square[:, 0], square[:, 10])  # beyond the edge, the edge is repeated
    mask = crop.mask(image)
    assert mask.shape == (70, 90)
    assert mask[-1, 0] == 1.0, "along an edge of the image the square does not fade"
    edge = 0.5 / 8.0  # half a pixel of a rise over .08 x 100
    assert mask[0, 40] == pytest.approx(3 * edge**2 - 2 * edge**3)
    assert mask[30, -1] == pytest.approx(3 * edge**2 - 2 * edge**3)
    np.testing.assert_array_equal(crop.paste(square, image, mask), image)
    black = crop.paste(np.zeros_like(square), image, mask)
    assert black[60, 40].max() == 0
    np.testing.assert_array_equal(black[:20], image[:20])


def test_files_that_are_missing_or_wrong_are_named(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPNET_ASSETS", str(tmp_path))
    with pytest.raises(InputError, match="size 300: SadTalker's renderer draws squares of 256 or 512 pixels"):
        open_sadtalker_networks(300)
    with pytest.raises(MissingAssetError, match="run 'expnet assets fetch sadtalker-512'"):
        open_sadtalker_networks(512)
    (tmp_path / "SadTalker_V0.0.2_256.safetensors").write_bytes(b"another version")
    with pytest.raises(InputError, match=r"is not SadTalker_V0\.0\.2_256\.safetensors, or is damaged"):
        open_sadtalker_networks(256)


@pytest.mark.needs_weights
@pytest.mark.usefixtures("face_tracker")
def test_published_weights_reproduce_the_portrait() -> None:
    """With the published files, the first frame is the portrait, and a motion opens the mouth and not the background.

    ``expnet assets fetch sadtalker && pytest -m needs_weights tests/render/face_vid2vid``
    """
    from skimage.data import astronaut
    from skimage.metrics import structural_similarity

    from expnet.face.morphable import builtin_face_model
    from expnet.render.portrait import open_portrait

    model = builtin_face_model()
    try:
        networks = open_sadtalker_networks(256)
    except MissingAssetError as error:
        pytest.skip(str(error))
    portrait = open_portrait(np.ascontiguousarray(astronaut()[:300, 70:370]), model)
    renderer = SadTalkerRenderer(replace(portrait), model, networks)
    frame = next(renderer.render(portrait.fit))
    assert structural_similarity(frame, portrait.image, channel_axis=2) > 0.8
