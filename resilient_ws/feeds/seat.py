"""The place of one subscription on its channel: made anew on each connection.

Rules: a seat has at most one task, which subscribes, and tries again as long as the
connection lives. Its flow is told when the subscription stands, and when it is gone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from resilient_ws.feeds.errors import CallLost, CallTimeout, FeedError, SubscribeRefused
from resilient_ws.feeds.registry import REST


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.feeds.buffer import Buffer
    from resilient_ws.feeds.flow import Flow
    from resilient_ws.feeds.pace import Pace
    from resilient_ws.feeds.registry import Registry
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Key, Source


#: Seconds before a subscription that got no answer, or was ended, is asked for again;
#: doubled each time up to the second figure.
PAUSE: Final = 1.0
MAX_PAUSE: Final = 60.0


class Seat:
    """One subscription of a channel.

    Args:
        source: How to subscribe.
        flow: What becomes of its items.
        buffer: Where they wait; ended when the server refuses the subscription.
        registry: Where its key is known.
        pace: Whose turn it is to subscribe.
        spawn: Starts a task that the channel owns.
    """

    def __init__(
        self,
        source: Source[Any, Any],
        flow: Flow[Any, Any],
        buffer: Buffer[Any],
        *,
        registry: Registry,
        pace: Pace,
        spawn: Callable[[Any], asyncio.Task[None]],
    ) -> None:
        self._source = source
        self._flow = flow
        self._buffer = buffer
        self._registry = registry
        self._pace = pace
        self._spawn = spawn
        self._task: asyncio.Task[None] | None = None
        self._requests: Requests | None = None
        self._keys: tuple[Key, ...] = ()
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
        self._begin(0.0)

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
            self._begin(pause)

    def finish(self, failure: Exception | None) -> None:
        """End the subscription, for its consumer too."""
        self.ended = True
        self._unbind()
        self._stop()
        self._flow.finish()
        self._buffer.finish(failure)
        self._grant(failure)

    def has(self, key: Key) -> bool:
        """Whether the subscription stands under a key."""
        return self._bound and key in self._keys

    async def tell(self) -> None:
        """Tell the server that the subscription is not needed any more."""
        requests, unsubscribe = self._requests, self._source.unsubscribe
        if requests is None or unsubscribe is None or not self._bound:
            return
        (key,) = self._keys
        self._unbind()
        try:
            await unsubscribe(requests, key)
        except FeedError:
            return  # the connection ended, or the server knows nothing of it

    # Subscribing.

    def _begin(self, pause: float) -> None:
        source = self._source
        if source.subscribe is None or (source.resumed and source.resumed()):
            # At once: the items of a stream that comes unasked may be next.
            self._stand(tuple(source.keys) or (REST,))
        if source.subscribe is None:
            self._granted()
        elif not self.ended:
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
        if key is None:
            return
        if not self._bound:
            self._stand(key)
        self._granted()

    async def _asked(self, requests: Requests) -> tuple[Key] | None:
        """Ask until the server answers; return the key, ``None`` if it refused."""
        pause = PAUSE
        assert self._source.subscribe is not None  # noqa: S101 - for the type checker
        while True:
            await self._pace.turn()
            try:
                since = requests.since(self._flow.cursor)
                return (await self._source.subscribe(since),)
            except (CallTimeout, CallLost, OSError):
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE)
            except Exception as failure:  # noqa: BLE001 - told to the consumer
                self._refused(failure)
                return None

    def _stand(self, keys: tuple[Key, ...]) -> None:
        """Take what comes under the keys of the subscription from now on."""
        if any(key in self._registry.by_key for key in keys):
            text = "Another subscription of this channel has the same key; share it."
            self._refused(SubscribeRefused(text))
            return
        self._keys, self._bound = keys, True
        self._flow.resume()
        watched = self._source.stale_after is not None
        deliver = self._deliver if watched else self._flow.deliver
        for key in keys:
            self._registry.bind(key, deliver)

    def _granted(self) -> None:
        """Tell whoever waits for the subscription, and watch it, if it stands."""
        if self.ended:
            return
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

    def _unbind(self) -> None:
        if self._bound:
            for key in self._keys:
                self._registry.unbind(key)
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
