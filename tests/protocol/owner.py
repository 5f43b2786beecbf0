"""Owns an engine as a connection does: gives it bytes, and keeps what it delivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.protocol.engine import Engine


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.protocol.deflate import DeflateParameters
    from resilient_ws.protocol.receiver import Receiver


ROOM = 1 << 30
#: What a buffer has behind the bytes that came: a message that nobody sent.
STALE = b"\x81\x05stale" * 2
#: The room in front of them, with the rest of others.
FRONT = b"\x81\x05front" * 2


def give(
    receiver: Receiver, data: bytes, messages: list[str | bytes], room: int = ROOM
) -> int:
    """Hand over bytes, none to go on; return how many messages were delivered."""
    return receiver.receive(memoryview(data), messages.append, room)


class Owner:
    """An engine, and everything that came out of it.

    Args:
        chunks: What it receives first.
        limit: Its largest message.
        agreed: How it is compressed.
        releases: Whether a frame that was cut is put in front of the next bytes, as a
            connection does. Otherwise the receiver holds it.
    """

    def __init__(
        self,
        *chunks: bytes,
        limit: int | None = 1 << 20,
        agreed: DeflateParameters | None = None,
        releases: bool = True,
    ) -> None:
        self.engine = Engine(max_message_size=limit)
        self.receiver = self.engine.receiver
        if agreed is not None:
            self.engine.enable_compression(agreed)
        self._releases = releases
        #: How many payload bytes there is room for.
        self.space: Callable[[], int] = lambda: ROOM
        self.messages: list[str | bytes] = []
        for chunk in chunks:
            self.receive(chunk)
            self.finish_turns()

    def receive(self, data: bytes, room: int = ROOM) -> int:
        """Hand over bytes in a buffer that held others before, and does after."""
        before = len(self.messages)
        held = self.receiver.release() if data and self._releases else b""
        buffer = bytearray(FRONT + held + data + STALE)
        count = self.receiver.receive(
            memoryview(buffer)[: -len(STALE)],
            self.messages.append,
            room,
            self.space,
            start=len(FRONT),
        )
        buffer[:] = b"\xff" * len(buffer)
        assert count == len(self.messages) - before <= max(0, room)
        return count

    def finish_turns(self) -> None:
        """Go on as often as it takes where only too much was to do for one call."""
        while self.receiver.out_of_steps:
            self.receive(b"")

    def finish(self, room: int = ROOM) -> None:
        """Take what waits, so many messages at a time, as at the end of a stream."""
        self._take_waiting(room)
        # A frame that was cut is judged by what has come of it.
        self.receive(b"", room)
        self._take_waiting(room)

    def _take_waiting(self, room: int) -> None:
        while self.is_stalled():
            count = self.receive(b"", room)
            # It only waits where no room was left, or enough was done for one call.
            enough = count == room or self.receiver.out_of_steps
            assert enough or not self.is_stalled()

    def is_stalled(self) -> bool:
        return self.receiver.stalled

    def broke(self) -> int | None:
        """The code of what the peer did wrong."""
        violation = self.receiver.violation
        return None if violation is None else violation.code

    def seen(self) -> tuple[object, ...]:
        """All that an owner can see."""
        receiver = self.receiver
        return (
            self.messages,
            receiver.pings,
            receiver.pongs,
            receiver.violation,
            receiver.close_received,
            receiver.received_size,
            receiver.stalled,
        )
