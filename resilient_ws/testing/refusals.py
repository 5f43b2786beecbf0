"""Faults that only new connections meet: the proxy takes the place of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

import attrs

from resilient_ws.testing.http import END_OF_HEAD, rejection
from resilient_ws.testing.proxied_connection import Fault
from resilient_ws.testing.sockets import end_stream


if TYPE_CHECKING:
    import socket

    from resilient_ws.testing.proxied_connection import ProxiedConnection

_CHUNK: Final = 64 * 1024
#: Bytes. A longer head of a request is answered without waiting for its end.
_MAX_HEAD: Final = 64 * 1024


@attrs.frozen
class Refuse(Fault):
    """Close the port: a client gets ``ECONNREFUSED``.

    In a script, for one connection, that connection is accepted and reset at once: a
    port cannot be closed to one client only.
    """

    closes_port: ClassVar[bool] = True

    def impose(self, connection: ProxiedConnection) -> None:
        """Reset a new connection."""
        connection.answer(_refuse)


@attrs.frozen
class Hang(Fault):
    """Accept, take what comes, and never answer. The server is not dialled."""

    def impose(self, connection: ProxiedConnection) -> None:
        """Never answer a new connection."""
        connection.answer(_swallow)


@attrs.frozen
class Reject(Fault):
    """Answer the handshake with an HTTP status. The server is not dialled.

    The answer is plain HTTP, so a client of ``wss://`` sees a failure of TLS.

    Args:
        status: The HTTP status, such as 429 or 503.
        retry_after: The header of that name, in seconds or as a date.
        headers: More headers.
        body: The body. Its length is announced.
    """

    status: int = attrs.field(validator=attrs.validators.instance_of(int))
    retry_after: int | str | None = attrs.field(default=None, kw_only=True)
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], kw_only=True)
    body: bytes = attrs.field(default=b"", kw_only=True)

    def impose(self, connection: ProxiedConnection) -> None:
        """Answer a new connection with the status."""
        connection.answer(self._answer)

    async def _answer(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        head = bytearray()
        while END_OF_HEAD not in head and len(head) < _MAX_HEAD:
            data = await loop.sock_recv(client, _CHUNK)
            if not data:
                return
            head += data
            if not head[:1].isalpha():
                break  # This is not HTTP, most likely TLS: its end would never come.
        answer = rejection(self.status, self.retry_after, self.headers, self.body)
        await loop.sock_sendall(client, answer)
        end_stream(client)
        await _swallow(client)


async def _refuse(_: object) -> None:
    raise ConnectionRefusedError


async def _swallow(client: socket.socket) -> None:
    """Discard what comes until the client ends."""
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(client, _CHUNK):
        pass
