"""The exceptions of feeds, below ``ResilientWSError``.

::

    FeedError
    ├── RequestRefused     the server answered a request with an error
    │   └── RPCError       as JSON-RPC does
    ├── CallTimeout        no answer came in time
    ├── CallLost           the connection ended before the answer came
    ├── LoginRefused       the server refused a new connection's login
    ├── SubscribeRefused   the server does not give this subscription
    ├── Unreadable         what came, and all behind it, cannot be understood
    ├── StreamEnded        the server ended a subscription
    ├── StreamReset        the server began its count anew
    ├── ConsumerTooSlow    items were not kept, because nobody read them
    ├── NotBackfillable    what was missed cannot be fetched
    ├── BackfillFailed     fetching what was missed failed
    │   ├── BackfillLimit  the hole is larger than the server gives, or you allow
    │   └── HistoryPruned  the node has deleted what is so old
    ├── ReorgTooDeep       a chain was reorganised further back than is remembered
    ├── WrongChain         the node is of another chain
    ├── UnknownTag         the node does not know "safe" or "finalized"
    ├── ItemsMissed        items were missed, and what they would have changed
    ├── ChecksumMismatch   what was made of the items is not what the server has
    ├── Undecodable        an item could not be decoded
    ├── SinkBusy           a sink could not take an item now
    ├── Undeliverable      a sink will never take an item
    └── SinkGone           a sink takes nothing any more
"""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar, Final, TypeVar

from resilient_ws import ResilientWSError
from resilient_ws.feeds.json import is_object
from resilient_ws.policy._validate import check_duration


__all__ = [
    "BackfillFailed",
    "BackfillLimit",
    "CallLost",
    "CallTimeout",
    "ChecksumMismatch",
    "ConsumerTooSlow",
    "FeedError",
    "HistoryPruned",
    "ItemsMissed",
    "LoginRefused",
    "NotBackfillable",
    "RPCError",
    "ReorgTooDeep",
    "RequestRefused",
    "SinkBusy",
    "SinkGone",
    "StreamEnded",
    "StreamReset",
    "SubscribeRefused",
    "Undecodable",
    "Undeliverable",
    "UnknownTag",
    "Unreadable",
    "WrongChain",
]


E = TypeVar("E", bound=Exception)

#: Characters of a server's text that an error repeats.
_MAX_TEXT: Final = 100


def renewed(failure: E) -> E:
    """Return a copy of an exception, for an exception keeps the frames of all raises.

    A program's own exception may not be one that can be copied: then it is itself.
    """
    try:
        return copy.copy(failure)
    except Exception:  # noqa: BLE001 - whatever its class does
        return failure


class FeedError(ResilientWSError):
    """The base class of the exceptions of feeds."""


class RequestRefused(FeedError):
    """The server answered a request with an error.

    The errors of wire protocols derive from it. A subscription that is refused for now
    (``temporary``) is asked for again after a pause; a login is tried again.

    Args:
        error: What the server sent, decoded. Of an object, ``code``, ``message`` and
            ``temporary`` are read.
        text: What the exception says; by default, the code and the message.

    Attributes:
        error: What the server sent.
        code: Its code, a number or a word; ``None`` where it has none.
        temporary: Whether the server may answer otherwise later.
    """

    #: Codes of errors that pass, though the server does not call them temporary.
    TEMPORARY: ClassVar[frozenset[int | str]] = frozenset()

    def __init__(self, error: object, text: str | None = None) -> None:
        about = error if is_object(error) else {}
        code = about.get("code")
        self.error: object = error
        self.code: Any = code if isinstance(code, int | str) else None
        self.temporary = about.get("temporary") is True or self.code in self.TEMPORARY
        super().__init__(_told(about) if text is None else text)


class RPCError(RequestRefused):
    """The server answered a call with an error (JSON-RPC 2.0, section 5.1).

    Attributes:
        code: The error code.
        message: The server's text.
        data: What the server added, decoded, or ``None``.
    """

    def __init__(self, code: int, message: str, data: object = None) -> None:
        error = {"code": code, "message": message, "data": data}
        super().__init__(error, f"The server answered with error {code}: {message}")
        self.code: int = code
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


class Unreadable(FeedError, ValueError):
    """What came cannot be understood, nor can what comes behind it.

    ``Protocol.route`` raises it where a frame has lost its length, say: the connection
    is replaced.
    """


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


class HistoryPruned(BackfillFailed):
    """The node has deleted what is so old, as most nodes do."""


class ReorgTooDeep(FeedError):
    """A chain was reorganised further back than is remembered.

    Blocks that you have, from the gap's ``first_missing`` on, may not be of the chain:
    undo them. Those that took their place follow as ordinary items. Where
    ``first_missing`` is ``None``, nothing that you have is certain.
    """


class WrongChain(FeedError):
    """The node is of another chain than before, or than the cursor: the stream ends."""


class UnknownTag(FeedError):
    """The node does not know the tag ``"safe"`` or ``"finalized"``."""


class ItemsMissed(FeedError):
    """Items were missed, so that what they would have changed is not known."""


class ChecksumMismatch(FeedError):
    """What was made of the items differs from what the server has."""


class Undecodable(FeedError):
    """An item, or a message, arrived that could not be decoded.

    Attributes:
        data: The message, where it was one; no text of this error shows it.
        because: What the decoder raised; of an item, that is ``__cause__``.
    """

    def __init__(
        self,
        message: str,
        *,
        data: str | bytes | None = None,
        because: Exception | None = None,
    ) -> None:
        super().__init__(message)
        self.data = data
        self.because = because


class SinkBusy(FeedError):
    """A sink could not take an item now: ``relay`` tries it again.

    Attributes:
        retry_after: The seconds that the receiver asked to be left alone; infinity for
            as long as ``relay`` would wait at most.

    Raises:
        TypeError: ``retry_after`` is not a number.
        ValueError: It is negative, or not a number of seconds (NaN).
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        if retry_after != math.inf:
            check_duration("retry_after", retry_after)
        super().__init__(message)
        self.retry_after = retry_after


class Undeliverable(FeedError):
    """An item will not be delivered: refused for good, or after the last attempt."""


class SinkGone(FeedError):
    """A sink takes nothing any more, so that ``relay`` ends."""


def quoted(text: object) -> str:
    """Return what a server said, in quotes and cut, for the text of an error."""
    return repr(str(text)[:_MAX_TEXT])


def _told(error: dict[str, Any]) -> str:
    code = "" if error.get("code") is None else f" {str(error['code'])[:_MAX_TEXT]}"
    text = f": {quoted(error['message'])}" if "message" in error else ""
    return f"The server answered with error{code}{text}."
