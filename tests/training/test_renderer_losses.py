"""Losses of the renderer's training, by their formulas."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from expnet.models.image_features import ImageFeatures
from expnet.models.patch_discriminator import Judgement, PatchDiscriminator
from expnet.training.losses import (
    discriminator_loss,
    equivariance_loss,
    feature_matching_loss,
    generator_loss,
    keypoint_prior,
    perceptual_loss,
)


def judged(*scores: float, feature: float = 0.0) -> list[Judgement]:
    """One scale whose patches have these scores."""
    return [Judgement(torch.tensor(scores).view(1, 1, 1, -1), [torch.full((1, 2, 2, 2), feature)])]


def test_hinge_and_least_squares_follow_their_formulas() -> None:
    real, fake = judged(2.0, 0.5), judged(-3.0, 0.0)
    assert float(generator_loss(fake, "hinge")) == pytest.approx(1.5)
    assert float(generator_loss(fake, "least_squares")) == pytest.approx((16 + 1) / 2)
    assert float(discriminator_loss(real, fake, "hinge")) == pytest.approx((0 + 0.5) / 2 + (0 + 1) / 2)
    assert float(discriminator_loss(real, fake, "least_squares")) == pytest.approx((1 + 0.25) / 2 + (9 + 0) / 2)
    twice = [*fake, *fake]
    assert float(generator_loss(twice, "hinge")) == pytest.approx(3.0), "summed over scales"


def test_features_are_matched_without_moving_those_of_the_real_image() -> None:
    real, fake = judged(0.0, feature=1.0), judged(0.0, feature=-0.5)
    for part in (*real[0].features, *fake[0].features):
        part.requires_grad_(True)
    loss = feature_matching_loss(real, fake)
    assert float(loss) == pytest.approx(1.5)
    loss.backward()
    assert real[0].features[0].grad is None
    assert fake[0].features[0].grad is not None


def test_keypoints_are_pushed_apart_and_to_their_depth() -> None:
    apart = torch.tensor([[[0.0, 0.0, 0.33], [1.0, 0.0, 0.33]]])
    assert float(keypoint_prior(apart)) == pytest.approx(0.0, abs=1e-6)
    near = torch.tensor([[[0.0, 0.0, 0.0], [0.2, 0.0, 0.0]]])
    assert float(keypoint_prior(near)) == pytest.approx(2 * (0.1 - 0.04) + 0.33)


def test_keypoints_that_follow_a_change_cost_nothing() -> None:
    points = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    change = torch.tensor([[[0.0, -1.2, 0.1], [1.2, 0.0, -0.3]]]).expand(2, -1, -1)
    x, y, z = points.unbind(-1)
    followed = torch.stack([-1.2 * y + 0.1, 1.2 * x - 0.3, z + 7], dim=-1)
    assert float(equivariance_loss(points, followed, change)) == pytest.approx(0.0, abs=1e-6)
    assert float(equivariance_loss(points, followed + 0.5, change)) == pytest.approx(0.5)


def test_the_perceptual_loss_sums_features_and_scales() -> None:
    first, second = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)

    def features(images: torch.Tensor) -> list[torch.Tensor]:
        return [images, 2 * images]

    assert float(perceptual_loss(features, first, second, scales=3)) == pytest.approx(9.0)


def test_random_features_are_those_of_their_seed_and_see_differences() -> None:
    network, again = ImageFeatures(stages=3), ImageFeatures(stages=3)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ours, theirs = network(image), again(image)
    assert [part.shape[1:] for part in ours] == [(64, 32, 32), (128, 16, 16), (256, 8, 8)]
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert float(perceptual_loss(network, image.roll(3, 3), image)) > 0


def test_a_discriminator_judges_patches_at_each_scale() -> None:
    full, half = PatchDiscriminator(width=4, layers=2, scales=2)(torch.rand(2, 3, 32, 32))
    assert full.scores.shape == (2, 1, 8, 8)
    assert half.scores.shape == (2, 1, 4, 4)
    assert [part.shape[1] for part in full.features] == [4, 8]


def test_features_with_weights_are_torchvisions(tmp_path: Path) -> None:
    from torchvision.models import vgg

    torch.manual_seed(3)
    layers = vgg.make_layers(vgg.cfgs["D"])
    path = tmp_path / "vgg16-397923af.pth"
    torch.save({f"features.{name}": value for name, value in layers.state_dict().items()}, path)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = ImageFeatures(path)(image)
    x = (image - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    wanted = []
    for number, layer in enumerate(layers):
        x = layer(x)
        if number in (3, 8, 15, 22, 29):
            wanted.append(x.clone())
    assert len(found) == 5
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)
