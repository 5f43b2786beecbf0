"""Records and reports what happens to a session's connections.

Rules: a timeout or a close frame from the server is reported before the loss that it
led to. Each loss is reported exactly once. Every failure of an attempt or a connection
loses its traceback here, before anything keeps a reference to it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from resilient_ws.errors import ResilientWSError
from resilient_ws.events import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionOpened,
    ConnectionReplaced,
    ConnectionStable,
    HandlerFailed,
    signal_of,
)
from resilient_ws.policy.failures import Ending
from resilient_ws.policy.silence import QUIET_AFTER
from resilient_ws.policy.tracebacks import without_frames
from resilient_ws.state import State
from resilient_ws.supervisor.counters import Counters
from resilient_ws.transport.dial_errors import is_network_error


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.errors import ConnectionLost
    from resilient_ws.events import Event
    from resilient_ws.inbox import InboxQueue
    from resilient_ws.protocol.close import Close
    from resilient_ws.protocol.handshake import Negotiated
    from resilient_ws.settings import Attempt
    from resilient_ws.supervisor.log import SessionLog
    from resilient_ws.transport.wire import Wire


#: The log line for a user who seems to have forgotten to subscribe again.
_SILENCE: Final = (
    "no message for %.0f s on connection %d, although messages came on earlier ones. A "
    "subscription ends with its connection, and messages sent on an earlier one are "
    "not sent again: subscribe in connect(on_open=...), which runs on each connection"
)


class Journal:
    """Counts, records and reports what happens; decides nothing."""

    __slots__ = (
        "_clock",
        "_hole",
        "_log",
        "_report",
        "close_record",
        "counters",
        "epoch",
        "last_error",
        "latency",
        "subprotocol",
    )

    def __init__(
        self,
        *,
        log: SessionLog,
        clock: Callable[[], float],
        report: Callable[[Event], None],
    ) -> None:
        self._log = log
        self._clock = clock
        self._report = report
        # The end of the last open connection while there is no new one: the cause, and
        # the time on the wall clock and on the loop's.
        self._hole: tuple[Exception | None, float, float] | None = None
        self.counters = Counters()
        #: The ordinal of the newest open connection.
        self.epoch = 0
        #: The subprotocol that its server selected. Nothing else of the handshake is
        #: kept, because a session can run for weeks.
        self.subprotocol: str | None = None
        #: The exception that the newest attempt or connection failed with.
        self.last_error: Exception | None = None
        #: The record of the newest closing handshake.
        self.close_record: Close | None = None
        #: The newest round trip of a ping, in seconds.
        self.latency: float | None = None

    def begin_epoch(self, inbox: InboxQueue) -> float | None:
        """Count the next epoch and mark the hole before it in the inbox.

        Returns:
            The seconds without an open connection, ``None`` for the first.
        """
        self.epoch += 1
        self._log.set_epoch(self.epoch)
        self.counters.count_open()
        if self._hole is None:
            inbox.begin(self.epoch)
            return None
        cause, since, began = self._hole
        self._hole = None
        inbox.interrupt(cause, since=since, until=time.time(), epoch=self.epoch)
        return self._clock() - began

    def report_open(
        self,
        where: str,
        negotiated: Negotiated,
        resumed_after: float | None,
        *,
        began: float,
    ) -> None:
        """Report an open connection, whose attempt began at ``began``."""
        self.subprotocol = negotiated.subprotocol
        self._report(
            ConnectionOpened(
                epoch=self.epoch,
                endpoint=where,
                subprotocol=negotiated.subprotocol,
                extensions=negotiated.extensions,
                headers=negotiated.headers,
                resumed_after=resumed_after,
                elapsed=self._clock() - began,
            )
        )

    def report_stable(self) -> None:
        """Report that the open connection has become stable."""
        self._report(ConnectionStable(epoch=self.epoch))

    def warn_of_silence(self) -> None:
        """Log that the user seems to have forgotten to subscribe again."""
        self._log.say(logging.WARNING, _SILENCE, QUIET_AFTER, self.epoch)

    def keep_close(self, wire: Wire) -> None:
        """Keep the closing handshake and the latency of a connection that ended."""
        self.close_record = wire.engine.record()
        if wire.keepalive.latency is not None:
            self.latency = wire.keepalive.latency

    def report_drop(
        self,
        wire: Wire,
        because: ConnectionLost,
        opened_at: float,
        inbox: InboxQueue,
        *,
        suspected: bool,
    ) -> Ending:
        """Report the loss of an open connection and mark it in the inbox.

        Args:
            wire: The connection.
            because: The loss.
            opened_at: When the connection opened, on the loop's clock.
            inbox: The inbox with its messages; the loss goes behind them.
            suspected: Whether one of our messages may be the reason.
        """
        because = without_frames(because)
        self.keep_close(wire)
        self._begin_hole(because)
        self.counters.count_drop()
        self.last_error = because
        uptime = self._clock() - opened_at
        self._report_signal(because)
        dropped = ConnectionDropped(
            epoch=self.epoch,
            because=because,
            close=because.close,
            uptime=uptime,
            clean=because.close is not None and because.close.clean,
            unconfirmed=wire.keepalive.unconfirmed,
        )
        inbox.append_end(dropped)
        self._report(dropped)
        return Ending(
            because=because, state=State.OPEN, uptime=uptime, suspected=suspected
        )

    def report_replacement(
        self, wire: Wire, reason: str, opened_at: float, inbox: InboxQueue
    ) -> None:
        """Report that an open connection was ended in order to replace it."""
        self._begin_hole(None)
        replaced = ConnectionReplaced(
            epoch=self.epoch,
            reason=reason,
            close=wire.engine.record(),
            uptime=self._clock() - opened_at,
        )
        inbox.append_end(replaced)
        self._report(replaced)

    def report_failed_attempt(
        self,
        attempt: Attempt,
        where: str,
        because: Exception,
        *,
        state: State,
        began: float,
    ) -> Ending:
        """Report an attempt that failed before its connection was open."""
        bug = False
        if not isinstance(because, ResilientWSError):
            # Only on_open raises errors that are not ours.
            self._log.say_raised("on_open", because)
            bug = not is_network_error(because)
        self.last_error = because = without_frames(because)
        ending = Ending(because=because, state=state, bug=bug)
        self._report_signal(because)
        self._report(
            AttemptFailed(
                attempt=attempt.number,
                endpoint=where,
                because=because,
                elapsed=self._clock() - began,
            )
        )
        return ending

    def complain(self, handler: str, event: str, complaint: Exception) -> None:
        """Report that a user's callable failed and was ignored."""
        self._log.say_raised(handler, complaint)
        because = without_frames(complaint)
        self._report(HandlerFailed(handler=handler, event=event, because=because))

    def _begin_hole(self, cause: Exception | None) -> None:
        """Record when and why an open connection ended; ``None`` on request."""
        self._hole = (cause, time.time(), self._clock())

    def _report_signal(self, because: Exception) -> None:
        """Report a timeout or a close by the server, if one caused the failure."""
        signal = signal_of(because)
        if signal is not None:
            self._report(signal)
