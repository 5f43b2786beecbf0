"""The server of the demo, a program of its own: ``python -m ... PORT FIRST_NUMBER``.

Rules: It goes on counting whether or not anybody is connected, as a market does. It
logs what it sends and receives as JSON lines on stdout, a number sent before it leaves
and a number received after it came, so that after a kill the log may claim too much but
never too little. It obeys lines on stdin (``close CODE REASON``,
``refuse SECONDS RETRY_AFTER``, ``quiet``) and ends with stdin, so that a demo that dies
leaves no server behind.
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
#: The header in which the client numbers its dials.
DIAL_HEADER: Final = "X-Dial"
#: Seconds between two numbers.
_PERIOD: Final = 0.05
#: How many numbers are sent before a silence.
_BURST: Final = 12
#: Seconds of silence. In it the session asks whether the link is alive.
_SILENCE: Final = 0.7


def log(event: str, **fields: object) -> None:
    """Tell the demo, in order, what happened."""
    print(json.dumps({"event": event, **fields}), flush=True)


@attrs.define
class NumberServer:
    """Sends numbers to its clients, receives theirs, and logs both.

    Attributes:
        number: The next number to send.
        dials: The dial of each open connection.
    """

    number: int
    dials: dict[web.WebSocketResponse, int] = attrs.field(
        factory=dict[web.WebSocketResponse, int]
    )
    _retry_after: int = 0
    _refuses_until: float = 0.0
    _is_quiet: bool = False

    async def publish(self) -> None:
        """Send a number to every client, again and again."""
        while True:
            await asyncio.sleep(_PERIOD if self.number % _BURST else _SILENCE)
            if self._is_quiet:
                continue
            log("sent", number=self.number, dials=list(self.dials.values()))
            for connection in tuple(self.dials):
                with contextlib.suppress(ConnectionError):
                    await connection.send_str(str(self.number))
            self.number += 1

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it is gone, or refuse it."""
        if asyncio.get_running_loop().time() < self._refuses_until:
            log("refused", status=503)
            return web.Response(
                status=503, headers={"Retry-After": str(self._retry_after)}
            )
        connection = web.WebSocketResponse(timeout=1)
        await connection.prepare(request)
        dial = self.dials[connection] = int(request.headers.get(DIAL_HEADER, "0"))
        try:
            async for message in connection:
                if message.type is WSMsgType.TEXT:
                    log("received", number=int(message.data), dial=dial)
        finally:
            del self.dials[connection]
        return connection

    async def close(self, code: int, reason: str) -> None:
        """Close every connection."""
        for connection in tuple(self.dials):
            await connection.close(code=code, message=reason.encode())

    async def obey(self, command: str) -> None:
        """Do what a line of stdin says."""
        match command.strip().split(maxsplit=2):
            case ["close", code, reason]:
                await self.close(int(code), reason)
            case ["refuse", seconds, retry_after]:
                now = asyncio.get_running_loop().time()
                self._refuses_until = now + float(seconds)
                self._retry_after = int(retry_after)
                await self.close(1001, "maintenance")
            case ["quiet"]:
                self._is_quiet = True
                log("quiet", next=self.number)
            case _:
                log("unknown", command=command)


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def _obey_stdin(server: NumberServer) -> None:
    """Obey each line of stdin until it ends."""
    async for line in await _stdin():
        await server.obey(line.decode())


async def serve(port: int, first: int) -> None:
    """Serve until stdin ends or SIGTERM comes; then close the connections with 1001."""
    server = NumberServer(number=first)
    app = web.Application()
    app.router.add_get("/feed", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    # The demo keeps the port bound, without listening, while this process is down.
    await web.TCPSite(runner, HOST, port, reuse_port=True).start()
    log("listening")
    loop = asyncio.get_running_loop()
    obeying = loop.create_task(_obey_stdin(server))
    loop.add_signal_handler(signal.SIGTERM, obeying.cancel)
    publishing = loop.create_task(server.publish())
    await asyncio.wait({obeying, publishing}, return_when=asyncio.FIRST_COMPLETED)
    publishing.cancel()
    await server.close(1001, "going away")
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
