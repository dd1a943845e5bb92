"""A headless Chromium, driven over its debugging protocol, that acts as a user would."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
    "--autoplay-policy=no-user-gesture-required", "--hide-scrollbars",
)  # fmt: skip


def find_browser() -> str | None:
    """Return the path of a browser, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """A browser tab.

    Attributes:
        requests: Addresses that the page requested.
        messages: Console messages and script errors.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last = 0
        self.requests: list[str] = []
        self.messages: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and wait for its answer; events in between are recorded."""
        self._last += 1
        await self._socket.send_json({"id": self._last, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == self._last:
                assert "error" not in message, message
                return message["result"]
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            elif message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.messages.append(str(message["params"]))

    async def open(self, address: str, width: int = 1280, height: int = 1000) -> None:
        for part in ("Network", "Runtime", "Log", "Page", "DOM"):
            await self.call(f"{part}.enable")
        await self.resize(width, height)
        await self.call("Page.navigate", url=address)
        await self.wait_for("document.readyState === 'complete' && document.getElementById('make') !== null")

    async def resize(self, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    async def evaluate(self, expression: str) -> Any:
        """Evaluate an expression in the page, and await its value."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def wait_for(self, expression: str, seconds: float = 300.0) -> None:
        """Wait until an expression is true in the page."""
        async with asyncio.timeout(seconds):
            while not await self.evaluate(expression):
                await asyncio.sleep(0.1)

    async def choose(self, selector: str, path: Path) -> None:
        """Choose a file in a file field, as a user would."""
        root = await self.call("DOM.getDocument")
        node = await self.call("DOM.querySelector", nodeId=root["root"]["nodeId"], selector=selector)
        await self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node["nodeId"])

    async def screenshot(self, path: Path) -> None:
        """Save a screenshot of the full page."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def tab(binary: str, profile: Path) -> AsyncIterator[Tab]:
    """Open a tab of a new browser with an empty profile."""
    process = await asyncio.create_subprocess_exec(
        binary, *_FLAGS, f"--user-data-dir={profile}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        ports = profile / "DevToolsActivePort"
        async with asyncio.timeout(120):
            while not (ports.is_file() and ports.read_text().count("\n")):
                await asyncio.sleep(0.1)
        address = f"http://127.0.0.1:{ports.read_text().split()[0]}"
        async with aiohttp.ClientSession() as session:
            async with session.put(f"{address}/json/new?about:blank") as answer:
                target = (await answer.json())["webSocketDebuggerUrl"]
            async with session.ws_connect(target, max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.terminate()
        await process.wait()
