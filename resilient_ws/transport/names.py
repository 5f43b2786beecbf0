"""Names become addresses in threads of our own, that hold nothing up.

A look-up in the system's resolver cannot be cancelled, and may hang for half a minute.
Rules: of one name one look-up is under way in a loop, and whoever asks meanwhile waits
for that one; nothing is kept of its answer, so each dial has fresh addresses; threads
are bounded, are not those of ``asyncio.to_thread``, and end with the process.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections import deque
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import attrs
from aiohttp.abc import AbstractResolver, ResolveResult

from resilient_ws.policy.host import literal
from resilient_ws.transport.at_hand import looking_up


if TYPE_CHECKING:
    from collections.abc import Callable


P = ParamSpec("P")
T = TypeVar("T")

#: How many look-ups run at once in a loop; further names wait for one that ends.
MAX_LOOK_UPS: Final = 32
#: How many addresses of each family are kept: a name server may give thousands, and a
#: dial that tries them holds the loop up, and never comes to an end.
MAX_ADDRESSES: Final = 16
_AS_NUMBERS: Final = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
#: Only addresses that an interface here could reach, as aiohttp asks.
_FLAGS: Final = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", socket.AI_ADDRCONFIG)


@attrs.frozen
class Found:
    """One address of a name."""

    family: socket.AddressFamily
    proto: int
    #: With its zone, where it has one.
    address: str


#: A failure is a value too: an exception that many raise would hold all their frames.
_Outcome: TypeAlias = tuple[Found, ...] | OSError


class LookUps:
    """The look-ups that are under way in one event loop."""

    __slots__ = ("__weakref__", "_running", "_under_way", "_waiting")

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Future[_Outcome]] = {}
        self._waiting: deque[str] = deque()
        self._running = 0

    @staticmethod
    def of_this_loop() -> LookUps:
        """Return those of the running loop."""
        loop = asyncio.get_running_loop()
        look_ups = _by_loop.get(loop)
        if look_ups is None:
            # A loop that ended before its look-ups did is held by their futures.
            for ended in [other for other in _by_loop if other.is_closed()]:
                del _by_loop[ended]
            look_ups = _by_loop[loop] = LookUps()
        return look_ups

    async def find(self, name: str) -> tuple[Found, ...]:
        """Return the addresses of a name, in the order of the system's resolver.

        Raises:
            OSError: It has none, or the resolver failed.

        Cancellation:
            Safe at any point: the others who wait for this name go on waiting.
        """
        outcome = self._under_way.get(name)
        if outcome is None:
            outcome = asyncio.get_running_loop().create_future()
            self._under_way[name] = outcome
            self._waiting.append(name)
            self._start()
        found = await asyncio.shield(outcome)
        if isinstance(found, OSError):
            raise type(found)(*found.args)
        return found

    def _start(self) -> None:
        """Begin what waits, as far as there are threads."""
        loop = asyncio.get_running_loop()
        while self._waiting and self._running < MAX_LOOK_UPS:
            name = self._waiting.popleft()
            self._running += 1
            job = loop.run_in_executor(_THREADS, _look_up, name)
            job.add_done_callback(partial(self._finish, name))

    def _finish(self, name: str, job: asyncio.Future[_Outcome]) -> None:
        self._running -= 1
        outcome = self._under_way.pop(name)
        failure = job.exception()
        if failure is None:
            outcome.set_result(job.result())
        elif isinstance(failure, OSError):
            outcome.set_result(failure)
        else:
            # Such as a UnicodeError of the resolver: to whoever asks, no such name.
            outcome.set_result(socket.gaierror(socket.EAI_NONAME, "no such name"))
        self._start()


class Names(AbstractResolver):
    """What a connector of ours asks for the addresses of a host."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host as aiohttp wants them."""
        return [
            ResolveResult(
                hostname=host,
                host=found.address,
                port=port,
                family=found.family,
                proto=found.proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found in await addresses_of(host)
            if family in (socket.AF_UNSPEC, found.family)
        ]

    async def close(self) -> None:
        """Do nothing: what is under way is shared."""


async def addresses_of(name: str) -> tuple[Found, ...]:
    """Return the addresses of a host that the dial at hand leads to.

    Args:
        name: The host; one that is an address is its only one.

    Raises:
        OSError: It has none, or the resolver failed.

    Cancellation:
        Safe at any point.
    """
    found = _literal(name)
    if found is not None:
        return (found,)
    with looking_up():
        return await LookUps.of_this_loop().find(name)


def _literal(name: str) -> Found | None:
    address = literal(name)
    if address is None:
        return None
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - of IP
    return Found(family, 0, name)


def _look_up(name: str) -> _Outcome:
    """Ask the system, in a thread."""
    try:
        try:
            infos = _ask(name, _FLAGS)
        except socket.gaierror:
            if name != "localhost":
                raise
            # Without a network there is still this machine.
            infos = _ask(name, 0)
        left = {socket.AF_INET: MAX_ADDRESSES, socket.AF_INET6: MAX_ADDRESSES}
        found: list[Found] = []
        for family, _, proto, _, address in infos:
            if left.get(family, 0):
                left[family] -= 1
                found.append(Found(family, proto, _written(address)))
    except OSError as failure:
        return failure.with_traceback(None)
    return tuple(found) or socket.gaierror(socket.EAI_NONAME, "no address")


def _ask(name: str, flags: int) -> list[Any]:
    return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=flags)


def _written(address: Any) -> str:  # noqa: ANN401 - a tuple of a length that the family tells
    """Return an address in digits, and the zone without which it is nowhere."""
    if len(address) > 3 and address[3]:  # noqa: PLR2004 - (host, port, flow, zone)
        return socket.getnameinfo(address, _AS_NUMBERS)[0]
    return str(address[0])


class _Threads(Executor):
    """One thread for each job, which the end of the process does not wait for."""

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Run a job in a thread of its own."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as failure:  # noqa: BLE001 - its place is in the future
                future.set_exception(failure)
            else:
                future.set_result(result)

        thread = threading.Thread(target=run, name="resilient_ws look-up", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            future.set_exception(OSError(errno.EAGAIN, "no thread for a look-up"))
        return future


_THREADS: Final = _Threads()
_by_loop: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, LookUps]] = (
    WeakKeyDictionary()
)
