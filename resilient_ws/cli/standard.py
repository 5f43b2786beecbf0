"""What this process was given: three streams, and the signals that end it.

Rules: what is said goes to stderr, a printable line at a time, and saying it never
fails; a stream that fails ends the command, in good order; a signal that was ignored
when the command started stays ignored, for ``nohup`` and a shell's ``&`` mean that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, TextIO, cast

from resilient_ws import printable


if TYPE_CHECKING:
    from collections.abc import Callable

#: Windows has no SIGHUP.
_ENDING: Final = tuple(
    number
    for number in signal.Signals
    if number.name in {"SIGINT", "SIGTERM", "SIGHUP"}
)


class StreamFailed(Exception):
    """A stream cannot be read or written any more; the text says which, and why."""


def stream_failed(name: str, failure: OSError) -> StreamFailed:
    """Return what is to be said of a stream that failed."""
    done = "read" if name == "stdin" else "written"
    why = failure.strerror or type(failure).__name__
    return StreamFailed(f"{name} cannot be {done}: {why}")


def complain(message: str) -> None:
    """Say one line on stderr, if that is possible."""
    stream = cast("TextIO | None", sys.stderr)
    if stream is not None:
        with contextlib.suppress(OSError):
            print(f"resilient-ws: {printable(message)}", file=stream, flush=True)


def occupy_closed() -> None:
    """Open the null device where a stream is closed.

    The next file or socket would get its descriptor, and what is meant for the stream.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def unusable() -> str | None:
    """Return what is wrong with the streams, before anything is done with them."""
    # They are None where the descriptor was closed when Python started.
    if cast("TextIO | None", sys.stdout) is None or (
        cast("TextIO | None", sys.stderr) is None
    ):
        return "stdout and stderr must be open; use >/dev/null"
    return None


def write_anything() -> None:
    """Have stdout escape what its encoding lacks, as stderr does."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def let_go(*streams: TextIO) -> None:
    """Give up what is buffered: Python would complain when it flushes that at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def drop_unwritten() -> None:
    """Give up what stderr does not take, or Python would exit with 120 for it."""
    stream = cast("TextIO | None", sys.stderr)
    if stream is not None:
        try:
            stream.flush()
        except OSError:
            let_go(stream)


def on_ending_signals(callback: Callable[[], object]) -> None:
    """Have the running loop call back on each signal that asks the command to end."""
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, callback)
