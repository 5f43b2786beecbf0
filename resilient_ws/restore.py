"""The argument of ``on_open``: a connection that only the hook may use.

Rules: messages that arrive while a connection is being restored wait in its own buffer,
so that a full inbox cannot starve the hook. Messages that the hook does not take join
the inbox, in order, when the connection opens.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws.errors import ConnectionLost
from resilient_ws.inbox import size_of
from resilient_ws.inbox.queue import MAX_AT_ONCE
from resilient_ws.outbox.payload import payload_of
from resilient_ws.policy._validate import require_callable
from resilient_ws.tracebacks import without_frames


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resilient_ws.inbox import Inbox, InboxQueue, Message
    from resilient_ws.outbox.payload import Sendable
    from resilient_ws.protocol.handshake import Negotiated
    from resilient_ws.transport.wire import Wire


class RestoreBuffer:
    """Holds the messages of a connection until it is open; a sink of the wire."""

    __slots__ = ("_arrival", "_messages", "_policy", "_size", "_taken", "on_room")

    #: A connection that is not open yet is never ended because its buffer is full.
    closes = False

    def __init__(self, policy: Inbox) -> None:
        self._policy = policy
        self._messages: list[Message] = []
        self._size = 0
        self.on_room: Callable[[], None] | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._taken = 0

    @property
    def deliver(self) -> Callable[[Message], None]:
        """The callable that the engine passes each message to."""
        return self._messages.append

    def room(self) -> int:
        """Return how many messages may be delivered now."""
        if self._size >= self._policy.max_bytes:
            return 0
        return self._policy.max_messages - len(self._messages)

    def space(self) -> int:
        """Return how many payload bytes may be delivered now."""
        return self._policy.max_bytes - self._size

    def arrived(self, size: int) -> bool:
        """Count the messages of a chunk, ``size`` payload bytes in all.

        Returns:
            Whether the buffer has no room for another byte.
        """
        self._size += size
        if self._arrival is not None:
            self._arrival.set_result(None)
            self._arrival = None
        return self._size >= self._policy.max_bytes

    def withhold(self) -> None:
        """Do nothing when reading stops because the buffer is full."""

    def release(self) -> None:
        """Do nothing when reading continues."""

    async def take(
        self,
        matching: Callable[[Message], object] | None,
        ended: asyncio.Future[ConnectionLost],
    ) -> Message:
        """Return the first message that matches; raise if the connection has ended."""
        if self._taken % MAX_AT_ONCE == MAX_AT_ONCE - 1:
            # A hook that always finds a message must not block the loop.
            await asyncio.sleep(0)
        seen = taken = 0
        while True:
            if taken != self._taken:
                # Another receive() of the hook took a message and shifted the indexes.
                seen, taken = 0, self._taken
            for place in range(seen, len(self._messages)):
                message = self._messages[place]
                if matching is None or matching(message):
                    del self._messages[place]
                    self._taken += 1
                    self._make_room(message)
                    return message
            seen = len(self._messages)
            if ended.done():
                raise ended.result()
            if self._arrival is None:
                self._arrival = asyncio.get_running_loop().create_future()
            await asyncio.wait(
                (self._arrival, ended), return_when=asyncio.FIRST_COMPLETED
            )

    def _make_room(self, message: Message) -> None:
        self._size -= size_of(message)
        if self.on_room is not None:
            self.on_room()

    def join(self, inbox: InboxQueue) -> None:
        """Move the remaining messages to the inbox, in order."""
        inbox.absorb(self._messages, self._size)
        self._size = 0


class Window:
    """Whether ``on_open`` may still use its connection; ``Hook`` closes it."""

    __slots__ = ("is_open",)

    def __init__(self) -> None:
        self.is_open = True


class Connection:
    """One connection while it is being restored: the argument of ``on_open``.

    Messages sent with it go out at once, before anything in the outbox. The session
    receives, in order, all messages that are not received here.

    Attributes:
        epoch: The ordinal that this connection will have when it opens.
        endpoint: The URL, without secrets.
        subprotocol: The subprotocol that the server selected, or ``None``.
        extensions: The negotiated extensions by name, each with its parameters.
        headers: The headers of the server's response, names in lower case, 8 KiB at
            most. ``repr`` hides values that may be secret.
    """

    def __init__(
        self,
        wire: Wire,
        buffer: RestoreBuffer,
        *,
        window: Window,
        epoch: int,
        endpoint: str,
        negotiated: Negotiated,
    ) -> None:
        self._wire = wire
        self._buffer = buffer
        self._window = window
        self.endpoint = endpoint
        self.epoch = epoch
        self.subprotocol = negotiated.subprotocol
        self.extensions: Mapping[str, Mapping[str, str | None]] = negotiated.extensions
        self.headers: Mapping[str, str] = negotiated.headers

    def __repr__(self) -> str:
        """Show the epoch and the endpoint, without secrets."""
        doing = "being restored" if self.restoring else "restored"
        return f"<Connection {self.epoch} to {self.endpoint}, {doing}>"

    @property
    def restoring(self) -> bool:
        """Whether ``on_open`` is still running."""
        return self._window.is_open

    async def send(self, data: Sendable) -> None:
        """Send one message at once: ``str`` as text, other types as binary.

        Raises:
            ConnectionLost: The connection ended; do not catch this, the session
                handles it.
            RuntimeError: ``on_open`` has finished; use ``session.send``.
            TypeError: ``data`` is of another type.

        Cancellation:
            Safe; the message of a cancelled ``send`` was not sent.
        """
        self._check_restoring("send")
        message, _ = payload_of(data)
        await self._wire.outgoing.wait_writable()
        if self._wire.ended.done():
            # The message may be a login: keep it out of the frames of the traceback.
            del data, message
            raise without_frames(self._wire.ended.result())
        self._wire.outgoing.send(message)

    async def receive(
        self, matching: Callable[[Message], object] | None = None
    ) -> Message:
        """Receive the first message, or the first for which ``matching`` is true.

        Messages that do not match stay, in order, for the session's consumer.

        Raises:
            ConnectionLost: The connection ended; do not catch this, the session
                handles it.
            RuntimeError: ``on_open`` has finished; use ``session.receive``.
            TypeError: ``matching`` is not a callable.

        Cancellation:
            Safe; no message is lost.
        """
        self._check_restoring("receive")
        if matching is not None:
            # Checked now, because the first call is when a message comes, maybe never.
            require_callable(matching, "matching")
        try:
            return await self._buffer.take(matching, self._wire.ended)
        except ConnectionLost as failure:
            lost = without_frames(failure)
        try:
            raise lost
        finally:
            del lost

    def _check_restoring(self, call: str) -> None:
        if not self.restoring:
            msg = f"on_open has finished; use session.{call}() instead."
            raise RuntimeError(msg)
