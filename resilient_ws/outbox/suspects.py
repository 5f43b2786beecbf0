"""Messages suspected of ending connections, and how slowly others are then written.

Rules: an ending accuses the messages in flight if the first message of its connection
was not confirmed, or if the server's close code blames messages. It accuses nothing if
we ended the connection, or if the server gives another reason. After an accusing end,
connections go slowly until all is well: nothing is written before a pong has shown that
the peer reads, then only the head, and each confirmation makes room for one more. An
ending counts against a message only if that message was alone in flight, and either the
peer was known to read or the code blames messages. A head that ends nothing and is not
confirmed in time no longer holds up the others; if none of them is confirmed either,
the end still counts against the head.
"""

from __future__ import annotations

from typing import Final

from resilient_ws.errors import ConnectionLost, ProtocolError


#: Close codes by which a server rejects credentials, not messages.
_CREDENTIALS: Final = frozenset({3000, 3003, 4401, 4403})
#: Close codes that blame a message (RFC 6455 §7.4.1), with those that applications
#: define.
ACCUSING_CODES: Final = frozenset(
    {1003, 1007, 1008, 1009, *range(4000, 5000)} - _CREDENTIALS
)
#: Close codes that give another reason: going away, restarting, busy, credentials.
EXCUSING_CODES: Final = frozenset({1001, 1012, 1013}) | _CREDENTIALS


class Suspects:
    """The limit of messages in flight, after the way earlier connections ended.

    Args:
        max_in_flight: The limit when nothing is suspected.
    """

    __slots__ = (
        "_first_confirmed",
        "_max_in_flight",
        "_peer_reads",
        "_released",
        "_slow",
        "_written_since",
        "blamed",
        "window",
    )

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._slow = False
        #: How many messages may be in flight now.
        self.window = max_in_flight
        # For the present connection: whether its peer is known to read, how many
        # messages were written since the last confirmation, whether the first one is
        # confirmed, and whether the others no longer wait for a head that went alone.
        self._peer_reads = False
        self._written_since = 0
        self._first_confirmed = False
        self._released = False
        #: Whether the close code of the last ending blamed the messages in flight.
        self.blamed = False

    @property
    def needs_pong(self) -> bool:
        """Whether nothing may be written before the peer has shown that it reads."""
        return self.window == 0

    @property
    def hold_up_others(self) -> bool:
        """Whether suspected messages in flight keep others waiting."""
        return self._slow and self.window < self._max_in_flight

    def doubt(self) -> None:
        """Go slowly: a message that was written before may have ended a connection."""
        self._slow = True

    def begin(self) -> None:
        """Reset the state for a new connection."""
        self._peer_reads = self._first_confirmed = self._released = False
        self._written_since = 0
        self.window = 0 if self._slow else self._max_in_flight

    def note_pong(self) -> None:
        """Record a pong, which shows that the peer reads."""
        self._peer_reads = True
        self.admit_head()

    def admit_head(self) -> None:
        """Let the head be written, even if the peer has not shown that it reads."""
        self.window = max(self.window, 1)

    def note_written(self, count: int) -> None:
        """Record written messages, including those that nothing confirms."""
        self._written_since += count

    def note_confirmed(self, count: int, in_flight: int, *, first: bool) -> None:
        """Record confirmations.

        Args:
            count: How many messages were confirmed.
            in_flight: How many messages are left in flight.
            first: Whether the first message of the connection is confirmed.
        """
        self._peer_reads = True
        self._first_confirmed = self._first_confirmed or first
        self._written_since = in_flight
        if self._slow:
            self.window = min(self._max_in_flight, self.window + count)
            self._slow = self.window < self._max_in_flight

    def release(self) -> None:
        """Let the others go: the peer has read the suspects but confirms nothing."""
        self._released = self._written_since == 1
        self.window = self._max_in_flight

    def judge(self, because: Exception | None, in_flight: int) -> bool:
        """Judge the end of the connection.

        Args:
            because: Why it ended, ``None`` if we ended it.
            in_flight: How many messages it leaves unconfirmed.

        Returns:
            Whether the end counts against the oldest message in flight.
        """
        blamed = self.blamed = in_flight > 0 and blames_messages(because)
        if in_flight == 0 or excuses_messages(because):
            return False
        if not (blamed or self._slow or not self._first_confirmed):
            return False
        alone = in_flight == self._written_since == 1
        # If it still goes slowly, nothing was confirmed since ``release``.
        alone = alone or (self._released and self._slow)
        self._slow = True
        return alone and (blamed or self._peer_reads)


def blames_messages(because: Exception | None) -> bool:
    """Whether the close code of an ending blames a message."""
    return _code(because) in ACCUSING_CODES


def excuses_messages(because: Exception | None) -> bool:
    """Whether an ending has a reason other than the messages written."""
    if not isinstance(because, ConnectionLost) or because.how == "local":
        return True
    return _code(because) in EXCUSING_CODES


def _code(because: Exception | None) -> int | None:
    """Return the peer's close code; one of ours says nothing about its reasons."""
    if not isinstance(because, ConnectionLost) or isinstance(because, ProtocolError):
        return None
    close = because.close
    return None if close is None or close.initiator == "us" else close.code
