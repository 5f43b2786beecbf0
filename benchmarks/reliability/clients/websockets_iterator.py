"""``async for link in connect(...)``, as its documentation recommends.

All time-outs are set. Where a row does not measure the default backoff, it is shortened
by the documented environment variables, as it is for this library. A dead link is told
to the user only after the closing handshake has timed out too (``close_timeout``, 2 s).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from benchmarks.reliability.clients.user import User, main


if TYPE_CHECKING:
    from benchmarks.reliability.clients.user import Settings


def _set_backoff(settings: Settings) -> None:
    """The documented way, which is read when the package is imported."""
    if not settings.default_backoff:
        os.environ["WEBSOCKETS_BACKOFF_INITIAL_DELAY"] = "1"
        os.environ["WEBSOCKETS_BACKOFF_MIN_DELAY"] = "0.5"
        os.environ["WEBSOCKETS_BACKOFF_MAX_DELAY"] = "2"


async def run(user: User) -> None:
    """Iterate over connections, and over the messages of each."""
    settings = user.settings
    _set_backoff(settings)
    from websockets.asyncio.client import connect  # noqa: PLC0415 - see above
    from websockets.client import process_exception  # noqa: PLC0415
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

    def see(error: Exception) -> Exception | None:
        user.ended(error)
        return process_exception(error)

    user.ready()
    async for link in connect(
        user.url,
        additional_headers=user.headers(),
        ssl=user.tls(),
        compression=None,
        ping_interval=settings.ping_interval,
        ping_timeout=settings.ping_timeout,
        open_timeout=settings.open_timeout,
        close_timeout=settings.close_timeout,
        process_exception=see,
    ):
        user.opened(link.send, link.close)
        try:
            async for message in link:
                await user.received(message)
            user.ended(f"close {link.close_code}")
        except ConnectionClosed as error:
            user.ended(error)
        if user.leaving:
            break


if __name__ == "__main__":
    main(run)
