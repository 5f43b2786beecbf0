"""An engine that tells of each message and control frame, for ``Session.tap``.

Rule: only a session with a tap has one, so that the others pay nothing for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from resilient_ws.protocol.engine import Engine
from resilient_ws.protocol.receiver import Receiver, endless


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resilient_ws.protocol.frames import KeyPool, Mask
    from resilient_ws.protocol.message import Deliver, Message


class Note(Protocol):
    """Takes note of what passes; it must not raise."""

    def __call__(
        self,
        data: str | bytes | bytearray | memoryview,
        *,
        sent: bool,
        control: str = "",
        code: int | None = None,
    ) -> None:
        """Note a message, or the control frame that is named."""
        ...


class TappedEngine(Engine):
    """An engine that notes what it makes and parses.

    Args:
        note: Called with each message and control frame.
        max_message_size: As for ``Engine``.
        keys: As for ``Engine``.
        mask: As for ``Engine``.
    """

    __slots__ = ("_note",)

    def __init__(
        self, note: Note, *, max_message_size: int | None, keys: KeyPool, mask: Mask
    ) -> None:
        super().__init__(max_message_size=max_message_size, keys=keys, mask=mask)
        self._note = note
        self.receiver = TappedReceiver(note, max_message_size=max_message_size)

    def message(self, item: str | bytes | bytearray | memoryview) -> bytes:
        """Return the frame of one message."""
        made = super().message(item)
        if made:
            self._note(item, sent=True)
        return made

    def messages(self, items: Iterable[str | bytes | bytearray | memoryview]) -> bytes:
        """Return the frames of several messages, joined for one write."""
        items = list(items)
        made = super().messages(items)
        if made:
            for item in items:
                self._note(item, sent=True)
        return made

    def ping(self, payload: bytes = b"") -> bytes:
        """Return a ping frame."""
        return self._noted(super().ping(payload), "ping", payload)

    def pong(self, payload: bytes = b"") -> bytes:
        """Return a pong frame."""
        return self._noted(super().pong(payload), "pong", payload)

    def close(self, code: int | None = 1000, reason: str = "") -> bytes:
        """Return our close frame, the last thing to be sent."""
        made = super().close(code, reason)
        if made and self.close_sent is not None:
            self._note(reason, sent=True, control="close", code=self.close_sent.code)
        return made

    def _noted(self, made: bytes, control: str, payload: bytes) -> bytes:
        if made:
            self._note(payload, sent=True, control=control)
        return made


class TappedReceiver(Receiver):
    """A receiver that notes what it delivers, and each control frame.

    The control frames that one call parses are noted behind its messages.
    """

    __slots__ = ("_note",)

    def __init__(self, note: Note, *, max_message_size: int | None) -> None:
        super().__init__(max_message_size=max_message_size)
        self._note = note

    def receive(
        self,
        chunk: memoryview,
        deliver: Deliver,
        room: int,
        space: Callable[[], int] = endless,
        start: int = 0,
    ) -> int:
        """Parse the next bytes and deliver the messages that they complete."""
        note = self._note

        def noted(message: Message) -> None:
            note(message, sent=False)
            deliver(message)

        pings, pongs = len(self.pings), len(self.pongs)
        was_closed = self.close_received is not None
        count = super().receive(chunk, noted, room, space, start)
        for payload in self.pings[pings:]:
            note(payload, sent=False, control="ping")
        for payload in self.pongs[pongs:]:
            note(payload, sent=False, control="pong")
        close = self.close_received
        if close is not None and not was_closed:
            note(close.reason, sent=False, control="close", code=close.code)
        return count
