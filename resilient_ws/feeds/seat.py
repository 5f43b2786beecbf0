"""The place of one subscription on its channel: made anew on each connection.

Rules: a seat has at most one task, which subscribes, and tries again as long as the
connection lives. Its flow is told when the subscription stands, and when it is gone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from resilient_ws.feeds.errors import CallLost, CallTimeout, FeedError, SubscribeRefused


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.pace import Pace
    from resilient_ws.feeds.registry import Registry
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Key, Source


#: Seconds before a subscription that got no answer, or was ended, is asked for again;
#: doubled each time up to the second figure.
PAUSE: Final = 1.0
MAX_PAUSE: Final = 60.0


class Stream(Protocol):
    """What becomes of the items of a subscription."""

    def resume(self) -> None:
        """Begin with what arrives on a new subscription."""

    def suspend(self) -> None:
        """Take note that the subscription is gone: something may be missed from now."""

    def interrupted(self) -> None:
        """Take note that items were lost on the way, while the subscription lives."""

    def finish(self) -> None:
        """Stop: the subscription has ended."""

    def deliver(self, value: Any) -> None:
        """Take what arrived. Never waits, and never raises."""


class End(Protocol):
    """Who is told that a subscription has ended."""

    def finish(self, failure: Exception | None) -> None:
        """Take note of the end; ``failure`` is what ended it."""


class Seat:
    """One subscription of a channel.

    Args:
        source: How to subscribe.
        flow: What becomes of its items.
        end: Told when the server refuses or ends the subscription, or the channel ends.
        registry: Where its key is known.
        pace: Whose turn it is to subscribe.
        spawn: Starts a task that the channel owns.
    """

    def __init__(
        self,
        source: Source[Any, Any],
        flow: Stream,
        end: End,
        *,
        registry: Registry,
        pace: Pace,
        spawn: Callable[[Any], asyncio.Task[None]],
    ) -> None:
        self._source = source
        self._flow = flow
        self._end = end
        self._registry = registry
        self._pace = pace
        self._spawn = spawn
        self._task: asyncio.Task[None] | None = None
        self._requests: Requests | None = None
        self._key: Key = None
        self._bound = False
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
        self._start(0.0)

    def lost(self) -> None:
        """Take note that the connection has ended, and the subscription with it."""
        self._stop()
        self._requests = None
        self._bound = False
        self._flow.suspend()

    def interrupted(self) -> None:
        """Take note that messages were lost on the way."""
        self._flow.interrupted()

    def renew(self, pause: float = PAUSE) -> None:
        """Subscribe again on the same connection: the stream ended, or is deaf."""
        self._unbind()
        self._stop()
        self._flow.suspend()
        if self._requests is not None:
            self._start(pause)

    def finish(self, failure: Exception | None) -> None:
        """End the subscription, for its consumer too."""
        self.ended = True
        self._unbind()
        self._stop()
        self._flow.finish()
        self._end.finish(failure)
        self._grant(failure)

    def has(self, key: Key) -> bool:
        """Whether the subscription stands under a key."""
        return self._bound and key == self._key

    def forget(self, key: Key) -> None:
        """Let go of what came under a key before the subscription for it."""
        self._registry.forget(key)

    async def tell(self) -> None:
        """Tell the server that the subscription is not needed any more."""
        requests, unsubscribe = self._requests, self._source.unsubscribe
        if requests is None or unsubscribe is None or not self._bound:
            return
        key = self._key
        self._unbind()
        try:
            await unsubscribe(requests, key)
        except FeedError:
            return  # the connection ended, or the server knows nothing of it

    # Subscribing.

    def _start(self, pause: float) -> None:
        self._task = self._spawn(self._subscribe(self._requests, pause))

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def _subscribe(self, requests: Requests | None, pause: float) -> None:
        assert requests is not None  # noqa: S101 - for the type checker
        self._registry.expected += 1
        try:
            await asyncio.sleep(pause)
            key = await self._asked(requests)
        finally:
            self._registry.expected -= 1
        self._task = None
        if key is not None:
            self._stand(key[0])

    async def _asked(self, requests: Requests) -> tuple[Key] | None:
        """Ask until the server answers; return the key, ``None`` if it refused."""
        pause = PAUSE
        while True:
            await self._pace.turn()
            try:
                return (await self._source.subscribe(requests),)
            except (CallTimeout, CallLost):
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE)
            except Exception as failure:  # noqa: BLE001 - told to the consumer
                self._refused(failure)
                return None

    def _stand(self, key: Key) -> None:
        """Take note that the server has granted the subscription."""
        if key in self._registry.by_key:
            text = "Another subscription of this channel has the same key; share it."
            self._refused(SubscribeRefused(text))
            return
        self._key, self._bound = key, True
        self._flow.resume()
        deliver = self._flow.deliver
        if self._source.stale_after is not None:
            deliver = self._deliver
            self._heard = self._clock()
            self._watch()
        if self._registry.missed(key):
            self._flow.interrupted()
        if self._bound:
            self._registry.bind(key, deliver)
        else:  # it was renewed just now: what is held is of no use
            self._registry.forget(key)
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

    def _unbind(self) -> None:
        if self._bound:
            self._registry.unbind(self._key)
            self._bound = False

    # Silence.

    def _deliver(self, value: Any) -> None:
        self._heard = self._clock()
        self._flow.deliver(value)

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
            self.renew(0.0)
        else:
            self._task = self._spawn(self._probe(self._requests))

    async def _probe(self, requests: Requests | None) -> None:
        assert requests is not None  # noqa: S101 - for the type checker
        assert self._source.probe is not None  # noqa: S101
        since = self._heard
        try:
            alive = await self._source.probe(requests)
        except FeedError:
            alive = False
        self._task = None
        if alive or self._heard > since:
            self._heard = self._clock()
            self._watch()
        else:
            self.renew(0.0)
