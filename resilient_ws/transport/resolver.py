"""Resolves names in threads of our own, so that a slow look-up blocks nothing else.

The system's resolver cannot be cancelled, and may hang for half a minute.

Rules: a loop runs one look-up for each name at a time, and everyone who asks for that
name waits for it. Answers are not cached, so each dial gets fresh addresses. The
threads are limited in number, are not those of ``asyncio.to_thread``, and do not keep
the process from ending.
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

import attrs
from aiohttp.abc import AbstractResolver, ResolveResult

from resilient_ws.eventloop.per_loop import PerLoop
from resilient_ws.policy.host import literal
from resilient_ws.transport.current_dial import current_dial


if TYPE_CHECKING:
    from collections.abc import Callable


P = ParamSpec("P")
T = TypeVar("T")

#: The most look-ups that run at once for a loop; further names wait for one to end.
MAX_LOOK_UPS: Final = 32
#: The most addresses kept of each family: a name server may return thousands, and a
#: dial that tried them all would hold up the loop and never end.
MAX_ADDRESSES: Final = 16
_AS_NUMBERS: Final = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
#: Ask only for families that this machine has an address of, as aiohttp does.
_FLAGS: Final = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", socket.AI_ADDRCONFIG)


@attrs.frozen
class Found:
    """One address of a name."""

    family: socket.AddressFamily
    proto: int
    #: The address in digits, with its zone if it has one.
    address: str


#: A failure is passed on as a value. An exception that all who wait raised would hold
#: the frames of each.
_Outcome: TypeAlias = tuple[Found, ...] | OSError


class LookUps:
    """The look-ups that are under way for one event loop."""

    __slots__ = ("__weakref__", "_running", "_under_way", "_waiting")

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Future[_Outcome]] = {}
        self._waiting: deque[str] = deque()
        self._running = 0

    async def find(self, name: str) -> tuple[Found, ...]:
        """Return the addresses of a name, in the order of the system's resolver.

        Raises:
            OSError: The name has no address, or the resolver failed.

        Cancellation:
            Safe at any point: others who wait for this name still get its addresses.
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
        """Start waiting look-ups while there are free threads."""
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
            # Such as a UnicodeError in the resolver: the name cannot exist.
            outcome.set_result(socket.gaierror(socket.EAI_NONAME, "no such name"))
        self._start()


class Resolver(AbstractResolver):
    """Resolves names for the connectors of aiohttp."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host in aiohttp's format."""
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
        """Do nothing: other connectors share the look-ups under way."""


async def addresses_of(name: str) -> tuple[Found, ...]:
    """Return the addresses of a host for the current dial.

    Args:
        name: The host; a literal address is returned as it is.

    Raises:
        OSError: The host has no address, or the resolver failed.

    Cancellation:
        Safe at any point.
    """
    found = _literal(name)
    if found is not None:
        return (found,)
    with current_dial().looking_up():
        return await look_ups_of(asyncio.get_running_loop()).find(name)


def _literal(name: str) -> Found | None:
    address = literal(name)
    if address is None:
        return None
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the IP version
    return Found(family, 0, name)


def _look_up(name: str) -> _Outcome:
    """Ask the system's resolver; this runs in a thread."""
    try:
        try:
            infos = _ask(name, _FLAGS)
        except socket.gaierror:
            if name != "localhost":
                raise
            # Without a network, localhost must still resolve.
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


def _written(address: Any) -> str:  # noqa: ANN401 - a tuple whose length depends on the family
    """Return an address in digits, with its zone if it has one."""
    if len(address) > 3 and address[3]:  # noqa: PLR2004 - (host, port, flow, zone)
        return socket.getnameinfo(address, _AS_NUMBERS)[0]
    return str(address[0])


class _Threads(Executor):
    """Runs each job in a daemon thread, which the process does not wait for at exit."""

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Run a job in a thread of its own."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as failure:  # noqa: BLE001 - the future raises it
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

look_ups_of: Final = PerLoop(lambda _: LookUps())
