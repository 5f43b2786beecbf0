"""What a channel has to know of a wire protocol: where each message belongs."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Protocol as TypingProtocol, TypeAlias

import attrs

from resilient_ws.feeds.errors import FeedError
from resilient_ws.feeds.source import Key
from resilient_ws.protocol.message import Message


if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilient_ws import Connection


@attrs.define
class Reply:
    """The answer to a request.

    Attributes:
        id: The id of the request.
        value: The answer.
        error: The error that the server answered with instead.
        odd: What is wrong with it, where something is: it is counted and reported.
    """

    id: Any
    value: Any = None
    error: FeedError | None = None
    odd: str | None = None


@attrs.define
class Item:
    """Data for a subscription.

    Attributes:
        key: The subscription's key on this connection.
        value: The data.
    """

    key: Key
    value: Any


@attrs.define
class Ended:
    """The server ended a subscription.

    Attributes:
        key: The subscription's key.
        because: Why, where the server says so. The iteration then raises it; without
            it, the iteration ends.
        again: Whether to subscribe again instead.
    """

    key: Key
    because: FeedError | None = None
    again: bool = False


@attrs.define
class Rotate:
    """The server asks for a new connection.

    Attributes:
        reason: Why, for the log.
        url: Where to, if not where ``connect`` said.
    """

    reason: str
    url: str | None = None


@attrs.define
class Reset:
    """The session that the server kept for us is gone: log in anew.

    The new connection is made after a few seconds of chance, because a server that
    restarts says so to all its clients at once.

    Attributes:
        reason: Why, for the log.
        resume: Whether the next login may still resume.
    """

    reason: str
    resume: bool = False


@attrs.define
class Missed:
    """Messages of this connection are missing, whoever they were for.

    For servers that number the messages of a connection, and not those of a stream.
    Every subscription then has a hole, and every answer that is waited for may be gone.
    """


@attrs.define
class Answer:
    """A message to send back, on the connection that this one came on.

    Attributes:
        message: The message; or an awaitable that makes it, and may make ``None``.
    """

    message: Message | Awaitable[Message | None]


@attrs.define
class Ignore:
    """Nothing to do: a greeting, an acknowledgement, a heartbeat.

    Attributes:
        odd: What is wrong with the message, where something is: it is counted and
            reported.
    """

    odd: str | None = None


Route: TypeAlias = Reply | Item | Ended | Rotate | Reset | Missed | Answer | Ignore
#: What a login leaves to be routed: a message, or what one was found to say.
Left: TypeAlias = Message | Route


class Protocol(TypingProtocol):
    """A wire protocol: where each message belongs, and how to log in.

    Derive from ``Plain``, which has a default for all but ``route``. Those that come
    with the library are in ``resilient_ws.feeds.protocols``.

    Attributes:
        beat_interval: Seconds between two heartbeats, looked at again after each; or
            ``None`` for none.
        beat_answered: Whether the server sends something between any two heartbeats, as
            it does where it answers each. A connection on which nothing came is
            replaced.
        close_code: The close code for a connection that is replaced. Some servers
            forget the client that closes with 1000.
    """

    @property
    def beat_interval(self) -> float | None:
        """Seconds between two heartbeats, or ``None`` for none."""
        ...

    @property
    def beat_answered(self) -> bool:
        """Whether something comes between any two heartbeats."""
        ...

    @property
    def close_code(self) -> int:
        """The close code for a connection that is replaced."""
        ...

    def route(self, message: Message) -> Route | Sequence[Route]:
        """Tell where a message belongs.

        Whatever it raises is counted and reported as a malformed message. After
        ``Unreadable``, the connection is replaced as well.
        """
        ...

    async def login(
        self,
        connection: Connection,
        resume: bool,  # noqa: FBT001 - a callback
    ) -> Sequence[Left] | None:
        """Log in on a new connection, before anything else is sent.

        Args:
            connection: The connection, as ``on_open`` gets it.
            resume: Whether the server may still know us from an earlier connection.

        Returns:
            What came with the answer, to be routed before all else; ``None`` where
            there is nothing.

        Raises:
            LoginRefused: The server refused, and may think better of it later.
            Fatal: It never will: the session ends.

        Cancellation:
            The connection is given up, and what was sent on it with it.
        """
        ...

    def beat(self) -> Message | None:
        """Return the next heartbeat, or ``None`` to leave it out."""
        ...

    def ack(self, item: Item) -> Message | None:
        """Return the acknowledgement of an item, or ``None`` where there is none.

        It goes out at once, on the connection that brought the item.
        """
        ...


class Plain:
    """Default answers for a protocol without a login, heartbeats or acknowledgements.

    Derive a protocol from it, and write ``route`` and what differs.
    """

    beat_interval: float | None = None
    beat_answered: bool = False
    close_code: int = 1000

    async def login(
        self,
        connection: Connection,  # noqa: ARG002 - the interface
        resume: bool,  # noqa: ARG002, FBT001
    ) -> Sequence[Left] | None:
        """Log in with nothing."""
        return None

    def beat(self) -> Message | None:
        """Send no heartbeat."""
        return None

    def ack(self, item: Item) -> Message | None:  # noqa: ARG002 - the interface
        """Acknowledge nothing."""
        return None


class Everything(Plain):
    """The protocol of a channel without one: all messages go to those who listen."""

    def route(self, message: Message) -> Item:
        """Return the message for whoever listens."""
        return Item(None, message)
