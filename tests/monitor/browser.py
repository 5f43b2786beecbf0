"""Chromium without a window, driven over its DevTools protocol by a session of ours."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp

import resilient_ws
from resilient_ws import Reconnect
from tests.servers.process import missing


if TYPE_CHECKING:
    from types import TracebackType


_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)


def chromium() -> str:
    """The path of the browser, or the end of the test that needs it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing("chromium", "apt-get install chromium")
    assert found is not None
    return found


class Browser:
    """One page of one browser, with a profile of its own.

    ``complaints`` are the errors on the page's console.
    """

    def __init__(self) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.complaints: list[str] = []

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._profile.cleanup)
            self._process = await asyncio.create_subprocess_exec(
                chromium(),
                *_FLAGS,
                f"--user-data-dir={self._profile.name}",
                "about:blank",
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            stack.push_async_callback(self._kill)
            self._session = await stack.enter_async_context(
                resilient_ws.connect(
                    await self._debugger(),
                    reconnect=Reconnect.once(),
                    max_message_size=None,
                )
            )
            reader = asyncio.create_task(self._read())
            stack.callback(reader.cancel)
            for domain in ("Page", "Runtime", "Log"):
                await self.call(f"{domain}.enable")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    async def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _debugger(self) -> str:
        """The URL of the first page, once the browser has written its port."""
        written = Path(self._profile.name) / "DevToolsActivePort"
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:
            while not (written.exists() and written.read_text().count("\n")):
                assert self._process.returncode is None, "chromium has ended"
                await asyncio.sleep(0.05)
            port = written.read_text().split()[0]
            while True:
                async with http.get(f"http://127.0.0.1:{port}/json") as answer:
                    pages = [
                        one for one in await answer.json() if one["type"] == "page"
                    ]
                if pages:
                    return str(pages[0]["webSocketDebuggerUrl"])
                await asyncio.sleep(0.05)

    async def _read(self) -> None:
        async for message in self._session:
            told = json.loads(message)
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
            elif told["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif told["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(told["params"]["exceptionDetails"]))
            elif told["method"] == "Log.entryAdded":
                entry = told["params"]["entry"]
                if entry["level"] == "error":
                    self.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol; return its result."""
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._session.send(
            json.dumps({"id": number, "method": method, "params": params})
        )
        async with asyncio.timeout(60):
            told = await answer
        assert "error" not in told, f"{method}: {told['error']}"
        return dict(told["result"])

    async def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        result = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, condition: str, *, within: float = 60.0) -> Any:
        """Wait until an expression is true in the page; return its value."""
        try:
            async with asyncio.timeout(within):
                return await self.evaluate(
                    "new Promise((found) => { const look = () => {"
                    f"const value = {condition}; if (value) found(value);"
                    "else setTimeout(look, 20); }; look(); })"
                )
        except TimeoutError:
            shown = await self.evaluate("document.body.innerText")
            raise AssertionError(f"never {condition!r}:\n{shown[:3000]}") from None

    async def open(self, url: str) -> None:
        """Go to a page, and wait until it is loaded."""
        # From a page of the same address a new fragment alone would load nothing.
        for place in ("about:blank", url):
            await self._load("Page.navigate", url=place)

    async def reload(self) -> None:
        """Load the page again."""
        await self._load("Page.reload")

    async def _load(self, method: str, **params: str) -> None:
        """Call a method, and wait for the page that it loads."""
        self._loaded.clear()
        await self.call(method, **params)
        async with asyncio.timeout(60):
            await self._loaded.wait()

    async def text(self, selector: str) -> str:
        """The text of an element, as it is shown."""
        return str(
            await self.evaluate(
                f"document.querySelector({json.dumps(selector)}).innerText"
            )
        )

    async def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element."""
        box = await self.evaluate(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            "one.scrollIntoView({block: 'center'});"
            "const box = one.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=box[0],
                y=box[1],
                button="left",
                clickCount=1,
            )

    async def hover(self, selector: str) -> None:
        """Move the mouse to the middle of an element."""
        box = await self.evaluate(
            "(() => { const box = document.querySelector("
            f"{json.dumps(selector)}).getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        await self.call(
            "Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1]
        )

    async def press(self, key: str, *, code: int) -> None:
        """Press a key that writes nothing, such as Tab, by its name and its code."""
        writes = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown" if writes else "rawKeyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **writes,
            )

    async def write(self, text: str) -> None:
        """Type a text where the focus is."""
        await self.call("Input.insertText", text=text)

    async def show(
        self, width: int, height: int, *, dark: bool = False, scale: float = 1
    ) -> None:
        """Take a size and a colour scheme."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        await self.call(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            ],
        )

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        """Take a picture of what is seen, or of the whole page."""
        result = await self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole
        )
        path.write_bytes(base64.b64decode(result["data"]))
