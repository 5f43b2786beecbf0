"""When a sink that failed is tried again, and what is done with what it never took."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import attrs
import tenacity
from tenacity.stop import StopBaseT, stop_never
from tenacity.wait import WaitBaseT

from resilient_ws import Fatal, FullJitter, SecurityError
from resilient_ws.feeds.errors import FeedError, SinkBusy, SinkGone, Undeliverable
from resilient_ws.feeds.source import Gap
from resilient_ws.policy._validate import (
    not_negative,
    seconds,
    synchronous,
    synchronous_or_none,
)


if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

#: Takes an item, or a ``Gap``, and the id of its delivery, which stays the same however
#: often it is tried. It returns when the item is safe.
Sink: TypeAlias = Callable[[T | Gap, str], Awaitable[object]]

logger: Final = logging.getLogger("resilient_ws.feeds")

#: These end a relay: no other item would fare better.
ENDS: Final = (SinkGone, SecurityError, Fatal)
#: Bugs, and items that a sink cannot make sense of. The next attempt would end alike.
_BUGS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)


def not_a_bug(failure: Exception) -> bool:
    """Return whether another attempt may end otherwise."""
    return not isinstance(failure, (Undeliverable, *_BUGS))


@attrs.frozen(kw_only=True)
class Redelivery:
    """How often, and after how long, a sink that failed is tried again.

    Attributes:
        wait: Any synchronous tenacity wait. ``None`` (default) is full jitter, 1 s
            doubling to 60 s.
        stop: Any synchronous tenacity stop, on the clock of the event loop. By default
            there is no end: the items behind it wait, and the feed is told so.
        again: Tells whether an exception of the sink is worth another attempt; by
            default all are, but ``Undeliverable`` and what is a bug (``TypeError``,
            ``ValueError``, ``KeyError`` and their like).
        retry_after_cap: The longest ``retry_after`` of a ``SinkBusy`` that is obeyed,
            in seconds (default 900). It is added to the wait.

    Raises:
        TypeError: A value of another type, or a coroutine function as a callable.
        ValueError: A number is out of range.
    """

    wait: WaitBaseT | None = attrs.field(default=None, validator=synchronous_or_none)
    stop: StopBaseT = attrs.field(default=stop_never, validator=synchronous)
    again: Callable[[Exception], bool] = attrs.field(
        default=not_a_bug, validator=synchronous
    )
    retry_after_cap: float = attrs.field(
        default=900.0, converter=seconds, validator=not_negative
    )


@attrs.frozen(kw_only=True)
class DeadLetter:
    """An item that no attempt could deliver.

    Attributes:
        item: The item, or the ``Gap``.
        id: The id of its delivery.
        because: Why it could not be delivered; ``__cause__`` is what the sink raised.
        attempts: How often it was tried.
    """

    item: Any
    id: str
    because: Undeliverable
    attempts: int


class Courier:
    """Brings one item after another to a sink, until it has been taken or refused.

    Args:
        sink: Takes the items.
        policy: When to try again.
        dead_letter: Takes what cannot be delivered; without it, that is raised.
    """

    def __init__(
        self,
        sink: Sink[Any],
        policy: Redelivery,
        dead_letter: Callable[[DeadLetter], Awaitable[object]] | None,
    ) -> None:
        self._sink = sink
        self._policy = policy
        self._dead_letter = dead_letter
        wait = policy.wait or FullJitter()
        # A real retrying object, because waits and stops may look at it.
        self._retrying = tenacity.AsyncRetrying(wait=wait, stop=policy.stop)

    async def deliver(self, item: Any, id: str) -> None:
        """Deliver an item, or hand it to the dead letter.

        Raises:
            Fatal: Raised by the sink.
            SecurityError: The sink may not go where it should.
            SinkGone: The sink takes nothing any more.
            Undeliverable: The item was refused, and there is no dead letter.

        Cancellation:
            The item counts as not delivered, though the sink may have taken it.
        """
        state = tenacity.RetryCallState(self._retrying, None, (), {})
        state.start_time = asyncio.get_running_loop().time()
        while True:
            try:
                await self._sink(item, id)
                return
            except ENDS:
                raise
            except Exception as failure:  # noqa: BLE001 - whatever a sink may raise
                delay = self._delay(state, failure)
                because = failure
            if delay is None:
                await self._refused(item, id, because, state.attempt_number)
                return
            _say(because, id, state.attempt_number, delay)
            state.attempt_number += 1
            await asyncio.sleep(delay)

    def _delay(self, state: RetryCallState, failure: Exception) -> float | None:
        """Return the seconds until the next attempt, ``None`` for no other."""
        if not self._policy.again(failure):
            return None
        state.set_exception((type(failure), failure, None))
        # After set_exception, which stamps tenacity's own clock on it.
        state.outcome_timestamp = asyncio.get_running_loop().time()
        asked = failure.retry_after if isinstance(failure, SinkBusy) else 0.0
        delay = float(self._retrying.wait(state))
        if not math.isfinite(delay) or delay < 0:
            raise ValueError(
                "Redelivery.wait must return a finite number of seconds, 0 or more, "
                f"not {delay}."
            )
        delay += min(asked, self._policy.retry_after_cap)
        state.upcoming_sleep = delay
        if self._policy.stop(state):
            return None
        state.idle_for += delay
        return delay

    async def _refused(
        self, item: Any, id: str, because: Exception, attempts: int
    ) -> None:
        times = f"{attempts} attempt{'' if attempts == 1 else 's'}"
        error = Undeliverable(f"Delivery {id} failed after {times}: {shown(because)}")
        error.__cause__ = because
        if self._dead_letter is None:
            raise error
        logger.warning("%s It goes to the dead letter.", error)
        await self._dead_letter(
            DeadLetter(item=item, id=id, because=error, attempts=attempts)
        )


def shown(failure: Exception) -> str:
    """Return what a log may say of an exception: the text of others may be secret."""
    if isinstance(failure, FeedError):
        return str(failure)
    return f"the sink raised {type(failure).__name__}."


def _say(because: Exception, id: str, attempt: int, delay: float) -> None:
    # A receiver that is down for a day must not fill a log: each power of two.
    level = logging.WARNING if attempt & (attempt - 1) == 0 else logging.DEBUG
    logger.log(
        level,
        "Attempt %d of delivery %s failed: %s The next is in %.1f s.",
        attempt,
        id,
        shown(because),
        delay,
    )
