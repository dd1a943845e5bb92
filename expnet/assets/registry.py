"""Weight files of the networks that metrics use: what they are, where they are, and how to get them.

None of them may be redistributed, and each has its own licence. Nothing is downloaded unasked: the user fetches what a
metric needs once, with ``expnet assets fetch NAME`` or otherwise, into one of the folders that `locate` searches. A
file is identified by its SHA-256, never by its name alone, and is read with ``weights_only=True``, so it cannot run
code.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin

from expnet.errors import ExpnetError, InputError, MissingAssetError
from expnet.io.atomic import atomic_path

VARIABLE = "EXPNET_ASSETS"
"""Environment variable that names the folder of the weight files."""

Progress = Callable[[int], None]
"""Called with the number of bytes downloaded so far."""
_BLOCK = 1 << 20
_TIMEOUT = 60.0
_ARCFACE_LICENCE = "InsightFace: non-commercial research only"
_TORCHVISION_LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet, research use"


@dataclass(frozen=True)
class Asset:
    """A weight file.

    Attributes:
        name: Name in commands and configurations.
        file: Its usual file name.
        addresses: Where it can be downloaded, tried in order; https only.
        sha256: Checksum in hexadecimal, or its first digits where no more is published.
        size: Size in bytes, 0 where unknown.
        licence: Licence that its publisher states.
        purpose: The metrics that need it.
        other_files: Names under which other packages store the same file.
    """

    name: str
    file: str
    addresses: tuple[str, ...]
    sha256: str
    size: int
    licence: str
    purpose: str
    other_files: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All file names it may have."""
        return (self.file, *self.other_files)


# Checksums are the publisher's where there is one (torch hub puts the first eight digits into the file name), and
# otherwise those on which independent mirrors agree.
ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            "syncnet",
            "syncnet_v2.model",
            ("https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",),
            "961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
            54_573_114,
            "CC BY, research purposes (Visual Geometry Group, Oxford)",
            "sync_distance, sync_confidence, sync_offset",
        ),
        Asset(
            "inception",
            "pt_inception-2015-12-05-6726825d.pth",
            (
                "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                "pt_inception-2015-12-05-6726825d.pth",
                "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
                "weights-inception-2015-12-05-6726825d.pth",
            ),
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            95_628_359,
            "Apache-2.0",
            "fid",
            ("weights-inception-2015-12-05-6726825d.pth",),
        ),
        Asset(
            "alexnet",
            "alexnet-owt-7be5be79.pth",
            ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            244_408_911,
            _TORCHVISION_LICENCE,
            "lpips (alex, the usual one)",
        ),
        Asset(
            "vgg16",
            "vgg16-397923af.pth",
            ("https://download.pytorch.org/models/vgg16-397923af.pth",),
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            553_433_881,
            _TORCHVISION_LICENCE,
            "lpips (vgg), dists",
        ),
        Asset(
            "squeezenet",
            "squeezenet1_1-b8a52dc0.pth",
            ("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",),
            "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
            0,
            _TORCHVISION_LICENCE,
            "lpips (squeeze)",
        ),
        Asset(
            "recogniser",
            "ms1mv3_arcface_r100_fp16.pth",
            (
                "https://huggingface.co/lithiumice/ArcFace_PyTorch/resolve/main/ms1mv3_arcface_r100_fp16.pth",
                "https://huggingface.co/camenduru/show/resolve/main/models/arcface/ms1mv3_arcface_r100_fp16.pth",
            ),
            "a566a62357f0c55b679d9ff2f022a294486568be0c00665d39029d0e46a8109b",
            261_223_796,
            _ARCFACE_LICENCE,
            "csim (100 layers, the usual one)",
        ),
        Asset(
            "recogniser_r50",
            "ms1mv3_arcface_r50_fp16.pth",
            (
                "https://huggingface.co/lithiumice/ArcFace_PyTorch/resolve/main/ms1mv3_arcface_r50_fp16.pth",
                "https://huggingface.co/camenduru/show/resolve/main/models/arcface/ms1mv3_arcface_r50_fp16.pth",
            ),
            "ef005ba502a2d0f40e7b94245054d3a23e375776f7035080fcbce45ae49cfb01",
            174_680_546,
            _ARCFACE_LICENCE,
            "csim (50 layers)",
        ),
    )
}


def known(name: str) -> Asset:
    """Return the asset of that name.

    Raises:
        InputError: There is none.
    """
    if name not in ASSETS:
        raise InputError(f"There is no weight file called '{name}'; known are {', '.join(ASSETS)}.")
    return ASSETS[name]


def folders() -> list[Path]:
    """Return the folders to search, in order: ``$EXPNET_ASSETS``, expnet's cache, torch hub's checkpoints."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    hub = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints"
    given = os.environ.get(VARIABLE)
    return [*([Path(given).expanduser()] if given else []), cache / "expnet" / "assets", hub]


def locate(name: str, given: str | Path | None = None) -> Path:
    """Find a weight file, without checking its content; see `verify`.

    Args:
        name: Name of the asset.
        given: The file, or a folder that holds it; the usual folders are then not searched.

    Raises:
        MissingAssetError: It was not found; the message says how to get it and where to put it.
    """
    asset = known(name)
    places = folders() if given is None else [Path(given).expanduser()]
    for place in places:
        for candidate in (place, *(place / file for file in asset.files)):
            if candidate.is_file():
                return candidate
    if given is not None:
        raise MissingAssetError(f"There is no {asset.file} at {given}; give the path of the file, or {_how(asset)}.")
    raise MissingAssetError(f"{asset.purpose}: the weight file {asset.file} is not here; {_how(asset)}.")


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def verify(path: str | Path, asset: Asset) -> str:
    """Check that a file is the asset.

    Returns:
        Its full SHA-256.

    Raises:
        InputError: It is another file, or a damaged one.
    """
    found = sha256(path)
    if not found.startswith(asset.sha256):
        raise InputError(
            f"{path} is not {asset.file}, or is damaged: its SHA-256 begins with {found[:12]}, expected "
            f"{asset.sha256[:12]}; delete it and {_how(asset)}."
        )
    return found


def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """Download a weight file into the first of `folders`, unless a valid one is found.

    The file takes its name only once its checksum is verified, so an interrupted download leaves nothing behind.

    Args:
        name: Name of the asset.
        progress: Called for every block received; None for no reports.

    Returns:
        Path of the verified file.

    Raises:
        ExpnetError: No address served the file; the message says where to put it by hand.
    """
    asset = known(name)
    try:
        path = locate(name)
    except MissingAssetError:
        path = folders()[0] / asset.file
    else:
        verify(path, asset)
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path.parent} cannot be created: {error.strerror}; name another folder with {VARIABLE}."
        ) from error
    failures = []
    for address in asset.addresses:
        try:
            _download(address, path, asset, progress)
        except (OSError, ExpnetError) as error:
            failures.append(f"{address}: {error}")
        else:
            return path
    raise ExpnetError(
        f"{asset.file} could not be downloaded ({'; '.join(failures)}); download it elsewhere and put it at {path}."
    )


def _how(asset: Asset) -> str:
    """Return how to get a file, as the end of a sentence."""
    return (
        f"run 'expnet assets fetch {asset.name}', or download {asset.addresses[0]} and put it into {folders()[0]} "
        f"(${VARIABLE} names another folder)"
    )


def _download(address: str, path: Path, asset: Asset, progress: Progress | None) -> None:
    """Download the asset from one address to ``path``.

    Raises:
        ExpnetError: The address, or one that it redirects to, is not https, or it serves another file.
        OSError: It cannot be reached, or the file cannot be written.
    """
    from pooch import HTTPDownloader

    if not address.startswith("https://"):
        raise InputError(f"{address} is not an https address.")
    # Weights are compressed already, and an encoded answer would be counted after decoding.
    headers = {"Accept-Encoding": "identity"}
    hooks = {"response": _refuse_plain_http}
    download = HTTPDownloader(chunk_size=_BLOCK, timeout=_TIMEOUT, headers=headers, hooks=hooks)
    with atomic_path(path) as partial:
        with partial.open("wb") as stream:
            download(address, _CountingStream(stream, asset.size, progress), None)
        if not sha256(partial).startswith(asset.sha256):
            raise ExpnetError("the file that it serves has another checksum")


def _refuse_plain_http(response: Any, *_: Any, **__: Any) -> None:
    """Refuse a redirection to plain http, which could be intercepted."""
    if response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        if not target.startswith("https://"):
            raise ExpnetError(f"it redirects to {target}, which is not https")


class _CountingStream:
    """Passes bytes on to a file, reports how many there were, and refuses more than the file should have."""

    def __init__(self, stream: IO[bytes], size: int, progress: Progress | None) -> None:
        self._stream, self._size, self._progress = stream, size, progress
        self._written = 0

    def write(self, block: bytes) -> None:
        """Write a block.

        Raises:
            ExpnetError: The file would become larger than it should be.
        """
        self._stream.write(block)
        self._written += len(block)
        if self._size and self._written > self._size:
            raise ExpnetError(f"it serves more than the {self._size} bytes that the file has")
        if self._progress is not None:
            self._progress(self._written)

    def flush(self) -> None:
        """Flush the file."""
        self._stream.flush()
