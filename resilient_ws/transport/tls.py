"""What TLS keeps of a connection that was lost.

Rule: the loops do not deliver everything that was received before a loss. If reading
was paused when the peer hung up, or if one read did not take all of it, they end the
connection and leave the rest in the TLS object. It is read here, so that it can still
be delivered.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    import asyncio


#: The most bytes of one read; a TLS record holds 16 KiB.
_READ_SIZE: Final = 64 * 1024


def over_tls(transport: asyncio.Transport | None) -> bool:
    """Return whether a transport encrypts what goes through it."""
    return isinstance(_tls_of(transport), ssl.SSLObject | ssl.SSLSocket)


def decrypted_rest(transport: asyncio.Transport | None) -> bytes:
    """Return what was received before the transport was lost, and not delivered."""
    tls = _tls_of(transport)
    rest = bytearray()
    # Only an in-memory SSLObject can hold decrypted bytes. Reading an SSLSocket here
    # could block.
    if isinstance(tls, ssl.SSLObject):
        # It raises when it has no more, and when it is broken.
        with contextlib.suppress(ssl.SSLError):
            while chunk := tls.read(_READ_SIZE):
                rest += chunk
    return bytes(rest)


def _tls_of(transport: asyncio.Transport | None) -> object:
    return None if transport is None else transport.get_extra_info("ssl_object")
