"""What the kernel knows of a TCP connection, and the options that we set.

If the platform lacks a facility, each function returns the value that assumes nothing.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
import ssl
import struct
import sys
from typing import Final, Protocol

from resilient_ws.transport.read_buffer import READ_SIZE


class Socket(Protocol):
    """The methods that the sockets of asyncio's and of uvloop's transports share."""

    def fileno(self) -> int:
        """Return the descriptor, -1 when closed."""
        ...

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """Read an option."""
        ...

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """Set an option."""
        ...


#: The most unsent bytes in the kernel. The rest stays in our buffer, where we see it
#: shrink, and where a ping does not queue behind megabytes.
NOTSENT_LOWAT: Final = 128 * 1024

_NO_ERRNO: Final = (ssl.SSLError, socket.gaierror, socket.herror)

_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_TCP_CLOSE: Final = 7
_RTT_OFFSET: Final = 68  # of tcpi_rtt in struct tcp_info


def set_options(sock: Socket | None) -> None:
    """Ask the kernel for a short queue of unsent bytes, if the platform can."""
    if sock is not None and sys.platform == "linux":
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)


def unacknowledged(sock: Socket | None) -> int:
    """Return how many bytes the peer's kernel has not acknowledged; 0 if unknown."""
    if sock is None or sys.platform != "linux" or sock.fileno() < 0:
        return 0
    import fcntl  # noqa: PLC0415 - neither module exists on Windows
    import termios  # noqa: PLC0415

    waiting = array.array("i", [0])
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, waiting)
    except OSError:
        return 0
    return waiting[0]


def round_trip(sock: Socket | None) -> float | None:
    """Return the kernel's estimate of the round trip in seconds, if it has one."""
    info = _tcp_info(sock, _RTT_OFFSET + 4)
    if info is None:
        return None
    (microseconds,) = struct.unpack_from("I", info, _RTT_OFFSET)
    return float(microseconds) / 1e6


def peer_gone(sock: Socket | None) -> bool:
    """Return whether the peer answered our last bytes with a reset."""
    info = _tcp_info(sock, 1)
    return info is not None and info[0] == _TCP_CLOSE


def _tcp_info(sock: Socket | None, size: int) -> bytes | None:
    if sock is None or sys.platform != "linux":
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    except OSError:
        return None
    return info if len(info) >= size else None


def readable_rest(sock: Socket | None) -> bytes:
    """Return the bytes that arrived before a write failed; asyncio would discard them.

    After an RST the received bytes can still be read, but if we write before reading
    them, asyncio closes the transport at once.
    """
    rest = bytearray()
    if sock is not None and sys.platform != "win32":
        # The loop ends: the connection is over, so nothing more reaches the kernel.
        with contextlib.suppress(OSError):
            while sock.fileno() >= 0 and (chunk := os.read(sock.fileno(), READ_SIZE)):
                rest += chunk
    return bytes(rest)


def errno_of(failure: BaseException | None) -> int | None:
    """Return the errno of a failure, ``None`` if its number is not an errno.

    TLS errors carry OpenSSL's numbers and look-up errors the resolver's: a 1 there
    would be read as EPERM.
    """
    if not isinstance(failure, OSError) or isinstance(failure, _NO_ERRNO):
        return None
    return failure.errno


def name_of(number: int | None) -> str:
    """Return the symbolic name of an errno, for texts."""
    if number is None:
        return "no errno"
    return errno.errorcode.get(number, str(number))
