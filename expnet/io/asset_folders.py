"""The folders in which fetched weight files lie."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "EXPNET_ASSETS"
"""Environment variable that names the folder of the weight files."""


def asset_folders() -> list[Path]:
    """Return the folders to search, in order: ``$EXPNET_ASSETS``, expnet's cache, torch hub's checkpoints."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    hub = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints"
    given = os.environ.get(VARIABLE)
    return [*([Path(given).expanduser()] if given else []), cache / "expnet" / "assets", hub]
