"""JSON-RPC 2.0 over one session: calls, batches, notifications, subscriptions.

Use it as ``async with Client(connect(url)) as client``. A call ends in exactly one way:
its result, ``RPCError``, ``CallTimeout`` or ``CallLost``. Subscriptions, as Ethereum,
Solana and Substrate have them, survive drops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

from resilient_ws.feeds.calls import value_of
from resilient_ws.feeds.channel import Channel
from resilient_ws.feeds.envelopes import JSONRPC, Params, by_subscription
from resilient_ws.feeds.errors import SubscribeRefused
from resilient_ws.feeds.json import (
    dumps as default_dumps,
    guarded,
    is_array,
    is_object,
    loads as default_loads,
)
from resilient_ws.feeds.source import Source
from resilient_ws.policy._validate import check_callables, require_callable


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable, Sequence
    from types import TracebackType
    from typing import Self

    from resilient_ws import Session
    from resilient_ws.feeds.errors import FeedError
    from resilient_ws.feeds.json import Dumps, Loads
    from resilient_ws.feeds.oddities import MessageOdd
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Continuity, Key
    from resilient_ws.feeds.subscription import Subscription


__all__ = ["Client", "Params"]


T = TypeVar("T")


def never(_: str) -> bool:
    """Return that no method may be executed twice."""
    return False


class Client:
    """A JSON-RPC 2.0 client.

    Args:
        session: The session, not entered: the client enters and closes it. One that you
            entered yourself stays yours; the client is its only consumer.
        timeout: Seconds for a call, from ``call`` to its answer (default 30).
        max_in_flight: Calls that wait for an answer at once (default 256).
        loads: Decodes a message; by default msgspec's decoder if it is installed, else
            ``json.loads``.
        dumps: Encodes one. By default msgspec or ``json`` does, and both write NaN and
            infinities as ``null``, and bytes as Base64, for JSON has none of them. Pass
            ``json.JSONEncoder(allow_nan=False).encode`` to have them refused.
        repeatable: Tells of a method whether it may be executed twice; by default none
            may. A call that may goes out again when its connection ends.
        rate: Subscriptions a second, at most; ``None`` (default) for no limit.
        item_of: Returns the key and the value of a notification, from its method and
            params; by default, as Ethereum, Solana and Substrate have them.
        report: Called with each ``MessageOdd``.

    Raises:
        TypeError: ``session`` is a URL.
    """

    def __init__(
        self,
        session: Session,
        *,
        timeout: float = 30.0,
        max_in_flight: int = 256,
        loads: Loads | None = None,
        dumps: Dumps | None = None,
        repeatable: Callable[[str], bool] = never,
        rate: float | None = None,
        item_of: Callable[[str, Any], tuple[Key, Any]] = by_subscription,
        report: Callable[[MessageOdd], None] | None = None,
    ) -> None:
        check_callables(loads=loads, dumps=dumps)
        require_callable(repeatable, "repeatable")
        require_callable(item_of, "item_of")
        read = default_loads if loads is None else guarded(loads)
        self._wire = JSONRPC(read, dumps or default_dumps, item_of)
        self._repeatable = repeatable
        self.channel: Final = Channel(
            session,
            self._wire,
            rate=rate,
            timeout=timeout,
            max_in_flight=max_in_flight,
            report=report,
        )

    async def __aenter__(self) -> Self:
        """Enter the session, unless it was entered before.

        Raises:
            ResilientWSError: No connection opened in time.

        Cancellation:
            Ends the session at once; nothing is left behind.
        """
        await self.channel.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the subscriptions and calls, and the session if the client entered it.

        Cancellation:
            Aborts at once; nothing is left behind.
        """
        await self.channel.__aexit__(exc_type, exc, traceback)

    async def call(
        self,
        method: str,
        params: Params = (),
        *,
        timeout: float | None = None,
        repeat: bool | None = None,
    ) -> Any:
        """Call a method, and return its result.

        Args:
            method: The method.
            params: Its parameters, by position or by name.
            timeout: Seconds for all of it, by default those of the client. Without an
                open connection the call waits for one as long.
            repeat: Whether it may be executed twice, and so goes out again when its
                connection ends; by default, what ``repeatable`` says.

        Raises:
            CallLost: The connection ended before the answer came.
            CallTimeout: No answer came in time.
            RPCError: The server answered with an error.
            ResilientWSError: The session has ended.
            TypeError: ``timeout`` is not a number.
            ValueError: It is negative or not finite.

        Cancellation:
            The answer is no longer expected; the server may carry the call out.
        """
        number = self.channel.new_id()
        message = self._wire.encoded(self._wire.request(number, method, params))
        again = self._repeatable(method) if repeat is None else repeat
        (outcome,) = await self.channel.call(
            (number,), message, timeout=timeout, repeat=again
        )
        return value_of(outcome)

    async def call_on(
        self, requests: Requests, method: str, params: Params = ()
    ) -> Any:
        """Call a method on one connection, and return its result.

        For a ``Source``, and for what must be asked of the server that sent an item.

        Args:
            requests: Those of the connection.
            method: The method.
            params: Its parameters, by position or by name.

        Raises:
            CallLost: The connection ended before the answer came.
            CallTimeout: No answer came in the time of the client.
            RPCError: The server answered with an error.
            ResilientWSError: The session has ended.

        Cancellation:
            The answer is no longer expected; the server may carry the call out.
        """
        number = requests.new_id()
        message = self._wire.encoded(self._wire.request(number, method, params))
        return await requests.ask(number, message)

    async def batch(
        self,
        calls: Sequence[tuple[str, Params]],
        *,
        timeout: float | None = None,
    ) -> list[Any | FeedError]:
        """Send several calls in one message, and return what became of each.

        Args:
            calls: The methods, each with its parameters.
            timeout: Seconds for all of it, by default those of the client.

        Returns:
            In the order of the calls, the result of each, or the ``RPCError``,
            ``CallLost`` or ``CallTimeout`` that came instead.

        Raises:
            ResilientWSError: The session has ended.
            TypeError: ``timeout`` is not a number.
            ValueError: It is negative or not finite.

        Cancellation:
            The answers are no longer expected; the server may carry the calls out.
        """
        if not calls:
            return []
        ids = [self.channel.new_id() for _ in calls]
        requests = [
            self._wire.request(number, method, params)
            for number, (method, params) in zip(ids, calls, strict=True)
        ]
        repeat = all(self._repeatable(method) for method, _ in calls)
        message = self._wire.encoded(requests)
        outcomes = await self.channel.call(ids, message, timeout=timeout, repeat=repeat)
        return [value if error is None else error for value, error in outcomes]

    async def notify(self, method: str, params: Params = ()) -> None:
        """Send a notification, which has no answer, on the open connection or the next.

        Raises:
            CallTimeout: No connection was open in time; it was not sent.
            ResilientWSError: The session has ended.

        Cancellation:
            Safe: a cancelled notification is not sent.
        """
        request = self._wire.request(None, method, params)
        await self.channel.send(self._wire.encoded(request))

    def method(self, name: str, function: Callable[..., Any]) -> None:
        """Answer the server's requests for a method.

        Without it, they are answered with -32601, "Method not found"; and with -32602
        where the parameters do not fit the function. One that is not async runs at
        once, and holds up the loop as long as it takes.

        Args:
            name: The method.
            function: Called with the parameters; sync or async. What it returns is the
                result; an ``RPCError`` that it raises is the error, and any other
                exception is answered with -32603.
        """
        self._wire.methods.register(name, function)

    @overload
    async def subscribe(
        self,
        method: str,
        params: Params = ...,
        *,
        key: Key | None = ...,
        unsubscribe: str | None = ...,
        parse: None = ...,
        cursor_of: Callable[[Any], Any] | None = ...,
        follows: Callable[[Any, Any], Continuity] | None = ...,
        backfill: Callable[[Any, Any], AsyncIterator[Any]] | None = ...,
        identity: Callable[[Any], Hashable] | None = ...,
        stale_after: float | None = ...,
        after: Any = ...,
        buffer: int = ...,
        overflow: Literal["refill", "gap"] = ...,
    ) -> Subscription[Any]: ...

    @overload
    async def subscribe(
        self,
        method: str,
        params: Params = ...,
        *,
        key: Key | None = ...,
        unsubscribe: str | None = ...,
        parse: Callable[[Any], T],
        cursor_of: Callable[[T], Any] | None = ...,
        follows: Callable[[Any, T], Continuity] | None = ...,
        backfill: Callable[[Any, Any], AsyncIterator[T]] | None = ...,
        identity: Callable[[T], Hashable] | None = ...,
        stale_after: float | None = ...,
        after: Any = ...,
        buffer: int = ...,
        overflow: Literal["refill", "gap"] = ...,
    ) -> Subscription[T]: ...

    async def subscribe(
        self,
        method: str,
        params: Params = (),
        *,
        key: Key | None = None,
        unsubscribe: str | None = None,
        parse: Callable[[Any], Any] | None = None,
        cursor_of: Callable[[Any], Any] | None = None,
        follows: Callable[[Any, Any], Continuity] | None = None,
        backfill: Callable[[Any, Any], AsyncIterator[Any]] | None = None,
        identity: Callable[[Any], Hashable] | None = None,
        stale_after: float | None = None,
        after: Any = None,
        buffer: int = 1024,
        overflow: Literal["refill", "gap"] = "refill",
    ) -> Subscription[Any]:
        """Subscribe to what the server then sends as notifications.

        Args:
            method: The method that subscribes.
            params: Its parameters.
            key: The key under which ``item_of`` brings the items; ``None`` (default)
                where the server chooses it, and tells it as the result of ``method``.
            unsubscribe: The method that ends it, called with the key that the server
                has chosen; or, if you gave it, with ``params``.
            parse: As in ``Source``, and so are the next five.
            cursor_of: The position of an item.
            follows: How an item stands to the one before it.
            backfill: The items after one cursor, through another.
            identity: What the same items have in common.
            stale_after: Seconds of silence after which it is subscribed to again.
            after: The cursor of the last item that you have.
            buffer: Items that may wait to be read (default 1,024).
            overflow: What happens when they are that many: ``"refill"`` or ``"gap"``.

        Raises:
            ResilientWSError: The session has ended.
            SubscribeRefused: The server refused, and ``__cause__`` is its
                ``RPCError``; or its answer is no key.
            TypeError: A value of another type, or a parameter that cannot be encoded.
            ValueError: A number is out of range, or ``backfill`` is alone.

        Cancellation:
            There is no subscription; the server is told where it had granted one.
        """
        # What cannot be sent is said now, with or without a connection.
        self._wire.encoded(self._wire.request(0, method, params))
        if unsubscribe is not None:
            self._wire.request(0, unsubscribe, params)
        hash(key)

        async def enter(requests: Requests) -> Any:
            result = await self.call_on(requests, method, params)
            if key is None and _is_no_key(result):
                text = f"The result of {method!r} is no key of items; pass key=."
                raise SubscribeRefused(text)
            return result if key is None else key

        async def leave(requests: Requests, granted: Key) -> Any:
            what = [granted] if key is None else params
            return await self.call_on(requests, unsubscribe or "", what)

        source: Source[Any, Any] = Source(
            subscribe=enter,
            unsubscribe=None if unsubscribe is None else leave,
            parse=parse,
            cursor_of=cursor_of,
            follows=follows,
            backfill=backfill,
            identity=identity,
            stale_after=stale_after,
        )
        return await self.channel.subscribe(
            source, after=after, buffer=buffer, overflow=overflow
        )

    def listen(
        self, select: Callable[[Any], object] | None = None, *, buffer: int = 1024
    ) -> Subscription[Any]:
        """Return a stream of all notifications: see ``Channel.listen``."""
        return self.channel.listen(select, buffer=buffer)


def _is_no_key(result: object) -> bool:
    """Whether items can never come under what a server answered."""
    return (
        result is None
        or isinstance(result, bool)
        or is_object(result)
        or is_array(result)
    )
