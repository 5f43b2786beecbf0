"""What the kit asks of a socket beneath what asyncio offers."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import Final


if sys.platform == "linux":
    import fcntl

    #: What the kernel has not sent yet (linux/sockios.h).
    _SIOCOUTQNSD: Final = 0x894B

#: ``l_onoff`` and ``l_linger``: close with an RST, at once.
_NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_CHUNK: Final = 64 * 1024
#: So many chunks are read before a close, however fast a peer floods.
_LAST_CHUNKS: Final = 64


def acknowledge_at_once(sock: socket.socket) -> None:
    """Let the kernel not put its acknowledgement off for 40 ms of real time.

    In virtual time that is as long as anything, and a session takes bytes that were
    not acknowledged for bytes that are still leaving.
    """
    if sys.platform == "linux":
        # uvloop's substitute for a socket has no other way, and a lost one may refuse.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def send_at_once(sock: socket.socket) -> None:
    """Let every write leave in a segment of its own (no Nagle)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def unsent(sock: socket.socket) -> int:
    """The bytes that the kernel has still to send; 0 where it does not say."""
    if sys.platform != "linux":
        return 0
    try:
        answer = fcntl.ioctl(sock, _SIOCOUTQNSD, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)


def is_lost(sock: socket.socket) -> bool:
    """Whether an RST has come; asking takes the error away."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def linger_not(sock: socket.socket) -> None:
    """Make the next close an RST."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def end_stream(sock: socket.socket) -> None:
    """Send a FIN, and go on reading."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def reset(sock: socket.socket) -> None:
    """Close with an RST."""
    linger_not(sock)
    sock.close()


def hang_up(sock: socket.socket) -> None:
    """Close with a FIN: what came and was not read would make it an RST."""
    with contextlib.suppress(OSError):
        for _ in range(_LAST_CHUNKS):
            if not sock.recv(_CHUNK):
                break
    sock.close()
