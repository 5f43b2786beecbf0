"""What the user of a library sees and does, whichever library it is.

Each client program is ``python -m benchmarks.reliability.clients.NAME SETTINGS``, with
the settings as JSON. It prints a JSON line for whatever its user can see, and takes
orders as JSON lines: ``send`` (count, size), ``block`` (seconds), ``close``,
``cancel``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence


#: Seconds between two reports of how many messages came.
_REPORT_EVERY: Final = 0.05


@dataclass(frozen=True)
class Settings:
    """What all libraries are set to, in seconds. Small, so that a row takes seconds.

    Compression is off: a row that fills buffers must know how many bytes there are.
    """

    url: str = ""
    ping_interval: float = 2.0
    ping_timeout: float = 2.0
    open_timeout: float = 3.0
    close_timeout: float = 2.0
    #: Whether to wait between dials as the library does by default. Else between half
    #: a second and two, where that can be set, so that a row need not last a minute.
    default_backoff: bool = False
    #: What to do with messages that nobody takes, where that can be set.
    overflow: Literal["pause", "drop_oldest"] = "pause"
    #: After so many messages the consumer does not take any for so long.
    stall_after: int = 0
    stall_for: float = 0.0
    #: How many clients there are in the one process, each with a URL of its own.
    clients: int = 1
    #: Whether ``Authorization`` and ``Cookie`` are sent, and whether a new token can be
    #: got for each dial, where that is possible.
    credentials: Literal["none", "fixed", "fresh"] = "none"
    #: The file of the authority that issues certificates, if not one of the system's.
    authority: str = ""
    #: Believed of a server that says when to come back, where that can be set.
    retry_after_cap: float = 900.0
    fatal_after: float = 900.0
    #: So many dials a second for all clients together, where that can be set.
    dials_per_second: int | None = None
    #: What a callback of the user's does, where there are callbacks.
    callback: Literal[
        "", "raises", "never returns", "closes", "sends", "closes in on_open"
    ] = ""


class User:
    """Tells what happened, and does what it is told."""

    def __init__(self, settings: Settings, number: int = 0) -> None:
        self.settings = settings
        self._number = number
        self.leaving = False
        self._open = False
        self._received = 0
        self._last = 0
        self._missing = 0
        self._repeated = 0
        self._reported_at = 0.0
        self._report: asyncio.TimerHandle | None = None
        self._send: Callable[[bytes], Awaitable[object]] | None = None
        self._close: Callable[[], Awaitable[object]] | None = None
        self._main: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._tokens = itertools.count(1)

    # What the library is given.

    @property
    def url(self) -> str:
        """Where to dial; of many clients, each says which one it is."""
        url = self.settings.url
        return url if self.settings.clients == 1 else f"{url}?client={self._number}"

    def headers(self) -> dict[str, str]:
        """The user's own for the next dial."""
        match self.settings.credentials:
            case "none":
                return {}
            case "fixed":
                return {"Authorization": "Bearer 1", "Cookie": "session=1"}
            case "fresh":
                return {"Authorization": f"Bearer {next(self._tokens)}"}

    def tls(self) -> ssl.SSLContext | None:
        """What to trust; ``None`` for what is usual."""
        authority = self.settings.authority
        return ssl.create_default_context(cafile=authority) if authority else None

    # What the library lets its user see.

    def ready(self) -> None:
        """All is imported; the first dial follows at once."""
        self.tell("ready")

    def opened(
        self,
        send: Callable[[bytes], Awaitable[object]],
        close: Callable[[], Awaitable[object]],
    ) -> None:
        """A connection is open."""
        self._open, self._send, self._close = True, send, close
        self.tell("opened")

    async def received(self, text: str | bytes) -> None:
        """A message came: the feed numbers them."""
        number = int(text)
        if self._received and number > self._last:
            self._missing += number - self._last - 1
        elif self._received:
            self._repeated += 1
        self._last = number
        self._received += 1
        if self._report is None:
            left = self._reported_at + _REPORT_EVERY - time.monotonic()
            loop = asyncio.get_running_loop()
            self._report = loop.call_later(max(0.0, left), self._tell_messages)
        if self._received == self.settings.stall_after:
            self.tell("stalling")
            await asyncio.sleep(self.settings.stall_for)
            self.tell("taking")

    def _tell_messages(self) -> None:
        self._report = None
        self.tell("messages")

    def ended(self, because: object) -> None:
        """The connection ended, or the attempt to make one failed."""
        self.tell("dropped" if self._open else "failed", because=repr(because))
        self._open = False

    def tell(self, event: str, **fields: object) -> None:
        """Print a line; in each stands how many messages came so far."""
        now = time.monotonic()
        self._reported_at = now
        line = {
            "event": event,
            "at": now,
            "client": self._number,
            "received": self._received,
            "last": self._last,
            "missing": self._missing,
            "repeated": self._repeated,
            "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            **fields,
        }
        print(json.dumps(line), flush=True)

    # What it is told to do.

    def obey(self, order: dict[str, Any]) -> None:
        """Start to do what an order says."""
        match order:
            case {"do": "send", "count": count, "size": size}:
                self._start(self._send_many(count, size))
            case {"do": "block", "seconds": seconds}:
                self.tell("blocking")
                time.sleep(seconds)
                self.tell("unblocked")
            case {"do": "close"}:
                self._start(self._leave())
            case {"do": "cancel"}:
                assert self._main is not None
                self.tell("cancelling")
                self._main.cancel()
            case _:
                raise ValueError(f"not an order: {order}")

    async def _send_many(self, count: int, size: int) -> None:
        assert self._send is not None
        for number in range(count):
            try:
                # Random: no compression makes less of it.
                await self._send(os.urandom(size))
            except Exception as error:  # noqa: BLE001 - whatever the library raises
                self.tell("refused", number=number, because=repr(error))
                return
        self.tell("sent", count=count)

    async def _leave(self) -> None:
        assert self._close is not None
        self.leaving = True
        self.tell("closing")
        try:
            await self._close()
        except Exception as error:  # noqa: BLE001 - whatever the library raises
            self.tell("close failed", because=repr(error))
        self.tell("closed")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def live(self, program: Callable[[User], Awaitable[None]]) -> None:
        """Run the program to its end, and tell how it ended."""
        self._main = asyncio.get_running_loop().create_task(_of(program, self))
        try:
            await self._main
        except asyncio.CancelledError:
            self.tell("over", because="cancelled")
        except Exception as error:
            # The program of a user who does not catch it ends here.
            self.tell("over", because=repr(error))
            raise
        else:
            await asyncio.gather(*self._tasks)
            self.tell("over", because="closed")


async def _of(program: Callable[[User], Awaitable[None]], user: User) -> None:
    await program(user)


def _listen(users: Sequence[User], loop: asyncio.AbstractEventLoop) -> None:
    for line in sys.stdin:
        for user in users:
            loop.call_soon_threadsafe(user.obey, json.loads(line))
    # Whoever started us is gone.
    os._exit(0)


async def _live(
    users: Sequence[User], program: Callable[[User], Awaitable[None]]
) -> None:
    """Run the programs of all, and the orders beside them."""
    arguments = (users, asyncio.get_running_loop())
    threading.Thread(target=_listen, args=arguments, daemon=True).start()
    lives = (user.live(program) for user in users)
    # One that ends does not end the others.
    for end in await asyncio.gather(*lives, return_exceptions=True):
        if isinstance(end, BaseException):
            raise end


def main(program: Callable[[User], Awaitable[None]]) -> None:
    """Run one library's program with the settings of the command line."""
    settings = Settings(**json.loads(sys.argv[1]))
    users = [User(settings, number) for number in range(settings.clients)]
    asyncio.run(_live(users, program))
