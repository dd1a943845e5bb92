import math

import pytest
import torch

from expnet.metrics import LandmarkDistance
from expnet.metrics.functional import interocular_distance, landmark_distance
from expnet.metrics.functional.landmarks import NORMALISATIONS


def random_landmarks(*shape: int, seed: int = 0, dimensions: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, 68, dimensions, generator=generator, dtype=torch.float64) * 256


def test_hand_computed_face_and_mouth() -> None:
    target = random_landmarks(1, 2)
    predicted = target.clone()
    predicted[0, 0, 50] += torch.tensor([3.0, 4.0])  # one lip point off by 5 px in one of two frames
    options = {"normalisation": "pixels_256"}
    assert landmark_distance(predicted, target, **options).item() == pytest.approx(5 / 68 / 2)
    assert landmark_distance(predicted, target, region="mouth", **options).item() == pytest.approx(5 / 20 / 2)
    predicted[0, 0, 0] += 100.0  # the chin line is not the mouth
    assert landmark_distance(predicted, target, region="mouth", **options).item() == pytest.approx(5 / 20 / 2)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("region", ["face", "mouth"])
def test_identity_is_zero_and_three_dimensions_are_projected(normalisation: str, region: str) -> None:
    points = random_landmarks(3, 5, dimensions=3)
    moved = points.clone()
    moved[..., 2] += 7.0
    distance = landmark_distance(moved, points, region=region, normalisation=normalisation)
    assert distance.shape == (3,)
    assert torch.equal(distance, torch.zeros(3, dtype=torch.float64))


def test_what_each_normalisation_does_not_see() -> None:
    points = random_landmarks(2, 4)
    shifted, grown = points + 10.0, points * 2.0
    centred = landmark_distance(shifted, points, normalisation="centred")
    assert torch.allclose(centred, torch.zeros(2, dtype=torch.float64), atol=1e-9)
    assert landmark_distance(shifted, points, normalisation="pixels_256")[0].item() == pytest.approx(10 * math.sqrt(2))
    scaled = landmark_distance(grown + 5.0, points, normalisation="centred_scaled")
    assert torch.allclose(scaled, torch.zeros(2, dtype=torch.float64), atol=1e-9)
    assert (landmark_distance(grown, points, normalisation="centred") > 1).all()
    # The measured point set itself is centred, so M-LMD does not see a shifted mouth.
    mouth = points.clone()
    mouth[..., 48:68, :] += 9.0
    assert landmark_distance(mouth, points, region="mouth", normalisation="centred").max() < 1e-9
    assert landmark_distance(mouth, points, region="face", normalisation="centred").min() > 1


def test_interocular_unit_and_crop_size() -> None:
    points = random_landmarks(1, 1)
    expected = 10 * math.sqrt(2) / interocular_distance(points)[0, 0].item()
    assert landmark_distance(points + 10, points, normalisation="interocular").item() == pytest.approx(expected)
    doubled = landmark_distance(points * 2 + 20, points * 2, normalisation="pixels_256", crop_size=512)
    assert doubled.item() == pytest.approx(10 * math.sqrt(2))


def test_against_a_loop_with_a_mask() -> None:
    predicted, target = random_landmarks(1, 6, seed=1), random_landmarks(1, 6, seed=2)
    valid = torch.tensor([[True, False, True, True, False, True]])
    total, frames = 0.0, 0
    for t in range(6):
        if not valid[0, t]:
            continue
        first = predicted[0, t, 48:] - predicted[0, t, 48:].mean(0)
        second = target[0, t, 48:] - target[0, t, 48:].mean(0)
        total += sum(math.dist(first[k], second[k]) for k in range(20)) / 20
        frames += 1
    predicted[0, 1] = torch.nan  # values of an invalid frame must not matter
    value = landmark_distance(predicted, target, valid=valid, region="mouth")
    assert value.item() == pytest.approx(total / frames)


def test_no_valid_frame_is_unscored_not_zero() -> None:
    metric = LandmarkDistance(normalisation="pixels_256")
    points = random_landmarks(2, 3)
    metric.update(points + 1.0, points, valid=torch.tensor([[True, True, True], [False, False, False]]))
    assert metric.compute().item() == pytest.approx(math.sqrt(2))
    assert (int(metric.clips), int(metric.unscored)) == (1, 1)


def test_errors_name_what_was_received() -> None:
    points = random_landmarks(1, 2)
    with pytest.raises(ValueError, match=r"normalisation must be one of .*got 'none'"):
        LandmarkDistance(normalisation="none")
    with pytest.raises(ValueError, match="region"):
        LandmarkDistance(region="nose")
    with pytest.raises(ValueError, match="68"):
        landmark_distance(points[..., :67, :], points[..., :67, :])
    with pytest.raises(ValueError, match="shape"):
        landmark_distance(points, points[:, :1])


def test_attributes() -> None:
    metric = LandmarkDistance(region="mouth", normalisation="interocular")
    assert metric.name == "landmark_distance_mouth"
    assert metric.higher_is_better is False
    assert metric.unit == "eye distances"
    assert metric.protocol["normalisation"] == "interocular"
