"""Networks that compare two pictures as people do: LPIPS and DISTS, on torchvision backbones read from a file.

The small calibrated heads come with the ``lpips`` and ``torchmetrics`` packages; the backbones are torchvision's
ImageNet networks, whose files are read here from a path, never downloaded on the way.
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
        backbone: ``alex`` (what most papers mean), ``vgg`` or ``squeeze``; random until ``load_lpips`` fills it.
    """

    def __init__(self, backbone: str = "alex") -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, got {backbone!r}")
        self.name = f"lpips_{backbone}, random weights"
        with warnings.catch_warnings():
            # The package asks torchvision for random weights by an argument that torchvision has renamed.
            warnings.simplefilter("ignore", UserWarning)
            self.distance = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Distance (N,) of pictures (N, 3, H, W) in [-1, 1]."""
        return self.distance(first, second).flatten()


class StructureTextureNetwork(dists.DISTSNetwork):
    """DISTS (Ding et al. 2020, https://github.com/dingkeyan93/DISTS) as torchmetrics ships it, without its download.

    The backbone is random until ``load_dists`` fills it. ``forward`` takes two times (N, 3, H, W) in [0, 1].
    """

    def __init__(self) -> None:
        nn.Module.__init__(self)  # the parent's constructor downloads
        self.name = "dists, random weights"
        layers = vgg16(weights=None).features
        self.chns = [3, 64, 128, 256, 512, 512]
        # Each stage but the first begins with a smooth pooling in place of VGG's maximum, which aliases.
        for stage, (first, last) in enumerate(((0, 4), (5, 9), (10, 16), (17, 23), (24, 30)), 1):
            chain = nn.Sequential()
            if first:
                chain.add_module(str(first - 1), dists.L2pooling(channels=self.chns[stage - 1]))
            for place in range(first, last):
                chain.add_module(str(place), layers[place])
            setattr(self, f"stage{stage}", chain)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, -1, 1, 1))
        calibration = torch.load(Path(dists.__file__).parent / "dists_models" / "weights.pt", weights_only=True)
        self.alpha = nn.Parameter(calibration["alpha"])
        self.beta = nn.Parameter(calibration["beta"])


def load_lpips(backbone: str = "alex", weights: str | Path | None = None, *, seed: int = 0) -> PerceptualNetwork:
    """Build LPIPS.

    Args:
        backbone: ``alex``, ``vgg`` or ``squeeze``.
        weights: torchvision's file of that backbone (``alexnet-owt-7be5be79.pth``, ``vgg16-397923af.pth``,
            ``squeezenet1_1-b8a52dc0.pth``); None for a random backbone, which the network's ``name``
            calls random weights.
        seed: of the random backbone.

    Raises:
        MissingAssetError: there is no such file.
        InputError: it is another network's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PerceptualNetwork(backbone)
    if weights is not None:
        _fill_backbone(network.distance.net, weights)
        network.name = f"lpips_{backbone}"
    return network.eval()


def load_dists(weights: str | Path | None = None, *, seed: int = 0) -> StructureTextureNetwork:
    """Build DISTS.

    Args:
        weights: torchvision's ``vgg16-397923af.pth``; None for a random backbone, which the network's ``name``
            calls random weights.
        seed: of the random backbone.

    Raises:
        MissingAssetError: there is no such file.
        InputError: it is another network's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = StructureTextureNetwork()
    if weights is not None:
        _fill_backbone(network, weights)
        network.name = "dists"
    return network.eval()


def _fill_backbone(network: nn.Module, path: str | Path) -> None:
    """Copy ``features.N.weight`` of a torchvision file to where a slice of the network keeps its layer N."""
    state = read_weights(path)
    for name, parameter in network.named_parameters():
        if "." not in name:
            continue  # DISTS' own calibration
        source = "features." + name.split(".", 1)[1]
        if source not in state or state[source].shape != parameter.shape:
            raise InputError(f"{path} does not hold the backbone: {source} {tuple(parameter.shape)} is not in it")
        parameter.data.copy_(state[source])
