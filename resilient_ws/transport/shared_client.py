"""One aiohttp client for all sessions of an event loop that dial in the same way.

Rules: a session joins a client before its first dial and leaves it at its end; the last
one to leave closes it. Only sessions keep a client alive, so it is freed together with
sessions that were abandoned with their loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp

from resilient_ws.eventloop.per_loop import PerLoop
from resilient_ws.transport.current_dial import current_dial
from resilient_ws.transport.response_handler import limit_answers


if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from yarl import URL


#: The supervisor limits the time of a dial; aiohttp's own time-outs are switched off.
NO_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=None, connect=None, sock_connect=None, sock_read=None
)


class ForwardingCookieJar(aiohttp.DummyCookieJar):
    """Passes cookies on to the session that dials.

    It returns none to aiohttp, because ``HttpClient`` sends the session's cookies.
    """

    def update_cookies_from_headers(
        self, headers: Sequence[str], response_url: URL
    ) -> None:
        """Keep the cookies that came with an answer."""
        del response_url  # aiohttp's form of the endpoint
        dial = current_dial()
        dial.cookies.keep(headers, dial.endpoint)


class SharedClients:
    """The clients of one loop, by the way they dial."""

    __slots__ = ("__weakref__", "_clients")

    def __init__(self) -> None:
        self._clients: dict[Hashable, SharedClient] = {}

    def join(
        self, way: Hashable, connector: Callable[[], aiohttp.BaseConnector]
    ) -> SharedClient:
        """Join the client for a way to dial, and return it.

        Args:
            way: A key that identifies the way.
            connector: Makes the connector for the first session that joins.
        """
        client = self._clients.get(way)
        if client is None:
            client = self._clients[way] = SharedClient(connector(), way, self)
        client.join()
        return client

    def forget(self, way: Hashable) -> None:
        """Forget a client that will be closed: the next session needs another."""
        del self._clients[way]


class SharedClient:
    """One aiohttp client, and the number of sessions that dial with it.

    Attributes:
        http: The client.
    """

    __slots__ = ("_clients", "_members", "_way", "http")

    def __init__(
        self, connector: aiohttp.BaseConnector, way: Hashable, clients: SharedClients
    ) -> None:
        limit_answers(connector)
        self.http = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=ForwardingCookieJar(),
            timeout=NO_TIMEOUT,
            # Bodies are never decompressed, so do not ask for compressed ones.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
        )
        self._way = way
        self._clients = clients
        self._members = 0

    def join(self) -> None:
        """Count one more session."""
        self._members += 1

    async def leave(self) -> None:
        """Leave the client; the last session to leave closes it."""
        self._members -= 1
        if not self._members:
            self._clients.forget(self._way)
            await self.http.close()


clients_of: Final = PerLoop(lambda _: SharedClients())
