"""What stands among the held items of a flow where some are missing, and why.

Rules: a hole is made where something went missing, and never moved. What goes missing
while a hole is being closed is another hole behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilient_ws.feeds.errors import (
    BackfillFailed,
    ConsumerTooSlow,
    FeedError,
    NotBackfillable,
    StreamReset,
    Undecodable,
)


if TYPE_CHECKING:
    from resilient_ws.feeds.identities import Identities


class Hole:
    """Items that did not arrive, or perhaps did not.

    Attributes:
        because: Why nobody can have them; ``None`` as long as they may be fetched.
        begun: Whether it is being closed.
    """

    __slots__ = ("because", "begun")

    def __init__(self, because: FeedError | None = None) -> None:
        self.because = because
        self.begun = False

    @property
    def is_new(self) -> bool:
        """Whether what goes missing now may be fetched with it."""
        return self.because is None and not self.begun


class Skipped(Hole):
    """Items that were not kept, because the consumer was too slow.

    Attributes:
        last: The position of the newest; at first, of the item before them.
        count: How many they are.
        is_open: Whether something of an unknown position is missing behind ``last``.
        seen: Their identities. They are not those of the flow before their turn comes:
            an item that is held before them may be the same as one of them.
    """

    __slots__ = ("count", "is_open", "last", "seen")

    def __init__(self, last: Any, seen: Identities[Any] | None) -> None:
        super().__init__()
        self.last = last
        self.seen = None if seen is None else seen.another()
        self.count = 0
        self.is_open = False

    @property
    def is_new(self) -> bool:
        """What goes missing now may be fetched; what was not kept is gone for good."""
        return False


def after(cursor: Any) -> Any:
    """Return the position behind one: known where positions are numbers."""
    return cursor + 1 if isinstance(cursor, int) else None


def before(cursor: Any) -> Any:
    """Return the position before one: known where positions are numbers."""
    return cursor - 1 if isinstance(cursor, int) else None


def too_slow() -> FeedError:
    """Return the reason for what was not kept for a slow consumer."""
    return ConsumerTooSlow("The buffer of the subscription was full.")


def was_reset() -> FeedError:
    """Return the reason for what was missed before a new count."""
    return StreamReset("The server began its count anew.")


def no_history() -> FeedError:
    """Return the reason for what cannot be fetched."""
    return NotBackfillable("The stream has no history that could be fetched.")


def cut_short() -> FeedError:
    """Return the reason for what was not fetched before the end."""
    return BackfillFailed("The subscription ended before the hole could be filled.")


def unfilled() -> FeedError:
    """Return the reason for what was asked for and did not come."""
    return BackfillFailed("What the server returned for the hole does not fill it.")


def failed(failure: Exception) -> FeedError:
    """Return the reason for what could not be fetched."""
    kind = type(failure).__name__
    error = BackfillFailed(f"What was missed could not be fetched: {kind}.")
    error.__cause__ = failure.with_traceback(None)
    return error


def undecodable(failure: Exception) -> FeedError:
    """Return the reason for an item that could not be read."""
    kind = type(failure).__name__
    error = Undecodable(f"An item could not be decoded: {kind}.")
    error.__cause__ = failure.with_traceback(None)
    return error
