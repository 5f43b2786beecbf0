"""Which message may be what ends connections, and how slowly the next are written.

Rules: an ending accuses what was in flight if what its connection was handed first was
not confirmed, or if the server's close code speaks of messages; an end of ours, and a
server that says why else it goes, accuse nothing. After an accusing end connections go
slowly until all is well: nothing is written before a pong has shown that the peer
reads, then the head alone, and each confirmation makes room for one more. An ending
counts against a message only if that was alone in flight, behind such a pong or named
by the code. A head that ends nothing and is not confirmed in time holds the others up
no more; if none of them is confirmed either, the end still counts against the head.
"""

from __future__ import annotations

from typing import Final

from resilient_ws.errors import ConnectionLost, ProtocolError


#: Close codes by which a server says that credentials are the matter, not messages.
_CREDENTIALS: Final = frozenset({3000, 3003, 4401, 4403})
#: Close codes that speak of what was received (RFC 6455 §7.4.1), with those that
#: applications make up.
ACCUSING_CODES: Final = frozenset(
    {1003, 1007, 1008, 1009, *range(4000, 5000)} - _CREDENTIALS
)
#: Close codes by which a server gives another reason: going away, restarting, busy.
EXCUSING_CODES: Final = frozenset({1001, 1012, 1013}) | _CREDENTIALS


class Suspects:
    """How many messages may be in flight, after what earlier connections ended with.

    Args:
        most: How many may be when nothing is suspected.
    """

    __slots__ = (
        "_cleared",
        "_most",
        "_outwaited",
        "_since",
        "_slow",
        "_vouched",
        "named",
        "window",
    )

    def __init__(self, most: int) -> None:
        self._most = most
        self._slow = False
        #: How many messages may be in flight now.
        self.window = most
        # Of the present connection: whether its peer is known to read, what was
        # written since the last confirmation, whether what was written first is
        # confirmed, and whether the others no longer wait for a head that went alone.
        self._vouched = False
        self._since = 0
        self._cleared = False
        self._outwaited = False
        #: Whether the last ending named the messages in flight as its reason.
        self.named = False

    @property
    def waits(self) -> bool:
        """Whether nothing may be written before the peer has shown that it reads."""
        return self.window == 0

    def doubt(self) -> None:
        """Go slowly: something that was written once may have ended a connection."""
        self._slow = True

    def begin(self) -> None:
        """Take note of a new connection."""
        self._vouched = self._cleared = self._outwaited = False
        self._since = 0
        self.window = 0 if self._slow else self._most

    def vouch(self) -> None:
        """Take note of a pong: the peer reads."""
        self._vouched = True
        self.proceed()

    def proceed(self) -> None:
        """Let the head be written, whether or not the peer has shown that it reads."""
        self.window = max(self.window, 1)

    def wrote(self, count: int) -> None:
        """Take note of messages written, also of those that nothing confirms."""
        self._since += count

    def confirmed(self, count: int, in_flight: int, *, first: bool) -> None:
        """Take note of confirmations.

        Args:
            count: How many there are.
            in_flight: How many messages are left in flight.
            first: Whether what the connection was handed first is not among these.
        """
        self._vouched = True
        self._cleared = self._cleared or first
        self._since = in_flight
        if self._slow:
            self.window = min(self._most, self.window + count)
            self._slow = self.window < self._most

    @property
    def holds_up(self) -> bool:
        """Whether suspects that are in flight keep others waiting."""
        return self._slow and self.window < self._most

    def outwait(self) -> None:
        """Let the others go: the peer has read the suspects, and says nothing."""
        self._outwaited = self._since == 1
        self.window = self._most

    def ended(self, because: Exception | None, in_flight: int) -> bool:
        """Judge the end of the connection.

        Args:
            because: Why it ended, ``None`` for an end of ours.
            in_flight: How many messages it leaves unconfirmed.

        Returns:
            Whether that counts against the one message in flight.
        """
        named = in_flight > 0 and names_messages(because)
        self.named = named
        if in_flight == 0 or excuses(because):
            return False
        if not (named or self._slow or not self._cleared):
            return False
        alone = in_flight == self._since == 1
        # Nothing was confirmed since, or it would not go slowly any more.
        alone = alone or (self._outwaited and self._slow)
        self._slow = True
        return alone and (named or self._vouched)


def names_messages(because: Exception | None) -> bool:
    """Whether an ending says that a message was the reason."""
    return _code(because) in ACCUSING_CODES


def excuses(because: Exception | None) -> bool:
    """Whether an ending has another reason than what was written."""
    if not isinstance(because, ConnectionLost) or because.how == "local":
        return True
    return _code(because) in EXCUSING_CODES


def _code(because: Exception | None) -> int | None:
    """Return the code that the peer closed with; ours says nothing of its reasons."""
    if not isinstance(because, ConnectionLost) or isinstance(because, ProtocolError):
        return None
    close = because.close
    return None if close is None or close.initiator == "us" else close.code
