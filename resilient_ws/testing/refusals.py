"""Faults that a new connection meets: the proxy takes the place of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

import attrs

from resilient_ws.testing.faults import Fault
from resilient_ws.testing.http import END_OF_HEAD, rejection
from resilient_ws.testing.sockets import end_stream


if TYPE_CHECKING:
    import socket

    from resilient_ws.testing.connection import ProxiedConnection

_CHUNK: Final = 64 * 1024
_MAX_HEAD: Final = 64 * 1024


@attrs.frozen
class Refuse(Fault):
    """Nobody listens on the port: a client gets ``ECONNREFUSED``.

    In a script, for one connection, that one is accepted and reset at once: the kernel
    tells nobody whom it refused.
    """

    closes_port: ClassVar[bool] = True

    def impose(self, connection: ProxiedConnection) -> None:
        """Reset a connection that is new."""
        connection.answer(_refuse)


@attrs.frozen
class Hang(Fault):
    """Accept, take what comes, and never answer; the server is not dialled."""

    def impose(self, connection: ProxiedConnection) -> None:
        """Let a connection that is new hang."""
        connection.answer(_swallow)


@attrs.frozen
class Reject(Fault):
    """Answer the handshake with an HTTP status; the server is not dialled.

    The answer is plain HTTP: a client of ``wss://`` sees TLS fail.

    Args:
        status: The status, as 429 or 503.
        retry_after: For the header of that name: seconds, or a date.
        headers: More headers.
        body: The body, with its length announced.
    """

    status: int = attrs.field(validator=attrs.validators.instance_of(int))
    retry_after: int | str | None = attrs.field(default=None, kw_only=True)
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], kw_only=True)
    body: bytes = attrs.field(default=b"", kw_only=True)

    def impose(self, connection: ProxiedConnection) -> None:
        """Answer a connection that is new."""
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
                break  # No request will come of this: TLS, most likely.
        answer = rejection(self.status, self.retry_after, self.headers, self.body)
        await loop.sock_sendall(client, answer)
        end_stream(client)
        await _swallow(client)


async def _refuse(_: object) -> None:
    raise ConnectionRefusedError


async def _swallow(client: socket.socket) -> None:
    """Take what comes, until the client ends."""
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(client, _CHUNK):
        pass
