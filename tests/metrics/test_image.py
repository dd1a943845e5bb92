import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from expnet.metrics import PeakSignalToNoiseRatio, StructuralSimilarity
from expnet.metrics.functional import psnr, ssim


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A real picture (96, 128, 3) uint8 and a noisy, darker copy."""
    picture = data.astronaut()[:192:2, 80:336:2]
    noise = np.random.default_rng(0).normal(0, 12, picture.shape)
    return picture, np.clip(picture * 0.9 + noise, 0, 255).astype(np.uint8)


def to_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


def test_psnr_equals_skimage(pair: tuple[np.ndarray, np.ndarray]) -> None:
    real, noisy = pair
    expected = peak_signal_noise_ratio(real, noisy, data_range=255)
    assert psnr(to_tensor(noisy), to_tensor(real)).item() == pytest.approx(expected, abs=1e-9)
    floats = psnr(to_tensor(noisy).double() / 255, to_tensor(real).double() / 255)
    assert floats.item() == pytest.approx(expected, abs=1e-9)


def test_uint8_does_not_wrap() -> None:
    dark, bright = torch.zeros(3, 16, 16, dtype=torch.uint8), torch.full((3, 16, 16), 255, dtype=torch.uint8)
    assert psnr(dark, bright).item() == 0.0


@pytest.mark.parametrize(
    ("variant", "options"),
    [("gaussian", {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}), ("uniform", {})],
)
def test_ssim_equals_skimage(pair: tuple[np.ndarray, np.ndarray], variant: str, options: dict[str, object]) -> None:
    real, noisy = pair
    expected = structural_similarity(real / 255.0, noisy / 255.0, data_range=1.0, channel_axis=2, **options)
    assert ssim(to_tensor(noisy), to_tensor(real), variant=variant).item() == pytest.approx(expected, abs=1e-9)


def test_variants_differ_and_identity_is_the_best(pair: tuple[np.ndarray, np.ndarray]) -> None:
    real, noisy = (to_tensor(image) for image in pair)
    assert abs(float(ssim(noisy, real) - ssim(noisy, real, variant="uniform"))) > 1e-3
    assert ssim(real, real).item() == pytest.approx(1.0)
    assert psnr(real, real).item() == 100.0


def test_mean_over_frames_then_clips_not_pooled_error(pair: tuple[np.ndarray, np.ndarray]) -> None:
    real, noisy = (to_tensor(image) for image in pair)
    slightly = (real.double() * 0.99).round().to(torch.uint8)
    frames, targets = torch.stack([noisy, slightly]), torch.stack([real, real])
    metric = PeakSignalToNoiseRatio()
    metric.update(frames, targets)
    scores = psnr(frames, targets)
    assert metric.compute().item() == pytest.approx(scores.mean().item())
    pooled = -10 * torch.log10(((frames.double() - targets.double()) / 255).square().mean()).item()
    assert abs(metric.compute().item() - pooled) > 3  # the library default would say something else

    clips = StructuralSimilarity()
    valid = torch.tensor([[True, False], [True, True]])
    clips.update(torch.stack([frames, frames]), torch.stack([targets, targets]), valid=valid)
    first, second = ssim(frames, targets)
    assert clips.compute().item() == pytest.approx(float((first + (first + second) / 2) / 2))
    assert int(clips.clips) == 2


def test_range_and_size_errors() -> None:
    image = torch.rand(3, 16, 16)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        psnr(image * 255, image)
    with pytest.raises(ValueError, match="uint8"):
        psnr(image.long(), image.long())
    with pytest.raises(ValueError, match="at least 11"):
        ssim(image[:, :8, :8], image[:, :8, :8])
    with pytest.raises(ValueError, match="variant"):
        StructuralSimilarity(variant="piq")
