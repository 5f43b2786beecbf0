"""Whether a link is still alive: what to ask, and when to give it up.

Rules: a ping goes out every ``ping_interval``, whatever flows, so that it is known how
far the peer is; any byte received is a sign of life, and so is a backlog of ours that
shrinks; our own delays (a blocked loop, a full inbox, a slow uplink, a sleeping
machine) never count against the peer; a link without a sign of life is given up after
``ping_interval + ping_timeout``, whatever is queued. ``Watch`` keeps no timer and no
clock: its owner asks at ``due()``, and asks again after ``resumed`` and ``suspect``.
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
from resilient_ws.policy.pings import Pings
from resilient_ws.policy.redaction import HIDDEN


__all__ = ["Action", "Liveness", "Pings", "Probe", "Watch"]

#: What is sent to the application in place of a ping, or what makes it each time.
Probe = str | bytes | Callable[[], str | bytes]


def _hidden(value: object) -> str:
    return "None" if value is None else HIDDEN


@attrs.frozen(kw_only=True)
class Liveness:
    """How a dead or silent link is noticed.

    Attributes:
        ping_interval: A ping goes out every so many seconds (default 20), whatever
            else flows: its pong tells the latency, and what has arrived. ``None`` sends
            none.
        ping_timeout: When nothing at all was received for ``ping_interval`` and then
            for so many seconds more (default 20), the link is dead; ``None`` sends
            pings and expects nothing.
        idle_timeout: The link is useless after so many seconds without a message,
            whatever its pongs say; ``None`` for feeds that may be quiet.
        probe: An application ping such as ``'{"op":"ping"}'``, sent every
            ``ping_interval`` in place of the protocol's; or a callable, not a coroutine
            function, that returns one, for pings that hold a time stamp or a nonce.
            What it raises, and a value of another type, is reported as
            ``HandlerFailed``, and a protocol ping goes out that time. It may hold a
            token: no ``repr`` shows it.
        is_answer: Whether a message is the answer to ``probe``; such messages stay
            out of the inbox.

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
        """Check what one value alone cannot tell."""
        if not isinstance(self.probe, str | bytes | NoneType):
            right = "str, bytes, a callable that returns one, or None"
            require_synchronous(self.probe, "Liveness.probe", right)
        if isinstance(self.probe, str):
            check_encodable("Liveness.probe", self.probe)
        if self.probe is not None and self.ping_interval is None:
            raise ValueError(
                "Liveness.probe needs a ping_interval: it says how often to send it."
            )
        if self.is_answer is not None and self.probe is None:
            raise ValueError(
                "Liveness.is_answer needs a probe: without one nothing is answered."
            )


class Action(enum.Enum):
    """What the owner of a ``Watch`` is to do."""

    NOTHING = "nothing"
    #: Send a ping, or the probe.
    PING = "ping"
    #: Send an unsolicited pong: we do not read, and the server must know we live.
    PONG = "pong"
    #: Give the loop two further turns with reading on, then ask ``confirm``.
    SETTLE = "settle"
    #: No byte came back: the link is dead.
    DEAD_PING = "dead_ping"
    #: No message came: the link is useless.
    DEAD_IDLE = "dead_idle"


#: A timer this late means that the loop was blocked. Less is ordinary scheduling, and
#: what asyncio itself calls slow begins here.
MAX_LAG: Final = 0.1

#: For short timeouts a tenth of them: 0.1 s is much of half a second.
_LAG_SHARE: Final = 0.1

#: How often a backlog is looked at, as a share of ``ping_timeout``, and at most.
_LOOK_SHARE: Final = 0.125
_MAX_LOOK_INTERVAL: Final = 1.0


class Watch:
    """The liveness of one connection, from the moment it is open.

    The owner stores into ``heard_at`` when bytes come and into ``message_at`` when
    they held a message: plain stores, for they happen with every chunk.

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
        """The connection is open: all clocks start."""
        #: When the last byte was received.
        self.heard_at = now
        #: When the last message was received.
        self.message_at = now
        # The last ping, probe or unsolicited pong.
        self._kept_up_at = now
        # heard_at as it was when an unanswered ping went out, else None.
        self._asked_after: float | None = None
        # Where in our output that ping stands, and when it left our buffer.
        self._mark = 0
        self._left_at: float | None = None
        # When the silence that it asks about has lasted for ping_interval: its answer
        # is due from then on, though it may have gone out just after the last byte.
        self._silent_at = now
        self._backlog = 0
        self._drained = 0
        self._drained_at = self._looked_at = now
        self._paused = False
        self._suspected_at: float | None = None
        self._ping_grace = Grace(self._policy.ping_timeout or 0.0)
        self._idle_grace = Grace(self._policy.idle_timeout or 0.0)

    def due(self) -> float:
        """The next moment at which to ``check``; infinity for none.

        Bytes that come later only move it away, so a timer need not be changed when
        they come: asked too early, ``check`` says ``NOTHING``.
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
        """Say what is to be done now.

        Args:
            now: The time.
            late_by: How many seconds after ``due()`` this is asked.
            reading_paused: Whether our own full inbox keeps us from reading.
            outgoing: The bytes that wait in the transport's write buffer.
            written: All bytes ever given to the transport. Without it, a backlog that
                is filled as fast as it drains does not look like a sign of life.
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
            self._silent_at = now  # nobody knows for how long
            return Action.PING
        if self.confirm(now) is not Action.NOTHING:
            return Action.SETTLE
        if now >= self._next_ping():
            return self._ask(now, written)
        return Action.NOTHING

    def confirm(self, now: float) -> Action:
        """The verdict after ``SETTLE``; ``NOTHING`` when life showed after all."""
        if now >= self._ping_deadline():
            return Action.DEAD_PING
        if now >= self._idle_deadline():
            return Action.DEAD_IDLE
        return Action.NOTHING

    def resumed(self, now: float) -> None:
        """Reading goes on after a pause of our own.

        Both verdicts get their full time again: what the peer sent meanwhile waits in
        buffers of unknown size, and a link that is dead fills no inbox a second time.
        """
        self._paused = False
        self._renew(now)

    def suspect(self, now: float) -> None:
        """The machine slept: the link may be gone. A ping is due at once."""
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
        # A server that wants its probe wants it also while we do not read.
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
            # The ping is still behind our own bytes. The pong's clock has not started,
            # but a backlog that does not move for the whole time is a black hole.
            return max(self.heard_at, self._drained_at) + interval + timeout
        # What leaves after the ping proves nothing more: the kernel of a frozen peer
        # goes on acknowledging for as long as it has room.
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
        # Only bytes that were seen waiting count. What goes straight through to the
        # kernel proves nothing: its buffer takes small messages for hours, with nobody
        # at the other end.
        if self._backlog and drained > self._drained:
            # They left at some time since the last look. Its time is the safe guess:
            # a later one would let a black hole live longer than promised.
            self._drained_at = self._looked_at
        if self._left_at is None and (drained >= self._mark):
            self._left_at = now
        self._backlog, self._drained, self._looked_at = outgoing, drained, now
