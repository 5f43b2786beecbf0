"""One aiohttp client for all sessions of an event loop that dial in the same way.

Rules: a session joins a client before its first dial and leaves it at its end; the last
to leave closes it. The table does not keep clients alive: a client whose sessions were
abandoned with their loop is freed with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakValueDictionary

import aiohttp

from resilient_ws.transport.at_hand import CookiesAtHand
from resilient_ws.transport.metered import meter


if TYPE_CHECKING:
    from collections.abc import Callable


#: The time-outs of a dial are the supervisor's; aiohttp's own are switched off.
NO_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=None, connect=None, sock_connect=None, sock_read=None
)

_Place: TypeAlias = tuple[asyncio.AbstractEventLoop, Hashable]


class SharedClient:
    """A client, and how many sessions dial with it."""

    __slots__ = ("__weakref__", "_members", "_place", "http")

    def __init__(self, place: _Place, connector: aiohttp.BaseConnector) -> None:
        self._place = place
        self._members = 0
        meter(connector)
        self.http = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=CookiesAtHand(),
            timeout=NO_TIMEOUT,
            # Bodies are never decompressed, so do not ask for compressed ones.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
        )

    @staticmethod
    def joined(
        way: Hashable, connector: Callable[[], aiohttp.BaseConnector]
    ) -> SharedClient:
        """Join this loop's client for a way to dial, and return it.

        Args:
            way: A key that identifies the way.
            connector: Makes the connector for the first session that joins.
        """
        place = (asyncio.get_running_loop(), way)
        shared = _clients.get(place)
        if shared is None:
            shared = _clients[place] = SharedClient(place, connector())
        shared._members += 1
        return shared

    async def leave(self) -> None:
        """Leave the client; the last session to leave closes it."""
        self._members -= 1
        if not self._members:
            # First out of the table: a session that joins now needs a new client.
            _clients.pop(self._place, None)
            await self.http.close()


_clients: Final[WeakValueDictionary[_Place, SharedClient]] = WeakValueDictionary()
