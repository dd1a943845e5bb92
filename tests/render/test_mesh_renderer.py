"""Guarantees of the mesh renderer: exact at rest, reproducible, still background, closing lips, closing lids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from expnet.errors import InputError
from expnet.face.camera import project_depth
from expnet.face.landmarks import INNER_LIP_LOOP
from expnet.render.lids import LOWER_LIDS, UPPER_LIDS
from expnet.render.lips import LOWER_ROWS, UPPER_ROWS
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait_motion import PortraitMotion, limit_slope, poses
from expnet.render.warp_mesh import build_warp_mesh


def renderer(portrait: Any) -> MeshRenderer:
    return MeshRenderer(portrait.image, portrait.fit, portrait.points, portrait.model)


def box(points: np.ndarray, indices: tuple[int, ...]) -> tuple[slice, slice]:
    low, high = points[list(indices), :2].min(0).astype(int), points[list(indices), :2].max(0).astype(int) + 1
    return slice(low[1], high[1]), slice(low[0], high[0])


def test_at_rest_the_frame_is_the_portrait(portrait: Any) -> None:
    frame = next(renderer(portrait).render(portrait.driven()))
    assert np.array_equal(frame, portrait.image)


@pytest.mark.parametrize("rotation", [(0.2, -0.3, 0.1), (-0.15, 0.45, -0.3)])
def test_a_turned_portrait_is_exact_at_rest_too(make_portrait: Any, rotation: tuple[float, ...]) -> None:
    turned = make_portrait(rotation=rotation)
    frame = next(renderer(turned).render(turned.driven()))
    error = np.abs(frame.astype(int) - turned.image).max()
    assert error <= 1


def test_equal_coefficients_give_equal_bits(portrait: Any) -> None:
    change = portrait.expression_for(13, 14, 0.15)
    coefficients = portrait.driven(
        3, expression=[change, 0 * change, change], rotation=[[0, 0.1, 0], [0, 0, 0], [0, 0.1, 0]]
    )
    blink = np.array([0.6, 1.0, 0.6])
    first, still, again = renderer(portrait).render(coefficients, blink=blink)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, still)
    assert np.array_equal(first, next(renderer(portrait).render(coefficients, blink=blink)))


def test_far_background_never_moves(portrait: Any) -> None:
    angles = [[0.25, 0, 0], [-0.25, 0, 0], [0, 0.3, 0], [0, -0.3, 0], [0, 0, 0.2]]
    for frame in renderer(portrait).render(portrait.driven(5, rotation=angles)):
        assert np.array_equal(frame[400:], portrait.image[400:])
        assert np.array_equal(frame[:, 420:], portrait.image[:, 420:])
        assert not np.array_equal(frame[80:180, 170:270], portrait.image[80:180, 170:270])


def test_points_go_where_the_camera_says(portrait: Any) -> None:
    motion = PortraitMotion(portrait.points, portrait.fit, portrait.model)
    coefficients = portrait.driven(rotation=[[0.1, 0.2, -0.1]], translation=[[0.1, -0.2, 0.5]])
    camera = poses(coefficients.rotation, coefficients.translation, motion.crop)[0]
    wanted = project_depth(
        torch.from_numpy(motion.vertices)[None],
        torch.from_numpy(coefficients.rotation.astype(np.float64)),
        torch.from_numpy(coefficients.translation.astype(np.float64)),
        torch.from_numpy(portrait.fit.crop),
    )[0].numpy()
    assert np.abs(camera.project(motion.vertices) - wanted).max() < 1e-3
    # Except for the flattened sides of the face, these are the model's own vertices.
    front = [1, 4, 6, 9, 13, 14, 50, 280, 61, 291, 152, 10]
    assert np.abs(motion.vertices - portrait.model.mean.numpy())[front].max() < 1e-3


def test_sides_of_the_face_are_flattened_to_the_slope() -> None:
    random = np.random.default_rng(0)
    positions, depth = random.uniform(-1, 1, (60, 2)), random.uniform(-1, 1, 60)
    limited = limit_slope(positions, depth, 1.5)
    for a in range(60):
        for b in range(60):
            distance = float(np.linalg.norm(positions[a] - positions[b]))
            assert limited[a] - limited[b] <= 1.5 * distance + 1e-9
    assert (limited >= depth).all()
    assert limited[depth.argmax()] == depth.max()


def test_the_mesh_has_no_hole(portrait: Any) -> None:
    """Every edge inside the mesh belongs to two triangles; only those of the outermost ring belong to one."""
    motion = PortraitMotion(portrait.points, portrait.fit, portrait.model)
    mesh = build_warp_mesh(motion, portrait.points, portrait.model.triangles.numpy(), portrait.image.shape[:2])
    # eyeballs lie on the lids' own positions: count them as one sheet
    merge = np.arange(len(mesh.sources))
    merge[500:532] = mesh.lash_parent
    edges = np.sort(merge[mesh.triangles][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    assert counts.max() == 2
    single = unique[counts == 1]
    assert single.min() >= len(mesh.sources) - 36


def test_lips_that_the_model_closes_meet(portrait: Any) -> None:
    """The mouth closes even if it is tracked further open than the model's fit of it."""
    points = portrait.points.copy()
    points[list(LOWER_ROWS[0][1:-1]), 1] += 4.0
    motion = PortraitMotion(points, portrait.fit, portrait.model)
    basis = portrait.model.expression_basis.numpy().astype(np.float64)
    mean = portrait.model.mean.numpy().astype(np.float64)
    upper, lower = list(UPPER_ROWS[0][1:-1]), list(LOWER_ROWS[0][1:-1])
    response = basis[upper, 1] - basis[lower, 1]
    gap = mean[upper, 1] - mean[lower, 1]
    closing = np.linalg.lstsq(response, -gap, rcond=None)[0]
    moved, _ = motion.displacements(np.stack([closing, 0.5 * closing, 0 * closing]))
    vertices = motion.vertices + moved
    gaps = vertices[:, upper, 1] - vertices[:, lower, 1]
    assert np.abs(gaps[0]).max() < 1e-6
    assert (gaps[1] > 0).all()
    assert (gaps[1] < gaps[2]).all()
    assert np.array_equal(moved[2], np.zeros_like(moved[2]))


def test_an_open_mouth_shows_the_cavity(portrait: Any) -> None:
    opened = portrait.driven(expression=[portrait.expression_for(13, 14, 0.2)])
    frame = next(renderer(portrait).render(opened)).astype(float)
    area = box(portrait.points, INNER_LIP_LOOP)
    inside = frame[area[0].start + 4 : area[0].stop + 10, area[1].start + 8 : area[1].stop - 8]
    assert inside.min(axis=(0, 1)).mean() < 70  # the cavity
    assert np.abs(frame - portrait.image)[area].mean() > 10


@pytest.mark.parametrize("side", [0, 1])
def test_a_blink_covers_the_eyeball_and_spares_the_rest(portrait: Any, side: int) -> None:
    closed = next(renderer(portrait).render(portrait.driven(), blink=np.array([1.0]))).astype(float)
    eye = box(portrait.points, UPPER_LIDS[side] + LOWER_LIDS[side])
    changed = np.abs(closed - portrait.image).max(axis=-1)
    assert changed[eye].mean() > 8
    nose = box(portrait.points, (1, 4, 5, 195, 98, 327))
    assert changed[nose].max() == 0
    # skin has less contrast than an iris in a white eyeball
    assert closed[eye].std() < portrait.image[eye].astype(float).std()


def test_an_expression_that_narrows_the_eyes_closes_them_too(portrait: Any) -> None:
    motion = PortraitMotion(portrait.points, portrait.fit, portrait.model)
    mean = portrait.model.mean.numpy()
    shut = portrait.expression_for(159, 145, -0.8 * float(mean[159, 1] - mean[145, 1]))
    moved, closure = motion.displacements(np.stack([0 * shut, shut]))
    assert closure[0].max() == 0.0
    assert closure[1].min() > 0.5
    upper, lower = list(UPPER_LIDS[0]), list(LOWER_LIDS[0])
    opening = moved[1, upper, 1] - moved[1, lower, 1]
    assert opening.min() > -1e-9


@pytest.mark.parametrize("crop", [np.s_[20:220, 110:310], np.s_[50:200, 130:290]])
def test_a_face_that_fills_the_image(portrait: Any, crop: tuple[slice, slice]) -> None:
    image = np.ascontiguousarray(portrait.image[crop])
    start = np.array([crop[1].start, crop[0].start])
    points = portrait.points - np.array([*start, 0], np.float32)
    tight = replace(portrait, image=image, points=points, fit=portrait.fit.with_(crop=portrait.fit.crop - [*start, 0]))
    angles = [[0, 0, 0], [0.3, 0, 0], [-0.3, 0.3, 0], [0, -0.35, 0.3]]
    frames = list(renderer(tight).render(tight.driven(4, rotation=angles)))
    assert np.array_equal(frames[0], image)
    assert all(frame.shape == image.shape and frame.dtype == np.uint8 for frame in frames)


def test_a_missing_identity_or_crop_is_named(portrait: Any) -> None:
    with pytest.raises(InputError, match="identity or crop"):
        MeshRenderer(portrait.image, portrait.fit.with_(crop=None), portrait.points, portrait.model)


def test_a_border_with_room_never_moves(make_portrait: Any) -> None:
    """Cut below the chin and beside the ears: neck and background come to rest at the border."""
    whole = make_portrait(side=0.28, centre=(210.0, 130.0))
    start = np.array([120, 0, 0], np.float32)
    image = np.ascontiguousarray(whole.image[:225, 120:300])
    cut = replace(whole, image=image, points=whole.points - start, fit=whole.fit.with_(crop=whole.fit.crop - start))
    motion = PortraitMotion(cut.points, cut.fit, cut.model)
    mesh = build_warp_mesh(motion, cut.points, cut.model.triangles.numpy(), image.shape[:2])
    rings = mesh.sources[-len(mesh.ring_head) :]
    outside = (rings < 0.5).any(1) | (rings > np.array(image.shape[1::-1]) - 1.5).any(1)
    assert outside.any()
    assert mesh.ring_head[outside].max() < 1e-3
    for frame in renderer(cut).render(cut.driven(2, rotation=[[0.2, 0.25, 0.1], [-0.2, -0.2, 0]])):
        for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
            assert np.array_equal(frame[edge], image[edge])
