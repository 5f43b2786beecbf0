"""Owns an engine as a connection does: gives it bytes, and keeps what it delivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.protocol.engine import Engine


if TYPE_CHECKING:
    from resilient_ws.protocol.deflate import DeflateParameters


ROOM = 1 << 30
#: What a buffer has behind the bytes that came: a message that nobody sent.
STALE = b"\x81\x05stale" * 2


class Owner:
    """An engine, and everything that came out of it."""

    def __init__(
        self,
        *chunks: bytes,
        limit: int | None = 1 << 20,
        agreed: DeflateParameters | None = None,
    ) -> None:
        self.engine = Engine(max_message_size=limit)
        if agreed is not None:
            self.engine.use(agreed)
        self.messages: list[str | bytes] = []
        for chunk in chunks:
            self.receive(chunk)
            self.finish_turns()

    def receive(self, data: bytes, room: int = ROOM) -> int:
        """Hand over bytes in a buffer that held others before, and does after."""
        before = len(self.messages)
        buffer = bytearray(data + STALE)
        count = self.engine.receive(
            memoryview(buffer)[: len(data)], self.messages.append, room
        )
        buffer[:] = b"\xff" * len(buffer)
        assert count == len(self.messages) - before <= max(0, room)
        return count

    def finish_turns(self) -> None:
        """Go on as often as it takes where only too much was to do for one call."""
        while self.engine.spent:
            self.receive(b"")

    def finish(self, room: int = ROOM) -> None:
        """Take what waits, so many messages at a time."""
        while self.is_stalled():
            count = self.receive(b"", room)
            # It only waits where no room was left, or enough was done for one call.
            assert count == room or self.engine.spent or not self.is_stalled()

    def is_stalled(self) -> bool:
        return self.engine.stalled

    def broke(self) -> int | None:
        """The code of what the peer did wrong."""
        violation = self.engine.violation
        return None if violation is None else violation.code

    def seen(self) -> tuple[object, ...]:
        """All that an owner can see."""
        engine = self.engine
        return (
            self.messages,
            engine.pings,
            engine.pongs,
            engine.violation,
            engine.close_received,
            engine.received_size,
            engine.stalled,
        )
