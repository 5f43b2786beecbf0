"""What TLS holds of a connection that is lost.

Rule: where reading was paused when the peer hung up, and where more had come than one
buffer takes, the loops end the connection and leave what they had received to nobody.
It is the peer's all the same, and it is read here.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    import asyncio


#: The most bytes of one read: a record has 16 KiB.
_READ_SIZE: Final = 64 * 1024


def over_tls(transport: asyncio.Transport) -> bool:
    """Whether a transport encrypts what goes through it."""
    kinds = ssl.SSLObject | ssl.SSLSocket
    return isinstance(transport.get_extra_info("ssl_object"), kinds)


def decrypted_rest(transport: asyncio.Transport | None) -> bytes:
    """Return what was received before the transport was lost, and not read."""
    held = None if transport is None else transport.get_extra_info("ssl_object")
    rest = bytearray()
    # A socket of its own could block, and keeps nothing: it is read when it is asked.
    if isinstance(held, ssl.SSLObject):
        # Wants more, or is broken: either way there is no more.
        with contextlib.suppress(ssl.SSLError):
            while chunk := held.read(_READ_SIZE):
                rest += chunk
    return bytes(rest)
