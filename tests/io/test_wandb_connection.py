"""Whether a run is sent to W&B, decided without wandb: by the mode, the key and an answer of the server."""

import http.server
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from expnet.io import wandb_connection
from expnet.io.wandb_connection import wandb_mode


@pytest.fixture(autouse=True)
def _nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODE", "API_KEY", "BASE_URL", "CONFIG_DIR", "IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    for name in ("INIT_TIMEOUT", "FINISH_TIMEOUT"):
        monkeypatch.setenv(f"WANDB_{name}", "60")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server() -> Iterator[str]:
    """A server that answers every request, with 501."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


@pytest.mark.parametrize(("mode", "expected"), [("online", "online"), ("offline", "offline"), ("dryrun", "offline")])
def test_the_mode_is_what_the_variable_says(mode: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    assert wandb_mode() == expected


def test_without_a_key_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb_connection, "_answers", lambda server: pytest.fail(f"asked {server}"))
    before = set(sys.modules)
    assert wandb_mode() == "offline"
    assert not any(name.partition(".")[0] == "wandb" for name in set(sys.modules) - before)


def test_a_key_from_the_environment(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server)
    assert wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert wandb_mode() == "online"


@pytest.mark.parametrize("place", [".netrc", "_netrc", "elsewhere"])
def test_a_key_from_a_netrc_for_the_server_of_the_settings(
    place: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / ".config" / "wandb" / "settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[default]\nbase_url = {server}\n")
    file = tmp_path / place
    file.write_text("machine api.wandb.ai login user password other\n")
    if place == "elsewhere":
        monkeypatch.setenv("NETRC", str(file))
    assert wandb_mode() == "offline"
    file.write_text("machine 127.0.0.1 login user password key\n")
    file.chmod(0o600)
    assert wandb_mode() == "online"


def test_a_key_without_a_network_is_a_bounded_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wandb_connection, "NETWORK_SECONDS", 0.5)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    with socket.socket() as silent:  # accepts a connection and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert wandb_mode() == "offline"
        assert time.monotonic() - started < 5
    assert "does not answer within 0.5 s: the run is kept offline; send it later with 'wandb sync'" in caplog.text
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")  # refuses the connection
    assert wandb_mode() == "offline"


def test_broken_files_are_no_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".netrc").write_text("machine\n")
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("no section\n")
    assert wandb_mode() == "offline"
    assert "no W&B key is taken from it" in caplog.text
