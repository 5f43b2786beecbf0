"""The test server on the websockets library: ``serve_websockets.py PORT [*]``."""

from __future__ import annotations

import asyncio
import http
import sys
from typing import TYPE_CHECKING

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.servers import behaviour


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from websockets.http11 import Request, Response
    from websockets.typing import Subprotocol


class WebsocketsPeer:
    """A connection of the websockets library."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    @property
    def transport(self) -> asyncio.Transport:
        return self._connection.transport

    async def send(self, message: str | bytes) -> None:
        await self._connection.send(message)

    async def receive(self) -> AsyncIterator[str | bytes]:
        async for message in self._connection:
            yield message

    async def close(self, code: int | None, reason: str) -> None:
        await self._connection.close(1000 if code is None else code, reason)

    async def ping(self, payload: bytes) -> None:
        # Sent, and not waited for: the client may never answer.
        _pong = await self._connection.ping(payload)


def _refuse(connection: ServerConnection, request: Request) -> Response | None:
    target = behaviour.Request.of(request.path, request.headers.raw_items())
    refusal = target.refusal()
    if refusal is None:
        return None
    response = connection.respond(http.HTTPStatus(refusal.status), "refused\n")
    response.headers.update(refusal.headers)
    return response


def _select(
    _connection: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    return offered[0] if offered else None


async def _serve_one(connection: ServerConnection) -> None:
    request = connection.request
    assert request is not None
    target = behaviour.Request.of(request.path, request.headers.raw_items())
    conversation = behaviour.Conversation(WebsocketsPeer(connection), target)
    try:
        await conversation.run()
    except (ConnectionClosed, OSError):
        # The log says with what code it ended.
        pass
    finally:
        conversation.closed(connection.close_code, connection.close_reason or "")


async def main(port: int, host: str | None) -> None:
    """Serve until told to end, then close what is open with 1001."""
    async with serve(
        _serve_one,
        host,
        port,
        process_request=_refuse,
        select_subprotocol=_select,
        max_size=behaviour.MAX_MESSAGE_SIZE,
        # Its own keepalive would end links that a test wants to see stay.
        ping_interval=None,
        close_timeout=1,
    ):
        behaviour.log("ready")
        await behaviour.until_told_to_end()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), behaviour.host(sys.argv[2:])))
