"""Events that a server sends unasked, numbered within a session that it keeps.

Rules: an event that was there before is left out. What is missing is found by the
numbers, so that a session which the server resumes has no gap, and one that it does not
resume begins anew.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

from resilient_ws.feeds.protocol import Ignore, Item
from resilient_ws.feeds.source import Continuity, Source, in_epochs


#: The server's session, and how many holes were found in it before.
Place: TypeAlias = tuple[str, int]


@attrs.frozen
class PushedEvent:
    """An event that the server sent unasked.

    Attributes:
        type: Its type, such as ``"MESSAGE_CREATE"``.
        data: Its data.
        number: Its number in the server's session.
        position: Which session that is, and how many holes were found in it before.
    """

    type: str
    data: Any
    number: int
    position: Place


class Pushed:
    """The events of one session after the other.

    Attributes:
        session: The session's name; empty without one.
        number: The number of the newest event, ``None`` before the first.
    """

    def __init__(self) -> None:
        self._holes = 0
        self.session = ""
        self.number: int | None = None

    def begin(self, session: str, number: int) -> None:
        """Take note of a new session, and of the number of its first event."""
        self.session, self.number = session, number

    def end(self) -> None:
        """Take note that the session is gone."""
        self.session, self.number = "", None

    def take(self, type: str, data: Any, number: int) -> Item | Ignore:
        """Return the item of an event."""
        last = self.number or 0
        if number <= last:
            return Ignore(odd="an event that was there before")
        if number > last + 1:
            self._holes += 1
        self.number = number
        event = PushedEvent(type, data, number, (self.session, self._holes))
        return Item(type, event)

    def source(self, *types: str) -> Source[PushedEvent, Place]:
        """Return the source of the events of some types, in the server's order.

        Args:
            types: Their types; none for all that no other subscription has.
        """
        return Source(
            keys=types,
            begins_at=lambda: (self.session, self._holes),
            cursor_of=lambda event: event.position,
            follows=in_epochs(lambda event: event.position, _step),
        )


def _step(last: int, holes: int) -> Continuity:
    """Tell whether a hole was found between two events."""
    return Continuity.NEXT if holes == last else Continuity.JUMP
