"""Socket options and calls that asyncio does not offer."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import Final


if sys.platform == "linux":
    import fcntl

    #: Asks for the bytes that the kernel has not sent yet (linux/sockios.h).
    _SIOCOUTQNSD: Final = 0x894B

#: ``l_onoff`` and ``l_linger``: close with an RST, at once.
_NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_CHUNK: Final = 64 * 1024
#: The most chunks that are read before a close, however fast a peer floods.
_MAX_LAST_CHUNKS: Final = 64


def acknowledge_at_once(sock: socket.socket) -> None:
    """Make the kernel acknowledge now instead of after 40 ms of real time.

    In virtual time those 40 ms can be hours, and a session takes bytes that were not
    acknowledged for bytes that are still leaving.
    """
    if sys.platform == "linux":
        # uvloop hands out a substitute that has this method but not all of a socket's,
        # and a socket that is lost may refuse the option.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def send_at_once(sock: socket.socket) -> None:
    """Make every write leave in a segment of its own, without Nagle's algorithm."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def unsent(sock: socket.socket) -> int:
    """Return the bytes that the kernel has not sent yet, 0 where it does not say."""
    if sys.platform != "linux":
        return 0
    try:
        answer = fcntl.ioctl(sock, _SIOCOUTQNSD, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)


def is_lost(sock: socket.socket) -> bool:
    """Return whether an RST has come. Asking clears the error of the socket."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def reset_on_close(sock: socket.socket) -> None:
    """Make the next close send an RST."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def end_stream(sock: socket.socket) -> None:
    """Send a FIN. Reading goes on."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def reset(sock: socket.socket) -> None:
    """Close with an RST."""
    reset_on_close(sock)
    sock.close()


def hang_up(sock: socket.socket) -> None:
    """Close with a FIN."""
    # Unread bytes would turn the FIN into an RST.
    with contextlib.suppress(OSError):
        for _ in range(_MAX_LAST_CHUNKS):
            if not sock.recv(_CHUNK):
                break
    sock.close()
