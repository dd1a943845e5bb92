from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from expnet.metrics import MultiScaleStructuralSimilarity, PeakSignalToNoiseRatio, StructuralSimilarity
from expnet.metrics.functional import check_image_size, image, image_scores, ms_ssim, psnr, ssim


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Return a real image (96, 128, 3) uint8 and a noisy, darker copy."""
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
    assert abs(metric.compute().item() - pooled) > 3  # the library's default gives another number

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


@pytest.mark.parametrize("size", [(161, 176), (192, 256)])
def test_ms_ssim_equals_pytorch_msssim(size: tuple[int, int]) -> None:
    package = pytest.importorskip("pytorch_msssim")
    real = to_tensor(data.astronaut()[: size[0], : size[1]])
    noisy = (real.double() * 0.9 + torch.randn(real.shape, generator=torch.manual_seed(0)) * 12).clamp(0, 255).byte()
    pair = noisy[None].double(), real[None].double()
    weights = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    window = (weights / weights.sum()).expand(3, 1, 1, 11)
    expected = package.ms_ssim(*pair, data_range=255.0, win=window)
    assert ms_ssim(noisy, real).item() == pytest.approx(expected.item(), abs=1e-12)
    # The reference keeps its window in float32, where the sum is not exactly 1.
    assert ms_ssim(noisy, real).item() == pytest.approx(package.ms_ssim(*pair, data_range=255.0).item(), abs=1e-5)


def test_ms_ssim_is_the_product_of_the_scales_computed_one_by_one() -> None:
    picture = data.astronaut()[:176, :192] / 255.0
    other = np.clip(picture * 0.8 + np.random.default_rng(1).normal(0, 0.1, picture.shape), 0, 1)
    exponents, product = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), np.ones(3)
    x, y = (image.transpose(2, 0, 1) for image in (picture, other))
    for scale, exponent in enumerate(exponents):
        smooth = partial(gaussian_filter, sigma=1.5, truncate=3.5, axes=(1, 2))  # 11 pixels wide
        mean_x, mean_y = smooth(x), smooth(y)
        variance = smooth(x * x) + smooth(y * y) - mean_x**2 - mean_y**2
        contrast = (2 * (smooth(x * y) - mean_x * mean_y) + 0.03**2) / (variance + 0.03**2)
        luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        term = contrast * luminance if scale == 4 else contrast
        product *= term[:, 5:-5, 5:-5].mean((1, 2)) ** exponent
        x, y = (
            image[:, : image.shape[1] // 2 * 2].reshape(3, -1, 2, image.shape[2] // 2, 2).mean((2, 4))
            for image in (x, y)
        )
    score = ms_ssim(*(torch.from_numpy(np.ascontiguousarray(i.transpose(2, 0, 1))) for i in (other, picture)))
    assert score.item() == pytest.approx(product.mean(), abs=1e-12)


@pytest.mark.parametrize("variant", ["gaussian", "uniform"])
def test_one_pass_gives_the_scores_of_each(variant: str) -> None:
    frames, targets = torch.randint(0, 256, (2, 2, 3, 162, 171), generator=torch.manual_seed(0), dtype=torch.uint8)
    together = image_scores(frames, targets, variant=variant, ceiling=5.0)
    assert torch.equal(together["psnr"], psnr(frames, targets, ceiling=5.0))
    assert torch.equal(together["ssim"], ssim(frames, targets, variant=variant))
    assert torch.equal(together["ms_ssim"], ms_ssim(frames, targets))
    assert list(image_scores(frames[0], targets[0], names=("ms_ssim",))) == ["ms_ssim"]
    with pytest.raises(ValueError, match="MS-SSIM needs images of at least 161 pixels, got"):
        image_scores(frames[..., :160], targets[..., :160])
    check_image_size("ssim", 7, 200, variant="uniform")
    with pytest.raises(ValueError, match="SSIM gaussian needs images of at least 11"):
        check_image_size("ssim", 7, 200)


def test_the_finest_scale_is_filtered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """MS-SSIM repeated the first scale of SSIM, and the three scores took 2.5 times as long as SSIM alone."""
    filtered: list[int] = []
    slide = image._slide
    monkeypatch.setattr(
        image, "_slide", lambda planes, *rest: [filtered.append(planes.numel())] and slide(planes, *rest)
    )
    pictures = torch.rand(3, 192, 256, generator=torch.manual_seed(0))
    ssim(pictures, 1 - pictures)
    alone = sum(filtered)
    filtered.clear()
    image_scores(pictures, 1 - pictures)
    assert alone < sum(filtered) < 1.34 * alone  # 1 + 1/4 + 1/16 + 1/64 + 1/256


def test_ms_ssim_identity_size_and_clips() -> None:
    image = torch.rand(2, 3, 3, 161, 170, generator=torch.manual_seed(0))
    metric = MultiScaleStructuralSimilarity()
    metric.update(image, image)
    assert metric.compute().item() == pytest.approx(1.0)
    metric.update(image[:0], image[:0])
    assert int(metric.clips) == 2
    with pytest.raises(ValueError, match="at least 161"):
        ms_ssim(image[..., :160, :], image[..., :160, :])
    assert ms_ssim(image, 1 - image).max() < 0.5
