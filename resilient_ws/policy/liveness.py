"""Whether a link is still alive: when to ping, and when to give up.

Rules: a ping is sent every ``ping_interval``, even on a busy link, because its pong
shows how far the peer has read. Any byte received is a sign of life, and so is a
shrinking backlog of ours. Our own delays (a blocked loop, a full inbox, a slow uplink,
a sleeping machine) never count against the peer. A link without a sign of life is given
up after ``ping_interval + ping_timeout``, whatever is queued. ``Watch`` has no timer
and no clock: its owner asks at ``due()``, and again after ``resumed`` and ``suspect``.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from types import NoneType
from typing import Final

import attrs

from resilient_ws.policy._validate import (
    check_encodable,
    positive_or_none,
    require_synchronous,
    seconds_or_none,
    synchronous_or_none,
)
from resilient_ws.policy.grace import Grace
from resilient_ws.policy.redaction import HIDDEN


#: An application ping, or a callable that returns one each time.
Probe = str | bytes | Callable[[], str | bytes]


def _hidden(value: object) -> str:
    return "None" if value is None else HIDDEN


@attrs.frozen(kw_only=True)
class Liveness:
    """How a dead or silent link is noticed.

    Attributes:
        ping_interval: The seconds between two pings (default 20), also on a busy link:
            each pong measures the latency and confirms what has arrived. ``None`` sends
            no pings.
        ping_timeout: The further seconds of silence after ``ping_interval`` until the
            link is dead (default 20). ``None`` sends pings and does not wait for an
            answer.
        idle_timeout: The seconds without a message until the link is useless, even if
            pongs arrive. ``None`` for feeds that may be quiet.
        probe: An application ping such as ``'{"op":"ping"}'``, sent every
            ``ping_interval`` instead of a protocol ping. Or a plain function that
            returns one, for pings with a time stamp or a nonce. If the function raises
            or returns another type, ``HandlerFailed`` reports the error and a protocol
            ping is sent that time. No ``repr`` shows the probe, which may be secret.
        is_answer: A function that returns whether a message answers ``probe``. Such
            messages do not go into the inbox.

    Raises:
        TypeError: A value of another type.
        ValueError: A duration that is not positive, or ``is_answer`` without
            ``probe``.
    """

    ping_interval: float | None = attrs.field(
        default=20.0, converter=seconds_or_none, validator=positive_or_none
    )
    ping_timeout: float | None = attrs.field(
        default=20.0, converter=seconds_or_none, validator=positive_or_none
    )
    idle_timeout: float | None = attrs.field(
        default=None, converter=seconds_or_none, validator=positive_or_none
    )
    probe: Probe | None = attrs.field(default=None, repr=_hidden)
    is_answer: Callable[[str | bytes], bool] | None = attrs.field(
        default=None, validator=synchronous_or_none
    )

    def __attrs_post_init__(self) -> None:
        """Check values that depend on each other."""
        if not isinstance(self.probe, str | bytes | NoneType):
            right = "str, bytes, a callable that returns one, or None"
            require_synchronous(self.probe, "Liveness.probe", right)
        if isinstance(self.probe, str):
            check_encodable("Liveness.probe", self.probe)
        if self.probe is not None and self.ping_interval is None:
            raise ValueError(
                "Liveness.probe needs a ping_interval, which says how often to send it."
            )
        if self.is_answer is not None and self.probe is None:
            raise ValueError(
                "Liveness.is_answer needs a probe: without one there are no answers."
            )


class Action(enum.Enum):
    """What the owner of a ``Watch`` is to do."""

    NOTHING = "nothing"
    #: Send a ping, or the probe.
    PING = "ping"
    #: Send an unsolicited pong: reading is paused, and the server must know we live.
    PONG = "pong"
    #: Give the loop two further turns with reading on, then ask ``confirm``.
    SETTLE = "settle"
    #: No byte was received: the link is dead.
    DEAD_PING = "dead_ping"
    #: No message was received: the link is useless.
    DEAD_IDLE = "dead_idle"


#: A timer that is this many seconds late means that the loop was blocked. asyncio's own
#: threshold for a slow callback is the same.
MAX_LAG: Final = 0.1

#: A tenth of a short timeout: 0.1 s is too large a part of half a second.
_LAG_SHARE: Final = 0.1

#: The time between two looks at a backlog: this share of ``ping_timeout``, at most 1 s.
_LOOK_SHARE: Final = 0.125
_MAX_LOOK_INTERVAL: Final = 1.0


class Watch:
    """The liveness of one connection, from the moment it is open.

    The owner sets ``heard_at`` when bytes arrive and ``message_at`` when they held a
    message. Both are plain attributes, because they are set with every chunk.

    Args:
        policy: What to watch for.
    """

    __slots__ = (
        "_asked_after",
        "_backlog",
        "_drained",
        "_drained_at",
        "_idle_grace",
        "_kept_up_at",
        "_left_at",
        "_looked_at",
        "_mark",
        "_paused",
        "_ping_grace",
        "_policy",
        "_silent_at",
        "_suspected_at",
        "heard_at",
        "max_lag",
        "message_at",
    )

    def __init__(self, policy: Liveness) -> None:
        self._policy = policy
        #: A timer later than this is a ``LoopLagged``.
        self.max_lag = min(MAX_LAG, _LAG_SHARE * (policy.ping_timeout or math.inf))
        self.opened(0.0)

    def opened(self, now: float) -> None:
        """Start all clocks: the connection is open."""
        #: When the last byte was received.
        self.heard_at = now
        #: When the last message was received.
        self.message_at = now
        # The last ping, probe or unsolicited pong.
        self._kept_up_at = now
        # The value of heard_at when an unanswered ping was sent, else None.
        self._asked_after: float | None = None
        # The position of that ping in our output, and when it left our buffer.
        self._mark = 0
        self._left_at: float | None = None
        # When the silence will have lasted for ping_interval. The timeout of the ping
        # starts no earlier, even if the ping was sent just after the last byte.
        self._silent_at = now
        self._backlog = 0
        self._drained = 0
        self._drained_at = self._looked_at = now
        self._paused = False
        self._suspected_at: float | None = None
        self._ping_grace = Grace(self._policy.ping_timeout or 0.0)
        self._idle_grace = Grace(self._policy.idle_timeout or 0.0)

    def due(self) -> float:
        """Return the next time at which to ``check``, infinity if there is none.

        Bytes that arrive later only put it off, so the timer need not be changed:
        ``check`` returns ``NOTHING`` when it is called too early.
        """
        if self._paused:
            return self._next_ping()
        if self._suspected_at is not None:
            return self._suspected_at
        dead = self._ping_deadline()
        if dead < math.inf and self._backlog:
            dead = min(dead, self._looked_at + self._look_interval())
        return min(self._next_ping(), dead, self._idle_deadline())

    def check(
        self,
        now: float,
        *,
        late_by: float = 0.0,
        reading_paused: bool = False,
        outgoing: int = 0,
        written: int = 0,
    ) -> Action:
        """Return what is to be done now.

        Args:
            now: The time.
            late_by: How many seconds after ``due()`` this call comes.
            reading_paused: Whether our own full inbox keeps us from reading.
            outgoing: The bytes that wait in the transport's write buffer.
            written: All bytes ever given to the transport. They show that a backlog
                drains even if it is filled as fast.
        """
        self._paused = reading_paused
        self._look(now, outgoing, written)
        if late_by > self.max_lag:
            self._ping_grace.put_off(self._natural_ping_deadline(), now, late_by)
            self._idle_grace.put_off(self._natural_idle_deadline(), now, late_by)
        if reading_paused:
            return self._keep_up(now)
        if self._suspected_at is not None:
            self._suspected_at = None
            self._asked_after = None  # an older ping died with the sleep
            self._ping_grace.renew(now)
            self._ask(now, written)
            self._silent_at = now  # the length of the silence is unknown
            return Action.PING
        if self.confirm(now) is not Action.NOTHING:
            return Action.SETTLE
        if now >= self._next_ping():
            return self._ask(now, written)
        return Action.NOTHING

    def confirm(self, now: float) -> Action:
        """Return the verdict after ``SETTLE``, ``NOTHING`` if the link lives."""
        if now >= self._ping_deadline():
            return Action.DEAD_PING
        if now >= self._idle_deadline():
            return Action.DEAD_IDLE
        return Action.NOTHING

    def resumed(self, now: float) -> None:
        """Note that reading goes on after a pause of our own.

        Both timeouts start again: what the peer sent meanwhile waits in buffers of
        unknown size, and a dead link cannot fill the inbox a second time.
        """
        self._paused = False
        self._renew(now)

    def suspect(self, now: float) -> None:
        """Make a ping due at once: the machine slept, and the link may be gone."""
        if self._policy.ping_interval is not None:
            self._suspected_at = now
        self._renew(now)

    def _renew(self, now: float) -> None:
        self._ping_grace.renew(now)
        self._idle_grace.renew(now)

    # --- pings -----------------------------------------------------------------------

    def _next_ping(self) -> float:
        interval = self._policy.ping_interval
        return math.inf if interval is None else self._kept_up_at + interval

    def _ask(self, now: float, written: int) -> Action:
        self._kept_up_at = now
        if self._unanswered():
            return Action.PING  # the clock of the first one goes on
        # An answer in the same tick of a coarse clock must still show as a change.
        self.heard_at = min(self.heard_at, math.nextafter(now, -math.inf))
        self._asked_after = self.heard_at
        self._silent_at = self.heard_at + (self._policy.ping_interval or 0.0)
        self._mark = written
        self._left_at = None if self._backlog else now
        return Action.PING

    def _keep_up(self, now: float) -> Action:
        if now < self._next_ping():
            return Action.NOTHING
        self._kept_up_at = now
        # A server that wants a probe wants it while reading is paused, too.
        return Action.PONG if self._policy.probe is None else Action.PING

    def _unanswered(self) -> bool:
        return self._asked_after is not None and self._asked_after == self.heard_at

    # --- verdicts --------------------------------------------------------------------

    def _natural_ping_deadline(self) -> float:
        timeout = self._policy.ping_timeout
        interval = self._policy.ping_interval
        if timeout is None or interval is None or not self._unanswered():
            return math.inf
        if self._left_at is None:
            # The ping is still queued behind our own bytes, so its timeout has not
            # started. But a backlog that does not move for that long is a black hole.
            return max(self.heard_at, self._drained_at) + interval + timeout
        # Bytes that leave after the ping prove nothing: the kernel of a frozen peer
        # acknowledges them for as long as it has room.
        return max(self._left_at, self._silent_at) + timeout

    def _natural_idle_deadline(self) -> float:
        timeout = self._policy.idle_timeout
        return math.inf if timeout is None else self.message_at + timeout

    def _ping_deadline(self) -> float:
        return self._ping_grace.deadline(self._natural_ping_deadline())

    def _idle_deadline(self) -> float:
        return self._idle_grace.deadline(self._natural_idle_deadline())

    # --- our own bytes ---------------------------------------------------------------

    def _look_interval(self) -> float:
        return min(_MAX_LOOK_INTERVAL, _LOOK_SHARE * (self._policy.ping_timeout or 1.0))

    def _look(self, now: float, outgoing: int, written: int) -> None:
        drained = written - outgoing
        # Only bytes that were seen waiting count. Those that go straight to the kernel
        # prove nothing: its buffer takes small messages for hours without a peer.
        if self._backlog and drained > self._drained:
            # They left at some time since the last look. Assume the earliest: a later
            # time would let a black hole live longer than promised.
            self._drained_at = self._looked_at
        if self._left_at is None and (drained >= self._mark):
            self._left_at = now
        self._backlog, self._drained, self._looked_at = outgoing, drained, now
