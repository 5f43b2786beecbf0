"""Looks inside a session: what it wrote, and which of its timers run."""

from __future__ import annotations

import asyncio
from typing import Any


def tapped(outgoing: Any) -> list[str | bytes]:
    """Return a list that every message handed to this connection is appended to."""
    send, send_many = outgoing.send, outgoing.send_many
    written: list[str | bytes] = []

    def note(message: str | bytes) -> None:
        written.append(message)
        send(message)

    def note_many(messages: list[str | bytes]) -> None:
        written.extend(messages)
        send_many(messages)

    outgoing.send, outgoing.send_many = note, note_many
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
