"""JSON-RPC 2.0 over one session: calls, batches, notifications, subscriptions.

Use it as ``async with Client(connect(url)) as client``. A call ends in exactly one way:
its result, ``RPCError``, ``CallTimeout`` or ``CallLost``. Subscriptions, as Ethereum,
Solana and Substrate have them, survive drops.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

from resilient_ws.feeds.calls import value_of
from resilient_ws.feeds.channel import Channel
from resilient_ws.feeds.errors import FeedError, RPCError
from resilient_ws.feeds.json import (
    dumps as default_dumps,
    is_array,
    is_object,
    loads as default_loads,
)
from resilient_ws.feeds.protocol import Answer, Ignore, Item, Plain, Reply, Route
from resilient_ws.feeds.source import Source


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable
    from types import TracebackType
    from typing import Self

    from resilient_ws.feeds.json import Dumps, Loads
    from resilient_ws.feeds.oddities import MessageOdd
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Continuity, Key
    from resilient_ws.feeds.subscription import Subscription
    from resilient_ws.protocol.message import Message
    from resilient_ws.session import Session


__all__ = ["Client", "Params"]


T = TypeVar("T")
C = TypeVar("C")

Params: TypeAlias = Sequence[Any] | Mapping[str, Any]

#: Error codes of JSON-RPC 2.0, section 5.1.
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INTERNAL_ERROR: Final = -32603


def never(_: str) -> bool:
    """Return that no method may be executed twice."""
    return False


def by_subscription(method: str, params: Any) -> tuple[Key, Any]:
    """Return the key and the value of a notification.

    Where ``params`` has a ``subscription`` (Ethereum, Solana, Substrate) that is the
    key, and ``result`` the value; otherwise the method is the key.
    """
    if is_object(params) and "subscription" in params:
        return params["subscription"], params.get("result")
    return method, params


class Wire(Plain):
    """JSON-RPC 2.0 as a protocol of a channel.

    Args:
        loads: Decodes a message.
        dumps: Encodes one.
        item_of: Returns the key and the value of a notification.
    """

    def __init__(
        self,
        loads: Loads,
        dumps: Dumps,
        item_of: Callable[[str, Any], tuple[Key, Any]],
    ) -> None:
        self._loads = loads
        self._dumps = dumps
        self._item_of = item_of
        #: What the server may call, by name.
        self.methods: dict[str, Callable[..., Any]] = {}

    def route(self, message: Message) -> Route | Sequence[Route]:
        """Tell where a message, or each part of a batch, belongs."""
        data = self._loads(message)
        if is_array(data):
            return [self._part(part) for part in data] or Ignore(odd="an empty batch")
        return self._part(data)

    def request(self, id: int | None, method: str, params: Params) -> dict[str, Any]:
        """Return a request, or without an id a notification."""
        request: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params or not isinstance(params, Sequence):
            request["params"] = params
        else:
            request["params"] = []
        if id is not None:
            request["id"] = id
        return request

    def encoded(self, request: Any) -> Message:
        """Return a message."""
        return self._dumps(request)

    def _part(self, part: Any) -> Route:
        if not is_object(part):
            return Ignore(odd="neither a request nor an answer")
        method = part.get("method")
        if method is None:
            return self._reply(part)
        if not isinstance(method, str):
            return Ignore(odd="a method that is not a string")
        called = self.methods.get(method)
        if "id" in part:
            return Answer(self._served(part["id"], called, part.get("params")))
        if called is not None:
            return Answer(self._served(None, called, part.get("params")))
        return Item(*self._item_of(method, part.get("params")))

    def _reply(self, part: dict[str, Any]) -> Route:
        number, error = part.get("id"), part.get("error")
        if type(number) is not int:
            return Ignore(odd=f"an answer without an id of ours{_code_of(error)}")
        if error is None and "result" in part:
            return Reply(number, part["result"])
        if is_object(error):
            return Reply(number, error=_rpc_error(error))
        return Reply(number, error=RPCError(INTERNAL_ERROR, "the answer has no result"))

    # Requests from the server.

    async def _served(
        self, id: Any, called: Callable[..., Any] | None, params: Any
    ) -> Message | None:
        """Call a method for the server, and return the answer."""
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": id}
        try:
            result = _call(called or _missing, params)
            if inspect.isawaitable(result):
                result = await result
            answer["result"] = result
        except RPCError as error:
            data = {} if error.data is None else {"data": error.data}
            answer["error"] = {"code": error.code, "message": error.message, **data}
        except Exception as failure:  # noqa: BLE001 - the server is told; so is the log
            text = f"{type(failure).__name__}"
            answer["error"] = {"code": INTERNAL_ERROR, "message": text}
        return None if id is None else self.encoded(answer)


def _missing(*_: Any, **__: Any) -> Any:
    raise RPCError(METHOD_NOT_FOUND, "Method not found")


def _call(called: Callable[..., Any], params: Any) -> Any:
    if is_object(params):
        return called(**params)
    return called(*params) if is_array(params) else called()


def _rpc_error(error: dict[str, Any]) -> RPCError:
    code, text = error.get("code"), error.get("message")
    return RPCError(
        code if isinstance(code, int) else INTERNAL_ERROR,
        text if isinstance(text, str) else "",
        error.get("data"),
    )


def _code_of(error: Any) -> str:
    return f" (error {_rpc_error(error).code})" if is_object(error) else ""


class Client:
    """A JSON-RPC 2.0 client.

    Args:
        session: The session, not entered: the client enters and closes it. One that you
            entered yourself stays yours; the client is its only consumer.
        timeout: Seconds for a call, from ``call`` to its answer (default 30).
        max_in_flight: Calls that wait for an answer at once (default 256).
        loads: Decodes a message; by default msgspec's decoder if it is installed, else
            ``json.loads``.
        dumps: Encodes one.
        repeatable: Tells of a method whether it may be executed twice; by default none
            may. A call that may goes out again when its connection ends.
        rate: Subscriptions a second, at most; ``None`` (default) for no limit.
        item_of: Returns the key and the value of a notification, from its method and
            params; by default, as Ethereum, Solana and Substrate have them.
        report: Called with each ``MessageOdd``.
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
        self._wire = Wire(loads or default_loads, dumps or default_dumps, item_of)
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
        """End the subscriptions and calls, and the session if the client entered it."""
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

        Without it, they are answered with -32601, "Method not found".

        Args:
            name: The method.
            function: Called with the parameters; sync or async. What it returns is the
                result; an ``RPCError`` that it raises is the error, and any other
                exception is answered with -32603.
        """
        self._wire.methods[name] = function

    async def subscribe(
        self,
        method: str,
        params: Params = (),
        *,
        unsubscribe: str | None = None,
        parse: Callable[[Any], T] | None = None,
        cursor_of: Callable[[T], C] | None = None,
        follows: Callable[[C | None, T], Continuity] | None = None,
        backfill: Callable[[C, C | None], AsyncIterator[T]] | None = None,
        identity: Callable[[T], Hashable] | None = None,
        stale_after: float | None = None,
        after: C | None = None,
        buffer: int = 1024,
        overflow: Literal["refill", "gap"] = "refill",
    ) -> Subscription[T]:
        """Subscribe to what the server then sends as notifications.

        Args:
            method: The method that subscribes; its result is the key of the items.
            params: Its parameters.
            unsubscribe: The method that ends it, called with the key.
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
            SubscribeRefused: The server refused; ``__cause__`` is its ``RPCError``.

        Cancellation:
            There is no subscription; the server is told where it had granted one.
        """

        async def ask(requests: Requests, name: str, given: Params) -> Any:
            number = requests.new_id()
            request = self._wire.request(number, name, given)
            return await requests.ask(number, self._wire.encoded(request))

        async def leave(requests: Requests, key: Key) -> Any:
            return await ask(requests, unsubscribe or "", [key])

        source: Source[T, C] = Source(
            subscribe=lambda requests: ask(requests, method, params),
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
