"""slack_sdk's Socket Mode on sessions: a client that opens the new connection first.

Rules: each connection that Slack asks to have replaced is a leg of an ``overlap``, with
a session of its own. An answer goes out on the connection that brought its envelope, or
not at all. At most ``concurrency`` envelopes are with the listeners; the rest waits in
the sessions, and holds up Slack, not memory.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient
from typing_extensions import override

from resilient_ws import Attempt, Connection, Fatal, Session, State, connect
from resilient_ws.feeds import Gap, Rotate, overlap
from resilient_ws.feeds.json import is_object, object_in
from resilient_ws.feeds.protocols import Slack


if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable


__all__ = ["SocketModeClient"]

#: Reasons of a ``disconnect`` for which Slack keeps the old connection for a while.
OVERLAPPED: Final = {"refresh_requested", "warning"}
#: Seconds before a connection is replaced for any other reason: doubled each time from
#: the first figure up to the second, and forgotten after the third.
PAUSE: Final = 1.0
MAX_PAUSE: Final = 60.0
FORGET: Final = 120.0
#: Envelopes of which the connection is known, and answers that are given again.
REMEMBERED: Final = 1000
#: Errors of ``apps.connections.open`` that no further call will mend.
_HOPELESS: Final = {
    "access_denied",
    "account_inactive",
    "forbidden_team",
    "invalid_auth",
    "missing_args",
    "missing_scope",
    "no_permission",
    "not_allowed_token_type",
    "not_authed",
    "token_expired",
    "token_revoked",
}
#: Characters of the longest word of Slack that is repeated in a log.
_WORD: Final = 40


@attrs.frozen(kw_only=True)
class _Arrival:
    """An envelope, and the connection that brought it."""

    envelope: dict[str, Any]
    text: str
    session: Session
    epoch: int

    @property
    def id(self) -> str:
        return str(self.envelope["envelope_id"])

    @property
    def event(self) -> str | None:
        """What two deliveries of one event have in common."""
        payload = self.envelope.get("payload")
        found = payload.get("event_id") if is_object(payload) else None
        return found if isinstance(found, str) else None


class SocketModeClient(AsyncBaseSocketModeClient):
    """A Socket Mode client for slack_sdk that opens a new connection before it leaves.

    ::

        client = SocketModeClient(app_token, web_client=AsyncWebClient(token=bot_token))
        client.socket_mode_request_listeners.append(process)
        await client.connect()

    Where Slack asks for a new connection (``warning``, ``refresh_requested``), the new
    one is opened while the old one is still read, and the old one is closed after
    ``linger`` seconds. An answer goes out on the connection that brought the envelope.
    An event that Slack sends again although it was answered, because the answer was
    lost, is answered again, and the listeners do not get it.

    Args:
        app_token: The token of the app, ``xapp-...``.
        web_client: Calls ``apps.connections.open``, and is what listeners use.
        logger: Where slack_sdk's part logs (default: the logger of this module).
        session: Makes the session for a function that returns the URL; by default
            ``connect``. Give ``functools.partial(connect, proxy=...)`` for settings.
        concurrency: Envelopes that are with the listeners at once (default 100). With 1
            they are handled in order.
        linger: Seconds for which an old connection is read once the new one is open
            (default 5).

    Raises:
        TypeError: ``session`` is not a function.
        ValueError: ``concurrency`` is less than 1.
    """

    def __init__(
        self,
        app_token: str,
        web_client: AsyncWebClient | None = None,
        logger: logging.Logger | None = None,
        *,
        session: Callable[[Callable[[Attempt], Awaitable[str]]], Session] = connect,
        concurrency: int = 100,
        linger: float = 5.0,
    ) -> None:
        if not callable(session):
            raise TypeError(
                "session must be a function: functools.partial(connect, ...)."
            )
        if concurrency < 1:
            raise ValueError("concurrency must be 1 or more: nothing would be handled.")
        self.app_token = app_token
        self.web_client = web_client or AsyncWebClient()
        self.logger = logger or logging.getLogger(__name__)
        self.wss_uri = ""
        self.auto_reconnect_enabled = True
        self.trace_enabled = False
        self.closed = False
        self.connect_operation_lock = asyncio.Lock()
        self.message_queue = asyncio.Queue()
        self.message_listeners = []
        self.socket_mode_request_listeners = []
        self._make = session
        self._linger = linger
        self._room = asyncio.Semaphore(concurrency)
        self._open_again_at = 0.0
        # The sessions of the legs, the newest last.
        self._sessions: list[Session] = []
        self._arrivals: OrderedDict[str, _Arrival] = OrderedDict()
        self._answers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._reader: asyncio.Task[None] | None = None
        self._listeners: set[asyncio.Task[None]] = set()

    # Connecting.

    @override
    async def connect(self) -> None:
        """Return once Slack has greeted us on a connection; do nothing if it has.

        Raises:
            ResilientWSError: No connection was opened in time (see ``wait_open`` of
                ``resilient_ws.connect``), or Slack refuses the token.
            RuntimeError: The client was closed.

        Cancellation:
            Nothing is left behind.
        """
        if self.closed:
            raise RuntimeError("The client was closed: make a new one.")
        async with self.connect_operation_lock:
            if self._reader is not None and not self._reader.done():
                return
            ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._reader = reader = asyncio.create_task(self._read(ready))
            try:
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait([ready, reader], return_when=first)
            except asyncio.CancelledError:
                await self.disconnect()
                raise
            if reader.done() and not ready.done():
                await reader

    @override
    async def disconnect(self) -> None:
        """Close the connections; ``connect`` opens new ones.

        Cancellation:
            Aborts at once; nothing is left behind.
        """
        tasks = {*self._listeners, *([self._reader] if self._reader else ())}
        tasks.discard(asyncio.current_task())  # a listener may have us closed
        self._reader = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @override
    async def close(self) -> None:
        """Close the connections, for good.

        Cancellation:
            Aborts at once; nothing is left behind.
        """
        self.closed = True
        await self.disconnect()

    @override
    async def is_connected(self) -> bool:
        return any(session.state is State.OPEN for session in self._sessions)

    @override
    async def session_id(self) -> str:
        return f"s_{self._sessions[-1].epoch}" if self._sessions else ""

    @override
    async def connect_to_new_endpoint(self, force: bool = False) -> None:
        """Replace the connection; without ``force``, only if there is none."""
        if not self._sessions:
            await self.connect()
        elif force:
            self._sessions[-1].reconnect("the program asked for a new one")

    @override
    async def issue_new_wss_url(self) -> str:
        """Ask Slack for the URL of one connection.

        Raises:
            ConnectionError: Slack gave none, and may do so later.
            Fatal: Slack refuses the token.

        Cancellation:
            Safe; Slack may have made a URL.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._open_again_at:
            raise ConnectionError("Slack gives no URL yet, as it said before.")
        try:
            web_client: Any = self.web_client
            response = await web_client.apps_connections_open(app_token=self.app_token)
            self.wss_uri = str(response["url"])
        except SlackApiError as refusal:
            raise self._told(refusal) from None
        except Exception as failure:  # noqa: BLE001 - those of its HTTP client
            text = f"apps.connections.open failed ({type(failure).__name__})."
            raise ConnectionError(text) from None
        return self.wss_uri

    def _told(self, refusal: SlackApiError) -> Exception:
        """Return what to raise for a refusal of ``apps.connections.open``."""
        response: Any = refusal.response
        # Something on the way may have answered instead of Slack, and not in JSON.
        data = getattr(response, "data", response)
        error = _word(data.get("error") if is_object(data) else None)
        if error == "ratelimited":
            wait = str(getattr(response, "headers", {}).get("Retry-After"))
            pause = float(wait) if wait.isdecimal() else 30.0
            self._open_again_at = asyncio.get_running_loop().time() + pause
        text = f"Slack refused apps.connections.open: {error}."
        # The session tells that the function which returns the URL failed, not why.
        self.logger.warning(text)
        return Fatal(text) if error in _HOPELESS else ConnectionError(text)

    # Reading.

    async def _read(self, ready: asyncio.Future[None]) -> None:
        """Open the legs, and hand out what they bring."""
        try:
            async with overlap(
                self._leg, identity=lambda one: one.id, linger=self._linger
            ) as arrivals:
                ready.set_result(None)
                async for arrival in arrivals:
                    if not isinstance(arrival, Gap):
                        await self._take(arrival)
        except Exception as failure:
            if ready.done():
                self.logger.error("Socket Mode has ended: %s", failure)  # noqa: TRY400 - it is not ours
            raise

    @asynccontextmanager
    async def _leg(
        self, on_rotate: Callable[[Rotate], None], _: Rotate | None
    ) -> AsyncGenerator[AsyncIterator[_Arrival | Gap]]:
        leg = _SlackLeg(on_rotate)

        async def url(_: Attempt) -> str:
            leg.check()
            return await self.issue_new_wss_url()

        session = self._make(url)
        session.on_open(_greeted)
        async with session:
            self._sessions.append(session)
            try:
                yield leg.arrivals(session)
            finally:
                self._sessions.remove(session)

    async def _take(self, arrival: _Arrival) -> None:
        """Hand an envelope to the listeners, once there is room."""
        answered = self._answers.get(arrival.event or "")
        if answered is not None:
            await self._answer(arrival, {**answered, "envelope_id": arrival.id})
            return
        _remember(self._arrivals, arrival.id, arrival)
        await self._room.acquire()
        untyped: Any = self
        work = untyped.run_message_listeners(arrival.envelope, arrival.text)
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._listeners.add(task)
        task.add_done_callback(self._heard)

    def _heard(self, task: asyncio.Task[None]) -> None:
        self._listeners.discard(task)
        self._room.release()

    # Answering.

    @override
    async def send_socket_mode_response(
        self, response: dict[str, Any] | SocketModeResponse
    ) -> None:
        """Answer an envelope, on the connection that brought it.

        If that has ended, the answer is of no use to Slack and is dropped, which the
        log says.

        Raises:
            ConnectionError: The envelope is not known, and no connection is open.

        Cancellation:
            A cancelled answer is not sent now; if Slack sends the event again, it is.
        """
        typed = isinstance(response, SocketModeResponse)
        given: Any = response
        data: dict[str, Any] = given.to_dict() if typed else given
        arrival = self._arrivals.get(str(data.get("envelope_id")))
        if arrival is None:
            await self.send_message(json.dumps(data))
            return
        if arrival.event is not None:
            _remember(self._answers, arrival.event, data)
        await self._answer(arrival, data)

    async def _answer(self, arrival: _Arrival, data: dict[str, Any]) -> None:
        delivery = await arrival.session.send(json.dumps(data), epoch=arrival.epoch)
        if delivery.state.lost:
            self.logger.warning(
                "The connection that brought the envelope %s has ended, and with it "
                "the use of an answer; Slack sends events again.",
                _word(arrival.id),
            )

    @override
    async def send_message(self, message: str) -> None:
        """Send a message on the newest connection, if it is open.

        Raises:
            ConnectionError: None is open.

        Cancellation:
            Safe: a cancelled message is not sent.
        """
        if self._sessions:
            delivery = await self._sessions[-1].send(message, only_if_open=True)
            if not delivery.state.lost:
                return
        raise ConnectionError("No connection to Slack is open.")


class _SlackLeg:
    """One session, from its hello to its replacement.

    Args:
        on_rotate: Called when Slack asks for a new connection.
    """

    def __init__(self, on_rotate: Callable[[Rotate], None]) -> None:
        self._on_rotate = on_rotate
        self._replaced = False
        self._pause = 0.0
        self._left_at = float("-inf")

    def check(self) -> None:
        """See that the session dials no more once another has taken over.

        Raises:
            Fatal: One has.
        """
        if self._replaced:
            raise Fatal("Slack has closed a connection that was being replaced.")

    async def arrivals(self, session: Session) -> AsyncGenerator[_Arrival]:
        """Yield the envelopes, and do what Slack asks for between them."""
        async for message in session:
            data = object_in(message)
            if data.get("type") == "disconnect":
                await self._leave(session, _word(data.get("reason")))
            elif "envelope_id" in data and isinstance(message, str):
                yield _Arrival(
                    envelope=data,
                    text=message,
                    session=session,
                    epoch=session.message_epoch,
                )

    async def _leave(self, session: Session, reason: str) -> None:
        if reason in OVERLAPPED:
            self._replaced = True
            self._on_rotate(Rotate(f"Slack asks for a new one ({reason})"))
            return
        epoch = session.epoch
        await asyncio.sleep(self._next_pause())
        if session.epoch == epoch:
            # There may be too many: this one is closed before the next is opened.
            session.reconnect(f"Slack asks for a new one ({reason})")

    def _next_pause(self) -> float:
        now = asyncio.get_running_loop().time()
        if now - self._left_at > FORGET:
            self._pause = 0.0
        else:
            self._pause = min(max(2 * self._pause, PAUSE), MAX_PAUSE)
        self._left_at = now
        return self._pause


async def _greeted(connection: Connection) -> None:
    """Wait until Slack has greeted us.

    Raises:
        LoginRefused: It ended the connection instead.
    """
    await Slack().login(connection, resume=False)


def _word(value: object) -> str:
    """Return a word of Slack, if it is one."""
    known = isinstance(value, str) and len(value) <= _WORD and value.isprintable()
    return str(value) if known else "unknown"


def _remember(known: OrderedDict[str, Any], key: str, value: object) -> None:
    """Put in an entry, and leave the oldest where they are too many."""
    known[key] = value
    if len(known) > REMEMBERED:
        known.popitem(last=False)
