"""The standard streams of this process, and how the command ends when one fails.

Rules: Messages about problems go to stderr, one printable line each, and never raise. A
stream that fails ends the command with an exit code of its own choice, not with a
traceback or with Python's exit code 120.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO, cast

from resilient_ws import printable


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


def occupy_closed_streams() -> None:
    """Open the null device for each closed stream.

    Otherwise the next file or socket would get its descriptor, and the stream's output.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def problem_with_output() -> str | None:
    """Return what is wrong with stdout or stderr, ``None`` if both can be used."""
    # Python sets a stream to None if its descriptor was closed at the start.
    if cast("TextIO | None", sys.stdout) is None or (
        cast("TextIO | None", sys.stderr) is None
    ):
        return "stdout and stderr must be open; use >/dev/null"
    return None


def escape_unencodable() -> None:
    """Make stdout escape characters that its encoding lacks, as stderr does."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def discard_unwritten(*streams: TextIO) -> None:
    """Discard buffered output that cannot be written.

    Python would otherwise try to flush it at exit, and fail.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def flush_stderr() -> None:
    """Flush stderr, or discard what it does not take."""
    stream = cast("TextIO | None", sys.stderr)
    if stream is not None:
        try:
            stream.flush()
        except OSError:
            discard_unwritten(stream)
