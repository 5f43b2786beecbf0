"""Dials: waits for a slot, asks the user's callables, keeps the pace, and connects.

Rules: if a user's callable raises an ``OSError``, a time-out or an aiohttp error, the
attempt fails; any other exception is a bug and ends the session, with the exception
chained. An unexpected exception in our code or aiohttp's only fails the attempt, so
that a fault there cannot end a session that has run for weeks. A session never starts
two dials to one host within ``MIN_DIAL_SPACING``, even when the user asks for them. An
attempt waits for the shared limiter before it asks for a token, so that the token is
still fresh when it is sent; ``timeouts.open`` does not count that wait.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from resilient_ws.errors import (
    ConnectFailed,
    OpenTimeout,
    ResilientWSError,
    fatal_of,
    mistake,
)
from resilient_ws.events import AttemptQueued
from resilient_ws.limiter import Slot, governor_of
from resilient_ws.policy.headers import check_headers
from resilient_ws.policy.reconnect import MIN_DIAL_SPACING
from resilient_ws.policy.tracebacks import by_the_user, where_raised
from resilient_ws.transport.client import HttpClient
from resilient_ws.transport.dial import Greeting, dial
from resilient_ws.transport.dial_errors import Unforeseen, is_network_error
from resilient_ws.transport.tcp import errno_of


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from resilient_ws.errors import Stage
    from resilient_ws.events import Event
    from resilient_ws.policy.url import Endpoint
    from resilient_ws.protocol.handshake import Negotiated
    from resilient_ws.settings import Attempt, Settings
    from resilient_ws.supervisor.log import SessionLog
    from resilient_ws.transport.current_dial import Progress
    from resilient_ws.transport.wire import Wire


T = TypeVar("T")

#: Error texts: what a dial had been waiting for when its time ran out.
_PROGRESS: Final[Mapping[Progress, str]] = {
    "resolve": "the host name had not been resolved, so check the DNS",
    "connect": "the TCP connection or TLS handshake had not completed",
    "proxy": "the proxy accepted the connection but did not answer",
    "handshake": "the server accepted the connection but did not answer the handshake",
}


class Dialler:
    """Makes the connections of one session, one at a time.

    Raises:
        RuntimeError: The limiter belongs to another loop.
    """

    __slots__ = (
        "_asking",
        "_client",
        "_dialled_at",
        "_governor",
        "_greeting",
        "_log",
        "_logged",
        "_loop",
        "_report",
        "_settings",
        "endpoint",
    )

    def __init__(
        self,
        settings: Settings,
        *,
        log: SessionLog,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
    ) -> None:
        self._settings = settings
        self._log = log
        self._loop = loop
        self._report = report
        limiter = settings.limiter
        self._governor = None if limiter is None else governor_of(limiter, loop)
        self._client = HttpClient(
            access=settings.access,
            proxy=settings.proxy,
            http=settings.http,
            tls=settings.ssl,
        )
        self._greeting = Greeting(
            subprotocols=settings.subprotocols,
            origin=settings.origin,
            deflate=settings.deflate,
        )
        self._dialled_at: dict[tuple[str, str, int], float] = {}
        # The names of unexpected exceptions that have been logged.
        self._logged: tuple[str, ...] = ()
        # Whether the current attempt is waiting for a callable of the user.
        self._asking = False
        #: The endpoint of the current attempt, ``None`` until ``url`` has returned it.
        self.endpoint: Endpoint | None = None

    @property
    def where(self) -> str:
        """The endpoint of the current attempt, without secrets."""
        return self._settings.where if self.endpoint is None else self.endpoint.redacted

    async def dial(
        self, wire: Wire, attempt: Attempt, *, member: int, url: Endpoint | None
    ) -> Negotiated:
        """Wait for a slot, then connect ``wire`` within ``timeouts.open``.

        Args:
            wire: The wire to connect.
            attempt: The argument for the user's callables.
            member: The index of the endpoint to dial.
            url: The endpoint that the user asked for instead, or ``None``.

        Raises:
            ResilientWSError: The attempt failed.
        """
        limit = self._settings.timeouts.open
        self.endpoint = url
        self._asking = True
        self._client.forget_dial()
        scope = asyncio.timeout(limit)
        try:
            async with scope, self._slot(attempt, scope) as slot:
                return await self._dial(wire, attempt, member, slot)
        except ResilientWSError:
            raise
        except Exception as failure:  # noqa: BLE001 - reported; aiohttp raises anything
            if not scope.expired():
                error: ResilientWSError = self._unforeseen(failure)
            else:
                text = f"No connection to {self.where} within {limit:g} s"
                error = OpenTimeout(
                    f"{text} (timeouts.open): {self._progress()}.",
                    kind="open",
                    after=limit,
                )
        # Raised outside the except block, so that its __context__ stays empty.
        raise error

    def _unforeseen(self, failure: Exception) -> ConnectFailed:
        """Return the error for an unexpected exception; log each class of them once."""
        stage: Stage = "internal"
        whose = "resilient_ws"
        if isinstance(failure, Unforeseen):
            stage, whose, failure = "handshake", "aiohttp", failure.failure
        # Name only the class: aiohttp's texts can hold URLs, passwords and headers.
        kind = type(failure).__name__
        text = f"Dialling {self.where} failed with an unexpected {kind} in {whose}"
        if kind not in self._logged:
            self._logged += (kind,)
            self._log.say(logging.ERROR, "%s:\n%s", text, where_raised(failure))
        return ConnectFailed(
            f"{text}. Please report this, with the traceback from the log.",
            stage=stage,
        )

    def _slot(self, attempt: Attempt, scope: asyncio.Timeout) -> Slot:
        """Return this attempt's slot, which is free at once if there is no limiter."""

        def queued(ahead: int) -> None:
            self._report(AttemptQueued(attempt=attempt.number, ahead=ahead))

        return Slot(self._governor, scope, queued)

    async def _dial(
        self, wire: Wire, attempt: Attempt, member: int, slot: Slot
    ) -> Negotiated:
        if self.endpoint is None:
            self.endpoint = await self._resolve(attempt, member)
        headers = await self._headers(attempt)
        self._asking = False
        await self._space_out(self.endpoint)
        if wire.ended.done():
            # A callable ignored its cancellation and returned after the wire had ended.
            raise wire.ended.result()
        return await dial(
            self.endpoint,
            headers,
            client=self._client,
            access=self._settings.access,
            greeting=self._greeting,
            wire=wire,
            before_request=slot.dial,
            led_to=self._redirected,
        )

    def _redirected(self, endpoint: Endpoint) -> None:
        """Take the target of a redirect, so that errors and logs name it."""
        self.endpoint = endpoint

    async def _resolve(self, attempt: Attempt, member: int) -> Endpoint:
        """Return the endpoint to dial, and ask the ``url`` callable if there is one."""
        endpoints = self._settings.endpoints
        if not callable(endpoints):
            return endpoints[member]
        url = await _ask("url", endpoints, attempt, self._log)
        try:
            return self._settings.endpoint(url)
        except (TypeError, ValueError) as bug:
            why = str(bug).rstrip(".")
            raise mistake(f"the url callable returned an invalid value: {why}") from bug

    async def _headers(self, attempt: Attempt) -> Sequence[tuple[str, str]]:
        """Return the user's headers, and ask the callable if there is one."""
        headers = self._settings.headers
        if not callable(headers):
            return headers
        given = await _ask("headers", headers, attempt, self._log)
        try:
            return check_headers(given)
        except (TypeError, ValueError) as bug:
            why = str(bug).rstrip(".")
            what = f"the headers callable returned an invalid value: {why}"
            raise mistake(what) from bug

    async def _space_out(self, endpoint: Endpoint) -> None:
        """Wait for ``MIN_DIAL_SPACING`` to pass since the last dial to the host."""
        last = self._dialled_at.get(endpoint.origin)
        if last is not None:
            await asyncio.sleep(last + MIN_DIAL_SPACING - self._loop.time())
        now = self._loop.time()
        recent = now - MIN_DIAL_SPACING
        self._dialled_at = {o: t for o, t in self._dialled_at.items() if t > recent}
        self._dialled_at[endpoint.origin] = now

    def _progress(self) -> str:
        """Return what the current attempt is waiting for, as the end of a sentence."""
        if self._asking:
            return "the url or headers callable had not returned"
        received = self._client.answer_size
        if received:
            return f"only {received:,} bytes of a response had arrived"
        return _PROGRESS[self._client.progress]

    async def close(self) -> None:
        """Close our own aiohttp client, if there is one."""
        await self._client.close()


async def _ask(
    name: str,
    function: Callable[[Attempt], T | Awaitable[T]],
    attempt: Attempt,
    log: SessionLog,
) -> T:
    """Call a callable of the user's, synchronous or not, and return its result.

    Raises:
        ResilientWSError: It raised an error that fails the attempt or ends the session.
    """
    try:
        result = function(attempt)
        if inspect.isawaitable(result):
            return await result
        return result
    except ResilientWSError:
        raise
    except Exception as failure:
        kind = type(failure).__name__
        fatal = fatal_of(failure)
        if fatal is not None:
            raise fatal from None
        if not is_network_error(failure):
            msg = f"the {name} callable raised {kind}"
            line = ("the session ends: %s", msg)
            log.say(logging.ERROR, *line, exc_info=by_the_user(failure))
            raise mistake(msg) from failure
        number = errno_of(failure)
    raise ConnectFailed(
        f"The {name} callable failed with a network error ({kind}).",
        stage="resolve",
        errno=number,
    )
