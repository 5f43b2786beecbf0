"""Numbered commands in JSON, each answered with a result or an error."""

from __future__ import annotations

import abc
import itertools
from typing import TYPE_CHECKING, Any, TypeAlias

from resilient_ws.feeds.json import dumps, value_in
from resilient_ws.feeds.login_requests import log_in
from resilient_ws.feeds.protocol import Plain


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Protocol

    from resilient_ws import Connection
    from resilient_ws.feeds.protocol import Left, Route
    from resilient_ws.protocol.message import Message

    class Asks(Protocol):
        """What sends requests: a channel, or ``Requests`` on one connection."""

        def ask(self, id: Any, message: Message) -> Awaitable[Any]:
            """Send a request, and return the value of its reply."""
            ...

    #: Finds the values in a message.
    Values: TypeAlias = Callable[[Message], list[Any]]


class NumberedCommands(Plain, abc.ABC):
    """A protocol of numbered commands in JSON.

    Derive a protocol from it, and write how a command looks (``write``) and where one
    value belongs that came (``read``).

    Args:
        values: Finds the values in a message; by default it is one.
    """

    def __init__(self, values: Values = value_in) -> None:
        self._values = values
        self._ids = itertools.count(1)

    @abc.abstractmethod
    def write(self, number: int, kind: str, about: dict[str, Any]) -> Any:
        """Return a command, to be encoded.

        Args:
            number: Its number, greater than those before it.
            kind: What to do.
            about: What it needs.
        """

    @abc.abstractmethod
    def read(self, data: Any) -> Route:
        """Tell where a value belongs that came."""

    def route(self, message: Message) -> Sequence[Route]:
        """Tell where the values in a message belong."""
        return [self.read(data) for data in self._values(message)]

    def command(self, kind: str, **about: Any) -> tuple[int, Message]:
        """Return a command for ``channel.ask(*protocol.command(...))``.

        Args:
            kind: What to do.
            about: What it needs.
        """
        number = next(self._ids)
        return number, dumps(self.write(number, kind, about))

    async def ask(self, asks: Asks, kind: str, **about: Any) -> Any:
        """Send a command on a channel or a connection, and return its answer.

        Raises:
            CallLost: The connection ended before the answer came.
            CallTimeout: No answer came in time.
            RequestRefused: The server answered with an error.

        Cancellation:
            The server may carry it out.
        """
        return await asks.ask(*self.command(kind, **about))

    async def log_in(
        self, connection: Connection, kind: str, **about: Any
    ) -> tuple[Any, list[Left]]:
        """Send a command of a login, and return its answer and what else came.

        Raises:
            Fatal: The server refused, and not only for now.
            LoginRefused: It refused for now, or what it sends makes no sense.

        Cancellation:
            The login is given up.
        """
        return await log_in(connection, self.route, *self.command(kind, **about))
