"""One direction of a connection through a FaultProxy.

Bytes go from a socket into a bounded queue and from there to another socket, in order
and exactly. A fault changes how the queue is emptied, and never its order. What ends
the source (a FIN or an RST) travels in the queue behind the bytes before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import deque
from typing import TYPE_CHECKING, Final

from resilient_ws.testing.sockets import (
    acknowledge_at_once,
    end_stream,
    is_lost,
    unsent,
)


if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

#: At most this many bytes of a direction wait in the proxy.
MAX_HELD: Final = 256 * 1024
_CHUNK: Final = 64 * 1024
#: Seconds between two looks at whether the kernel has sent everything.
_LOOK: Final = 0.001
#: Closer than this to its time, in seconds, is in time: finer than any timer.
_NOW: Final = 1e-6


class End(enum.Enum):
    """How a stream ends."""

    FIN = enum.auto()
    RST = enum.auto()


class Pipe:
    """One direction of a connection: what it does to bytes, and what passed.

    Args:
        over: Called with how the whole connection is to end.
    """

    def __init__(self, over: Callable[[End], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = over
        self._queue: deque[tuple[float, memoryview | End]] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        #: The other direction of the connection.
        self.opposite = self
        #: Bytes that went through, that were swallowed, and that wait in the proxy.
        self.passed = 0
        self.swallowed = 0
        self.held = 0
        # What faults have set.
        self._frozen = False
        self._black = False
        self._delay = 0.0
        self._rate: float | None = None
        self._piece = _CHUNK
        self._cut: tuple[int, End] | None = None
        # How far it came.
        self._busy_until = 0.0
        self._has_hole = False
        self._sealed = False
        self._source_reset = False
        self._source_ended = False

    # What faults do.

    def freeze(self) -> None:
        """Let nothing through, and lose nothing."""
        self._frozen = True

    def swallow(self) -> None:
        """Take bytes, and the end of the stream, and let nothing through."""
        self._black = True
        self._discard()

    def delay(self, seconds: float) -> None:
        """Let everything through so many seconds after it came."""
        self._delay = seconds
        self._news.set()

    def pace(self, piece: int, rate: float | None) -> None:
        """Write so many bytes at a time, and at most so many a second."""
        self._piece, self._rate = piece, rate
        self._news.set()

    def cut(self, after: int, how: End) -> None:
        """End the connection once so many more bytes have passed."""
        self._cut = (after, how)
        self._news.set()

    def half_close(self) -> None:
        """End the stream behind what has come, and swallow what comes later."""
        self._put(End.FIN)
        self._sealed = True

    def heal(self) -> None:
        """Let everything through; a stream that has a hole stays as it is."""
        self._frozen = False
        self._black = self._has_hole
        self._delay, self._rate, self._piece, self._cut = 0.0, None, _CHUNK, None
        self._news.set()

    # From the source into the queue.

    async def read(self, source: socket.socket) -> None:
        """Fill the queue until the source ends."""
        while data := await self._received(source):
            if self._black or self._sealed:
                self._lose(len(data))
            else:
                self.held += len(data)
                self._put(memoryview(data))
        self._source_ended = True
        if self._source_reset:
            self._put(End.RST)
        elif not self._sealed:
            self._put(End.FIN)
        self._news.set()

    async def _received(self, source: socket.socket) -> bytes:
        while self.held >= MAX_HELD:
            self._room.clear()
            await self._room.wait()
        try:
            room = min(_CHUNK, MAX_HELD - self.held)
            data = await self._loop.sock_recv(source, room)
        except OSError:
            self._source_reset = True
            return b""
        acknowledge_at_once(source)
        return data

    def _put(self, item: memoryview | End) -> None:
        if self._black:
            self._has_hole = True
        else:
            self._queue.append((self._loop.time(), item))
            self._news.set()

    def _lose(self, size: int) -> None:
        self.swallowed += size
        self._has_hole = True

    def _discard(self) -> None:
        """Swallow what waits."""
        for _, item in self._queue:
            size = 0 if isinstance(item, End) else len(item)
            self.held -= size
            self._lose(size)
        self._queue.clear()
        self._room.set()
        self._news.set()

    def source_lost(self) -> None:
        """Learn that the source answered a write with an RST."""
        self._source_reset = True
        if self._source_ended:
            self._put(End.RST)

    # From the queue into the sink.

    async def write(self, sink: socket.socket) -> None:
        """Empty the queue for ever, at the pace and in the way that was set."""
        while True:
            await self._due()
            if self._cut is not None and self._cut[0] == 0:
                await self._sever(sink, self._cut[1])
            item = self._take()
            if item is End.RST:
                self._over(End.RST)
            elif item is End.FIN:
                end_stream(sink)
            else:
                await self._pass(sink, item)

    async def _due(self) -> None:
        """Wait until something is to be done."""
        while (wait := self._wait()) is None or wait > _NOW:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()

    def _wait(self) -> float | None:
        """In how many seconds the next piece goes; None for not until something new."""
        if self._cut is not None and self._cut[0] == 0:
            return 0.0
        if not self._queue:
            self._end_if_spent()
            return None
        if self._frozen:
            return None
        came, item = self._queue[0]
        due = came + self._delay
        if self._rate is not None and not isinstance(item, End):
            due = max(due, self._busy_until) + self._size(item) / self._rate
        return due - self._loop.time()

    def _size(self, item: memoryview) -> int:
        size = min(self._piece, len(item))
        return size if self._cut is None else min(size, self._cut[0])

    def _take(self) -> memoryview | End:
        """Take the next piece off the queue."""
        came, item = self._queue.popleft()
        if isinstance(item, End):
            return item
        size = self._size(item)
        if size < len(item):
            self._queue.appendleft((came, item[size:]))
        return item[:size]

    async def _pass(self, sink: socket.socket, piece: memoryview) -> None:
        try:
            await self._loop.sock_sendall(sink, piece)
        except OSError:
            self._sink_lost()
            return
        finally:
            self.held -= len(piece)
            self._room.set()
        self.passed += len(piece)
        # Behind its FIN nobody reads from it, so that nobody hears of an RST.
        if self.opposite.has_ended and is_lost(sink):
            self._sink_lost()
            return
        self._busy_until = self._loop.time()
        if self._cut is not None:
            remaining, how = self._cut
            self._cut = (remaining - len(piece), how)
        # A piece stays one only if a receiver in the same loop has seen it by the next:
        # one turn for its selector, one for its read.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _sink_lost(self) -> None:
        """Nobody takes these bytes any more; the sink's own stream tells the source."""
        self._sealed = True
        self._discard()
        self.opposite.source_lost()

    async def _sever(self, sink: socket.socket, how: End) -> None:
        # An RST throws away what the kernel has not sent.
        while how is End.RST and unsent(sink):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(_LOOK)
        self._over(how)
        await self._loop.create_future()

    def _end_if_spent(self) -> None:
        if self.is_spent and self.opposite.is_spent:
            self._over(End.FIN)

    @property
    def has_ended(self) -> bool:
        """Whether nothing will ever come again."""
        return self._source_ended

    @property
    def is_spent(self) -> bool:
        """Whether nothing will ever pass again."""
        return self._source_ended and not self._queue
