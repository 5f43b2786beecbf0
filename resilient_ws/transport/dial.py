"""From an endpoint to a wire: request, redirects, answer, takeover.

Rules: one dial is one call, cancellable at every point, and leaves nothing behind when
it fails; between the 101 and the first byte in our hands there is no ``await``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from resilient_ws.errors import (
    ConnectFailed,
    ProtocolError,
    SecurityError,
)
from resilient_ws.policy.answer import AnswerHeaders
from resilient_ws.policy.first_words import repeats, words_of
from resilient_ws.policy.url import redirected, same_origin
from resilient_ws.protocol.deflate import NAME as DEFLATE, Offer
from resilient_ws.protocol.handshake import Handshake, HandshakeFailure
from resilient_ws.transport.client import Unanswered
from resilient_ws.transport.translate import Unforeseen, rejected, translated


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import aiohttp

    from resilient_ws.policy.access import Access
    from resilient_ws.policy.url import Endpoint
    from resilient_ws.protocol.engine import Engine
    from resilient_ws.protocol.handshake import Negotiated
    from resilient_ws.transport.client import HttpClient
    from resilient_ws.transport.wire import Wire


SWITCHING_PROTOCOLS: Final = 101
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: How long a URL may be that a redirect leads to.
MAX_LOCATION: Final = 8 * 1024
#: How much of the body of a refusal is kept, and for how many seconds it is awaited.
BODY_KEPT: Final = 1024
BODY_TIMEOUT: Final = 1.0


@attrs.frozen(kw_only=True)
class Greeting:
    """What every handshake of a session asks for."""

    subprotocols: Sequence[str] = ()
    origin: str | None = None
    deflate: Offer | None = None

    def handshake(self) -> Handshake:
        """Return a handshake with a key of its own."""
        deflate = self.deflate
        return Handshake(
            subprotocols=self.subprotocols,
            origin=self.origin,
            offered=() if deflate is None else ((DEFLATE, deflate.parameters()),),
        )

    def prepare(self, engine: Engine, negotiated: Negotiated) -> None:
        """Have an engine do what was agreed on.

        Raises:
            HandshakeFailure: The answer to an offer is not one.
        """
        answer = negotiated.extensions.get(DEFLATE)
        if self.deflate is not None and answer is not None:
            engine.use(self.deflate.accept(answer))


class Tail:
    """Stands where aiohttp puts a parser, and keeps what came behind the 101."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Keep the bytes; aiohttp need not parse on."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Do nothing: the wire hears of the end itself."""

    def set_exception(self, *_: object) -> None:
        """Do nothing: the wire hears of the loss itself."""


class Held:
    """Keeps aiohttp's side of a connection alive, and lets go of it at the end."""

    __slots__ = ("_protocol", "_response")

    def __init__(self, response: aiohttp.ClientResponse, protocol: Any) -> None:  # noqa: ANN401 - aiohttp's ResponseHandler is private
        self._response = response
        self._protocol = protocol

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell aiohttp what it no longer hears by itself."""
        self._protocol.connection_lost(exc)

    def close(self) -> None:
        """Release the connection, after the transport was aborted."""
        self._response.close()


class Parted:
    """Stands for aiohttp's side where aiohttp has let go of it at the beginning."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Do nothing: aiohttp believes that it was lost long ago."""

    def close(self) -> None:
        """Do nothing."""


PARTED: Final = Parted()


async def dial(
    endpoint: Endpoint,
    headers: Sequence[tuple[str, str]],
    *,
    client: HttpClient,
    access: Access,
    greeting: Greeting,
    wire: Wire,
    before_request: Callable[[], Awaitable[None]],
    led_to: Callable[[Endpoint], None],
) -> Negotiated:
    """Connect ``wire`` to an endpoint.

    ``before_request`` is awaited before the request, and again before each that a
    redirect leads to; ``led_to`` is told of each endpoint that a redirect leads to.

    Raises:
        SecurityError: The endpoint, an address or a redirect is not allowed.
        HandshakeRejected: The answer was not 101.
        ConnectFailed: There was no answer.
        Unforeseen: aiohttp raised what is not known here.
        ProtocolError: The answer broke RFC 6455 §4.1.

    Cancellation:
        Safe at any point; nothing is left open.
    """
    visited = {endpoint}
    while True:
        handshake = greeting.handshake()
        asked = [*headers, *handshake.request_headers()]
        await before_request()
        response = await _request(endpoint, asked, client)
        try:
            if response.status == SWITCHING_PROTOCOLS:
                negotiated = _agreed(
                    response, handshake, endpoint, wire, greeting, asked=asked
                )
                kept = client.borrowed or client.proxied(endpoint)
                _take_over(response, endpoint, wire, kept=kept)
                return negotiated
            location = await _location(response, endpoint)
        except BaseException:
            response.close()
            raise
        response.close()
        target = redirected(endpoint, location)
        proxied = client.proxied(target)
        access.check_redirect(endpoint, target, len(visited), proxied=proxied)
        if target in visited:
            msg = f"{endpoint} redirects in a circle, back to {target}."
            raise SecurityError(msg)
        if not same_origin(endpoint, target):
            # Nothing of what the user gave for one origin is shown to another.
            greeting = attrs.evolve(greeting, subprotocols=(), origin=None)
            if client.borrowed:
                msg = (
                    f"{endpoint} redirects to another origin, {target}: the headers of "
                    "your own http= client would follow; give that URL to connect()."
                )
                raise SecurityError(msg)
            headers = ()
        visited.add(target)
        endpoint = target
        led_to(endpoint)


async def _request(
    endpoint: Endpoint,
    asked: list[tuple[str, str]],
    client: HttpClient,
) -> aiohttp.ClientResponse:
    """Ask for the upgrade; raise nothing but errors of ours, and ``Unforeseen``."""
    if endpoint.authorization and not any(
        name.lower() == "authorization" for name, _ in asked
    ):
        asked = [*asked, ("Authorization", endpoint.authorization)]
    try:
        return await client.get(endpoint, asked)
    except Exception as failure:  # noqa: BLE001 - it becomes ours, or Unforeseen
        if isinstance(failure, Unanswered):
            failure = failure.failure
        error = translated(failure, endpoint) or Unforeseen(failure)
    # Outside the except block: aiohttp's exception must not be its context.
    raise error


def _agreed(
    response: aiohttp.ClientResponse,
    handshake: Handshake,
    endpoint: Endpoint,
    wire: Wire,
    greeting: Greeting,
    *,
    asked: Sequence[tuple[str, str]],
) -> Negotiated:
    """Check the 101, and have the wire do what it says.

    ``asked`` are the headers of the request: an error repeats nothing of them.
    """
    received = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in response.raw_headers
    ]
    try:
        negotiated = handshake.check(response.status, received)
        greeting.prepare(wire.engine, negotiated)
    except HandshakeFailure as failure:
        echoes = failure.said is not None and repeats(
            failure.said, words_of(endpoint, asked)
        )
        why = failure.unquoted if echoes else failure.text
        broken = f"{endpoint} answered the handshake wrongly: {why}"
        code = failure.code
    else:
        return attrs.evolve(negotiated, headers=AnswerHeaders(received))
    raise ProtocolError(broken, code=code)


def _take_over(
    response: aiohttp.ClientResponse, endpoint: Endpoint, wire: Wire, *, kept: bool
) -> None:
    """Move the transport from aiohttp to the wire.

    Args:
        response: The 101.
        endpoint: Where it came from.
        wire: What takes over.
        kept: Whether aiohttp's side is kept to the end: a client that the user lends
            counts the connection as its own, and one that was made through a proxy may
            be closed with what made it. Otherwise aiohttp is told that it was lost, and
            forgets it: what it has of an idle connection is as large as all of ours.
    """
    connection = response.connection
    protocol = None if connection is None else connection.protocol
    transport = None if protocol is None else protocol.transport
    if protocol is None or transport is None:
        raise ConnectFailed(
            f"{endpoint} ended the connection with the handshake.", stage="handshake"
        )
    tail = Tail()
    protocol.read_timeout = None
    protocol.set_parser(tail, tail)
    if kept:
        wire.begin(transport, Held(response, protocol), tail.data)
    else:
        wire.begin(transport, PARTED, tail.data)
        protocol.connection_lost(None)
        response.close()


async def _location(response: aiohttp.ClientResponse, endpoint: Endpoint) -> str:
    """Return where a redirect leads.

    Raises:
        HandshakeRejected: The answer is neither 101 nor a redirect.
        SecurityError: It leads to a URL that is too long.
    """
    location = response.headers.get("Location")
    if response.status in REDIRECTS and location is not None:
        if len(location) > MAX_LOCATION:
            raise SecurityError(
                f"{endpoint} redirects to a URL of {len(location):,} characters, which "
                f"is above the bound of {MAX_LOCATION:,}."
            )
        return location
    body = b""
    # A body that does not come, or breaks off, changes nothing about the refusal.
    with contextlib.suppress(Exception):
        async with asyncio.timeout(BODY_TIMEOUT):
            while len(body) < BODY_KEPT:
                chunk = await response.content.read(BODY_KEPT - len(body))
                if not chunk:
                    break
                body += chunk
    headers: Mapping[str, str] = response.headers
    raise rejected(response.status, headers, endpoint.redacted, body=body)
