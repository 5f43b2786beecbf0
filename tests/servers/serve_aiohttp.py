"""The test server on aiohttp: ``serve_aiohttp.py PORT [* [CERTIFICATE]]``.

With a file that holds a certificate and its key, it speaks TLS.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMsgType, web

from tests.servers import behaviour


if TYPE_CHECKING:
    from collections.abc import AsyncIterator


_open: web.AppKey[set[web.WebSocketResponse]] = web.AppKey("open", set)


class AiohttpPeer:
    """A connection of aiohttp's server."""

    def __init__(self, request: web.Request, response: web.WebSocketResponse) -> None:
        self._request = request
        self._response = response

    @property
    def transport(self) -> asyncio.Transport:
        transport = self._request.transport
        assert isinstance(transport, asyncio.Transport)
        return transport

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._response.send_str(message)
        else:
            await self._response.send_bytes(message)

    async def receive(self) -> AsyncIterator[str | bytes]:
        async for message in self._response:
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                yield message.data

    async def close(self, code: int | None, reason: str) -> None:
        await self._response.close(
            code=1000 if code is None else code, message=reason.encode()
        )

    async def ping(self, payload: bytes) -> None:
        await self._response.ping(payload)


async def _serve_one(request: web.Request) -> web.StreamResponse:
    target = behaviour.Request.of(request.path_qs, request.headers.items())
    refusal = target.refusal()
    if refusal is not None:
        return web.Response(
            status=refusal.status, headers=refusal.headers, text="refused\n"
        )
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    response = web.WebSocketResponse(
        protocols=[name.strip() for name in offered.split(",") if name.strip()],
        max_msg_size=behaviour.MAX_MESSAGE_SIZE,
        timeout=1,
    )
    await response.prepare(request)
    conversation = behaviour.Conversation(AiohttpPeer(request, response), target)
    request.app[_open].add(response)
    try:
        await conversation.run()
    except (ConnectionError, AssertionError):
        # Gone; after a reset the request has no transport any more.
        pass
    finally:
        request.app[_open].discard(response)
        conversation.closed(response.close_code, "")
    return response


async def _say_goodbye(app: web.Application) -> None:
    responses = app[_open]
    for response in tuple(responses):
        await response.close(code=WSCloseCode.GOING_AWAY, message=b"Server Shutdown")


def _tls(certificates: list[str]) -> ssl.SSLContext | None:
    if not certificates:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates[0])
    return context


async def main(port: int, host: str | None, tls: ssl.SSLContext | None) -> None:
    """Serve until told to end, then close what is open with 1001."""
    app = web.Application()
    responses: set[web.WebSocketResponse] = set()
    app[_open] = responses
    app.router.add_get("/{path:.*}", _serve_one)
    app.on_shutdown.append(_say_goodbye)
    # aiohttp cancels a handler whose client is gone only when asked to; a mute one
    # would wait for ever.
    runner = web.AppRunner(
        app, handler_cancellation=True, shutdown_timeout=1, access_log=None
    )
    await runner.setup()
    await web.TCPSite(runner, host, port, ssl_context=tls).start()
    behaviour.log("ready")
    await behaviour.until_told_to_end()
    await runner.cleanup()


if __name__ == "__main__":
    listening_on = behaviour.host(sys.argv[2:3])
    asyncio.run(main(int(sys.argv[1]), listening_on, _tls(sys.argv[3:])))
