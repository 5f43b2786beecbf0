"""What a JSON-RPC server may call here, and what it is answered.

Rules: whatever a request holds, there is an answer or none, and never an exception. A
function runs at once; what it returns may be awaited later, in a task of the channel.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias

from resilient_ws.feeds.errors import RPCError
from resilient_ws.feeds.json import is_array, is_object


logger = logging.getLogger("resilient_ws")

#: Error codes of JSON-RPC 2.0, section 5.1.
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

#: A response object, or ``None`` where nothing is answered.
Response: TypeAlias = dict[str, Any] | None
#: Makes a response when it is called and awaited, and not before.
Later: TypeAlias = Callable[[], Awaitable[Response]]


class Methods:
    """The functions that a server may call, by name."""

    __slots__ = ("_failed", "functions")

    def __init__(self) -> None:
        self.functions: dict[str, Callable[..., Any]] = {}
        # Those whose failure was logged already.
        self._failed: set[str] = set()

    def register(self, name: str, function: Callable[..., Any]) -> None:
        """Let the server call a function."""
        self.functions[name] = function

    def respond(self, request: dict[str, Any]) -> Response | Later:
        """Do what a request asks for, and return the response, or what makes it."""
        key, name = request.get("id"), request["method"]
        try:
            call = self._prepared(name, request.get("params", ()))
            if inspect.iscoroutinefunction(call.func):
                return partial(self._awaited, key, name, call)
            result = call()
        except Exception as failure:  # noqa: BLE001 - the server is told; so is the log
            return self._failure(key, name, failure)
        if inspect.isawaitable(result):
            return partial(self._awaited, key, name, lambda: result)
        return _response(key, "result", result)

    def _prepared(self, name: str, params: Any) -> partial[Any]:
        function = self.functions.get(name)
        if function is None:
            raise RPCError(METHOD_NOT_FOUND, "Method not found")
        if is_object(params):
            call = partial(function, **params)
        elif is_array(params) or params == ():
            call = partial(function, *params)
        else:
            raise RPCError(INVALID_PARAMS, "Invalid params")
        try:
            inspect.signature(function).bind(*call.args, **call.keywords)
        except TypeError:
            raise RPCError(INVALID_PARAMS, "Invalid params") from None
        except ValueError:
            return call  # a builtin that does not tell its parameters
        return call

    async def _awaited(
        self, id: Any, name: str, call: Callable[[], Awaitable[Any]]
    ) -> Response:
        try:
            return _response(id, "result", await call())
        except Exception as failure:  # noqa: BLE001 - likewise
            return self._failure(id, name, failure)

    def _failure(self, id: Any, name: str, failure: Exception) -> Response:
        if isinstance(failure, RPCError):
            error: dict[str, Any] = {"code": failure.code, "message": failure.message}
            if failure.data is not None:
                error["data"] = failure.data
            return _response(id, "error", error)
        if name not in self._failed:
            self._failed.add(name)
            text = "The method %r, which the server called, failed"
            logger.error(text, name, exc_info=failure)
        return internal_error(id, failure)


def internal_error(id: Any, failure: Exception) -> Response:
    """Return the response to a request that failed here."""
    text = type(failure).__name__
    return _response(id, "error", {"code": INTERNAL_ERROR, "message": text})


def _response(id: Any, what: str, value: Any) -> Response:
    return None if id is None else {"jsonrpc": "2.0", "id": id, what: value}
