"""An ``aiohttp.ClientSession`` whose ``ws_connect`` makes connections of ours.

::

    import aiohttp
    import socketio
    from resilient_ws.adapters.aiohttp import resilient

    async with aiohttp.ClientSession() as http:
        client = socketio.AsyncClient(http_session=resilient(http))

Everything but ``ws_connect`` is the user's own session.
"""

from __future__ import annotations

import math
import ssl as ssl_module
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
import attrs
from multidict import CIMultiDict
from yarl import URL

from resilient_ws import Access, Liveness, Reconnect, ResilientWSError, Timeouts
from resilient_ws.adapters.aiohttp_errors import as_aiohttp
from resilient_ws.adapters.aiohttp_socket import AiohttpSocket
from resilient_ws.adapters.held_connection import dial
from resilient_ws.adapters.outages import Outages


if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from typing import Self

__all__ = ["resilient"]

#: Of the handshake; a library may give them among its headers.
_PROTOCOL: Final = "Sec-WebSocket-Protocol"
_ORIGIN: Final = "Origin"
_AS_DIALLED: Final = {"http": "ws", "https": "wss"}
#: aiohttp's own: how long the server has for its close frame, in seconds.
_CLOSE: Final = 10.0
#: What stands for no limit where a number is needed: a day.
_LONG: Final = 86_400.0
#: As aiohttp: libraries dial devices in the same network without TLS.
_AS_AIOHTTP: Final = Access(allow_insecure=True)


def resilient(
    client: aiohttp.ClientSession,
    *,
    reconnect: Reconnect | None = None,
    liveness: Liveness | None = None,
    timeouts: Timeouts | None = None,
    access: Access = _AS_AIOHTTP,
    **settings: Any,
) -> aiohttp.ClientSession:
    """Return the client, with a ``ws_connect`` that makes connections of ours.

    Give it to a library that takes an ``aiohttp.ClientSession``. Each call of
    ``ws_connect`` makes one connection, or raises what aiohttp raises: the library
    still decides whether and when to connect again. But it waits for its turn: all
    calls for one endpoint share one count of failures.

    Args:
        client: Your own session. It dials, too, so its headers, cookies and connector
            settings count. Closing the one closes the other.
        reconnect: When an endpoint in trouble may be dialled again: of ``Reconnect()``,
            ``wait``, ``stable_after`` and ``retry_after_cap``.
        liveness: How a dead link is noticed. A ``heartbeat`` that the library asks for
            counts where it is shorter. ``Liveness()`` by default, also without one.
        timeouts: ``Timeouts()``. Its ``close`` is the library's ``timeout.ws_close``.
        access: Where to connect to. Unlike a session, it allows ``ws://`` to anywhere.
        settings: More arguments of ``resilient_ws.connect``, such as ``inbox``.

    Raises:
        TypeError: An argument has the wrong type.
    """
    if not isinstance(client, aiohttp.ClientSession):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"client must be an aiohttp.ClientSession, not {type(client).__name__}."
        )
    made = ResilientClient(
        client,
        reconnect=reconnect or Reconnect(),
        liveness=liveness or Liveness(),
        timeouts=timeouts or Timeouts(),
        settings={"access": access, **settings},
    )
    # It is one in all that a library does with it.
    return cast("aiohttp.ClientSession", made)


class ResilientClient:
    """Stands for a user's ``aiohttp.ClientSession``; ``resilient`` makes it."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        *,
        reconnect: Reconnect,
        liveness: Liveness,
        timeouts: Timeouts,
        settings: Mapping[str, Any],
    ) -> None:
        self._client = client
        self._reconnect = reconnect
        self._liveness = liveness
        self._timeouts = timeouts
        self._settings = settings
        self._outages = Outages(reconnect)
        self._sockets: weakref.WeakSet[AiohttpSocket] = weakref.WeakSet()

    @property
    def __class__(self) -> type:
        """Pass ``isinstance`` where a library checks what it was given."""
        return aiohttp.ClientSession

    @__class__.setter
    def __class__(self, _: type) -> None:
        raise AttributeError("__class__ cannot be set.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that are open, and the user's client.

        Cancellation:
            Ends the wait; connections whose turn had not come stay open.
        """
        for socket in tuple(self._sockets):
            await socket.close(code=1001)
        await self._client.close()

    def ws_connect(self, url: str | URL, **asked: Any) -> Dialling:
        """Connect to a server: ``await`` it, or use it with ``async with``.

        It takes the arguments of ``aiohttp.ClientSession.ws_connect``.

        Raises:
            ValueError: An argument that a session cannot do.
        """
        return Dialling(self, url, asked)

    async def _connect(self, url: str | URL, asked: dict[str, Any]) -> AiohttpSocket:
        if self._client.closed:
            # As aiohttp says it.
            raise RuntimeError("Session is closed")
        target = _target(url, asked.pop("params", None))
        wanted = Wanted(asked, target)
        try:
            held = await dial(
                str(target),
                self._outages.of(str(target)),
                self._reconnect,
                http=self._client,
                liveness=self._liveness_for(wanted.heartbeat),
                timeouts=attrs.evolve(self._timeouts, close=wanted.close),
                **{**self._settings, **wanted.settings},
            )
        except ResilientWSError as failure:
            raised = as_aiohttp(failure, target)
        else:
            socket = AiohttpSocket(held, **wanted.behaviour)
            self._sockets.add(socket)
            return socket
        raise raised

    def _liveness_for(self, heartbeat: float | None) -> Liveness:
        ours = self._liveness
        interval = ours.ping_interval or math.inf
        if heartbeat is None or heartbeat >= interval:
            return ours
        # aiohttp waits half of the heartbeat for the pong.
        answer = min(heartbeat / 2, ours.ping_timeout or math.inf)
        return attrs.evolve(ours, ping_interval=heartbeat, ping_timeout=answer)


class Dialling:
    """A call of ``ws_connect``: awaited, or entered."""

    def __init__(
        self, client: ResilientClient, url: str | URL, asked: dict[str, Any]
    ) -> None:
        self._client = client
        self._url = url
        self._asked = asked
        self._socket: AiohttpSocket | None = None

    def __await__(self) -> Generator[Any, None, AiohttpSocket]:
        return self._client._connect(self._url, self._asked).__await__()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    async def __aenter__(self) -> AiohttpSocket:
        self._socket = await self
        return self._socket

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            await self._socket.close()


class Wanted:
    """What a call of ``ws_connect`` asks for, in the words of a session.

    Attributes:
        settings: Arguments of ``resilient_ws.connect``.
        behaviour: Arguments of ``AiohttpSocket``.
        heartbeat: The library's own, in seconds.
        close: Seconds for the closing handshake.
    """

    def __init__(self, asked: dict[str, Any], target: URL) -> None:
        asked = {name: value for name, value in asked.items() if value is not None}
        headers: CIMultiDict[str] = CIMultiDict(asked.pop("headers", {}))
        self.heartbeat: float | None = asked.pop("heartbeat", None)
        compress = int(asked.pop("compress", 0))
        timeout = asked.pop("timeout", None)
        receive: float | None = asked.pop("receive_timeout", None)
        if isinstance(timeout, aiohttp.ClientWSTimeout):
            receive = receive or timeout.ws_receive
            self.close: float = timeout.ws_close or _LONG
        else:
            self.close = _CLOSE if timeout is None else float(timeout)
        self.behaviour: dict[str, Any] = {
            "receive_timeout": receive,
            "autoping": bool(asked.pop("autoping", True)),
            "decode_text": bool(asked.pop("decode_text", True)),
            "compress": compress,
        }
        auth = asked.pop("auth", None)
        if auth is not None:
            headers["Authorization"] = auth.encode()
        origin = asked.pop("origin", None) or headers.get(_ORIGIN)
        protocols = asked.pop("protocols", ()) or _listed(headers.get(_PROTOCOL, ""))
        if not isinstance(protocols, str):  # which the session refuses
            protocols = tuple(protocols)
        for name in (_ORIGIN, _PROTOCOL):
            headers.popall(name, None)
        self.settings: dict[str, Any] = {
            "headers": headers,
            "subprotocols": protocols,
            "origin": origin,
            "compression": "deflate" if compress else None,
            "max_message_size": asked.pop("max_msg_size", 4 * 1024 * 1024) or None,
            "ssl": _tls(asked),
            "proxy": _proxy(asked),
        }
        asked.pop("autoclose", None)
        _refuse(asked, target)


def _target(url: str | URL, params: Any) -> URL:
    target = URL(url)
    if not target.absolute:
        raise ValueError(
            "url must be absolute, such as wss://example.com/feed: a base_url of the "
            "client is not looked at."
        )
    target = target.with_scheme(_AS_DIALLED.get(target.scheme, target.scheme))
    return target.extend_query(params) if params else target


def _listed(value: str) -> Iterable[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


def _tls(asked: dict[str, Any]) -> Any:
    """Return the context to use, from aiohttp's four ways to say it."""
    given = asked.pop("ssl", True)
    context = asked.pop("ssl_context", None)
    if given is False or asked.pop("verify_ssl", True) is False:
        # The caller wants no certificate checked, and says so.
        context = ssl_module.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl_module.CERT_NONE
        return context
    if isinstance(given, aiohttp.Fingerprint) or asked.pop("fingerprint", None):
        raise ValueError(
            "ssl must be True, False or an ssl.SSLContext: a session checks no "
            "fingerprints. Load the server's certificate into a context instead."
        )
    return given if context is None else context


def _proxy(asked: dict[str, Any]) -> str | None:
    proxy, auth = asked.pop("proxy", None), asked.pop("proxy_auth", None)
    if proxy is None:
        return None
    url = URL(proxy)
    if auth is not None:
        url = url.with_user(auth.login).with_password(auth.password)
    return str(url)


def _refuse(asked: Mapping[str, Any], target: URL) -> None:
    """Refuse what is left, for it would have no effect."""
    harmless = {"method": "GET", "server_hostname": target.host}
    left = {
        name
        for name, value in asked.items()
        if name not in harmless or value != harmless[name]
    }
    if left:
        raise ValueError(
            f"ws_connect cannot do {', '.join(sorted(left))} on a session: leave it "
            "out, or give the library your own aiohttp.ClientSession."
        )
