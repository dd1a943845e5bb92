"""CSIM: alignment against Umeyama's solution and OpenCV's warp, cosines by hand, excluded frames."""

import pickle

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from skimage.transform import SimilarityTransform
from torch import nn

from expnet.metrics import Extractor, IdentitySimilarity
from expnet.metrics.functional import align_faces
from expnet.metrics.functional.face_alignment import ARCFACE_POINTS, five_points, similarity_transform


class Corners(nn.Module):
    """An embedding that can be computed by hand: the mean colour of two halves of the face."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return torch.cat([faces[..., :56].mean((-1, -2)), faces[..., 56:].mean((-1, -2))], -1)


def landmarks_at(points: np.ndarray) -> torch.Tensor:
    """Return 68 landmarks with the given five points (each eye as six equal points); the others are arbitrary."""
    landmarks = torch.full((68, 2), 17.0, dtype=torch.float64)
    for place, point in zip((slice(36, 42), slice(42, 48), 30, 48, 54), torch.from_numpy(points), strict=True):
        landmarks[place] = point
    return landmarks


FACE = np.array([[205.0, 105], [247, 110], [232, 135], [208, 154], [240, 157]])  # of skimage's astronaut


def test_five_points() -> None:
    landmarks = landmarks_at(FACE)
    landmarks[36, 0] += 6  # one of the six points of an eye
    np.testing.assert_allclose(five_points(landmarks), FACE + np.eye(5, 2) * [1, 0])


@pytest.mark.filterwarnings("ignore:.*estimate.*")
def test_transform_equals_umeyama() -> None:
    generator = np.random.default_rng(0)
    source, target = generator.normal(0, 50, (4, 5, 2)), generator.normal(0, 50, (4, 5, 2))
    ours = similarity_transform(torch.from_numpy(source), torch.from_numpy(target)).numpy()
    for first, second, got in zip(source, target, ours, strict=True):
        expected = SimilarityTransform()
        expected.estimate(first, second)
        if np.linalg.det(expected.params[:2, :2]) > 0:
            np.testing.assert_allclose(got, expected.params[:2], atol=1e-9)
    turned = source[0] @ np.array([[0.0, 2], [-2, 0]]) + [3, 4]  # by a quarter turn, twice as large
    exact = similarity_transform(torch.from_numpy(source[0]), torch.from_numpy(turned))
    np.testing.assert_allclose(exact, [[0, -2, 3], [2, 0, 4]], atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*estimate.*")
def test_faces_equal_opencv_warps() -> None:
    picture = data.astronaut()
    transform = SimilarityTransform()
    transform.estimate(FACE, np.array(ARCFACE_POINTS))
    expected = cv2.warpAffine(picture, transform.params[:2], (112, 112), borderValue=0)
    frame = torch.from_numpy(picture).permute(2, 0, 1)
    ours = align_faces(frame[None], landmarks_at(FACE)[None])[0].permute(1, 2, 0).numpy()
    difference = np.abs(ours - expected)
    assert difference.mean() < 0.6  # grey levels: OpenCV places pixels to 1/32 and rounds
    assert difference.max() < 12
    beyond = align_faces(frame[None], landmarks_at(FACE - [250, 0])[None])
    assert (beyond[..., 0] == 0).all()  # black left of the frame


def clips(count: int = 2, frames: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, count, frames, 3, 40, 48), generator=generator, dtype=torch.uint8)
    return images[0], images[1]


def test_resized_cosines_by_hand() -> None:
    """A grey level of 0 is -1 and of 255 is +1 in each of three colours of both halves."""
    black, white = (
        torch.zeros(1, 1, 3, 20, 20, dtype=torch.uint8),
        torch.full((1, 1, 3, 20, 20), 255, dtype=torch.uint8),
    )
    half = white.clone()
    half[..., 10:] = 0
    metric = IdentitySimilarity(Corners(), alignment="resized")
    for other, cosine in ((white, 1.0), (black, -1.0), (half, 0.0)):
        metric.reset()
        metric.update(white, other)
        assert metric.compute().item() == pytest.approx(cosine, abs=0.02)  # the resize smears the middle columns
    metric.reset()
    metric.update(torch.cat([white, half], 1), white)  # compared with one portrait
    assert metric.compute().item() == pytest.approx(0.5, abs=0.02)
    floats = IdentitySimilarity(Corners(), alignment="resized")
    floats.update(torch.cat([white, half], 1) / 255, white / 255)
    assert floats.compute().item() == pytest.approx(metric.compute().item(), abs=1e-6)


def test_identity_and_frames_without_a_face() -> None:
    frames, target = clips()
    landmarks = landmarks_at(FACE / 6).expand(2, 3, 68, 2).clone()
    metric = IdentitySimilarity(Corners())
    metric.update(frames, frames, landmarks, landmarks)
    assert metric.compute().item() == pytest.approx(1.0)
    metric.reset()
    broken = landmarks.clone()
    broken[0, 1, 30] = torch.nan
    valid = torch.tensor([[True, True, False], [False, False, False]])
    metric.update(frames, target, broken, landmarks, valid)
    only = IdentitySimilarity(Corners())
    only.update(frames[:1, :1], target[:1, :1], landmarks[:1, :1], landmarks[:1, :1])
    assert metric.compute().item() == pytest.approx(only.compute().item(), abs=1e-9)
    assert (int(metric.clips), int(metric.unscored)) == (1, 1)
    metric.update(frames[:0], target[:0], landmarks[:0], landmarks[:0])
    assert (int(metric.clips), int(metric.unscored)) == (1, 1)


def test_moving_the_face_with_its_landmarks_changes_little() -> None:
    picture = torch.from_numpy(data.astronaut()[:256, 100:400]).permute(2, 0, 1)[None, None]
    points = landmarks_at(FACE - [100, 0]).expand(1, 1, 68, 2)
    moved = picture.roll((20, -30), (-2, -1))
    aligned, resized = IdentitySimilarity(Corners()), IdentitySimilarity(Corners(), alignment="resized")
    aligned.update(picture, moved, points, points + torch.tensor([-30.0, 20.0]))
    resized.update(picture, moved)
    assert aligned.compute() > 0.9999
    assert resized.compute() < aligned.compute()


def test_refusals_and_protocol() -> None:
    frames, target = clips()
    metric = IdentitySimilarity(Extractor(Corners(), name="halves", checksum="abc"))
    with pytest.raises(ValueError, match="needs landmarks"):
        metric.update(frames, target)
    with pytest.raises(ValueError, match="target_frames"):
        metric.update(frames, target[:, :2])
    with pytest.raises(ValueError, match="68"):
        metric.update(frames, target, torch.rand(2, 3, 5, 2), torch.rand(2, 3, 5, 2))
    with pytest.raises(ValueError, match="alignment"):
        IdentitySimilarity(Corners(), alignment="loose")
    expected = {"metric": "IdentitySimilarity", "alignment": "arcface", "extractor": "halves", "checksum": "abc"}
    assert metric.protocol == expected


def test_a_bfloat16_parent_reset_and_pickle() -> None:
    metric = IdentitySimilarity(Corners(), alignment="resized")
    metric.update(*clips())
    expected = metric.compute().item()
    parent = nn.Module()
    parent.metric = metric
    parent.to(torch.bfloat16)
    metric.reset()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        metric.update(*clips())
    assert metric.compute().item() == metric.compute().item() == expected
    assert pickle.loads(pickle.dumps(metric)).compute().item() == expected
