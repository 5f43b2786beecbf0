"""The servers, each in a process of its own.

    python -m benchmarks.feeds.server            JSON-RPC; prints its port
    python -m benchmarks.feeds.server socketio   python-socketio's own server

Of JSON-RPC, the path says what comes: ``/KIND/COUNT/RATE``, with a rate of 0 for as
fast as the socket takes it, in writes of 64 KiB. A subscription is answered, and then
it begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import threading
import time
from typing import Any

from benchmarks.feeds.wire import KEY, item, notification
from benchmarks.speed.frames import unmask
from benchmarks.speed.server import Peer
from resilient_ws.testing.frames import frame


CHUNK = 64 * 1024


def subscribed(peer: Peer) -> bool:
    """Answer a request; return whether it subscribes."""
    first, key, masked = peer.frame()
    if first & 15 == 9:
        peer.connection.sendall(frame(10, unmask(masked, key)))
        return False
    request = json.loads(unmask(masked, key))
    answer = {"jsonrpc": "2.0", "id": request["id"], "result": KEY}
    peer.say(json.dumps(answer))
    return "sub" in request["method"]


def pour(peer: Peer, kind: str, count: int) -> None:
    """Send items as fast as they go; they were made before."""
    chunk = bytearray()
    chunks = []
    for number in range(count):
        chunk += frame(1, notification(kind, number))
        if len(chunk) >= CHUNK:
            chunks.append(bytes(chunk))
            chunk.clear()
    chunks.append(bytes(chunk))
    while not subscribed(peer):
        pass
    for made in chunks:
        peer.connection.sendall(made)


def drip(peer: Peer, kind: str, count: int, rate: float) -> None:
    """Send items at a rate, each with its time."""
    while not subscribed(peer):
        pass
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        message = notification(kind, number, time.monotonic_ns())
        peer.connection.sendall(frame(1, message))


def serve(connection: socket.socket) -> None:
    """Serve one client to its end."""
    with connection, contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(connection)
        kind, count, rate = peer.words
        if float(rate):
            drip(peer, kind, int(count), float(rate))
        else:
            pour(peer, kind, int(count))
        while not peer.closing:
            peer.frame()


def serve_json_rpc() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


async def serve_socketio() -> None:
    import socketio  # noqa: PLC0415 - one of the peers
    from aiohttp import web  # noqa: PLC0415 - of its server

    server = socketio.AsyncServer(async_mode="aiohttp", max_http_buffer_size=10**8)
    application = web.Application()
    server.attach(application)

    async def go(sid: str, order: Any) -> None:  # noqa: ANN401 - decoded JSON
        for number in range(order["count"]):
            await server.emit("item", item(order["kind"], number), to=sid)

    server.on("go", go)
    runner = web.AppRunner(application)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await web.SockSite(runner, listener).start()
        print(listener.getsockname()[1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["socketio"]:
        asyncio.run(serve_socketio())
    else:
        serve_json_rpc()
