"""What a row of the table is: a promise, a play, and what came of it.

Rules: the play is the same for every library; the verdict is computed from what was
observed, with the time of each; a drop that nothing justified is a false alarm, and
breaks every promise.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

from benchmarks.reliability.clients.user import Settings
from benchmarks.reliability.network import NAME, NAMES, PORT, ROOT, SERVER, Network
from benchmarks.reliability.program import Program


if TYPE_CHECKING:
    from benchmarks.reliability.network import Host


US: Final = "resilient_ws"
#: The libraries, and the programs of their users.
CLIENTS: Final = {
    US: "ours",
    "aiohttp": "aiohttp_loop",
    "websockets": "websockets_iterator",
    "picows": "picows_loop",
}

#: The settings that promises are made in terms of.
USUAL: Final = Settings()
#: What "noticed in time" allows beyond both timeouts, in seconds.
GRACE: Final = 1.0
NOTICED_WITHIN: Final = USUAL.ping_interval + USUAL.ping_timeout + GRACE
#: What "closed in time" allows beyond the timeout.
CLOSE_GRACE: Final = 0.5
CLOSED_WITHIN: Final = USUAL.close_timeout + CLOSE_GRACE
#: The longest pause between dials, a dial that began too early, and a second.
BACK_WITHIN: Final = 2.0 + USUAL.open_timeout + GRACE
#: For as long a row waits for what should have happened long before.
PATIENCE: Final = 15.0

FEED: Final = "/feed?n=1000000&every=0.1"

Library = Literal["node", "websockets", "aiohttp"]
_SERVERS: Final = {
    "node": ("node", str(ROOT / "tests/servers/node/serve_ws.js")),
    "websockets": (sys.executable, "-m", "tests.servers.serve_websockets"),
    "aiohttp": (sys.executable, "-m", "tests.servers.serve_aiohttp"),
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a play.

    Attributes:
        kept: Whether the promise was.
        words: What happened, with ``{name}`` where a figure belongs.
        figures: In seconds, or with ``{name:d}`` a count; ``None`` for what did not
            happen while the row waited.
        false_alarms: How many healthy connections the client gave up.
    """

    kept: bool
    words: str
    figures: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    false_alarms: int = 0


class Client(Program):
    """The program of a library's user, in the client's namespace."""

    def __init__(
        self, host: Host, library: str, settings: Settings, starting: asyncio.Semaphore
    ) -> None:
        module = f"benchmarks.reliability.clients.{CLIENTS[library]}"
        options = json.dumps(dataclasses.asdict(settings))
        super().__init__(host, sys.executable, "-m", module, options, starting=starting)

    async def after(self, event: str, since: float, within: float) -> float | None:
        """The seconds from then until that event; ``None`` when it did not come."""
        line = await self.until(event, since=since, within=within)
        return None if line is None else line["at"] - since

    def drops(self, since: float = 0.0) -> int:
        """How many open connections were given up since then."""
        return len(self.said("dropped", since=since))

    async def leave(self) -> float | None:
        """Close; the seconds until the program had left it behind, if it did.

        Not until ``close`` returned: aiohttp's returns at once when another task
        iterates, and leaves the waiting to that one.
        """
        since = time.monotonic()
        await self.order("close")
        return await self.after("over", since, PATIENCE)


class Stage:
    """Where a play takes place: namespaces, a server, clients. All gone afterwards."""

    def __init__(
        self,
        library: str,
        *,
        server: Library,
        routed: bool = False,
        starting: asyncio.Semaphore | None = None,
    ) -> None:
        self.library = library
        self.network = Network(routed=routed)
        self._starting = starting or asyncio.Semaphore(2)
        node = shutil.which("node") or "node"
        program, *words = _SERVERS[server]
        words = [node if program == "node" else program, *words, str(PORT), "*"]
        self.server = self.program(self.network.server, *words)
        #: The name server, once there is one.
        self.names: Program | None = None
        self._cleanup = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as cleanup:
            await cleanup.enter_async_context(self.network)
            await cleanup.enter_async_context(self.server)
            self._cleanup = cleanup.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._cleanup.aclose()

    def program(self, host: Host, *words: str, ready: str | None = None) -> Program:
        """A program in a namespace, not started."""
        return Program(host, *words, starting=self._starting, ready=ready)

    async def client(
        self, path: str = FEED, settings: Settings = USUAL, *, host: str = SERVER
    ) -> Client:
        """A client that is started; it may not be connected yet."""
        client = Client(
            self.network.client,
            self.library,
            dataclasses.replace(
                settings, url=settings.url or f"ws://{host}:{PORT}{path}"
            ),
            self._starting,
        )
        return await self._cleanup.enter_async_context(client)

    async def receiver(
        self, path: str = FEED, settings: Settings = USUAL, *, host: str = SERVER
    ) -> Client:
        """A client that has received something."""
        return await self._client_that("messages", path, settings, host)

    async def talker(self, path: str = "/sink") -> Client:
        """A client that is connected, to a server that says nothing."""
        return await self._client_that("opened", path, USUAL, SERVER)

    async def _client_that(
        self, event: str, path: str, settings: Settings, host: str
    ) -> Client:
        client = await self.client(path, settings, host=host)
        if not await client.until(event, within=PATIENCE):
            raise RuntimeError(f"no {event}: {client.lines} {client.complaint}")
        return client

    async def name_server(self, *answers: str) -> None:
        """Start, or start again, what answers for ``NAME`` with these addresses."""
        if self.names is None:
            await self.network.address(self.network.server, NAMES)
            self.network.client.resolve_with(NAMES)
        else:
            await self.names.kill()
        self.names = self.program(
            self.network.server,
            "dnsmasq",
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            f"--listen-address={NAMES}",
            "--bind-interfaces",
            f"--host-record={','.join((NAME, *answers))},0",
            ready="started",
        )
        await self._cleanup.enter_async_context(self.names)


Play: TypeAlias = Callable[[Stage], Awaitable[Outcome]]


@dataclasses.dataclass(frozen=True, eq=False)
class Situation:
    """One row.

    Attributes:
        name: What happens, for the first column.
        promise: What is to hold, for the second.
        play: Does it.
        server: Whose server is at the other end. aiohttp's answers pings only while
            its handler reads, which is not during a feed.
        routed: Whether a router that translates addresses is between.
        alone: Whether it loads the machine, and so must not run beside others.
        rounds: How often it is played.
        without: The libraries that cannot take part, each with the reason.
    """

    name: str
    promise: str
    play: Play
    server: Library
    routed: bool
    alone: bool
    rounds: int
    without: Mapping[str, str]


#: Every row, in the order of the page.
SITUATIONS: Final[list[Situation]] = []


def situation(
    name: str,
    promise: str,
    *,
    server: Library = "node",
    routed: bool = False,
    alone: bool = False,
    rounds: int = 3,
    without: Mapping[str, str] | None = None,
) -> Callable[[Play], Play]:
    """Make a coroutine a row; the options are those of ``Situation``."""

    def register(play: Play) -> Play:
        row = Situation(
            name=name,
            promise=promise,
            play=play,
            server=server,
            routed=routed,
            alone=alone,
            rounds=rounds,
            without=without or {},
        )
        SITUATIONS.append(row)
        return play

    return register


async def perform(
    row: Situation, library: str, starting: asyncio.Semaphore | None = None
) -> Outcome:
    """Play a row once with one library; a play that breaks down has not kept it."""
    try:
        async with Stage(
            library, server=row.server, routed=row.routed, starting=starting
        ) as stage:
            return await row.play(stage)
    except Exception as error:  # noqa: BLE001 - one play must not end the others
        return Outcome(kept=False, words=f"the play broke down: {error!r}")


def within(seconds: float | None, bound: float) -> bool:
    """Whether it happened, and in time."""
    return seconds is not None and seconds <= bound
