"""The standard streams of this process, and the signals that end it.

Rules: messages about problems go to stderr, one printable line each, and never raise. A
stream that fails ends the command cleanly. A signal that was ignored when the command
started stays ignored, because that is what ``nohup`` and a shell's ``&`` ask for.
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
    """Standard input or output cannot be read or written any more."""


def stream_failed(name: str, failure: OSError) -> StreamFailed:
    """Return the error that says which stream failed, and why."""
    done = "read" if name == "stdin" else "written"
    why = failure.strerror or type(failure).__name__
    return StreamFailed(f"{name} cannot be {done}: {why}")


def complain(message: str) -> None:
    """Write one line to stderr, if possible."""
    stream = cast("TextIO | None", sys.stderr)
    if stream is not None:
        with contextlib.suppress(OSError):
            print(f"resilient-ws: {printable(message)}", file=stream, flush=True)


def occupy_closed() -> None:
    """Open the null device for each closed stream.

    Otherwise the next file or socket would get its descriptor, and the stream's output.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def unusable() -> str | None:
    """Return the problem with stdout or stderr, ``None`` if both can be used."""
    # Python sets a stream to None if its descriptor was closed at the start.
    if cast("TextIO | None", sys.stdout) is None or (
        cast("TextIO | None", sys.stderr) is None
    ):
        return "stdout and stderr must be open; use >/dev/null"
    return None


def write_anything() -> None:
    """Make stdout escape characters that its encoding lacks, as stderr does."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def let_go(*streams: TextIO) -> None:
    """Discard buffered output, which Python would fail to flush at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def drop_unwritten() -> None:
    """Discard output that stderr does not take, or Python would exit with 120."""
    stream = cast("TextIO | None", sys.stderr)
    if stream is not None:
        try:
            stream.flush()
        except OSError:
            let_go(stream)


def on_ending_signals(callback: Callable[[], object]) -> None:
    """Make the running loop call back on each signal that ends the command."""
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, callback)
