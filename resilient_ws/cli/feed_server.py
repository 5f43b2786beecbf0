"""The demo's server, in a process of its own: ``python -m ... PORT FIRST_NUMBER``.

Rules: it counts on whether or not anybody is connected, as a market does; it logs what
it really sent and received as JSON lines on stdout, each before (sent) or after
(received) the fact, so that a kill can make the log claim too much and never too
little; it obeys lines on stdin (``close CODE REASON``, ``refuse SECONDS RETRY_AFTER``,
``quiet``) and ends with stdin, so that a demo that dies leaves no server behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from typing import Final

import attrs
from aiohttp import WSMsgType, web


HOST: Final = "127.0.0.1"
#: Seconds between two numbers, how many come in a row, and the silence after them: in
#: it the session asks whether the link is alive.
PERIOD: Final = 0.05
BURST: Final = 12
SILENCE: Final = 0.7
#: The header that tells which dial of the client's this is.
DIAL: Final = "X-Dial"


def log(event: str, **fields: object) -> None:
    """Tell the demo, in order, what happened."""
    print(json.dumps({"event": event, **fields}), flush=True)


@attrs.define
class Feed:
    """What the server does, and to whom."""

    number: int
    peers: dict[web.WebSocketResponse, int] = attrs.field(
        factory=dict[web.WebSocketResponse, int]
    )
    retry_after: int = 0
    refusing_until: float = 0.0
    quiet: bool = False

    async def publish(self) -> None:
        """Send a number to everybody, again and again."""
        while True:
            await asyncio.sleep(PERIOD if self.number % BURST else SILENCE)
            if self.quiet:
                continue
            log("sent", number=self.number, dials=list(self.peers.values()))
            for peer in tuple(self.peers):
                with contextlib.suppress(ConnectionError):
                    await peer.send_str(str(self.number))
            self.number += 1

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Take one client, or refuse it."""
        if asyncio.get_running_loop().time() < self.refusing_until:
            log("refused", status=503)
            return web.Response(
                status=503, headers={"Retry-After": str(self.retry_after)}
            )
        peer = web.WebSocketResponse(timeout=1)
        await peer.prepare(request)
        dial = self.peers[peer] = int(request.headers.get(DIAL, "0"))
        try:
            async for message in peer:
                if message.type is WSMsgType.TEXT:
                    log("received", number=int(message.data), dial=dial)
        finally:
            del self.peers[peer]
        return peer

    async def close(self, code: int, reason: str) -> None:
        """End every connection."""
        for peer in tuple(self.peers):
            await peer.close(code=code, message=reason.encode())

    async def obey(self, command: str) -> None:
        """Do what a line of stdin says."""
        match command.strip().split(maxsplit=2):
            case ["close", code, reason]:
                await self.close(int(code), reason)
            case ["refuse", seconds, retry_after]:
                now = asyncio.get_running_loop().time()
                self.refusing_until = now + float(seconds)
                self.retry_after = int(retry_after)
                await self.close(1001, "maintenance")
            case ["quiet"]:
                self.quiet = True
                log("quiet", next=self.number)
            case _:
                log("unknown", command=command)


async def _commands() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def _obey_all(feed: Feed) -> None:
    """Obey until stdin ends."""
    async for line in await _commands():
        await feed.obey(line.decode())


async def serve(port: int, first: int) -> None:
    """Serve until stdin ends, or SIGTERM; then close what is open with 1001."""
    feed = Feed(number=first)
    app = web.Application()
    app.router.add_get("/feed", feed.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    # The demo holds the port, bound and silent, while this process is down.
    await web.TCPSite(runner, HOST, port, reuse_port=True).start()
    log("listening")
    loop = asyncio.get_running_loop()
    told = loop.create_task(_obey_all(feed))
    loop.add_signal_handler(signal.SIGTERM, told.cancel)
    publishing = loop.create_task(feed.publish())
    await asyncio.wait({told, publishing}, return_when=asyncio.FIRST_COMPLETED)
    publishing.cancel()
    await feed.close(1001, "going away")
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
