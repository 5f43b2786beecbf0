"""Whether the transport of one connection is being read.

Rules: reading stops while the messages have no room, so that TCP pushes back, and while
bytes that were read wait for the next turn of the loop. After the stream has ended, the
transport is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class ReadGate:
    """Pauses and resumes the reading of one transport.

    Attributes:
        paused: Whether reading is paused for want of room, so that nothing is heard.
    """

    __slots__ = ("_had_full", "_loop", "_next_turn", "_open", "_transport", "paused")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.paused = False
        self._loop = loop
        #: The transport, until its stream has ended.
        self._transport: asyncio.Transport | None = None
        #: Whether the transport reads.
        self._open = True
        #: Whether a full buffer was read in this turn of the loop.
        self._had_full = False
        self._next_turn: asyncio.Handle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """Take charge of a transport, which is reading."""
        self._transport = transport

    def end(self) -> None:
        """Leave the transport alone from now on: its stream has ended."""
        self._transport = None

    @property
    def catching_up(self) -> bool:
        """Whether bytes that were read wait for the next turn of the loop."""
        return self._next_turn is not None

    def pause(self) -> None:
        """Stop reading until ``resume``, because there is no room."""
        self.paused = True
        self._apply()

    def resume(self) -> None:
        """Go on reading: there is room again."""
        self.paused = False
        self._apply()

    def in_next_turn(self, work: Callable[[], None]) -> None:
        """Call ``work`` in the next turn of the loop, and read nothing until then."""
        if self._next_turn is None:
            self._next_turn = self._loop.call_soon(self._do, work)
            self._apply()

    def after_full_buffer(self, work: Callable[[], None]) -> None:
        """Let no more than two full buffers be read in one turn of the loop.

        uvloop reads up to 32, that is 8 MiB, before a consumer can take what was
        received. By then it has left the processor's cache.
        """
        if self._had_full:
            self.in_next_turn(work)
        else:
            self._had_full = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._had_full = False

    def _do(self, work: Callable[[], None]) -> None:
        self._next_turn = None
        work()
        self._apply()

    def _apply(self) -> None:
        """Have the transport read, or not, as things are now."""
        transport = self._transport
        wanted = not (self.paused or self.catching_up)
        if transport is None or wanted is self._open or transport.is_closing():
            return
        self._open = wanted
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()
