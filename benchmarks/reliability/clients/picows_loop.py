"""``ws_connect(enable_auto_ping=True)``, when idle, in the loop that its users write.

picows does not reconnect: the loop is that of aiohttp above. A callback cannot wait, so
messages go into an ``asyncio.Queue`` without a bound, and a consumer takes them from
there. ``websocket_handshake_timeout`` is set; it does not bound the TCP connect. To
close is to send the frame and to hang up: picows does not wait for an answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import picows

from benchmarks.reliability.clients.user import User, main


if TYPE_CHECKING:
    import ssl

#: As for aiohttp: picows does not reconnect, and the loop sleeps after every end.
PAUSE: Final = 1.0
_DATA: Final = (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY)


class Listener(picows.WSListener):
    """Hands messages over, answers a close frame."""

    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        super().__init__()
        self._queue = queue

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type in _DATA:
            self._queue.put_nowait(frame.get_payload_as_bytes())
        elif frame.msg_type is picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()


async def _connect(
    user: User, tls: ssl.SSLContext | None, queue: asyncio.Queue[bytes]
) -> picows.WSTransport:
    settings = user.settings
    transport, _ = await picows.ws_connect(
        lambda: Listener(queue),
        user.url,
        extra_headers=user.headers(),
        ssl_context=tls,
        websocket_handshake_timeout=settings.open_timeout,
        enable_auto_ping=True,
        auto_ping_idle_timeout=settings.ping_interval,
        auto_ping_reply_timeout=settings.ping_timeout,
    )
    return transport


async def _consume(user: User, queue: asyncio.Queue[bytes]) -> None:
    while True:
        await user.received(await queue.get())


def _tell_opened(user: User, transport: picows.WSTransport) -> None:
    async def send(data: bytes) -> None:
        transport.send(picows.WSMsgType.BINARY, data)

    async def close() -> None:
        # Without the second, a server that is gone would hold it for ever.
        transport.send_close()
        transport.disconnect()
        await transport.wait_disconnected()

    user.opened(send, close)


async def run(user: User) -> None:
    """Connect, wait for the end, sleep, again."""
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    consumer = asyncio.create_task(_consume(user, queue))
    tls = user.tls()
    user.ready()
    try:
        while not user.leaving:
            try:
                transport = await _connect(user, tls, queue)
                _tell_opened(user, transport)
                await transport.wait_disconnected()
                user.ended("disconnected")
            except (picows.WSError, OSError, TimeoutError) as error:
                user.ended(error)
            if not user.leaving:
                await asyncio.sleep(PAUSE)
    finally:
        consumer.cancel()


if __name__ == "__main__":
    main(run)
