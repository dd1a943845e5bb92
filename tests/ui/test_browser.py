"""The page in a browser: upload a portrait and speech, press the button, and check the video."""

from __future__ import annotations

import asyncio
import os
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

BROWSER = runpy.run_path(str(Path(__file__).with_name("browser.py")))
BINARY = BROWSER["find_browser"]()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="no Chromium is installed"),
]

SHOWN = "!document.getElementById('{}').hidden"


@pytest.fixture
def page(face_tracker: tuple[Path, ...], weights: dict[str, Path], tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Run ``expnet ui``; yield its address and the folder of its files."""
    kept = tmp_path / "kept"
    kept.mkdir()
    command = [sys.executable, "-m", "expnet.cli", "ui", "--port", "0"]
    command += ["--expression", str(weights["expression"]), "--pose", str(weights["pose"])]
    with subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(kept)}, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert address, said
        yield address.group(), kept
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    assert list(kept.iterdir()) == [], "the page removes all its files"


def test_a_user_makes_a_video(page: tuple[str, Path], portrait: Path, speech: Path, tmp_path: Path) -> None:
    address, kept = page

    async def play() -> None:
        async with BROWSER["tab"](BINARY, tmp_path / "profile") as tab:
            await tab.open(address)
            await tab.evaluate("document.getElementById('make').click()")
            await tab.wait_for(SHOWN.format("error"))
            assert "no portrait" in await tab.evaluate("document.getElementById('error').textContent")
            await tab.choose("#portrait", portrait)
            await tab.choose("#speech", speech)
            await tab.evaluate("document.querySelector('[data-control=head_scale]').value = 0.5")
            await tab.evaluate("document.getElementById('make').click()")
            await tab.wait_for(f"{SHOWN.format('video')} || {SHOWN.format('error')}")
            assert await tab.evaluate("document.getElementById('error').textContent") == ""
            await check_video(tab)
            await check_picture(tab, tmp_path)
            assert {path.name for path in kept.rglob("*.*") if path.is_file()} == {"video.mp4", "coefficients.npz"}
            assert all(url.startswith((address, "blob:", "data:", "about:")) for url in tab.requests), tab.requests
            assert tab.messages == []

    asyncio.run(play())


async def check_video(tab: Any) -> None:
    """Check that the video plays with the right size and length, and that both charts have their lines."""
    await tab.wait_for("document.getElementById('video').readyState >= 2")
    size, seconds = await tab.evaluate("(v => [v.videoWidth, v.duration])(document.getElementById('video'))")
    lines = await tab.evaluate("[...document.querySelectorAll('.chart .line')].map(l => l.getAttribute('d').length)")
    assert size == 256
    assert 0.8 < seconds < 4
    assert len(lines) == 4
    assert min(lines) > 300


async def check_picture(tab: Any, folder: Path) -> None:
    """Check that nothing is wider than the screen of a desktop or a phone, and that the page is not blank."""
    for width, height in ((1280, 1000), (390, 844)):
        await tab.resize(width, height)
        assert await tab.evaluate("document.documentElement.scrollWidth") <= width
        await tab.screenshot(folder / f"page-{width}.png")
        with Image.open(folder / f"page-{width}.png") as picture:
            assert picture.width == width
            assert np.asarray(picture.convert("L")).std() > 10
