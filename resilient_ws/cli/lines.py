"""Read and write lines without blocking the loop and without threads.

Rules: Every call first checks that the descriptor is ready, so files, pipes, terminals
and /dev/null all work alike. No descriptor is made non-blocking, because other
processes that share it would notice.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
from typing import TYPE_CHECKING, Final

from resilient_ws.cli.stdio import stream_failed


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_CHUNK: Final = 64 * 1024


def _is_ready(descriptor: int, mask: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, mask)
    return bool(poll.poll(0))


async def _event(
    descriptor: int,
    add: Callable[[int, Callable[[], None]], None],
    remove: Callable[[int], bool],
) -> None:
    """Wait once for the event that ``add`` registers a callback for."""
    waiter = asyncio.get_running_loop().create_future()

    def wake() -> None:
        remove(descriptor)
        if not waiter.done():
            waiter.set_result(None)

    add(descriptor, wake)
    try:
        await waiter
    finally:
        remove(descriptor)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    while not _is_ready(descriptor, select.POLLIN):
        await _event(descriptor, loop.add_reader, loop.remove_reader)


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    while not _is_ready(descriptor, select.POLLOUT):
        await _event(descriptor, loop.add_writer, loop.remove_writer)


class LineOutput:
    """Writes whole lines to a descriptor, without a buffer."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._writing = asyncio.Lock()

    async def write(self, line: str) -> None:
        """Write a line, waiting for a slow reader; raise as ``put`` does."""
        await self.put(f"{line}\n")

    def put_at_once(self, text: str) -> None:
        """Write a short text without waiting, if it can be.

        Raises:
            OSError: The stream cannot be written.
        """
        if _is_ready(self._descriptor, select.POLLOUT):
            os.write(self._descriptor, text.encode(errors="backslashreplace"))

    async def put(self, text: str) -> None:
        """Write a text, waiting for a slow reader.

        Raises:
            BrokenPipeError: The reader has closed the pipe.
            StreamFailed: The stream cannot be written, for example on a full disk.
        """
        rest = memoryview(text.encode(errors="backslashreplace"))
        async with self._writing:
            while rest:
                await _writable(self._descriptor)
                # A ready pipe takes this much without blocking.
                try:
                    taken = os.write(self._descriptor, rest[: select.PIPE_BUF])
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    raise
                except OSError as failure:
                    raise stream_failed(self._name, failure) from None
                rest = rest[taken:]


async def hung_up(descriptor: int) -> None:
    """Wait until the reader of a pipe closes it; for ever if it is not a pipe."""
    loop = asyncio.get_running_loop()
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        await loop.create_future()
    # This end of a pipe becomes readable only when the other end is closed.
    while not _is_ready(descriptor, 0):
        await _event(descriptor, loop.add_reader, loop.remove_reader)


async def chunks(descriptor: int) -> AsyncIterator[bytes]:
    """Yield what can be read, as it comes, until the end.

    Raises:
        StreamFailed: The descriptor cannot be read.
    """
    while True:
        await _readable(descriptor)
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            continue
        except OSError as failure:
            raise stream_failed("stdin", failure) from None
        if not chunk:
            return
        yield chunk
        # A file is always ready: let the loop do other work.
        await asyncio.sleep(0)


async def read_lines(descriptor: int, *, max_size: int) -> AsyncIterator[bytes | None]:
    """Yield every line without its end, ``None`` for one above ``max_size`` bytes.

    Raises:
        StreamFailed: The descriptor cannot be read.
    """
    rest, too_long = b"", False
    async for chunk in chunks(descriptor):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            fits = not too_long and len(line) <= max_size
            yield line.removesuffix(b"\r") if fits else None
            too_long = False
        if len(rest) > max_size:
            rest, too_long = b"", True
    if too_long or rest:
        yield None if too_long else rest
