"""What was seen of one session, from both sides, for the judges."""

from __future__ import annotations

import attrs

from resilient_ws import Delivery, Event, Interruption, Statistics
from resilient_ws.testing import Peer


@attrs.define
class Served:
    """One connection as the server had it."""

    attempt: int
    peer: Peer
    requested_at: float
    #: What it sent before any end of its own, and after it.
    sent: list[str] = attrs.field(factory=list)
    late: list[str] = attrs.field(factory=list)
    #: It has ended the stream: nothing that it sends from now on may be received.
    over: bool = False
    #: It has not read all the time, so it cannot say when the client hung up.
    froze: bool = False


@attrs.frozen
class Accepted:
    """One message that ``send`` accepted."""

    text: str
    sender: str
    delivery: Delivery


@attrs.define
class Record:
    """All of it."""

    served: list[Served] = attrs.field(factory=list)
    #: Every event when it was reported, whatever callbacks did with it.
    reported: list[Event] = attrs.field(factory=list)
    #: Every event that a callback got.
    heard: list[Event] = attrs.field(factory=list)
    items: list[str | bytes | Interruption] = attrs.field(factory=list)
    #: Of each attempt, what ``on_open`` received, and whether it sent something.
    taken: dict[int, list[str | bytes]] = attrs.field(factory=dict)
    greeted: set[int] = attrs.field(factory=set)
    #: Of each epoch, every message that was handed to its connection.
    written: dict[int, list[str | bytes]] = attrs.field(factory=dict)
    accepted: list[Accepted] = attrs.field(factory=list)
    #: What ``send`` raised on, or was cancelled in.
    refused: list[str] = attrs.field(factory=list)
    #: Calls of ``send`` that waited although the session was not open and had room.
    delayed: list[str] = attrs.field(factory=list)
    #: How often a callback raised.
    raised: int = 0
    #: What changed when a connection that was over was called.
    disturbed: list[str] = attrs.field(factory=list)
    closing_took: float = 0.0
    #: Timers of the library that still run after the end.
    timers: list[str] = attrs.field(factory=list)
    statistics: Statistics | None = None

    def of(self, attempt: int) -> Served | None:
        """The server's side of an attempt, if it came so far."""
        return next((s for s in self.served if s.attempt == attempt), None)
