"""The server of the page: it makes a video, enforces limits, refuses other sites and keeps no files."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer

from expnet.animate.animator import Animator
from expnet.audio.wave import write_wav
from expnet.cli import main
from expnet.errors import InputError
from expnet.ui.jobs import JobRunner
from expnet.ui.renderers import OfferedRenderer, offered_renderers
from expnet.ui.server import build, is_loopback
from expnet.ui.uploads import Limits, check_length

Scenario = Callable[[TestClient], Awaitable[None]]


class BusyAnimator:
    """Waits for a signal before it opens a portrait, and then fails."""

    styles = 2
    default_motion = "regressed"

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.go_on = threading.Event()

    def portrait(self, image: Path, _: object) -> None:
        assert image.is_file()
        self.opened.set()
        assert self.go_on.wait(30)
        raise InputError(f"{image}: no face was found in it.")


class FullDiskAnimator(BusyAnimator):
    """An animator that meets a full disk."""

    def portrait(self, image: Path, _: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@asynccontextmanager
async def client(runner: JobRunner) -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(build(runner), host="127.0.0.1")) as opened:
        yield opened


def run(animator: Any, folder: Path, scenario: Scenario, **limits: Any) -> None:
    async def play() -> None:
        async with client(JobRunner(animator, folder, Limits(**limits))) as opened:
            await scenario(opened)

    asyncio.run(play())


def form(files: dict[str, Path], **texts: str) -> FormData:
    data = FormData(default_to_multipart=True)
    for name, text in texts.items():
        data.add_field(name, text)
    for name, path in files.items():
        data.add_field(name, path.read_bytes(), filename=path.name)
    return data


async def finished(opened: TestClient, answer: Any) -> dict[str, Any]:
    status = await answer.json()
    assert answer.status == 202, status
    while status["state"] == "working":
        await asyncio.sleep(0.05)
        status = await (await opened.get(f"/jobs/{status['id']}")).json()
    return status


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("face_tracker")
def test_a_portrait_and_speech_become_a_video_and_then_nothing(
    weights: dict[str, Path], portrait: Path, speech: Path, tmp_path: Path
) -> None:

    async def scenario(opened: TestClient) -> None:
        data = form({"portrait": portrait, "speech": speech}, controls=json.dumps({"head_scale": "0.5", "size": "128"}))
        status = await finished(opened, await opened.post("/jobs", data=data))
        assert status["state"] == "done", status["error"]
        assert status["drawn"] == status["frames"] == len(status["curves"]["mouth"])
        assert np.ptp(status["curves"]["mouth"]) > 0.02
        assert np.ptp(status["curves"]["yaw"]) > 0
        assert status["curves"]["yaw"][0] == 0
        assert {path.name for path in stored(tmp_path)} == {"video.mp4", "coefficients.npz"}, "uploads are removed"

        address = f"/jobs/{status['id']}"
        video = tmp_path / "seen.mp4"
        video.write_bytes(await (await opened.get(f"{address}/video.mp4")).read())
        with av.open(str(video)) as container:
            assert max(container.streams.video[0].width, container.streams.video[0].height) == 128
            assert sum(1 for _ in container.decode(video=0)) == status["frames"]
            assert container.streams.audio
        video.unlink()
        assert (await opened.get(f"{address}/video.mp4", headers={"Range": "bytes=0-9"})).status == 206, "seekable"
        assert (await opened.delete(address)).status == 204
        assert (await opened.get(address)).status == 404
        assert stored(tmp_path) == []

    run(Animator(**weights), tmp_path, scenario)


def test_one_job_at_a_time_and_errors_in_the_users_words(portrait: Path, speech: Path, tmp_path: Path) -> None:
    animator = BusyAnimator()

    async def scenario(opened: TestClient) -> None:
        files = {"portrait": portrait, "speech": speech}
        first = await opened.post("/jobs", data=form(files))
        assert await asyncio.to_thread(animator.opened.wait, 30)
        second = await opened.post("/jobs", data=form(files))
        assert second.status == 400
        assert (await second.json())["error"].startswith("Another video is being made")
        animator.go_on.set()
        status = await finished(opened, first)
        assert (status["state"], status["error"]) == ("failed", "astronaut.png: no face was found in it.")
        assert stored(tmp_path) == []

    run(animator, tmp_path, scenario)


def test_a_cancelled_job_leaves_nothing_and_lets_the_next_one_in(portrait: Path, speech: Path, tmp_path: Path) -> None:
    animator = BusyAnimator()

    async def scenario(opened: TestClient) -> None:
        files = {"portrait": portrait, "speech": speech}
        first = await (await opened.post("/jobs", data=form(files))).json()
        assert await asyncio.to_thread(animator.opened.wait, 30)
        assert (await opened.delete(f"/jobs/{first['id']}")).status == 204
        second = await opened.post("/jobs", data=form(files))
        assert second.status == 202
        animator.go_on.set()
        await finished(opened, second)
        assert (await opened.get(f"/jobs/{first['id']}")).status == 404
        assert stored(tmp_path) == []

    run(animator, tmp_path, scenario)


def test_jobs_that_nobody_requests_are_removed(portrait: Path, speech: Path, tmp_path: Path) -> None:
    animator: Any = BusyAnimator()
    animator.go_on.set()
    runner = JobRunner(animator, tmp_path, Limits(), keep_seconds=0.0)

    async def play() -> None:
        async with client(runner) as opened:
            await finished(opened, await opened.post("/jobs", data=form({"portrait": portrait, "speech": speech})))
            assert len(list(tmp_path.iterdir())) == 1
            runner.sweep()
            assert list(tmp_path.iterdir()) == []

    asyncio.run(play())


def test_refusals_are_one_sentence(portrait: Path, speech: Path, tmp_path: Path) -> None:
    async def refused(opened: TestClient, data: FormData) -> str:
        answer = await opened.post("/jobs", data=data)
        content = await answer.json()
        assert answer.status == 400
        assert stored(tmp_path) == []
        return content["error"]

    async def scenario(opened: TestClient) -> None:
        assert "astronaut.png: larger than" in await refused(opened, form({"portrait": portrait}))
        assert "the page has no such file" in await refused(opened, form({"shoe": speech}))
        assert "controls could not be read" in await refused(opened, form({}, controls="{"))
        assert "controls could not be read" in await refused(opened, form({}, controls='{"seed": 3}'))
        assert "form could not be read" in (await (await opened.post("/jobs", data={"a": "b"})).json())["error"]
        status = await finished(opened, await opened.post("/jobs", data=form({"speech": speech})))
        assert status["error"] == "There is no portrait; choose an image of one face."

    run(BusyAnimator(), tmp_path, scenario, image_bytes=1000)


def test_only_this_machines_page_may_ask(tmp_path: Path) -> None:
    async def scenario(opened: TestClient) -> None:
        assert (await opened.get("/", headers={"Host": "attacker.example"})).status == 403
        assert (await opened.post("/jobs", headers={"Origin": "http://attacker.example"})).status == 403
        page = await opened.get("/", headers={"Host": "localhost:7861"})
        text = await page.text()
        assert page.status == 200
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        script = await (await opened.get("/page.js")).text()
        style = await (await opened.get("/page.css")).text()
        for content in (text, script.replace("http://www.w3.org/2000/svg", ""), style):
            assert "://" not in content, "the page loads nothing from other hosts"

    run(BusyAnimator(), tmp_path, scenario)


def test_a_page_for_others_answers_to_any_name(tmp_path: Path) -> None:
    animator: Any = BusyAnimator()

    async def play() -> None:
        served = TestServer(build(JobRunner(animator, tmp_path, Limits()), any_name=True), host="127.0.0.1")
        async with TestClient(served) as opened:
            assert (await opened.get("/", headers={"Host": "box.lan"})).status == 200
            assert (await opened.post("/jobs", headers={"Origin": "http://attacker.example"})).status == 403

    asyncio.run(play())


def test_long_audio_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    write_wav(path, np.zeros(16000 * 3, np.float32))
    check_length(path, 3.1, "the recording")
    with pytest.raises(InputError, match=r"the recording is longer than 2\.5 s"):
        check_length(path, 2.5, "the recording")
    path.write_text("not audio")
    with pytest.raises(InputError, match="not a readable audio or video file"):
        check_length(path, 2.5, "the recording")


def test_a_recording_with_a_legacy_title_is_accepted(tmp_path: Path) -> None:
    write_wav(tmp_path / "plain.wav", np.zeros(16000, np.float32))
    title = "Überraschung".encode("latin-1")
    chunk = b"LIST" + (12 + len(title)).to_bytes(4, "little") + b"INFOINAM" + len(title).to_bytes(4, "little") + title
    content = (tmp_path / "plain.wav").read_bytes()
    path = tmp_path / "2024-05-01T12:30:00.wav"
    size = (len(content) - 8 + len(chunk)).to_bytes(4, "little")
    path.write_bytes(b"RIFF" + size + content[8:12] + chunk + content[12:])
    check_length(path, 1.1, "the recording")


def test_a_full_disk_is_said_on_the_page(small_disk: Callable[[int], Path], speech: Path, tmp_path: Path) -> None:
    disk = small_disk(100)
    (tmp_path / "large.png").write_bytes(bytes(200_000))

    async def scenario(opened: TestClient) -> None:
        answer = await opened.post("/jobs", data=form({"portrait": tmp_path / "large.png"}))
        content = await answer.json()
        assert answer.status == 507
        assert "make room on that disk" in content["error"]
        assert stored(disk) == []
        # The disk is full when the video is made.
        answer = await opened.post("/jobs", data=form({"portrait": speech}))
        status = await finished(opened, answer)
        assert status["state"] == "failed"
        assert "make room on that disk" in status["error"]

    run(FullDiskAnimator(), disk, scenario)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("box.lan", False)],
)
def test_which_addresses_are_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("option", "value"), [("--port", "70000"), ("--max-seconds", "0"), ("--host", "no.such.host.invalid")]
)
def test_bad_options_are_one_sentence(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", option, value]) == 2
    assert capsys.readouterr().err.startswith("expnet: ")


@pytest.mark.usefixtures("face_tracker", "sadtalker_found")
def test_a_video_is_drawn_by_the_renderer_that_was_chosen(
    weights: dict[str, Path], portrait: Path, tmp_path: Path, glowing: type
) -> None:
    offered = offered_renderers()
    assert [one.value for one in offered] == ["mesh", "sadtalker-256"]

    async def scenario(opened: TestClient) -> None:
        page = await (await opened.get("/")).text()
        assert '<select data-control="renderer">' in page
        assert '<option value="sadtalker-256">SadTalker, 256 px</option>' in page

        async def made(**controls: str) -> dict[str, Any]:
            data = form({"portrait": portrait}, idle="1", controls=json.dumps(controls))
            return await finished(opened, await opened.post("/jobs", data=data))

        for chosen in ({}, {"renderer": "sadtalker-256"}, {"renderer": "own"}):
            status = await made(**chosen)
            assert (status["state"], status["drawn"]) == ("done", 25), status["error"]
            await opened.delete(f"/jobs/{status['id']}")
        assert (await made(renderer="/etc/passwd"))["error"] == (
            "renderer /etc/passwd: this page offers mesh, sadtalker-256, own."
        )

    runner = JobRunner(
        Animator(**weights), tmp_path, Limits(), renderers=(*offered, OfferedRenderer("own", "own", glowing))
    )

    async def play() -> None:
        async with client(runner) as opened:
            await scenario(opened)

    asyncio.run(play())


def test_the_page_offers_renderers_that_are_here_and_starts_with_the_given_one(assets_folder: Path) -> None:
    assert [one.value for one in offered_renderers()] == ["mesh"]
    for file in ("SadTalker_V0.0.2_512.safetensors", "mapping_00109-model.pth.tar"):
        (assets_folder / file).touch()
    assert [one.value for one in offered_renderers()] == ["mesh"], "one of three files is missing"
    (assets_folder / "mapping_00229-model.pth.tar").touch()
    assert [one.value for one in offered_renderers("sadtalker")] == ["sadtalker-512", "mesh"]
    assert [one.renderer for one in offered_renderers("runs/renderer")] == ["runs/renderer", "mesh", "sadtalker"]
