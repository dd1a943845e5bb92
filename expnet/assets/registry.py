"""Weight files that metrics look through: what they are, where they lie, how to get them. Nothing downloads by itself.

None of them may be shipped, and each has its own licence, so the user fetches what a metric needs, once:
``expnet assets fetch NAME``, or any other way, into one of the folders that ``locate`` looks at. A file is known by its
SHA-256, never by its name alone, and is only ever read with ``weights_only=True``: it cannot run code.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from expnet.errors import ExpnetError, InputError, MissingAssetError

VARIABLE = "EXPNET_ASSETS"
"""Environment variable: the folder of the weight files."""

Progress = Callable[[int], None]
"""Told how many bytes have come so far."""
_BLOCK = 1 << 20
_TIMEOUT = 60.0
_ARCFACE_LICENCE = "InsightFace: non-commercial research only"
_TORCHVISION_LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet, research use"


@dataclass(frozen=True)
class Asset:
    """A weight file.

    Attributes:
        name: by which commands and configurations call it.
        file: its usual file name.
        addresses: where it can be downloaded, tried in order; https only.
        sha256: checksum in hexadecimal, or its first digits where no more is published.
        size: bytes, 0 where unknown.
        licence: what its publisher says.
        purpose: the metrics that need it.
        other_files: names under which other packages store the same bytes.
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
        """Every file name it may have."""
        return (self.file, *self.other_files)


# Checksums: the publisher's where there is one (torch hub writes its first eight digits into the file name); the others
# are those under which independent mirrors store the file.
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
        InputError: there is none.
    """
    if name not in ASSETS:
        raise InputError(f"There is no weight file called '{name}'; known are {', '.join(ASSETS)}.")
    return ASSETS[name]


def folders() -> list[Path]:
    """Folders that are searched, in order: ``$EXPNET_ASSETS``, expnet's cache, torch hub's checkpoints."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    hub = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints"
    given = os.environ.get(VARIABLE)
    return [*([Path(given).expanduser()] if given else []), cache / "expnet" / "assets", hub]


def locate(name: str, given: str | Path | None = None) -> Path:
    """Find a weight file. Its content is not looked at: see ``verify``.

    Args:
        name: of the asset.
        given: the file, or a folder that holds it; the usual folders are then not searched.

    Raises:
        MissingAssetError: it is nowhere; the message says how to get it and where to put it.
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
    """Checksum of a file, in hexadecimal.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def verify(path: str | Path, asset: Asset) -> str:
    """Check that a file is what it should be.

    Returns:
        Its full SHA-256.

    Raises:
        InputError: it is another file, or a damaged one.
    """
    found = sha256(path)
    if not found.startswith(asset.sha256):
        raise InputError(
            f"{path} is not {asset.file}, or is damaged: its SHA-256 begins with {found[:12]}, expected is "
            f"{asset.sha256[:12]}; delete it and {_how(asset)}."
        )
    return found


def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """Download a weight file into the first of ``folders``, unless a good one is there already.

    The file is written beside its place and renamed once its checksum is right, so a download that was cut off leaves
    nothing behind.

    Args:
        name: of the asset.
        progress: told of every block that comes, None for silence.

    Returns:
        Path of the verified file.

    Raises:
        ExpnetError: no address gave the file; the message says where to put it by hand.
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
            f"{path.parent} cannot be made: {error.strerror}; name another folder with {VARIABLE}."
        ) from error
    faults = []
    for address in asset.addresses:
        try:
            _download(address, path, asset, progress)
        except (OSError, HTTPException, ExpnetError) as error:
            faults.append(f"{address}: {getattr(error, 'reason', None) or error}")
        else:
            return path
    raise ExpnetError(
        f"{asset.file} could not be downloaded ({'; '.join(faults)}); get it elsewhere and put it at {path}."
    )


def _how(asset: Asset) -> str:
    """What to do to get a file, as the end of a sentence."""
    return (
        f"run 'expnet assets fetch {asset.name}', or download {asset.addresses[0]} and put it into {folders()[0]} "
        f"(${VARIABLE} names another folder)"
    )


def _download(address: str, path: Path, asset: Asset, progress: Progress | None) -> None:
    """Write what an address sends to ``path``, if it is the asset."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with _opened(address) as answer, open(beside, "wb") as stream:
            written = 0
            while block := answer.read(_BLOCK):
                stream.write(block)
                written += len(block)
                if asset.size and written > asset.size:
                    raise ExpnetError(f"it sends more than the {asset.size} bytes that the file has")
                if progress is not None:
                    progress(written)
        if not sha256(beside).startswith(asset.sha256):
            raise ExpnetError("what it sends has another checksum")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows no redirection to an address that anybody on the way could answer for."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"it leads to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _opened(address: str) -> Iterator[IO[bytes]]:
    """Open an https address for reading."""
    if not address.startswith("https://"):
        raise InputError(f"{address} is not an https address.")
    with urllib.request.build_opener(_HttpsOnly).open(address, timeout=_TIMEOUT) as answer:
        yield answer
