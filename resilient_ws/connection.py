"""The argument of ``on_open``: one connection, which only the hook may use.

Rule: once ``on_open`` has returned, the connection belongs to the session, and every
call that is made on it raises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from resilient_ws.errors import ConnectionLost
from resilient_ws.outbox.delivery import payload_of
from resilient_ws.policy._validate import require_callable
from resilient_ws.policy.tracebacks import without_frames


if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilient_ws.inbox.restore_buffer import RestoreBuffer
    from resilient_ws.outbox.delivery import Sendable
    from resilient_ws.protocol.handshake import Negotiated
    from resilient_ws.protocol.message import Message
    from resilient_ws.transport.wire import Wire


class Window:
    """Whether ``on_open`` may still use its connection."""

    __slots__ = ("_is_open",)

    def __init__(self) -> None:
        self._is_open = True

    @property
    def is_open(self) -> bool:
        """Whether ``on_open`` is still running."""
        return self._is_open

    def close(self) -> None:
        """Note that ``on_open`` has ended."""
        self._is_open = False


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


#: The ``on_open`` of ``connect()``, which restores each new connection.
OnOpen: TypeAlias = Callable[[Connection], Awaitable[object]]
