"""One direction of a connection through a FaultProxy.

Rules: Bytes are read from one socket into a bounded queue and written from there to the
other socket, in order and unchanged. Faults decide when the queue is emptied, and in
which pieces. The end of the source, a FIN or an RST, waits in the queue behind the
bytes that came before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import deque
from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws.testing.sockets import (
    acknowledge_at_once,
    end_stream,
    is_lost,
    unsent,
)


if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

#: The most bytes of one direction that wait in the proxy.
MAX_HELD: Final = 256 * 1024
_CHUNK: Final = 64 * 1024
#: Seconds between two checks whether the kernel has sent everything.
_POLL_INTERVAL: Final = 0.001
#: Seconds. A wait shorter than this is over: timers are coarser.
_NO_WAIT: Final = 1e-6


class End(enum.Enum):
    """How a stream ends."""

    FIN = enum.auto()
    RST = enum.auto()


@attrs.define
class _Conditions:
    """What faults have imposed on a pipe. The defaults are those of a healthy one."""

    swallows: bool = False
    is_frozen: bool = False
    #: Seconds added to the way of every byte.
    delay: float = 0.0
    #: Bytes a second.
    rate: float | None = None
    #: Bytes in one write.
    piece: int = _CHUNK
    #: Bytes that still pass before the connection ends, and how it ends.
    cut: tuple[int, End] | None = None


class Pipe:
    """One direction of a connection: what faults do to it, and what has passed.

    Args:
        on_end: Called with how the whole connection must end.
    """

    def __init__(self, on_end: Callable[[End], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_end = on_end
        #: Each item with the time when it was read.
        self._queue: deque[tuple[float, memoryview | End]] = deque()
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._conditions = _Conditions()
        #: Bytes that went through.
        self.passed = 0
        #: Bytes that were swallowed.
        self.swallowed = 0
        #: Bytes that wait in the proxy.
        self.held = 0
        self._last_write_at = 0.0
        #: Something was swallowed, so what comes later cannot be delivered either.
        self._has_hole = False
        #: Nothing more is queued: the end was queued early, or the sink is gone.
        self._is_sealed = False
        self._source_was_reset = False
        #: Whether the source will send nothing more.
        self.source_has_ended = False

    @property
    def is_spent(self) -> bool:
        """Whether nothing more will pass."""
        return self.source_has_ended and not self._queue

    # For faults.

    def freeze(self) -> None:
        """Let nothing through, and lose nothing."""
        self._conditions.is_frozen = True

    def swallow(self) -> None:
        """Lose what waits and what comes, including the end of the stream."""
        self._conditions.swallows = True
        self._discard()

    def delay(self, seconds: float) -> None:
        """Let everything through this many seconds after it came."""
        self._conditions.delay = seconds
        self._changed.set()

    def pace(self, piece: int, rate: float | None) -> None:
        """Write at most ``piece`` bytes at once, and ``rate`` bytes a second."""
        self._conditions.piece, self._conditions.rate = piece, rate
        self._changed.set()

    def cut(self, after: int, how: End) -> None:
        """End the connection when ``after`` more bytes have passed."""
        self._conditions.cut = (after, how)
        self._changed.set()

    def half_close(self) -> None:
        """End the stream behind what has come, and swallow what comes later."""
        self._put(End.FIN)
        self._is_sealed = True

    def heal(self) -> None:
        """Let everything through again, unless the stream has a hole."""
        self._conditions = _Conditions(swallows=self._has_hole)
        self._changed.set()

    # From the source into the queue.

    async def read(self, source: socket.socket) -> None:
        """Fill the queue until the source ends."""
        while data := await self._next_chunk(source):
            if self._conditions.swallows or self._is_sealed:
                self._lose(len(data))
            else:
                self.held += len(data)
                self._put(memoryview(data))
        self.source_has_ended = True
        if self._source_was_reset:
            self._put(End.RST)
        elif not self._is_sealed:
            self._put(End.FIN)
        self._changed.set()

    async def _next_chunk(self, source: socket.socket) -> bytes:
        while self.held >= MAX_HELD:
            self._has_room.clear()
            await self._has_room.wait()
        try:
            room = min(_CHUNK, MAX_HELD - self.held)
            data = await self._loop.sock_recv(source, room)
        except OSError:
            self._source_was_reset = True
            return b""
        acknowledge_at_once(source)
        return data

    def lose_source(self) -> None:
        """Take note that the source has answered a write with an RST."""
        self._source_was_reset = True
        if self.source_has_ended:
            self._put(End.RST)

    def _put(self, item: memoryview | End) -> None:
        if self._conditions.swallows:
            self._has_hole = True
        else:
            self._queue.append((self._loop.time(), item))
            self._changed.set()

    def _lose(self, size: int) -> None:
        self.swallowed += size
        self._has_hole = True

    def _discard(self) -> None:
        """Swallow what is in the queue."""
        for _, item in self._queue:
            size = 0 if isinstance(item, End) else len(item)
            self.held -= size
            self._lose(size)
        self._queue.clear()
        self._has_room.set()
        self._changed.set()

    # From the queue into the sink.

    async def write(self, sink: socket.socket, back: Pipe) -> None:
        """Empty the queue, as the conditions allow, until cancelled.

        Args:
            sink: Where the bytes go.
            back: The pipe of the other direction, which reads from ``sink``.
        """
        while True:
            await self._until_due(back)
            cut = self._conditions.cut
            if cut is not None and cut[0] == 0:
                await self._sever(sink, cut[1])
            item = self._take()
            if item is End.RST:
                self._on_end(End.RST)
            elif item is End.FIN:
                end_stream(sink)
            else:
                await self._pass(item, sink, back)

    async def _until_due(self, back: Pipe) -> None:
        """Wait until there is something to do."""
        while (wait := self._wait()) is None or wait > _NO_WAIT:
            if self.is_spent and back.is_spent:
                self._on_end(End.FIN)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    def _wait(self) -> float | None:
        """Return the seconds until the next step, ``None`` if it needs a change."""
        conditions = self._conditions
        if conditions.cut is not None and conditions.cut[0] == 0:
            return 0.0
        if conditions.is_frozen or not self._queue:
            return None
        came_at, item = self._queue[0]
        due = came_at + conditions.delay
        if conditions.rate is not None and not isinstance(item, End):
            due = max(due, self._last_write_at) + self._size(item) / conditions.rate
        return due - self._loop.time()

    def _size(self, item: memoryview) -> int:
        """Return how many bytes of an item may leave in one write."""
        size = min(self._conditions.piece, len(item))
        cut = self._conditions.cut
        return size if cut is None else min(size, cut[0])

    def _take(self) -> memoryview | End:
        """Take the next piece off the queue."""
        came_at, item = self._queue.popleft()
        if isinstance(item, End):
            return item
        size = self._size(item)
        if size < len(item):
            self._queue.appendleft((came_at, item[size:]))
        return item[:size]

    async def _pass(self, piece: memoryview, sink: socket.socket, back: Pipe) -> None:
        try:
            await self._loop.sock_sendall(sink, piece)
        except OSError:
            self._lose_sink(back)
            return
        finally:
            self.held -= len(piece)
            self._has_room.set()
        self.passed += len(piece)
        # Once the sink has sent its FIN, nobody reads from it, and no read reports an
        # RST.
        if back.source_has_ended and is_lost(sink):
            self._lose_sink(back)
            return
        self._last_write_at = self._loop.time()
        if self._conditions.cut is not None:
            remaining, how = self._conditions.cut
            self._conditions.cut = (remaining - len(piece), how)
        # The pieces stay apart only if a receiver in the same loop reads this one
        # before the next is written: one turn for its selector, one for its read.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _lose_sink(self, back: Pipe) -> None:
        """Swallow everything from now on: the sink has answered with an RST."""
        self._is_sealed = True
        self._discard()
        back.lose_source()

    async def _sever(self, sink: socket.socket, how: End) -> None:
        # An RST discards what the kernel has not sent yet.
        while how is End.RST and unsent(sink):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(_POLL_INTERVAL)
        self._on_end(how)
        await self._loop.create_future()
