"""Dials: from an endpoint to a connected wire, through redirects.

Rules: a dial is one call that can be cancelled at any point and leaves nothing open if
it fails. There is no ``await`` between the 101 and the wire's first byte.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws.errors import (
    ConnectFailed,
    ProtocolError,
    SecurityError,
)
from resilient_ws.policy.quoting import repeats, secrets_of
from resilient_ws.policy.response_headers import ResponseHeaders
from resilient_ws.policy.url import redirected, same_origin
from resilient_ws.protocol.deflate import NAME as DEFLATE, Offer
from resilient_ws.protocol.handshake import Handshake, HandshakeFailure
from resilient_ws.transport.dial_errors import Unforeseen, rejected, translated
from resilient_ws.transport.wire import AiohttpSide


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    import aiohttp

    from resilient_ws.policy.access import Access
    from resilient_ws.policy.url import Endpoint
    from resilient_ws.protocol.engine import Engine
    from resilient_ws.protocol.handshake import Negotiated
    from resilient_ws.transport.client import HttpClient
    from resilient_ws.transport.wire import Wire


SWITCHING_PROTOCOLS: Final = 101
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: The most characters in the URL of a redirect.
MAX_LOCATION: Final = 8 * 1024
#: The most bytes kept of a rejection's body, and the seconds to wait for them.
BODY_KEPT: Final = 1024
BODY_TIMEOUT: Final = 1.0


@attrs.frozen(kw_only=True)
class Greeting:
    """What every handshake of a session offers."""

    subprotocols: Sequence[str] = ()
    origin: str | None = None
    deflate: Offer | None = None

    def handshake(self) -> Handshake:
        """Return a new handshake, with its own key."""
        deflate = self.deflate
        return Handshake(
            subprotocols=self.subprotocols,
            origin=self.origin,
            offered=() if deflate is None else ((DEFLATE, deflate.parameters()),),
        )

    def prepare(self, engine: Engine, negotiated: Negotiated) -> None:
        """Set an engine up as agreed with the server.

        Raises:
            HandshakeFailure: The server's answer does not match the offer.
        """
        answer = negotiated.extensions.get(DEFLATE)
        if self.deflate is not None and answer is not None:
            engine.enable_compression(self.deflate.accept(answer))


class Tail:
    """Stands in for aiohttp's parser, and keeps the bytes that follow the 101."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Keep the bytes; aiohttp has nothing more to parse."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Do nothing: the wire learns of the end itself."""

    def set_exception(self, *_: object) -> None:
        """Do nothing: the wire learns of the loss itself."""


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

    Args:
        endpoint: The endpoint.
        headers: The user's headers for the request.
        client: Makes the requests.
        access: Says which redirects are allowed.
        greeting: What the handshake offers.
        wire: The wire to connect.
        before_request: Awaited before each request, also after a redirect.
        led_to: Called with each endpoint that a redirect leads to.

    Raises:
        SecurityError: The endpoint, an address or a redirect is not allowed.
        HandshakeRejected: The answer was not 101.
        ConnectFailed: There was no usable answer.
        Unforeseen: aiohttp raised an error that ``dial_errors`` does not know.
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
                client.forget_dial()
                return negotiated
            location = await _location(response, endpoint)
        except BaseException:
            response.close()
            raise
        response.close()
        target = _redirected(endpoint, location, visited, client, access)
        if not same_origin(endpoint, target):
            # Do not send one origin's subprotocols and headers to another.
            greeting = attrs.evolve(greeting, subprotocols=(), origin=None)
            headers = ()
        visited.add(target)
        endpoint = target
        led_to(endpoint)


async def _request(
    endpoint: Endpoint,
    asked: list[tuple[str, str]],
    client: HttpClient,
) -> aiohttp.ClientResponse:
    """Send the handshake; raise only our own errors and ``Unforeseen``."""
    if endpoint.authorization and not any(
        name.lower() == "authorization" for name, _ in asked
    ):
        asked = [*asked, ("Authorization", endpoint.authorization)]
    try:
        return await client.get(endpoint, asked)
    except Exception as failure:  # noqa: BLE001 - translated, or kept in Unforeseen
        error = translated(failure, endpoint) or Unforeseen(failure)
    # Outside the except block, so that aiohttp's exception is not its context.
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
    """Check the 101, and set the wire's engine up accordingly.

    ``asked`` has the headers of the request, which no error may repeat.
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
            failure.said, secrets_of(endpoint, asked)
        )
        why = failure.unquoted if echoes else failure.text
        broken = f"{endpoint} answered the handshake wrongly: {why}"
        code = failure.code
    else:
        return attrs.evolve(negotiated, headers=ResponseHeaders(received))
    raise ProtocolError(broken, code=code)


def _take_over(
    response: aiohttp.ClientResponse, endpoint: Endpoint, wire: Wire, *, kept: bool
) -> None:
    """Move the transport from aiohttp to the wire.

    Args:
        response: The 101.
        endpoint: The endpoint that sent it.
        wire: The wire that takes over.
        kept: Whether to keep aiohttp's side to the end. A borrowed client counts the
            connection as its own, and the objects behind a proxied connection may close
            it. Otherwise aiohttp is told that the connection was lost and frees its
            side, which takes as much memory as all of ours when idle.
    """
    connection = response.connection
    protocol = None if connection is None else connection.protocol
    transport = None if protocol is None else protocol.transport
    if protocol is None or transport is None:
        raise ConnectFailed(
            f"{endpoint} ended the connection right after the handshake.",
            stage="handshake",
        )
    tail = Tail()
    protocol.read_timeout = None
    protocol.set_parser(tail, tail)
    side = AiohttpSide(response, protocol) if kept else None
    wire.begin(transport, tail.data, side)
    if side is None:
        protocol.connection_lost(None)
        response.close()


def _redirected(
    endpoint: Endpoint,
    location: str,
    visited: Collection[Endpoint],
    client: HttpClient,
    access: Access,
) -> Endpoint:
    """Return the endpoint that a redirect leads to.

    Raises:
        SecurityError: The redirect is not allowed.
    """
    target = redirected(endpoint, location)
    proxied = client.proxied(target)
    access.check_redirect(endpoint, target, len(visited), proxied=proxied)
    if target in visited:
        msg = f"{endpoint} redirects in a circle, back to {target}."
        raise SecurityError(msg)
    if client.borrowed and not same_origin(endpoint, target):
        msg = (
            f"{endpoint} redirects to another origin, {target}: your own http= "
            "client would send its headers there; give that URL to connect()."
        )
        raise SecurityError(msg)
    return target


async def _location(response: aiohttp.ClientResponse, endpoint: Endpoint) -> str:
    """Return the URL that a redirect leads to.

    Raises:
        HandshakeRejected: The answer is neither 101 nor a redirect.
        SecurityError: The URL is too long.
    """
    location = response.headers.get("Location")
    if response.status in REDIRECTS and location is not None:
        if len(location) > MAX_LOCATION:
            raise SecurityError(
                f"{endpoint} redirects to a URL of {len(location):,} characters; at "
                f"most {MAX_LOCATION:,} are accepted."
            )
        return location
    body = b""
    # Even if the body stalls or breaks off, the status is reported.
    with contextlib.suppress(Exception):
        async with asyncio.timeout(BODY_TIMEOUT):
            while len(body) < BODY_KEPT:
                chunk = await response.content.read(BODY_KEPT - len(body))
                if not chunk:
                    break
                body += chunk
    headers: Mapping[str, str] = response.headers
    raise rejected(response.status, headers, endpoint.redacted, body=body)
