"""The server's side of one connection, and what it can be told to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from resilient_ws.testing.frames import PING, ClientFrames, close_frame, frame, message
from resilient_ws.testing.http import rejection, response
from resilient_ws.testing.sockets import linger_not
from resilient_ws.testing.witness import ClientGone, Witness


if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from resilient_ws.testing.server import ScriptedServer

T = TypeVar("T")


class Peer(Witness):
    """The server's side of one connection of a :class:`ScriptedServer`.

    It answers pings and the closing handshake by itself, unless told otherwise.
    ``within`` is in seconds of the loop's clock. Cancellation: a call that waits may
    be cancelled at any time; what came meanwhile is there for the next one.
    """

    def __init__(self, server: ScriptedServer) -> None:
        super().__init__(
            len(server.peers) + 1,
            opened=lambda: server.on_connection(self),
            asked=lambda: server.on_request(self),
            wronged=lambda misconduct: server.on_misconduct(self, misconduct),
        )

    async def accept(
        self,
        *,
        subprotocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        tail: bytes = b"",
    ) -> None:
        """Answer the handshake with 101.

        Args:
            subprotocol: One of those that the client offers.
            headers: More headers, or others in place of the right ones.
            tail: What follows in the same packet, as frames.

        Raises:
            AssertionError: The client does not offer ``subprotocol``.
        """
        fields = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": self.request.accept_token(),
        }
        if subprotocol is not None:
            offered = self.request.subprotocols
            if subprotocol not in offered:
                raise AssertionError(
                    f"{self} should offer the subprotocol {subprotocol!r};"
                    f" it offers {offered}."
                )
            fields["Sec-WebSocket-Protocol"] = subprotocol
        fields |= headers or {}
        self._frames = ClientFrames(fields.get("Sec-WebSocket-Extensions", ""))
        self.accepted = True
        await self.write(response(101, fields) + tail)

    async def reject(
        self,
        status: int,
        *,
        retry_after: int | str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        """Answer the handshake with another status than 101, and hang up.

        Args:
            status: The status of HTTP, as 429 or 503.
            retry_after: For the header of that name: seconds, or a date.
            headers: More headers.
            body: The body, with its length announced.
        """
        self._put(rejection(status, retry_after, headers, body))
        await self.drop()

    async def send(self, *messages: str | bytes) -> None:
        """Send messages in one write: ``str`` as text, ``bytes`` as binary.

        Waits while the client takes no more.

        Raises:
            ClientGone: The connection, or our side of it, is over.
        """
        if not self._may_write:
            raise self._end()
        await self.write(b"".join(map(message, messages)))

    async def write(self, data: bytes) -> None:
        """Put raw bytes on the wire, legal or not; nothing if it is closed."""
        self._put(data)
        await self._writable.wait()

    async def ping(self, payload: bytes = b"", *, within: float = 10.0) -> None:
        """Send a ping, and wait for its pong.

        Raises:
            AssertionError: None came ``within`` so many seconds.
            ClientGone: The connection ended first.
        """
        before = len(self.pongs)
        await self.write(frame(PING, payload))
        await self._within(
            within,
            f"a pong with {payload!r}",
            self.until(lambda: payload in self.pongs[before:]),
        )

    async def close(
        self, code: int | None = 1000, reason: str = "", *, within: float = 10.0
    ) -> None:
        """Close with the handshake of RFC 6455: send, await the answer, hang up.

        Raises:
            AssertionError: The client did not answer ``within`` so many seconds.
            ClientGone: It ended the connection instead.
        """
        self.answers_close = False
        await self.write(close_frame(code, reason))
        await self._within(within, "a close frame", self.goodbye())
        self._finish()

    async def half_close(self) -> None:
        """End our stream (FIN), and read on."""
        self._finish()

    async def drop(self) -> None:
        """End the connection with a FIN and no close frame."""
        self.transport.close()
        await self.ended()

    async def reset(self) -> None:
        """End the connection with an RST, leaving nothing behind."""
        linger_not(self.transport.get_extra_info("socket"))
        self.transport.abort()
        await self.ended()

    def freeze(self) -> None:
        """Read and answer nothing from now on; the kernel still takes bytes."""
        self.transport.pause_reading()

    def thaw(self) -> None:
        """Read again, beginning with what came meanwhile."""
        self.transport.resume_reading()

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            ClientGone: The connection ended before there was one.
        """
        await self.until(lambda: bool(self._inbox))
        return self._inbox.popleft()

    async def expect(
        self,
        expected: str | bytes | Callable[[str | bytes], object],
        *,
        within: float = 10.0,
    ) -> str | bytes:
        """Return the next message, which must be the one expected.

        Args:
            expected: The message, or a function of it that is true for the right one.
            within: Seconds to wait for it.

        Raises:
            AssertionError: Another message came, or none, or the connection ended.
        """
        try:
            came = await self._within(within, repr(expected), self.receive())
        except ClientGone as gone:
            raise AssertionError(f"{expected!r} was expected, but {gone}") from None
        right = expected(came) if callable(expected) else came == expected
        if not right:
            raise AssertionError(f"{self} should send {expected!r}; it sent {came!r}.")
        return came

    async def _within(
        self, seconds: float, what: str, waiting: Coroutine[None, None, T]
    ) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except TimeoutError:
            raise AssertionError(
                f"{self} should send {what}, and did not within {seconds:g} s."
            ) from None
