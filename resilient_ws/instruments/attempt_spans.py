"""One span for each attempt to connect.

Rules: a span is made when its attempt is over, with the time that it took. So no span
is left open, and nothing has to be remembered between two events. It has no parent,
because an attempt belongs to the session and not to what the program does meanwhile.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from resilient_ws import AttemptFailed, ConnectionOpened, HandshakeRejected
from resilient_ws.instruments.failure_types import error_type
from resilient_ws.instruments.metric import ERROR_TYPE


if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from resilient_ws import Event


#: Each is called so.
SPAN: Final = "resilient_ws.connect"

_NANOSECONDS: Final = 1_000_000_000


class AttemptSpans:
    """Makes the spans of attempts.

    Args:
        tracer: Where they go.
    """

    __slots__ = ("_tracer",)

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def tell(self, event: Event, where: dict[str, str | int]) -> None:
        """Make a span if the event is the end of an attempt.

        Args:
            event: The event.
            where: The attributes of the session.
        """
        if isinstance(event, ConnectionOpened):
            attributes = {**where, "resilient_ws.connection.epoch": event.epoch}
            self._make(event.elapsed, attributes, Status())
        elif isinstance(event, AttemptFailed):
            attributes = {**where, **_of_failure(event.because)}
            attributes["resilient_ws.attempt.number"] = event.attempt
            self._make(event.elapsed, attributes, Status(StatusCode.ERROR))

    def _make(
        self, seconds: float, attributes: dict[str, str | int], status: Status
    ) -> None:
        now = time.time_ns()
        span = self._tracer.start_span(
            SPAN,
            Context(),
            SpanKind.CLIENT,
            attributes,
            start_time=now - round(seconds * _NANOSECONDS),
        )
        if status.status_code is not StatusCode.UNSET:
            span.set_status(status)
        span.end(now)


def _of_failure(because: Exception) -> dict[str, str | int]:
    told: dict[str, str | int] = {ERROR_TYPE: error_type(because)}
    if isinstance(because, HandshakeRejected):
        told["http.response.status_code"] = because.status
    return told
