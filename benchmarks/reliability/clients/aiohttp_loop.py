"""``ws_connect(heartbeat=...)`` in the loop that its users write around it.

aiohttp does not reconnect. The loop catches ``ClientError``, ``OSError`` and
``TimeoutError``, and sleeps 1 s after every end, a clean one too: who forgets that
dials in a hot loop, and the pace in the rows above is this sleep's. The pong's time-out
is always half of ``heartbeat``, which is set so that both together are the same time as
for the others. ``ClientTimeout(sock_connect=, sock_read=)`` and
``ClientWSTimeout(ws_close=)`` are set; by default a dial may take 30 s for TCP and
300 s in all, and a close 10 s.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp

from benchmarks.reliability.clients.user import User, main


if TYPE_CHECKING:
    from benchmarks.reliability.clients.user import Settings

#: The loop sleeps after every end, a clean one too: aiohttp itself does not reconnect,
#: and the user who forgets this dials in a hot loop.
PAUSE: Final = 1.0
_DATA: Final = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)


def _timeout(settings: Settings) -> aiohttp.ClientTimeout:
    # By default 30 s for TCP and 300 s in all.
    return aiohttp.ClientTimeout(
        total=None,
        sock_connect=settings.open_timeout,
        sock_read=settings.open_timeout,
    )


async def run(user: User) -> None:
    """Connect, iterate, sleep, again."""
    settings = user.settings
    # The pong's time-out is always half of the heartbeat: the same sum as the others.
    heartbeat = (settings.ping_interval + settings.ping_timeout) * 2 / 3
    async with aiohttp.ClientSession(timeout=_timeout(settings)) as http:
        tls = user.tls()
        user.ready()
        while not user.leaving:
            try:
                async with http.ws_connect(
                    user.url,
                    headers=user.headers(),
                    ssl=tls or True,
                    heartbeat=heartbeat,
                    timeout=aiohttp.ClientWSTimeout(ws_close=settings.close_timeout),
                ) as link:
                    user.opened(link.send_bytes, link.close)
                    async for message in link:
                        if message.type in _DATA:
                            await user.received(message.data)
                    user.ended(link.exception() or f"close {link.close_code}")
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                user.ended(error)
            if not user.leaving:
                await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    main(run)
