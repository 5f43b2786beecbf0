"""gql on a session: a transport whose subscriptions survive its connections."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from gql.transport.async_transport import AsyncTransport
from gql.transport.exceptions import (
    TransportAlreadyConnected,
    TransportClosed,
    TransportConnectionFailed,
    TransportProtocolError,
    TransportQueryError,
)
from graphql import ExecutionResult, OperationType, get_operation_ast
from typing_extensions import override

from resilient_ws import ResilientWSError, connect
from resilient_ws.feeds import CallLost, CallTimeout, Channel, Gap
from resilient_ws.feeds.protocols import GraphQL, GraphQLError


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from gql import GraphQLRequest

    from resilient_ws import Session
    from resilient_ws.feeds import Source


__all__ = ["ExecutionLost", "ResilientTransport"]

logger = logging.getLogger("resilient_ws")


class ExecutionLost(TransportQueryError):
    """No answer came to a request: its connection ended first, or its time was over.

    It is a ``TransportQueryError``, because the transport goes on, and because the
    reconnecting session of gql executes again what fails with any other exception.

    Attributes:
        maybe_executed: Whether the request was sent, so that the server may have
            executed it.
    """

    def __init__(self, message: str, *, maybe_executed: bool) -> None:
        super().__init__(message)
        self.maybe_executed = maybe_executed


class ResilientTransport(AsyncTransport):
    """A transport for ``gql.Client`` over ``graphql-transport-ws``.

    ::

        from gql import Client, gql
        from resilient_ws.adapters.gql import ResilientTransport

        transport = ResilientTransport("wss://api.example.com/graphql")
        async with Client(transport=transport) as session:
            trades = gql("subscription { trades { price } }")
            async for result in session.subscribe(trades):
                print(result)

    A subscription is made anew on each connection. GraphQL has no history, so what was
    missed in a drop stays missing, unless ``history`` says how your schema can be asked
    for it; each hole is logged, and told to ``on_gap``. A query goes out again when its
    connection ends; a mutation never does, and raises ``ExecutionLost``.

    Args:
        url: Where to connect to; or a function that returns a session, for settings of
            your own: ``lambda: connect(url, subprotocols=[GraphQL.SUBPROTOCOL])``. It
            is called for each ``connect`` of the transport.
        init_payload: Sent with each login, such as a token; or an ``async`` function
            that returns it.
        ping_interval: Seconds between two ``ping`` messages, which show that the server
            behind the socket lives; ``None`` (default) sends none.
        timeout: Seconds for an execution (default 30). gql has its own
            ``execute_timeout``, of 10 seconds.
        history: Gets a request and its ``Source``, and returns the source with
            ``cursor_of``, ``follows`` and ``backfill``. Its items are execution
            results, ``{"data": ...}``.
        on_gap: Called with the request and each ``Gap`` in its results.

    Raises:
        TypeError: ``url`` is neither a text nor a function.
    """

    def __init__(
        self,
        url: str | Callable[[], Session],
        *,
        init_payload: Mapping[str, Any]
        | Callable[[], Awaitable[Mapping[str, Any]]]
        | None = None,
        ping_interval: float | None = None,
        timeout: float = 30.0,
        history: Callable[[GraphQLRequest, Source[Any, Any]], Source[Any, Any]]
        | None = None,
        on_gap: Callable[[GraphQLRequest, Gap], object] | None = None,
    ) -> None:
        if not (isinstance(url, str) or callable(url)):
            raise TypeError("url must be a str, or a function that returns a session.")
        self._url = url
        self._init_payload = init_payload
        self._ping_interval = ping_interval
        self._timeout = timeout
        self._history = history
        self._on_gap = on_gap
        self._open: tuple[Channel, GraphQL] | None = None

    # Connecting.

    @override
    async def connect(self) -> None:
        """Connect, and log in.

        Raises:
            TransportAlreadyConnected: It is connected.
            TransportConnectionFailed: No connection was opened in time; ``__cause__``
                says why.

        Cancellation:
            Nothing is left behind.
        """
        if self._open is not None:
            raise TransportAlreadyConnected("Transport is already connected")
        graphql = GraphQL(self._init_payload, ping_interval=self._ping_interval)
        channel = Channel(self._session(), graphql, timeout=self._timeout)
        self._open = channel, graphql
        try:
            await channel.__aenter__()
        except BaseException as failure:
            self._open = None
            if isinstance(failure, ResilientWSError):
                _raise(failure)
            raise

    def _session(self) -> Session:
        if callable(self._url):
            return self._url()
        return connect(self._url, subprotocols=[GraphQL.SUBPROTOCOL])

    @override
    async def close(self) -> None:
        """End the subscriptions and the connection; do nothing if it is closed.

        Cancellation:
            Aborts at once; nothing is left behind.
        """
        if self._open is not None:
            (channel, _), self._open = self._open, None
            await channel.__aexit__(None, None, None)

    def _opened(self) -> tuple[Channel, GraphQL]:
        if self._open is None:
            raise TransportClosed("Transport is not connected")
        return self._open

    # Executing.

    @override
    async def execute(self, request: GraphQLRequest) -> ExecutionResult:
        """Execute a query or a mutation.

        Raises:
            ExecutionLost: The connection ended before the answer came, or none came in
                time.
            TransportClosed: The transport is not connected.
            TransportConnectionFailed: The session has ended.
            TransportQueryError: The server refused it.
            ValueError: The request has ``extensions``, which cannot be sent.

        Cancellation:
            The answer is no longer expected; the server may carry the request out.
        """
        channel, graphql = self._opened()
        repeat = _kind(request) is OperationType.QUERY
        try:
            id_, message = graphql.request(*_parts(request))
            return _result(await channel.ask(id_, message, repeat=repeat))
        except ResilientWSError as failure:
            _raise(failure)

    @override
    async def subscribe(
        self, request: GraphQLRequest
    ) -> AsyncGenerator[ExecutionResult, None]:
        """Yield the results of a subscription, across reconnects.

        Raises:
            TransportClosed: The transport is not connected, or was closed.
            TransportConnectionFailed: The session has ended.
            TransportQueryError: The server refused the subscription.
            ValueError: The request has ``extensions``, which cannot be sent.

        Cancellation:
            The subscription ends, and the server is told.
        """
        if _kind(request) is not OperationType.SUBSCRIPTION:
            # It must not be executed once more on each connection.
            yield await self.execute(request)
            return
        channel, graphql = self._opened()
        source = graphql.subscription(*_parts(request))
        if self._history is not None:
            source = self._history(request, source)
        try:
            async with await channel.subscribe(source) as results:
                async for result in results:
                    if isinstance(result, Gap):
                        self._tell(request, result)
                    else:
                        yield _result(result)
        except ResilientWSError as failure:
            _raise(failure)
        if self._open is None or self._open[0] is not channel:
            raise TransportClosed("Transport closed by user")

    def _tell(self, request: GraphQLRequest, gap: Gap) -> None:
        logger.warning(
            "A subscription of gql has a gap (%s); on_gap= is told its bounds.",
            type(gap.because).__name__,
        )
        try:
            if self._on_gap is not None:
                self._on_gap(request, gap)
        except Exception:
            logger.exception("The function on_gap= of ResilientTransport failed.")


def _parts(request: GraphQLRequest) -> tuple[str, Any, Any]:
    """Return the query, the variables and the name of the operation.

    Raises:
        ValueError: The request has more than these.
    """
    payload = request.payload
    if "extensions" in payload:
        raise ValueError("This transport cannot send extensions=: leave them out.")
    return payload["query"], payload.get("variables"), payload.get("operationName")


def _kind(request: GraphQLRequest) -> OperationType | None:
    operation = get_operation_ast(request.document, request.operation_name)
    return None if operation is None else operation.operation


def _result(value: Any) -> ExecutionResult:
    """Return what gql calls an execution result.

    Raises:
        TransportProtocolError: It is none.
    """
    parts = value if _is_object(value) else {}
    if not {"data", "errors"} & parts.keys():
        raise TransportProtocolError("The server sent a result without data or errors.")
    return ExecutionResult(
        data=parts.get("data"),
        errors=parts.get("errors"),
        extensions=parts.get("extensions"),
    )


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _raise(failure: ResilientWSError) -> NoReturn:
    """Raise what gql calls a failure."""
    if isinstance(failure, GraphQLError):
        errors = failure.errors if _is_array(failure.errors) else []
        text = str(errors[0]) if errors else str(failure)
        raise TransportQueryError(text, errors=errors) from failure
    if isinstance(failure, CallLost | CallTimeout):
        maybe = failure.maybe_executed
        raise ExecutionLost(str(failure), maybe_executed=maybe) from failure
    raise TransportConnectionFailed(str(failure)) from failure
