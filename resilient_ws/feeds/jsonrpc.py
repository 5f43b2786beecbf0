"""JSON-RPC 2.0 over one session: calls, batches, notifications, subscriptions.

Use it as ``async with Client(connect(url)) as client``. A call ends in exactly one way:
its result, ``RPCError``, ``CallTimeout`` or ``CallLost``. Subscriptions, as Ethereum,
Solana and Substrate have them, survive drops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    TypeAlias,
    TypeGuard,
    TypeVar,
    cast,
)

from resilient_ws.feeds.calls import value_of
from resilient_ws.feeds.channel import Channel
from resilient_ws.feeds.errors import FeedError, RPCError
from resilient_ws.feeds.json import (
    dumps as default_dumps,
    is_array,
    is_object,
    loads as default_loads,
)
from resilient_ws.feeds.methods import INTERNAL_ERROR, Methods, internal_error
from resilient_ws.feeds.protocol import Answer, Ignore, Item, Plain, Reply, Route
from resilient_ws.feeds.source import Source


if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Generator,
        Hashable,
    )
    from types import TracebackType
    from typing import Self

    from resilient_ws import Session
    from resilient_ws.feeds.json import Dumps, Loads
    from resilient_ws.feeds.methods import Later, Response
    from resilient_ws.feeds.oddities import MessageOdd
    from resilient_ws.feeds.requests import Requests
    from resilient_ws.feeds.source import Continuity, Key
    from resilient_ws.feeds.subscription import Subscription
    from resilient_ws.protocol.message import Message


__all__ = ["Client", "Params"]


T = TypeVar("T")
C = TypeVar("C")

Params: TypeAlias = Sequence[Any] | Mapping[str, Any]

#: Parts of a batch that are looked at; one with more is none of ours.
MAX_PARTS: Final = 100_000


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
        self.methods: Final = Methods()

    def route(self, message: Message) -> Route | Sequence[Route]:
        """Tell where a message, or each part of a batch, belongs."""
        data = self._loads(message)
        if not is_array(data):
            return self._part(data)
        if not 0 < len(data) <= MAX_PARTS:
            return Ignore(odd=f"a batch of {len(data)}")
        routes: list[Route] = []
        responses: list[Response | Later] = []
        for part in data:
            if _is_request(part):
                responses.append(self.methods.respond(part))
            else:
                routes.append(self._part(part))
        if responses:
            routes.append(self._answer(responses, one=False))
        return routes

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
        if "id" not in part and method not in self.methods:
            return Item(*self._item_of(method, part.get("params")))
        return self._answer([self.methods.respond(part)], one=True)

    def _reply(self, part: dict[str, Any]) -> Route:
        number, error = part.get("id"), part.get("error")
        if type(number) is not int:
            return Ignore(odd=f"an answer without an id of ours{_code_of(error)}")
        if error is None and "result" in part:
            return Reply(number, part["result"])
        odd = None
        if error is None:
            odd = "an answer without a result"
        elif not is_object(error):
            odd = "an error that is not an object"
        elif part.get("result") is not None:
            odd = "a result and an error at once"
        return Reply(number, error=_rpc_error(error, odd), odd=odd)

    # Requests from the server.

    def _answer(self, responses: list[Response | Later], *, one: bool) -> Route:
        """Return the answer to one request, or to those of a batch."""
        if any(callable(response) for response in responses):
            return Answer(_Lazy(partial(self._made, responses, one=one)))
        text = self._text(cast("list[Response]", responses), one=one)
        return Ignore() if text is None else Answer(text)

    async def _made(
        self, responses: list[Response | Later], *, one: bool
    ) -> Message | None:
        made = [await one() if callable(one) else one for one in responses]
        return self._text(made, one=one)

    def _text(self, responses: list[Response], *, one: bool) -> Message | None:
        wanted = [response for response in responses if response is not None]
        if not wanted:
            return None
        try:
            return self._dumps(wanted[0] if one else wanted)
        except Exception:  # noqa: BLE001 - a result that cannot be JSON
            safe = [self._encodable(response) for response in wanted]
            return self._dumps(safe[0] if one else safe)

    def _encodable(self, response: dict[str, Any]) -> Response:
        try:
            self._dumps(response)
        except Exception as failure:  # noqa: BLE001 - the server is told
            return internal_error(response["id"], failure)
        return response


class _Lazy:
    """An answer that is made when it is awaited, and not before."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Awaitable[Message | None]]) -> None:
        self._make = make

    def __await__(self) -> Generator[Any, Any, Message | None]:
        return self._make().__await__()


def _is_request(part: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a part of a batch asks for a response."""
    return is_object(part) and isinstance(part.get("method"), str) and "id" in part


def _rpc_error(error: Any, odd: str | None = None) -> RPCError:
    if not is_object(error):
        return RPCError(INTERNAL_ERROR, odd or "", error)
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
        self._wire.methods.register(name, function)

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
