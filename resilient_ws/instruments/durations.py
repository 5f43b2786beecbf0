"""The durations that events tell, as values of histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from resilient_ws import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionOpened,
    ConnectionReplaced,
    Event,
    LoopLagged,
    PongReceived,
)
from resilient_ws.instruments.failure_types import error_type
from resilient_ws.instruments.metric import Metric
from resilient_ws.instruments.metrics import ATTEMPT, CONNECTION, LAG, OUTAGE, PING


if TYPE_CHECKING:
    from collections.abc import Sequence


#: A metric, a duration, and the values of the metric's own attributes.
Duration: TypeAlias = tuple[Metric, float, tuple[str, ...]]

#: The events that tell a duration.
TELLING: Final[tuple[type[Event], ...]] = (
    AttemptFailed,
    ConnectionDropped,
    ConnectionOpened,
    ConnectionReplaced,
    LoopLagged,
    PongReceived,
)


def durations_of(event: Event) -> Sequence[Duration]:  # noqa: PLR0911 - one for each event
    """Return the durations that an event tells."""
    match event:
        case PongReceived():
            # Where it stands for several, the newest alone is known.
            return ((PING, event.latency, ()),)
        case AttemptFailed():
            return ((ATTEMPT, event.elapsed, (error_type(event.because),)),)
        case ConnectionOpened():
            opened: Duration = ATTEMPT, event.elapsed, ("",)
            after = event.resumed_after
            return (opened,) if after is None else (opened, (OUTAGE, after, ()))
        case ConnectionDropped():
            return ((CONNECTION, event.uptime, (error_type(event.because),)),)
        case ConnectionReplaced():
            return ((CONNECTION, event.uptime, ("",)),)
        case LoopLagged():
            return ((LAG, event.by, ()),)
        case _:
            return ()
