"""From an attempt to a connection: queue, ask the user's callables, space out, dial.

Rules: an ``OSError``, a time-out or an aiohttp error of a user's callable is a failed
attempt; whatever else it raises is a bug, and ends the session with it chained. What
nobody foresaw, beneath the callables, is a failed attempt as well: a fault of ours or
of aiohttp's must not end a session that lived for weeks. Two dials of a session to one
host never start closer together than ``MIN_DIAL_SPACING``, whoever asks. A limiter that
sessions share is asked first, so that a fresh token is still fresh when it is sent;
``timeouts.open`` does not count that wait.
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
from resilient_ws.policy.backoff import MIN_DIAL_SPACING
from resilient_ws.policy.headers import check_headers
from resilient_ws.tracebacks import by_the_user, where_raised
from resilient_ws.transport.client import HttpClient
from resilient_ws.transport.dial import Greeting, dial
from resilient_ws.transport.tcp import errno_of
from resilient_ws.transport.translate import Unforeseen, is_network_error


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from resilient_ws.errors import Stage
    from resilient_ws.events import Event
    from resilient_ws.log import SessionLog
    from resilient_ws.policy.url import Endpoint
    from resilient_ws.protocol.handshake import Negotiated
    from resilient_ws.settings import Attempt, Settings
    from resilient_ws.transport.at_hand import Progress
    from resilient_ws.transport.wire import Wire


T = TypeVar("T")

#: How far a dial had come that ran out of time.
_PROGRESS: Final[Mapping[Progress, str]] = {
    "resolve": "the host name had not been resolved, so check the DNS",
    "connect": "nothing had answered at its address",
    "proxy": "the proxy had accepted the connection but not answered",
    "handshake": "it had accepted the connection but not answered the handshake",
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
        "_known",
        "_log",
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
        # What was not foreseen and has been logged, by class.
        self._known: set[str] = set()
        #: Whether it is the user's callables that the attempt at hand waits for.
        self._asking = False
        #: Where the attempt at hand leads, ``None`` while that is being asked.
        self.endpoint: Endpoint | None = None

    @property
    def where(self) -> str:
        """The endpoint of the attempt at hand, without secrets."""
        return self._settings.where if self.endpoint is None else self.endpoint.redacted

    async def dial(
        self, wire: Wire, attempt: Attempt, *, member: int, url: Endpoint | None
    ) -> Negotiated:
        """Connect ``wire``, once there is a slot, and then within ``timeouts.open``.

        Args:
            wire: What to connect.
            attempt: What the user's callables are told.
            member: Which of several endpoints to dial.
            url: Where to go instead, on request.

        Raises:
            ResilientWSError: The attempt failed.
        """
        limit = self._settings.timeouts.open
        self.endpoint = url
        self._asking = True
        self._client.begin()
        scope = asyncio.timeout(limit)
        try:
            async with scope, self._slot(attempt, scope) as slot:
                return await self._dial(wire, attempt, member, slot)
        except ResilientWSError:
            raise
        except Exception as failure:  # noqa: BLE001 - told; aiohttp raises what it likes
            if not scope.expired():
                error: ResilientWSError = self._unforeseen(failure)
            else:
                text = f"No connection to {self.where} within {limit:g} s"
                error = OpenTimeout(
                    f"{text} (timeouts.open): {self._progress()}.",
                    kind="open",
                    after=limit,
                )
        # Outside the except block: what was raised must not be its context.
        raise error

    def _unforeseen(self, failure: Exception) -> ConnectFailed:
        """Return the error for what nobody foresaw; log where it was, once each."""
        stage: Stage = "internal"
        whose = "resilient_ws"
        if isinstance(failure, Unforeseen):
            stage, whose, failure = "handshake", "aiohttp", failure.failure
        # Its text stays out: aiohttp prints URLs, passwords and headers.
        kind = type(failure).__name__
        text = f"Dialling {self.where} failed with an unexpected {kind} in {whose}"
        if kind not in self._known:
            self._known.add(kind)
            self._log.say(logging.ERROR, "%s:\n%s", text, where_raised(failure))
        return ConnectFailed(
            f"{text}. Please report this, with the traceback from the log.",
            stage=stage,
        )

    def _slot(self, attempt: Attempt, scope: asyncio.Timeout) -> Slot:
        """Return this attempt's slot, at once where no limiter is named."""

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
            # A callable that would not be cancelled came back when it was too late.
            raise wire.ended.result()
        return await dial(
            self.endpoint,
            headers,
            client=self._client,
            access=self._settings.access,
            greeting=self._greeting,
            wire=wire,
            before_request=slot.dial,
            led_to=self._led_to,
        )

    def _led_to(self, endpoint: Endpoint) -> None:
        """Know that a redirect leads elsewhere: what is told names where we are."""
        self.endpoint = endpoint

    async def _resolve(self, attempt: Attempt, member: int) -> Endpoint:
        """Return where to go."""
        endpoints = self._settings.endpoints
        if not callable(endpoints):
            return endpoints[member]
        url = await _asked("url", endpoints, attempt, self._log)
        try:
            return self._settings.endpoint(url)
        except (TypeError, ValueError) as bug:
            why = str(bug).rstrip(".")
            raise mistake(f"the url callable returned a wrong value: {why}") from bug

    async def _headers(self, attempt: Attempt) -> Sequence[tuple[str, str]]:
        """Return the user's headers."""
        headers = self._settings.headers
        if not callable(headers):
            return headers
        answer = await _asked("headers", headers, attempt, self._log)
        try:
            return check_headers(answer)
        except (TypeError, ValueError) as bug:
            why = str(bug).rstrip(".")
            what = f"the headers callable returned a wrong value: {why}"
            raise mistake(what) from bug

    async def _space_out(self, endpoint: Endpoint) -> None:
        """Keep the distance to the last dial to the same host."""
        last = self._dialled_at.get(endpoint.origin)
        if last is not None:
            await asyncio.sleep(last + MIN_DIAL_SPACING - self._loop.time())
        now = self._loop.time()
        recent = now - MIN_DIAL_SPACING
        self._dialled_at = {o: t for o, t in self._dialled_at.items() if t > recent}
        self._dialled_at[endpoint.origin] = now

    def _progress(self) -> str:
        """How far the attempt at hand has come, to end a sentence with."""
        if self._asking:
            return "the url or headers callable had not returned"
        heard = self._client.heard
        if heard is not None and heard.size:
            return f"only {heard.size:,} bytes of an answer had arrived"
        return _PROGRESS[self._client.stage]

    async def close(self) -> None:
        """Close what is ours of aiohttp."""
        await self._client.close()


async def _asked(
    name: str,
    answer: Callable[[Attempt], T | Awaitable[T]],
    attempt: Attempt,
    log: SessionLog,
) -> T:
    """Ask a user's callable, synchronous or not."""
    try:
        result = answer(attempt)
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
        f"The {name} callable could not say where and how to connect ({kind}).",
        stage="resolve",
        errno=number,
    )
