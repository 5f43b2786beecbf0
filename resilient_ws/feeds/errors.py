"""The exceptions of feeds, below ``ResilientWSError``.

::

    FeedError
    ├── RPCError           the server answered a call with an error
    ├── CallTimeout        no answer came in time
    ├── CallLost           the connection ended before the answer came
    ├── LoginRefused       the server refused a new connection's login
    ├── SubscribeRefused   the server does not give this subscription
    ├── StreamEnded        the server ended a subscription
    ├── StreamReset        the server began its count anew
    ├── ConsumerTooSlow    items were not kept, because nobody read them
    ├── NotBackfillable    what was missed cannot be fetched
    ├── BackfillFailed     fetching what was missed failed
    │   └── BackfillLimit  the hole is larger than the server gives, or you allow
    └── Undecodable        an item could not be decoded
"""

from __future__ import annotations

from resilient_ws.errors import ResilientWSError


__all__ = [
    "BackfillFailed",
    "BackfillLimit",
    "CallLost",
    "CallTimeout",
    "ConsumerTooSlow",
    "FeedError",
    "LoginRefused",
    "NotBackfillable",
    "RPCError",
    "StreamEnded",
    "StreamReset",
    "SubscribeRefused",
    "Undecodable",
]


class FeedError(ResilientWSError):
    """The base class of the exceptions of feeds."""


class RPCError(FeedError):
    """The server answered a call with an error (JSON-RPC 2.0, section 5.1).

    Attributes:
        code: The error code.
        message: The server's text.
        data: What the server added, decoded, or ``None``.
    """

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"The server answered with error {code}: {message}")
        self.code = code
        self.message = message
        self.data = data


class CallTimeout(FeedError):
    """No answer to a call came in time.

    Attributes:
        after: The seconds that were allowed.
        maybe_executed: Whether the call was sent, so that the server may have carried
            it out, or may do so later.
    """

    def __init__(self, message: str, *, after: float, maybe_executed: bool) -> None:
        super().__init__(message)
        self.after = after
        self.maybe_executed = maybe_executed


class CallLost(FeedError):
    """The connection ended before the answer to a call came.

    Attributes:
        maybe_executed: Whether the call was sent, so that the server may have carried
            it out.
    """

    def __init__(self, message: str, *, maybe_executed: bool) -> None:
        super().__init__(message)
        self.maybe_executed = maybe_executed


class LoginRefused(FeedError):
    """The server refused the login on a new connection, which thus has failed."""


class SubscribeRefused(FeedError):
    """The server refused a subscription; ``__cause__`` says how."""


class StreamEnded(FeedError):
    """The server ended a subscription, and says that it will not go on."""


class StreamReset(FeedError):
    """The server began its count anew: what was missed before is not known."""


class ConsumerTooSlow(FeedError):
    """Items were not kept, because the buffer of their subscription was full."""


class NotBackfillable(FeedError):
    """What was missed cannot be fetched: this stream has no history."""


class BackfillFailed(FeedError):
    """Fetching what was missed failed; ``__cause__`` says how."""


class BackfillLimit(BackfillFailed):
    """The hole is larger than the server gives out, or than you allow."""


class Undecodable(FeedError):
    """An item arrived that could not be decoded; ``__cause__`` says why."""
