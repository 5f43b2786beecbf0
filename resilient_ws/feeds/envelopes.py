"""JSON-RPC 2.0 as a wire protocol: what a message means, and how ours are written.

Rules: a message of the server is routed by what is in it, and never raises but for what
the decoder raises. What the specification does not allow is routed as odd, and where it
has one of our ids, it ends the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard, cast

from resilient_ws.feeds.errors import RPCError
from resilient_ws.feeds.json import is_array, is_object
from resilient_ws.feeds.methods import INTERNAL_ERROR, Methods, internal_error
from resilient_ws.feeds.protocol import Answer, Ignore, Item, Plain, Reply, Route
from resilient_ws.policy._validate import require


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from resilient_ws.feeds.json import Dumps, Loads
    from resilient_ws.feeds.methods import Later, Response
    from resilient_ws.feeds.source import Key
    from resilient_ws.protocol.message import Message


Params: TypeAlias = Sequence[Any] | Mapping[str, Any]

#: What cannot be the parameters of a request, although some are sequences.
_VALUES: Final = (str, bytes, bytearray, int, float, type(None))
#: Parts of a batch that are looked at; one with more is none of ours.
MAX_PARTS: Final = 100_000


def by_subscription(method: str, params: Any) -> tuple[Key, Any]:
    """Return the key and the value of a notification.

    Where ``params`` has a ``subscription`` (Ethereum, Solana, Substrate) that is the
    key, and ``result`` the value; otherwise the method is the key.
    """
    if is_object(params) and "subscription" in params:
        return params["subscription"], params.get("result")
    return method, params


class JSONRPC(Plain):
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
        self._by_subscription = item_of is by_subscription
        self.methods: Final = Methods()
        self._callable = self.methods.functions
        # One object for all messages: the router is done with an item before it asks
        # for the next. To make one for each costs a tenth of the way to the consumer.
        self._item = Item(None, None)

    def route(self, message: Message) -> Route | Sequence[Route]:
        """Tell where a message, or each part of a batch, belongs."""
        members: Any = self._loads(message)
        data: object = members
        # By far the most messages of a feed are items. So ``_part`` and
        # ``by_subscription`` stand here once more, without their calls: measured, that
        # is a tenth of the way to the consumer.
        if type(data) is dict and "method" in members and "id" not in members:
            method = members["method"]
            if type(method) is str and method not in self._callable:
                item, named = self._item, members.get("params")
                params: object = named
                by_key = type(params) is dict and self._by_subscription
                if by_key and "subscription" in named:
                    item.key = named["subscription"]
                    item.value = named.get("result")
                else:
                    item.key, item.value = self._item_of(method, named)
                return item
        return self._batch(members) if is_array(members) else self._part(members)

    def _batch(self, data: list[Any]) -> Route | Sequence[Route]:
        """Tell where each part of a batch belongs."""
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
        """Return a request, or without an id a notification.

        Raises:
            TypeError: ``method`` is no text, or ``params`` is one value, and not a list
                or mapping of them.
        """
        require(method, str, "method", "a str")
        if isinstance(params, _VALUES):
            kind = type(params).__name__
            raise TypeError(f"params is a list or a mapping, not {kind}: [value].")
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
        if "id" not in part and method not in self._callable:
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
