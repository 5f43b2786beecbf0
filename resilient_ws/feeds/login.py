"""The ``on_open`` of a channel: the login of its protocol, and what it left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.feeds.protocol import Plain


if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilient_ws import Connection
    from resilient_ws.feeds.protocol import Left, Protocol


class Login:
    """Logs in on each connection.

    Args:
        protocol: How to log in.

    Attributes:
        resume: Whether the server may know us from an earlier connection.
    """

    __slots__ = ("_epoch", "_left", "_protocol", "resume")

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self.resume = False
        # What came with the answer, and the epoch of its connection.
        self._epoch = 0
        self._left: Sequence[Left] = ()

    @property
    def is_needed(self) -> bool:
        """Whether the protocol logs in at all."""
        return getattr(type(self._protocol), "login", None) is not Plain.login

    async def __call__(self, connection: Connection) -> None:
        """Log in on a new connection."""
        left = await self._protocol.login(connection, self.resume)
        self._epoch, self._left = connection.epoch, left or ()
        self.resume = True

    def take_left(self, epoch: int) -> Sequence[Left]:
        """Return, once, what came with the answer on a connection."""
        left = self._left if epoch == self._epoch else ()
        self._left = ()
        return left
