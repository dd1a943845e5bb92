"""Perceptual image distances, LPIPS and DISTS, on torchvision backbones read from a file.

The small calibrated heads come with the ``lpips`` and ``torchmetrics`` packages. The backbones are torchvision's
ImageNet networks, which are read from a given file and never downloaded.
"""

import warnings
from pathlib import Path

import lpips
import torch
from torch import Tensor, nn
from torchmetrics.functional.image import dists
from torchvision.models import vgg16

from expnet.errors import InputError
from expnet.models.published_weights import read_weights

BACKBONES = ("alex", "vgg", "squeeze")


class PerceptualNetwork(nn.Module):
    """LPIPS 0.1 (Zhang et al. 2018, https://github.com/richzhang/PerceptualSimilarity), calibrated heads included.

    Args:
        backbone: ``alex`` (the choice of most papers), ``vgg`` or ``squeeze``; random until `load_lpips` loads weights.
    """

    def __init__(self, backbone: str = "alex") -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, got {backbone!r}")
        self.name = f"lpips_{backbone}, random weights"
        with warnings.catch_warnings():
            # The package uses an argument of torchvision that has been renamed.
            warnings.simplefilter("ignore", UserWarning)
            self.distance = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the distance (N,) between images (N, 3, H, W) in [-1, 1]."""
        return self.distance(first, second).flatten()


class StructureTextureNetwork(dists.DISTSNetwork):
    """DISTS (Ding et al. 2020, https://github.com/dingkeyan93/DISTS) from torchmetrics, without its download.

    The backbone is random until `load_dists` loads weights. ``forward`` takes two batches (N, 3, H, W) in [0, 1].
    """

    def __init__(self) -> None:
        nn.Module.__init__(self)  # the parent's constructor downloads
        self.name = "dists, random weights"
        layers = vgg16(weights=None).features
        self.chns = [3, 64, 128, 256, 512, 512]
        # Each stage but the first begins with L2 pooling in place of VGG's max pooling, which aliases.
        for stage, (first, last) in enumerate(((0, 4), (5, 9), (10, 16), (17, 23), (24, 30)), 1):
            chain = nn.Sequential()
            if first:
                chain.add_module(str(first - 1), dists.L2pooling(channels=self.chns[stage - 1]))
            for index in range(first, last):
                chain.add_module(str(index), layers[index])
            setattr(self, f"stage{stage}", chain)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, -1, 1, 1))
        calibration = torch.load(Path(dists.__file__).parent / "dists_models" / "weights.pt", weights_only=True)
        self.alpha = nn.Parameter(calibration["alpha"])
        self.beta = nn.Parameter(calibration["beta"])


def load_lpips(backbone: str = "alex", weights: str | Path | None = None, *, seed: int = 0) -> PerceptualNetwork:
    """Build LPIPS.

    Args:
        backbone: One of ``alex``, ``vgg`` and ``squeeze``.
        weights: Torchvision's file of that backbone (``alexnet-owt-7be5be79.pth``, ``vgg16-397923af.pth``,
            ``squeezenet1_1-b8a52dc0.pth``); None for a random backbone, which the ``name`` of the network states.
        seed: Seed of the random backbone.

    Raises:
        MissingAssetError: There is no such file.
        InputError: The file belongs to another network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PerceptualNetwork(backbone)
    if weights is not None:
        fill_backbone(network.distance.net, weights)
        network.name = f"lpips_{backbone}"
    return network.eval()


def load_dists(weights: str | Path | None = None, *, seed: int = 0) -> StructureTextureNetwork:
    """Build DISTS.

    Args:
        weights: Torchvision's ``vgg16-397923af.pth``; None for a random backbone, which the ``name`` of the network
            states.
        seed: Seed of the random backbone.

    Raises:
        MissingAssetError: There is no such file.
        InputError: The file belongs to another network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = StructureTextureNetwork()
    if weights is not None:
        fill_backbone(network, weights)
        network.name = "dists"
    return network.eval()


def fill_backbone(network: nn.Module, path: str | Path) -> None:
    """Copy ``features.N.weight`` of a torchvision file to the layer N of a slice of the network."""
    state = read_weights(path)
    for name, parameter in network.named_parameters():
        if "." not in name:
            continue  # the calibration of DISTS
        source = "features." + name.split(".", 1)[1]
        if source not in state or state[source].shape != parameter.shape:
            raise InputError(f"{path} does not hold the backbone: {source} {tuple(parameter.shape)} is not in it")
        parameter.data.copy_(state[source])
