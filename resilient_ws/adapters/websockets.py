"""``websockets.connect``, on sessions of ours: a program changes one import.

::

    from resilient_ws.adapters import websockets

    async for websocket in websockets.connect("wss://example.com/feed"):
        try:
            async for message in websocket:
                ...
        except websockets.ConnectionClosed:
            continue

What this module does not define is that of ``websockets`` itself: its exceptions, its
server, its types.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import attrs
import websockets as original
from multidict import CIMultiDict
from websockets import exceptions as exceptions  # noqa: PLC0414 - passed on

# websockets defined it here once, and still lets it be imported from here.
from websockets.asyncio.client import (  # type: ignore[attr-defined]
    process_exception as _process_exception,  # pyright: ignore[reportPrivateImportUsage]
)
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConcurrencyError as ConcurrencyError,  # noqa: PLC0414 - passed on
    ConnectionClosed as ConnectionClosed,  # noqa: PLC0414 - passed on
    ConnectionClosedError as ConnectionClosedError,  # noqa: PLC0414 - passed on
    ConnectionClosedOK as ConnectionClosedOK,  # noqa: PLC0414 - passed on
    InvalidHandshake as InvalidHandshake,  # noqa: PLC0414 - passed on
    InvalidStatus as InvalidStatus,  # noqa: PLC0414 - passed on
    InvalidURI as InvalidURI,  # noqa: PLC0414 - passed on
    WebSocketException as WebSocketException,  # noqa: PLC0414 - passed on
)
from websockets.http11 import USER_AGENT, Request, Response

from resilient_ws import (
    Access,
    Connection,
    Inbox,
    Liveness,
    Reconnect,
    ResilientWSError,
    Timeouts,
)
from resilient_ws.adapters.held_connection import dial
from resilient_ws.adapters.outages import Outages
from resilient_ws.adapters.websockets_connection import ClientConnection
from resilient_ws.adapters.websockets_errors import as_websockets


if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Generator,
        Iterator,
        Mapping,
        Sequence,
    )
    from types import TracebackType

    from tenacity import RetryCallState
    from websockets.datastructures import HeadersLike

#: What stands for no limit where a number is needed: a day, and a size.
_LONG: Final = 86_400.0
_MANY: Final = 2**31
#: websockets' own number, which counts frames; a session has a larger buffer.
_MAX_QUEUE: Final = 16
#: As websockets: it dials without TLS, and follows redirects.
_AS_WEBSOCKETS: Final = Access(
    allow_insecure=True, allow_redirects="any", max_redirects=10
)
#: The outages of each loop, which all its connections share.
_SHARED: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Outages]] = (
    WeakKeyDictionary()
)


class connect:  # noqa: N801 - as websockets calls it
    """Connect to a server: ``async with``, ``await``, or ``async for`` to reconnect.

    The arguments are those of ``websockets.connect``. What a session cannot do is
    refused: ``sock``, ``host``, ``port``, ``extensions``, ``create_connection``.
    ``write_limit`` and ``logger`` have no effect.

    In each form, a dial waits while its endpoint is in trouble: all connections of a
    loop to one endpoint share one count of failures, and one that ends before it has
    become stable (``reconnect.stable_after``, 10 s) counts as a failure.

    Args:
        uri: Where to connect.
        process_exception: Whether a failed dial ends ``async for``, as in websockets.
        reconnect_delays: The delays of this object alone, instead of ``reconnect``.
        reconnect: When to dial again: of ``Reconnect()``, ``wait``, ``stable_after``
            and ``retry_after_cap``.
        access: Where to connect to. Unlike a session, it allows ``ws://`` to anywhere,
            and redirects.
        settings: More arguments of ``resilient_ws.connect``.

    Raises:
        TypeError: An argument that a session cannot do.
        InvalidURI: The URI is wrong.
        OSError, InvalidHandshake, TimeoutError: When awaited or entered.
    """

    def __init__(
        self,
        uri: str,
        *,
        origin: str | None = None,
        extensions: None = None,
        subprotocols: Sequence[str] | None = None,
        compression: str | None = "deflate",
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        proxy: str | bool | None = True,
        process_exception: Callable[[Exception], Exception | None] = _process_exception,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        reconnect_delays: Callable[[], Iterator[float]] | None = None,
        max_size: int | tuple[int | None, int | None] | None = 2**20,
        max_queue: int | tuple[int | None, int | None] | None = _MAX_QUEUE,
        write_limit: int | tuple[int, int | None] = 2**15,  # noqa: ARG002 - no effect
        logger: object = None,  # noqa: ARG002 - no effect
        create_connection: None = None,
        ssl: Any = None,
        reconnect: Reconnect | None = None,
        access: Access = _AS_WEBSOCKETS,
        settings: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        _refuse({**others, "extensions": extensions, "connection": create_connection})
        self.uri = uri
        self.process_exception = process_exception
        self._reconnect = _policy(reconnect, reconnect_delays)
        shared = reconnect is None and reconnect_delays is None
        self._own = None if shared else Outages(self._reconnect)
        self._headers = _headers(additional_headers, user_agent_header)
        self._settings: dict[str, Any] = {
            **_handshake(self._headers, origin, subprotocols, compression),
            "proxy": "env" if proxy is True else proxy or None,
            "ssl": ssl or True,
            "access": access,
            **_patience(ping_interval, ping_timeout, open_timeout, close_timeout),
            **_bounds(max_size, max_queue),
            **(settings or {}),
        }
        self._connection: ClientConnection | None = None

    async def _connect(self) -> ClientConnection:
        answered: dict[str, str] = {}

        async def look(connection: Connection) -> None:
            answered.update(connection.headers)

        try:
            held = await dial(
                self.uri,
                self._outages().of(self.uri),
                self._reconnect,
                on_open=look,
                **self._settings,
            )
        except ResilientWSError as failure:
            raised = as_websockets(failure)
        except ValueError as wrong:
            if "url" not in str(wrong):
                raise
            raised = InvalidURI("the URI", str(wrong))
        else:
            target = urlsplit(self.uri)
            path = (target.path or "/") + (target.query and f"?{target.query}")
            request = Request(path, Headers(list(self._headers.items())))
            headers = Headers(list(answered.items()))
            response = Response(101, "Switching Protocols", headers)
            return ClientConnection(held, request, response)
        raise raised

    def _outages(self) -> Outages:
        if self._own is not None:
            return self._own
        loop = asyncio.get_running_loop()
        return _SHARED.setdefault(loop, Outages(self._reconnect))

    # ... = await connect(...)

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        return self._connect().__await__()

    # async with connect(...) as ...:

    async def __aenter__(self) -> ClientConnection:
        if self._connection is not None:
            raise RuntimeError("connect() isn't reentrant")
        self._connection = await self
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.__aexit__(kind, value, traceback)

    # async for ... in connect(...):

    async def __aiter__(self) -> AsyncIterator[ClientConnection]:
        """Yield one connection after another, each closed before the next is made.

        Raises:
            Exception: What ``process_exception`` returned for a dial that failed.
        """
        while True:
            try:
                connection = await self
            except Exception as failure:
                fatal = self.process_exception(failure)
                if fatal is failure:
                    raise
                if fatal is not None:
                    raise fatal from failure
                # The outage of the endpoint makes the next dial wait.
                continue
            async with connection:
                yield connection


class _Delays:
    """A ``Reconnect.wait`` of what ``reconnect_delays`` generates for each outage."""

    def __init__(self, delays: Callable[[], Iterator[float]]) -> None:
        self._make = delays
        self._delays = delays()

    def __call__(self, state: RetryCallState) -> float:
        if state.attempt_number == 1:
            self._delays = self._make()
        return next(self._delays)


def _policy(
    reconnect: Reconnect | None, delays: Callable[[], Iterator[float]] | None
) -> Reconnect:
    policy = reconnect or Reconnect()
    return policy if delays is None else attrs.evolve(policy, wait=_Delays(delays))


def _patience(
    ping_interval: float | None,
    ping_timeout: float | None,
    opening: float | None,
    closing: float | None,
) -> dict[str, Any]:
    """Return how long a session waits: for pongs, handshakes and the close."""
    return {
        "liveness": Liveness(ping_interval=ping_interval, ping_timeout=ping_timeout),
        "timeouts": Timeouts(open=opening or _LONG, close=closing or _LONG),
    }


def _handshake(
    headers: CIMultiDict[str],
    origin: str | None,
    subprotocols: Sequence[str] | None,
    compression: str | None,
) -> dict[str, Any]:
    """Return what a session asks for in its handshake; take ``Origin`` of the headers.

    Raises:
        ValueError: The compression is unknown.
    """
    if compression not in {None, "deflate"}:
        raise ValueError(f"unsupported compression: {compression}")
    return {
        "headers": headers,
        "origin": origin or headers.popall("Origin", [None])[0],
        "subprotocols": () if subprotocols is None else subprotocols,
        "compression": compression,
    }


def _headers(given: HeadersLike | None, user_agent: str | None) -> CIMultiDict[str]:
    """Return the headers to send; the session judges them, and tells no value.

    Raises:
        TypeError: They are neither a mapping nor pairs.
    """
    fields = given.raw_items() if isinstance(given, Headers) else given or ()
    try:
        headers: CIMultiDict[str] = CIMultiDict(fields)
    except (TypeError, ValueError):
        raise TypeError(
            "additional_headers must be a mapping, or a list of (name, value) pairs."
        ) from None
    if user_agent is not None:
        headers.setdefault("User-Agent", user_agent)
    return headers


def _bounds(
    size: int | tuple[int | None, int | None] | None,
    queue: int | tuple[int | None, int | None] | None,
) -> dict[str, Any]:
    """Return how large a message may be, and how many wait to be read."""
    if queue == _MAX_QUEUE:
        inbox = Inbox()
    else:
        inbox = Inbox(max_messages=_first(queue) or _MANY)
    return {"max_message_size": _first(size), "inbox": inbox}


def _first(limit: int | tuple[int | None, int | None] | None) -> int | None:
    return limit[0] if isinstance(limit, tuple) else limit


def _refuse(given: Mapping[str, Any]) -> None:
    wrong = sorted(name for name, value in given.items() if value is not None)
    if wrong:
        raise TypeError(
            f"connect() on a session cannot do {', '.join(wrong)}: leave it out, or "
            "use websockets.connect."
        )


def __getattr__(name: str) -> Any:
    """Return what is not defined here from ``websockets``."""
    return getattr(original, name)
