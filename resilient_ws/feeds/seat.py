"""The place of one subscription on its channel: made anew on each connection.

Rules: a seat has at most one task, which subscribes, and tries again as long as the
connection lives. Its stream is told when the subscription stands, and when it is gone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from resilient_ws import OutboxFull, SessionClosed, StoreError
from resilient_ws.feeds.errors import (
    CallLost,
    CallTimeout,
    FeedError,
    RequestRefused,
    SubscribeRefused,
)
from resilient_ws.feeds.registry import REST


if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from resilient_ws.feeds.flow import Stage
    from resilient_ws.feeds.pace import Pace
    from resilient_ws.feeds.registry import Registry
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Key, Source
    from resilient_ws.feeds.statistics import ChannelStatistics


logger = logging.getLogger("resilient_ws")

#: Seconds before a subscription that got no answer, or was ended, is asked for again;
#: doubled each time up to the second figure.
PAUSE: Final = 1.0
MAX_PAUSE: Final = 60.0


class Stream(Protocol):
    """What becomes of the items of a subscription."""

    @property
    def stage(self) -> Stage:
        """What happens to items that arrive now."""
        ...

    @property
    def cursor(self) -> Any:
        """The position of the last item."""
        ...

    @property
    def waiting(self) -> int:
        """How many items wait to be read."""
        ...

    def added_to(self, others: ChannelStatistics) -> ChannelStatistics:
        """Return the counters of other streams with those of this one."""
        ...

    def resume(self, *, kept: bool = False) -> None:
        """Begin with what arrives on a new subscription.

        Args:
            kept: Whether nothing was missed since ``suspend``.
        """

    def suspend(self) -> None:
        """Take note that the subscription is gone: something may be missed from now."""

    def interrupted(self) -> None:
        """Take note that items were lost on the way, while the subscription lives."""

    def finish(self) -> None:
        """Stop: the subscription has ended."""

    def deliver(self, value: Any) -> None:
        """Take what arrived. Never waits, and never raises."""


class Seat:
    """One subscription of a channel.

    Args:
        source: How to subscribe.
        stream: What becomes of its items.
        end: Called with what ended the subscription: the server refused or ended it, or
            the channel has ended; ``None`` where that was no error.
        registry: Where its key is known.
        pace: Whose turn it is to subscribe.
        spawn: Starts a task that the channel owns.
    """

    def __init__(
        self,
        source: Source[Any, Any],
        stream: Stream,
        end: Callable[[Exception | None], None],
        *,
        registry: Registry,
        pace: Pace,
        spawn: Callable[[Any], asyncio.Task[None]],
    ) -> None:
        self._source = source
        self.stream = stream
        self._end = end
        self._registry = registry
        self._pace = pace
        self._spawn = spawn
        self._task: asyncio.Task[None] | None = None
        self._requests: Requests | None = None
        self._keys: tuple[Key, ...] = ()
        self._bound = False
        # Whether the server may have got the request, and has not answered.
        self._asking = False
        self._is_put_off = False
        self._clock = asyncio.get_running_loop().time
        self._heard = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        #: Done when the server has granted the subscription for the first time.
        self.granted: asyncio.Future[Exception | None]
        self.granted = asyncio.get_running_loop().create_future()
        self.ended = False

    # What the channel tells.

    def opened(self, requests: Requests) -> None:
        """Subscribe on a new connection."""
        self._requests = requests
        self._begin(0.0, kept=self._is_kept())

    def lost(self) -> None:
        """Take note that the connection has ended, and the subscription with it."""
        self._stop()
        self._requests = None
        self._bound = False
        self.stream.suspend()

    def interrupted(self) -> None:
        """Take note that messages were lost on the way."""
        self.stream.interrupted()

    def renew(self, pause: float = PAUSE) -> None:
        """Subscribe again on the same connection: the server ended the stream."""
        if self._bound:
            for key in self._keys:
                self._registry.unbind(key)
            self._bound = False
        self._stop()
        self.stream.suspend()
        if self._requests is not None:
            self._begin(pause)

    def finish(self, failure: Exception | None) -> None:
        """End the subscription, for its consumer too."""
        if self.ended:
            return
        self.ended = True
        self._leave()
        # A request that is out is not given up: if it is granted, the server is told.
        if not self._asking:
            self._stop()
        self.stream.finish()
        self._end(failure)
        self._grant(SessionClosed() if failure is None else failure)

    def has(self, key: Key) -> bool:
        """Whether the subscription stands under a key."""
        return self._bound and key in self._keys

    def forget(self, key: Key) -> None:
        """Let go of what came under a key before it was subscribed to once more."""
        self._registry.forget(key)

    def farewell(self) -> Coroutine[Any, Any, None] | None:
        """Return what tells the server that the subscription is not needed any more."""
        if not self._bound or self._requests is None:
            return None
        return self._tell(self._requests, self._keys[0])

    async def _tell(self, requests: Requests, key: Key) -> None:
        unsubscribe = self._source.unsubscribe
        if unsubscribe is None:
            return
        try:
            await unsubscribe(requests, key)
        except Exception as failure:  # noqa: BLE001 - it has ended on our side all the same
            # The connection ended, or the server knows nothing of it.
            logger.debug("unsubscribing failed: %s", type(failure).__name__)

    # Subscribing.

    def _is_kept(self) -> bool:
        """Whether the server kept the stream while there was no connection."""
        resumed = self._source.resumed
        try:
            return resumed is not None and resumed()
        except Exception as failure:  # noqa: BLE001 - a user's callable
            logger.debug("resumed= failed: %s", type(failure).__name__)
            return False

    def _begin(self, pause: float, *, kept: bool = False) -> None:
        source = self._source
        if kept or source.subscribe is None:
            # At once: the items of a stream that comes unasked may be next.
            self._stand(tuple(source.keys) or (REST,), kept=kept)
        if source.subscribe is None:
            self._granted()
        elif not self.ended:
            self._start(pause)

    def _start(self, pause: float) -> None:
        # At once: with some protocols, items come without being asked for.
        self._registry.expect()
        self._task = self._spawn(self._subscribe(self._requests, pause))
        self._task.add_done_callback(lambda _: self._registry.unexpect())

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def _subscribe(self, requests: Requests | None, pause: float) -> None:
        assert requests is not None  # noqa: S101 - for the type checker
        await asyncio.sleep(pause)
        key = await self._asked(requests)
        if key is None:
            return
        if self.ended:
            await self._tell(requests, key[0])
        else:
            self._task = None
            if not self._bound:
                self._stand(key)
            self._granted()

    async def _asked(self, requests: Requests) -> tuple[Key] | None:
        """Ask until the server answers; return the key, ``None`` if it refused."""
        pause = PAUSE
        while True:
            await self._pace.turn()
            key = await self._asked_once(requests)
            if key is not None or self.ended:
                return key
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    async def _asked_once(self, requests: Requests) -> tuple[Key] | None:
        assert self._source.subscribe is not None  # noqa: S101 - for the type checker
        since = requests.since(self.stream.cursor)
        self._asking = True
        try:
            return (await self._source.subscribe(since),)
        except (CallLost, SessionClosed):
            # Where the session has ended, the channel ends this too.
            return None
        except (CallTimeout, OutboxFull, StoreError, OSError) as failure:
            self._put_off(failure)
            return None
        except Exception as failure:  # noqa: BLE001 - told to the consumer
            if isinstance(failure, RequestRefused) and failure.temporary:
                self._put_off(failure)
            else:
                self._refused(failure)
            return None
        finally:
            self._asking = False

    def _put_off(self, failure: Exception) -> None:
        """Say once, until it is granted, that a subscription is asked for again."""
        if not self._is_put_off:
            self._is_put_off = True
            cause = failure if failure.__cause__ is None else failure.__cause__
            logger.warning(
                "a subscription (%r) was not granted (%s), and is asked for again",
                self._source.name,
                type(cause).__name__,
            )

    def _stand(self, keys: tuple[Key, ...], *, kept: bool = False) -> None:
        """Take what comes under the keys of the subscription from now on."""
        try:
            taken = any(key in self._registry.by_key for key in keys)
        except TypeError:
            text = "The server answered with something that cannot be a key."
            self._refused(SubscribeRefused(text))
            return
        if taken:
            text = "Another subscription of this channel has the same key; share it."
            self._refused(SubscribeRefused(text))
            return
        self._keys, self._bound = keys, True
        self.stream.resume(kept=kept)
        watched = self._source.stale_after is not None
        deliver = self._deliver if watched else self.stream.deliver
        for key in keys:
            self._registry.bind(key, deliver, self.stream.interrupted)

    def _granted(self) -> None:
        """Tell whoever waits for the subscription, and watch it, if it stands."""
        if self._bound:
            self._is_put_off = False
            self._heard = self._clock()
            self._watch()
            self._grant(None)

    def _refused(self, failure: Exception) -> None:
        error = failure
        if isinstance(failure, FeedError) and not isinstance(failure, SubscribeRefused):
            error = SubscribeRefused(f"The server refused the subscription: {failure}")
            error.__cause__ = failure.with_traceback(None)
        self.finish(error)

    def _grant(self, failure: Exception | None) -> None:
        if not self.granted.done():
            self.granted.set_result(failure)

    def _leave(self) -> None:
        if self._bound:
            for key in self._keys:
                self._registry.leave(key)
            self._bound = False

    # Silence.

    def _deliver(self, value: Any) -> None:
        self._heard = self._clock()
        self.stream.deliver(value)

    def _watch(self) -> None:
        stale_after = self._source.stale_after
        if stale_after is not None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_at(self._heard + stale_after, self._look)

    def _look(self) -> None:
        """Find out whether a silent stream is deaf."""
        self._alarm = None
        stale_after = self._source.stale_after or 0.0
        if self._clock() < self._heard + stale_after:
            self._watch()
        elif self._source.probe is None:
            self._revive()
        else:
            self._task = self._spawn(self._probe(self._requests))

    async def _probe(self, requests: Requests | None) -> None:
        assert requests is not None  # noqa: S101 - for the type checker
        assert self._source.probe is not None  # noqa: S101
        since = self._heard
        try:
            alive = await self._source.probe(requests)
        except Exception as failure:  # noqa: BLE001 - a user's callable, or no answer
            logger.debug("a probe failed: %s", type(failure).__name__)
            alive = False
        self._task = None
        if alive or self._heard > since:
            self._heard = self._clock()
            self._watch()
        else:
            self._revive()

    def _revive(self) -> None:
        """Subscribe again, for the stream is deaf; first end what may wake up."""
        farewell = self.farewell()
        if farewell is not None:
            _ = self._spawn(farewell)
        self.renew(0.0)
