"""The page of resilient_ws.monitor in a browser, in fair weather and foul.

    python -m benchmarks.pictures [--into DIR] [--docs docs/pictures] [--only storm]

Sessions are run against a server of ours through faulty proxies for a minute or two,
and Chromium takes pictures of what the page shows of it. Some of them are for
docs/monitor.md, where they are smaller.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import pathlib
from typing import TYPE_CHECKING, Final, TypeAlias

from resilient_ws import monitor
from resilient_ws.testing import Refuse, Reset
from tests.monitor.browser import Browser
from tests.monitor.fleet import Fleet


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


#: Where all pictures go, and those of docs/monitor.md.
Folders: TypeAlias = tuple[pathlib.Path, pathlib.Path | None]

WIDE: Final = (1280, 860)
PHONE: Final = (390, 844)
#: Pixels of a picture for each of the page's.
SCALE: Final = 1.5
#: The pictures of docs/monitor.md.
SHOWN: Final = {
    "outage-light": "monitor",
    "outage-session-light": "monitor-session",
    "calm-dark": "monitor-dark",
    "calm-phone": "monitor-phone",
}
#: Seconds of history that a picture shows at least.
HISTORY: Final = 75.0


class Photographer:
    """Takes pictures of one page."""

    def __init__(
        self, browser: Browser, into: pathlib.Path, docs: pathlib.Path | None
    ) -> None:
        self.browser = browser
        self._into = into
        self._docs = docs

    async def take(
        self,
        name: str,
        *,
        size: tuple[int, int] = WIDE,
        dark: bool = False,
        whole: bool = False,
    ) -> None:
        await self.browser.show(*size, dark=dark, scale=SCALE)
        await asyncio.sleep(1.5)  # a turn of the page in the new size
        await self.browser.picture(self._into / f"{name}.png", whole=whole)
        print(self._into / f"{name}.png")
        if self._docs is not None and name in SHOWN:
            await self.browser.show(*size, dark=dark)
            await asyncio.sleep(1.5)
            await self.browser.picture(self._docs / f"{SHOWN[name]}.png")

    async def session(self, number: int) -> None:
        """Go to a session's own page."""
        await self.browser.evaluate(f"location.hash = '#/session/{number}'")
        await self.browser.until(
            "!document.querySelector('#detail').hidden"
            " && document.querySelectorAll('#charts path').length > 2"
        )

    async def overview(self) -> None:
        await self.browser.evaluate("location.hash = '#/'")
        await self.browser.until("!document.querySelector('#overview').hidden")


@contextlib.asynccontextmanager
async def stage(
    folders: Folders, count: int
) -> AsyncIterator[tuple[Fleet, Photographer]]:
    """A fleet, and a browser that looks at it."""
    async with (
        Fleet(count) as fleet,
        monitor.serve(lambda: fleet.watched, title="trading bot") as page,
        Browser() as browser,
    ):
        await browser.show(*WIDE)
        await browser.open(page.url)
        await browser.until(f"document.querySelectorAll('#rows tr').length == {count}")
        yield fleet, Photographer(browser, *folders)
        assert not browser.complaints, browser.complaints


async def calm(folders: Folders) -> None:
    """Twenty sessions that are well: light, dark, on a phone, and one of them whole."""
    async with stage(folders, 20) as (fleet, camera):
        await asyncio.sleep(HISTORY / 2)
        fleet.shaky.apply(Reset())
        await asyncio.sleep(HISTORY / 2)
        await camera.take("calm-light")
        await camera.take("calm-dark", dark=True)
        await camera.take("calm-phone", size=PHONE)
        await camera.session(2)
        await camera.take("session-light", whole=True)
        await camera.take("session-phone", size=PHONE, whole=True)


async def outage(folders: Folders) -> None:
    """Some of twenty cannot come back; the feed of one has holes."""
    async with stage(folders, 20) as (fleet, camera):
        await asyncio.sleep(HISTORY / 3)
        fleet.own.apply(Reset())
        await asyncio.sleep(HISTORY / 3)
        fleet.shaky.apply(Refuse(), Reset())
        await asyncio.sleep(HISTORY / 3)
        await camera.take("outage-light")
        await camera.take("outage-dark", dark=True)
        await camera.take("outage-phone", size=PHONE)
        await camera.session(7)
        await camera.take("outage-session-light", size=(1280, 1000))
        await camera.take("outage-session-dark", dark=True, whole=True)
        await camera.session(1)
        await camera.take("gaps-light", whole=True)


async def storm(folders: Folders) -> None:
    """Twenty sessions whose connections are cut again and again."""
    async with stage(folders, 20) as (fleet, camera):
        await asyncio.sleep(HISTORY / 2)
        for _ in range(int(HISTORY / 5)):
            fleet.main.apply(Reset())
            await asyncio.sleep(2.5)
        await camera.take("storm-light")
        await camera.session(3)
        await camera.take("storm-session-dark", dark=True, whole=True)


async def outbox(folders: Folders) -> None:
    """One session alone, offline, with a full outbox."""
    async with stage(folders, 1) as (fleet, camera):
        await asyncio.sleep(HISTORY / 2)
        await camera.take("one-light")
        fleet.own.apply(Refuse(), Reset())
        for _ in range(int(HISTORY / 2.5)):
            for _ in range(10):
                await fleet.sessions[0].send("a reading that nobody takes")
            await asyncio.sleep(1)
        await camera.take("full-outbox-dark", dark=True)
        await camera.session(1)
        await camera.take("full-outbox-session", whole=True)


async def crowd(folders: Folders) -> None:
    """Five hundred sessions, and the same when half of them are cut off."""
    async with stage(folders, 500) as (fleet, camera):
        await asyncio.sleep(HISTORY / 2)
        await camera.take("crowd-light")
        fleet.main.apply(Refuse(), Reset())
        await asyncio.sleep(HISTORY / 2)
        await camera.take("crowd-storm-dark", dark=True)
        await camera.take("crowd-phone", size=PHONE)


async def token(folders: Folders) -> None:
    """What a browser sees that has no token."""
    async with (
        Fleet(1) as fleet,
        monitor.serve(fleet.sessions, token="x" * 20, title="trading bot") as page,
        Browser() as browser,
    ):
        camera = Photographer(browser, *folders)
        await browser.show(*WIDE)
        await browser.open(page.url)
        await browser.until("!document.querySelector('#locked').hidden")
        await camera.take("token-light", size=(900, 480))


SCENES: Final[dict[str, Callable[[Folders], Awaitable[None]]]] = {
    scene.__name__: scene for scene in (calm, outage, storm, outbox, crowd, token)
}


async def main(folders: Folders, only: str | None) -> None:
    for name, scene in SCENES.items():
        if only in (None, name):
            await scene(folders)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--into", type=pathlib.Path, default=pathlib.Path(".cache/pictures")
    )
    parser.add_argument("--docs", type=pathlib.Path, help="where docs/monitor.md looks")
    parser.add_argument("--only", choices=SCENES)
    arguments = parser.parse_args()
    folders = arguments.into, arguments.docs
    for folder in filter(None, folders):
        folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(folders, arguments.only))
