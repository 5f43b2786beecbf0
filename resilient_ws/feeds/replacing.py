"""New connections for those that the server, or a missed heartbeat, finds worn out.

Rules: each connection is replaced once, however often the server asks, and what is
waiting to be sent on it, such as acknowledgements, goes out first. The first
replacement is made at once; those that follow soon after wait, twice as long each time,
so that a server cannot have us dial in a hot loop. A URL that a server names and the
session does not allow is not dialled. Where the user gave ``on_rotate``, it gets what
the server asks for, and nothing is replaced here.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws import ResilientWSError, SecurityError


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resilient_ws import Session
    from resilient_ws.feeds.links import Link, Links
    from resilient_ws.feeds.protocol import Protocol, Rotate


#: Seconds that what waits to be sent may hold up a replacement.
SETTLE: Final = 1.0
#: Seconds without a replacement after which the next is made at once.
CALM: Final = 60.0
#: Seconds that the second of two replacements waits; doubled each time, up to the
#: second figure.
PAUSE: Final = 1.0
MAX_PAUSE: Final = 30.0
_NOT_ALLOWED: Final = "a URL for the next connection that is not allowed"
#: Seconds between which chance takes the wait before a new login.
RESET_PAUSE: Final = (1.0, 5.0)


class Replacements:
    """Replaces the connections of one session.

    Args:
        session: The session.
        protocol: Says with which code a connection is closed.
        links: The connections of the session.
        spawn: Starts a task that the channel owns.
        settle: Waits until nothing waits to be sent.
        complain: Called with what is wrong with a URL of the server.
        on_rotate: Called where the server asks for a new connection, instead of
            replacing the open one.
    """

    def __init__(
        self,
        session: Session,
        protocol: Protocol,
        links: Links,
        spawn: Callable[..., asyncio.Task[None]],
        *,
        settle: Callable[[], Awaitable[None]],
        complain: Callable[[str], None],
        on_rotate: Callable[[Rotate], object] | None = None,
    ) -> None:
        self._session = session
        self._protocol = protocol
        self._links = links
        self._clock = asyncio.get_running_loop().time
        self._spawn = spawn
        self._settle = settle
        self._complain = complain
        self._on_rotate = on_rotate
        # The newest link that is being replaced, and the task that waits to do so.
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._last = -math.inf
        self._soon = 0

    def rotate(self, rotate: Rotate) -> None:
        """Replace the open connection as the server asks, or have the user do it."""
        if self._on_rotate is None:
            self.replace(rotate.reason, rotate.url)
        else:
            self._on_rotate(self._allowed(rotate))

    def _allowed(self, rotate: Rotate) -> Rotate:
        """Return what the server asks for, without a URL that is not allowed."""
        try:
            if rotate.url is not None:
                self._session.check_url(rotate.url)
        except (ValueError, SecurityError):
            self._complain(_NOT_ALLOWED)
            return attrs.evolve(rotate, url=None)
        return rotate

    def reset(self, reason: str) -> None:
        """Replace the open connection after a few seconds of chance."""
        self.replace(reason, pause=random.SystemRandom().uniform(*RESET_PAUSE))

    def replace(
        self, reason: str, url: str | None = None, *, pause: float = 0.0
    ) -> None:
        """Replace the open connection, unless that is under way.

        Args:
            reason: Why, for the log.
            url: Where to, if not where the session would dial.
            pause: Seconds to wait before, at least.
        """
        link = self._links.link
        if link is None or link is self._link:
            return
        self._link = link
        pause = max(pause, self._pause())
        self._task = self._spawn(self._replace_later(pause, reason, url))

    def forget(self) -> None:
        """Leave a replacement that waits: the connection has ended by itself."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _pause(self) -> float:
        """Return how long this replacement waits, by how soon it follows the last."""
        now = self._clock()
        self._soon = 0 if now - self._last >= CALM else self._soon + 1
        pause = min(PAUSE * 2.0 ** (self._soon - 1), MAX_PAUSE) if self._soon else 0.0
        self._last = now + pause
        return pause

    async def _replace_later(self, pause: float, reason: str, url: str | None) -> None:
        await asyncio.sleep(pause)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE):
                await self._settle()
        self._task = None
        self._reconnect(reason, url)

    def _reconnect(self, reason: str, url: str | None) -> None:
        try:
            self._session.reconnect(reason, url, code=self._protocol.close_code)
        except (ValueError, SecurityError):
            self._complain(_NOT_ALLOWED)
            if url is not None:
                self._reconnect(reason, None)
        except RuntimeError:
            self._complain("the wish for a new connection, where one is all there is")
        except ResilientWSError:
            return  # the session has ended
