"""Image metrics, each paired with the package that it agrees with."""

from __future__ import annotations

import runpy
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import lpips
import numpy as np
import torch
from scipy.linalg import sqrtm
from skimage.data import astronaut
from skimage.metrics import structural_similarity
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from expnet.metrics import Extractor, LearnedPerceptualDistance, Moments
from expnet.metrics.functional import cpbd, frechet_distance, image_scores, inception_input, ms_ssim, ssim
from expnet.metrics.functional.sharpness import luma
from expnet.models.inception import FidInception, load_inception
from expnet.models.perceptual import load_lpips

THREE_SCORES = "PSNR+SSIM+MS-SSIM"
"""The row that compares the scores of the video benchmark, computed in one pass, with SSIM alone."""
TESTS = Path(__file__).resolve().parents[2] / "tests" / "metrics"


class MetricPair(NamedTuple):
    """A comparison of one metric: the number of frames that each side scores, and the two computations."""

    name: str
    other: str
    frames: int
    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]


def comparisons(frames: Tensor, noisy: Tensor, features: int) -> Iterator[MetricPair]:
    """Yield every metric whose counterpart is installed."""
    count = len(frames)
    for backbone in ("alex", "squeeze", "vgg"):
        network = load_lpips(backbone)
        metric = LearnedPerceptualDistance(Extractor(network), backbone=backbone)
        package: lpips.LPIPS = network.distance
        some = slice(None) if backbone != "vgg" else slice(0, max(count // 10, 1))
        pairs = noisy[some].split(1), frames[some].split(1)
        yield MetricPair(
            f"LPIPS {backbone}",
            "lpips, frame by frame",
            len(pairs[0]),
            lambda metric=metric, some=some: metric.image_score(noisy[some], frames[some]),
            lambda package=package, pairs=pairs: torch.cat(
                [package(a / 127.5 - 1, b / 127.5 - 1).flatten() for a, b in zip(*pairs, strict=True)]
            ),
        )
    yield from similarities(frames, noisy)
    yield from inception_features(frames)
    few = frames[: max(count // 10, 1)]
    obvious = runpy.run_path(str(TESTS / "test_sharpness.py"))["obvious_cpbd"]
    yield MetricPair(
        "CPBD",
        "pixel by pixel",
        len(few),
        lambda: cpbd(few),
        lambda: torch.tensor([obvious(grey) for grey in luma(few).double().numpy()]),
    )
    yield frechet(features)


def similarities(frames: Tensor, noisy: Tensor) -> Iterator[MetricPair]:
    """SSIM and MS-SSIM, with their packages."""
    real, other = frames.double() / 255, noisy.double() / 255
    arrays = [image.permute(0, 2, 3, 1).numpy() for image in (real, other)]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    yield MetricPair(
        "SSIM",
        "scikit-image, same settings",
        len(frames),
        lambda: ssim(noisy, frames),
        lambda: torch.tensor(
            [structural_similarity(a, b, channel_axis=2, **settings) for a, b in zip(*arrays, strict=True)]
        ),
    )
    yield MetricPair(
        "SSIM",
        "torchmetrics (pads the border)",
        len(frames),
        lambda: ssim(noisy, frames),
        lambda: structural_similarity_index_measure(other, real, data_range=1.0, reduction="none"),
    )
    yield MetricPair(
        THREE_SCORES,
        "SSIM alone",
        len(frames),
        lambda: image_scores(noisy, frames)["ssim"],
        lambda: ssim(noisy, frames),
    )
    if find_spec("pytorch_msssim"):
        from pytorch_msssim import ms_ssim as package

        yield MetricPair(
            "MS-SSIM",
            "pytorch-msssim",
            len(frames),
            lambda: ms_ssim(noisy, frames),
            lambda: package(noisy.double(), frames.double(), size_average=False),
        )


def inception_features(frames: Tensor) -> Iterator[MetricPair]:
    """Features of FID, with the two tools that define them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inception.pth"
        torch.manual_seed(0)
        classifier = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
        torch.save({**FidInception().state_dict(), **classifier}, path)
        network = Extractor(load_inception(path))
        if find_spec("torch_fidelity"):
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

            fidelity = FeatureExtractorInceptionV3("fidelity", ["2048"], feature_extractor_weights_path=str(path))
            yield MetricPair(
                "FID features",
                "torch-fidelity",
                len(frames),
                lambda: network(inception_input(frames, "torch_fidelity")),
                lambda: fidelity(frames)[0],
            )
        if find_spec("pytorch_fid"):
            from pytorch_fid import inception

            inception.load_state_dict_from_url = lambda *_, **__: torch.load(path, weights_only=True)
            tool = inception.InceptionV3().eval()
            yield MetricPair(
                "FID features",
                "pytorch-fid",
                len(frames),
                lambda: network(inception_input(frames, "pytorch_fid")),
                lambda: tool(frames / 255)[0].flatten(1),
            )


def frechet(features: int) -> MetricPair:
    """The Frechet distance, with scipy's square root of a general matrix."""
    generator = torch.Generator().manual_seed(0)
    draw = [torch.rand(2 * features, features, generator=generator).double() ** power for power in (1, 2)]
    first, second = (Moments.of(values) for values in draw)

    def general() -> Tensor:
        shift = (first.mean - second.mean).square().sum().item()
        traces = (first.covariance.trace() + second.covariance.trace()).item()
        root = sqrtm((first.covariance @ second.covariance).numpy())
        return torch.tensor(shift + traces - 2 * float(np.trace(root).real))

    return MetricPair(
        f"distance, {features}", "scipy sqrtm (one call)", 100, lambda: frechet_distance(first, second), general
    )


def drifting_face(count: int, side: int) -> tuple[Tensor, Tensor]:
    """Frames (N, 3, side, side) uint8 of a face that drifts through the image, and a noisy copy."""
    crops = [astronaut()[shift : shift + 300, 60 + shift : 360 + shift] for shift in range(count)]
    frames = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float()
    frames = torch.nn.functional.interpolate(frames, (side, side), mode="bilinear", antialias=True)
    noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(0)) * 10
    frames, noisy = frames.contiguous(), (frames + noise).contiguous()  # as an image reader gives them
    return frames.round().byte(), noisy.clamp(0, 255).round().byte()
