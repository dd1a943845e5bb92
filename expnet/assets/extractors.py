"""Opens the frozen networks that metrics use, by name.

Networks (``expnet.models``) do not know where weight files are, and metrics do not know networks; this module brings
the two together. A network's module is imported when it is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from expnet.assets.registry import known, locate, verify
from expnet.errors import InputError
from expnet.io.checksum import sha256
from expnet.metrics import Extractor

RANDOM = "random"
"""In place of a path: seeded random weights, for tests and dry runs. Scores with them mean nothing."""
_SEED = 0


@dataclass(frozen=True)
class _Kind:
    """One way to open a network.

    Attributes:
        asset: Name of its weight file.
        load: Returns the network with the weights of a file, or random ones for None.
    """

    asset: str
    load: Callable[[Path | None], nn.Module]


def _syncnet(path: Path | None) -> nn.Module:
    from expnet.models.syncnet import SyncNet, load_syncnet

    return SyncNet() if path is None else load_syncnet(path)


def _inception(path: Path | None) -> nn.Module:
    from expnet.models.inception import FidInception, load_inception

    return FidInception() if path is None else load_inception(path)


def _i3d(path: Path | None) -> nn.Module:
    from expnet.models.i3d import I3D, load_i3d

    return I3D() if path is None else load_i3d(path)


def _lpips(backbone: str) -> Callable[[Path | None], nn.Module]:
    def load(path: Path | None) -> nn.Module:
        from expnet.models.perceptual import load_lpips

        return load_lpips(backbone, path)

    return load


def _dists(path: Path | None) -> nn.Module:
    from expnet.models.perceptual import load_dists

    return load_dists(path)


def _recogniser(layers: int) -> Callable[[Path | None], nn.Module]:
    def load(path: Path | None) -> nn.Module:
        from expnet.models.face_recogniser import IResNet, load_recogniser

        return IResNet(layers) if path is None else load_recogniser(path)

    return load


def _deep3d(path: Path | None) -> nn.Module:
    from expnet.models.coefficient_regressor import CoefficientRegressor
    from expnet.models.face_vid2vid.published import load_coefficient_regressor

    return CoefficientRegressor() if path is None else load_coefficient_regressor(path)


_KINDS: dict[str, _Kind] = {
    "syncnet": _Kind("syncnet", _syncnet),
    "inception": _Kind("inception", _inception),
    "i3d": _Kind("i3d", _i3d),
    "lpips_alex": _Kind("alexnet", _lpips("alex")),
    "lpips_vgg": _Kind("vgg16", _lpips("vgg")),
    "lpips_squeeze": _Kind("squeezenet", _lpips("squeeze")),
    "dists": _Kind("vgg16", _dists),
    "recogniser": _Kind("recogniser", _recogniser(100)),
    "recogniser_r50": _Kind("recogniser_r50", _recogniser(50)),
    "deep3d": _Kind("sadtalker-256", _deep3d),
}
KINDS = tuple(_KINDS)


def asset_of(kind: str) -> str:
    """Return the name of the weight file that a kind of extractor needs."""
    return _kind(kind).asset


def open_extractor(kind: str, path: str | Path | None = None) -> Extractor:
    """Find a network's weights, check them and load them.

    Args:
        kind: One of `KINDS`.
        path: The weight file or its folder, None to search the usual folders (`expnet.assets.registry.locate`), or
            ``"random"``. A file given by path may differ from the published one; it is then named unverified, and the
            protocol holds its own checksum.

    Returns:
        The network on the CPU, with the name and the SHA-256 that go into result files.

    Raises:
        MissingAssetError: The file was not found; the message says how to get it.
        InputError: The kind is unknown, the file is damaged, or it does not fit the network.
    """
    entry = _kind(kind)
    if path is not None and str(path) == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            return Extractor(entry.load(None), name=f"{kind}, random weights")
    asset = known(entry.asset)
    file = locate(asset.name, path)
    # A file found by its name must be the published one; a file that the user names need not be.
    checksum = verify(file, asset) if path is None else sha256(file)
    name = kind if checksum.startswith(asset.sha256) else f"{kind}, unverified {file.name}"
    return Extractor(entry.load(file), name=name, checksum=checksum)


def open_sync_expert(path: str | Path) -> Extractor:
    """Open the sync expert that the landmark-sync metrics use.

    Args:
        path: A run folder, ``.ckpt`` or ``.safetensors`` of ``configs/landmark_sync.yaml``.

    Returns:
        The network on the CPU; its checksum is that of the weights, whatever file they are in.

    Raises:
        InputError: There is no such file, or it holds another network.
    """
    from expnet.models.saved_model import load_model, weights_checksum

    expert = load_model(path, "landmark_sync")
    return Extractor(expert, name="landmark_sync", checksum=weights_checksum(expert))


def has_random_weights(extractor: Extractor) -> bool:
    """Tell whether an extractor has random weights, so that reports can say that its scores mean nothing."""
    return extractor.name.endswith("random weights")


def _kind(kind: str) -> _Kind:
    if kind not in _KINDS:
        raise InputError(f"There is no extractor called '{kind}'; known are {', '.join(KINDS)}.")
    return _KINDS[kind]
