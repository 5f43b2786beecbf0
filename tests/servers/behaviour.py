"""What the test servers do at which path: one vocabulary for all of them.

Paths, with their queries (``node/serve_ws.js`` speaks the same):

``/echo``
    sends every message back.
``/sink``
    takes every message, and says nothing.
``/feed?n=10&every=0&from=1&size=0&then=1000``
    sends the numbers ``from`` to ``from + n - 1`` as texts, one every ``every``
    seconds, padded with spaces to ``size`` bytes; then closes with ``then``, or
    without it stays and echoes.
``/count?n=10&every=0``
    the same, but goes on counting where the last connection stopped (one counter
    for the process), so that what was lost in between shows.
``/control``
    takes commands as texts, and echoes anything else: ``close 4001 reason``,
    ``reset`` (RST), ``drop`` (FIN without a close frame), ``half-close`` (FIN, and
    goes on reading and logging), ``mute`` (reads no more), ``burst N SIZE``,
    ``ping PAYLOAD``, ``sleep SECONDS`` (the application takes no message meanwhile; its
    loop runs), ``block SECONDS`` (it holds its loop up).
``/accept-close?code=1013&reason=later``
    accepts and closes at once; ``code=rst`` resets, ``code=fin`` drops.
``/refuse?status=503&retry_after=1&location=...``
    answers the handshake with that status; with ``unless=Bearer 2`` not to those
    whose ``Authorization`` is this. In Python also
    ``retry_date=1``, for a ``Retry-After`` that is the date so many seconds ahead;
    ``spared=1``, for the first connection to be let in; and ``location=self``.

With ``times=3`` the last two do so to the first three connections, and then echo.
Each server listens on the loopback, or with ``*`` as its second argument on every
address. It logs, as JSON lines on its standard output with a ``seq`` of their own and
the time ``at`` which it happened (CLOCK_MONOTONIC, seconds): ``ready``, ``request``
(path; before any answer), ``open`` (connection, path, headers), ``refuse`` (path,
headers, status), ``message`` (connection, size, and text or hex of what is short),
``close`` (connection, code, reason).

node's alone takes ``ping=0.5`` with any path, to ping every so many seconds, and logs
each ``ping`` and each ``pong`` (connection), asked for or not.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import email.utils
import itertools
import json
import math
import signal
import socket
import struct
import sys
import time
import urllib.parse
from typing import TYPE_CHECKING, Final, Protocol


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping


MAX_MESSAGE_SIZE: Final = 64 * 1024 * 1024
_SHOWN: Final = 1024
_HEADERS: Final = (
    "authorization",
    "cookie",
    "host",
    "origin",
    "user-agent",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
)

_sequence = itertools.count(1)
_counter = itertools.count(1)
_asked: collections.Counter[str] = collections.Counter()


class Peer(Protocol):
    """One accepted connection, as a library shows it."""

    async def send(self, message: str | bytes) -> None:
        """Send one message."""

    def receive(self) -> AsyncIterator[str | bytes]:
        """Give every message until the connection ends."""

    async def close(self, code: int | None, reason: str) -> None:
        """Close, with the handshake of RFC 6455."""

    async def ping(self, payload: bytes) -> None:
        """Send a ping."""

    @property
    def transport(self) -> asyncio.Transport:
        """The socket beneath."""


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An answer to a handshake that is not 101."""

    status: int
    headers: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Request:
    """A handshake's target and the headers a test may want to see."""

    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]

    @classmethod
    def of(cls, target: str, headers: Iterable[tuple[str, str]]) -> Request:
        """Split a request's target, and pick from its headers."""
        parts = urllib.parse.urlsplit(target)
        return cls(
            target=target,
            path=parts.path,
            query=dict(urllib.parse.parse_qsl(parts.query)),
            headers={
                name.lower(): value
                for name, value in headers
                if name.lower() in _HEADERS or name.lower().startswith("x-")
            },
        )

    def refusal(self) -> Refusal | None:
        """Whether, and how, to refuse the handshake. Ask once: it counts and logs."""
        log("request", path=self.target)
        if self.path != "/refuse" or self._is_authorized() or not self.is_due():
            return None
        names = {"retry_after": "Retry-After", "location": "Location"}
        headers = {
            header: self.query[name]
            for name, header in names.items()
            if name in self.query
        }
        if headers.get("Location") == "self":
            headers["Location"] = self.target
        if "retry_date" in self.query:
            # A date has no fractions: it is never too early.
            date = math.ceil(time.time() + float(self.query["retry_date"]))
            headers["Retry-After"] = email.utils.formatdate(date, usegmt=True)
        refusal = Refusal(int(self.query.get("status", "503")), headers)
        log(
            "refuse",
            path=self.target,
            headers=self.headers,
            status=refusal.status,
        )
        return refusal

    def _is_authorized(self) -> bool:
        wanted = self.query.get("unless")
        return wanted is not None and self.headers.get("authorization") == wanted

    def is_due(self) -> bool:
        """Whether ``times`` allows what the path names, this time."""
        _asked[self.target] += 1
        due = _asked[self.target] - int(self.query.get("spared", "0"))
        return 0 < due <= float(self.query.get("times", "inf"))


def log(event: str, **fields: object) -> None:
    """Tell the test, in order, what happened."""
    entry = {"seq": next(_sequence), "at": time.monotonic(), "event": event, **fields}
    print(json.dumps(entry), flush=True)


def host(arguments: list[str]) -> str | None:
    """Where to listen; ``None`` is every address of the machine or the namespace."""
    return None if arguments == ["*"] else "127.0.0.1"


class Conversation:
    """What one connection goes through, whatever library holds it."""

    _ids = itertools.count(1)

    def __init__(self, peer: Peer, request: Request) -> None:
        self._peer = peer
        self._request = request
        self._id = next(self._ids)
        log("open", connection=self._id, path=request.target, headers=request.headers)

    def closed(self, code: int | None, reason: str) -> None:
        """Log the end."""
        log("close", connection=self._id, code=code, reason=reason)

    async def run(self) -> None:
        """Do what the path says; return or raise when the connection is over."""
        query = self._request.query
        match self._request.path:
            case "/feed":
                start = int(query.get("from", "1"))
                await self._feed(itertools.count(start), query)
            case "/count":
                await self._feed(_counter, query)
            case "/accept-close" if self._request.is_due():
                code = query.get("code", "1000")
                await self._end(code, query.get("reason", ""))
            case _:
                pass
        await self._converse()

    async def _feed(
        self, numbers: itertools.count[int], query: Mapping[str, str]
    ) -> None:
        every = float(query.get("every", "0"))
        size = int(query.get("size", "0"))
        for _ in range(int(query.get("n", "10"))):
            await self._peer.send(str(next(numbers)).ljust(size))
            await asyncio.sleep(every)
        if "then" in query:
            await self._end(query["then"], "")

    async def _end(self, how: str, reason: str) -> None:
        match how:
            case "rst":
                reset(self._peer.transport)
            case "fin":
                self._peer.transport.close()
            case _:
                await self._peer.close(int(how), reason)

    async def _converse(self) -> None:
        async for message in self._peer.receive():
            self._log_message(message)
            is_command = self._request.path == "/control" and isinstance(message, str)
            if is_command and await self._obey(str(message)):
                continue
            if self._request.path != "/sink":
                await self._peer.send(message)

    async def _obey(self, command: str) -> bool:
        transport = self._peer.transport
        match command.split(maxsplit=2):
            case ["close", code, *reason]:
                await self._peer.close(int(code), " ".join(reason))
            case ["reset"]:
                reset(transport)
            case ["drop"]:
                transport.close()
            case ["half-close"]:
                transport.write_eof()
                # Nothing can be sent now, so nothing is echoed.
                async for message in self._peer.receive():
                    self._log_message(message)
            case ["burst", count, size]:
                for number in range(1, int(count) + 1):
                    await self._peer.send(str(number).ljust(int(size)))
            case ["ping", *payload]:
                await self._peer.ping(" ".join(payload).encode())
            case words:
                return await self._be_busy(words)
        return True

    async def _be_busy(self, command: list[str]) -> bool:
        match command:
            case ["mute"]:
                self._peer.transport.pause_reading()
                await asyncio.Event().wait()
            case ["sleep", seconds]:
                await asyncio.sleep(float(seconds))
            case ["block", seconds]:
                time.sleep(float(seconds))  # noqa: ASYNC251 - as it is asked to
            case _:
                return False
        return True

    def _log_message(self, message: str | bytes) -> None:
        shown: dict[str, str] = {}
        if len(message) <= _SHOWN:
            if isinstance(message, str):
                shown["text"] = message
            else:
                shown["hex"] = message.hex()
        log("message", connection=self._id, size=len(message), **shown)


def reset(transport: asyncio.Transport) -> None:
    """End a connection with an RST, throwing away what was not sent yet."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def until_told_to_end() -> None:
    """Wait for SIGTERM, or for the test run that started us to be gone."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    loop.remove_reader(sys.stdin.fileno())
