"""Looks inside a session: what it wrote, and which of its timers run."""

from __future__ import annotations

import asyncio
from typing import Any

from resilient_ws.transport.outgoing import Outgoing


def tapped(outgoing: Any) -> list[str | bytes]:
    """Return a list that every message handed to this connection is appended to."""
    written: list[str | bytes] = []

    class Tapped(Outgoing):
        __slots__ = ()

        def send(self, message: str | bytes) -> None:
            written.append(message)
            super().send(message)

        def send_many(self, messages: list[str | bytes]) -> None:
            written.extend(messages)
            super().send_many(messages)

    outgoing.__class__ = Tapped
    return written


def timers_of_the_library() -> list[str]:
    """Return the timers that are still set, but for asyncio's own."""
    loop: Any = asyncio.get_running_loop()
    callbacks = [h._callback for h in loop._scheduled if not h.cancelled()]
    return [
        repr(callback)
        for callback in callbacks
        if callback.__module__.startswith("resilient_ws.")
        and not callback.__module__.startswith("resilient_ws.testing")
    ]
