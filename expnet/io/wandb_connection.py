"""Whether Weights & Biases can be reached and with a key: decided before anything of wandb is touched.

Asking wandb itself for a key starts its session, after which WANDB_MODE is ignored; and with a key but without a
network it waits for minutes.
"""

from __future__ import annotations

import configparser
import logging
import netrc
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

NETWORK_SECONDS = 10.0
"""Longest wait for an answer of the server before a run is kept offline."""
_SERVER = "https://api.wandb.ai"
_LIMITS = {"WANDB_INIT_TIMEOUT": "60", "WANDB_FINISH_TIMEOUT": "300"}
"""Seconds that wandb itself waits for a server that stops answering later; without them it waits for ever."""

_log = logging.getLogger(__name__)


def wandb_mode() -> Literal["online", "offline"]:
    """Return whether a run is sent to W&B: as WANDB_MODE says, or else if there is a key and the server answers.

    A run that is kept offline lies in its folder, and ``wandb sync`` sends it later.
    """
    for name, seconds in _LIMITS.items():
        os.environ.setdefault(name, seconds)
    wanted = os.environ.get("WANDB_MODE")
    if wanted is not None:
        return "online" if wanted == "online" else "offline"
    server = _server()
    if not _has_key(server):
        return "offline"
    if _answers(server):
        return "online"
    _log.warning(
        "%s does not answer within %g s: the run is kept offline; send it later with 'wandb sync'.",
        server,
        NETWORK_SECONDS,
    )
    return "offline"


def _server() -> str:
    """Return the address of the W&B server: from WANDB_BASE_URL, from wandb's settings files, or the public one."""
    if os.environ.get("WANDB_BASE_URL"):
        return os.environ["WANDB_BASE_URL"]
    config_folder = os.environ.get("WANDB_CONFIG_DIR") or os.path.expanduser("~/.config/wandb")
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read([os.path.join(config_folder, "settings"), "wandb/settings"], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return _SERVER
    return settings.get("default", "base_url", fallback=_SERVER)


def _has_key(server: str) -> bool:
    """Return whether a key is known, in the places where wandb looks for one."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(server).hostname or server
    names = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for path in (Path(os.path.expanduser(name)) for name in names):
        try:
            if path.is_file() and netrc.netrc(path).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError) as error:
            _log.warning("%s cannot be read (%s): no W&B key is taken from it.", path, error)
    return False


def _answers(server: str) -> bool:
    """Return whether a server answers in time, through the proxy of the environment if there is one."""
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(server, timeout=NETWORK_SECONDS).close()  # noqa: S310 (the user's own server)
        except urllib.error.HTTPError:
            pass  # an answer
        except (OSError, ValueError):
            return
        answered.set()

    # In a thread, because looking up a name has no time limit of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(NETWORK_SECONDS)
    return answered.is_set()
