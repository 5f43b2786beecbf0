"""The WebSocket of the page: what a viewer asks for, and what it is told each turn.

Rules: a viewer can choose what to see, and nothing else. Until it has shown the token
it is told nothing, and takes nobody's place: of those who have not, the oldest makes
room. There are at most ``MOST_VIEWERS`` of each kind; one that reads too slowly misses
turns and holds up nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Final, cast

import attrs
from aiohttp import WSCloseCode, WSMsgType, web

from resilient_ws.monitor import views
from resilient_ws.monitor.series import SPANS


if TYPE_CHECKING:
    from resilient_ws.monitor.gate import Gate
    from resilient_ws.monitor.watch_list import WatchList


#: Viewers at once; each costs a few percent of what watching costs.
MOST_VIEWERS: Final = 20
#: Seconds in which a viewer must show the token.
_TIME_TO_SHOW: Final = 60.0
#: Seconds between pings, and to wait for the end of a connection.
_HEARTBEAT: Final = 20.0
_FAREWELL: Final = 2.0
#: Bytes of the largest message that a viewer may send.
_LARGEST: Final = 4096
#: The close code for a wrong token, of those that are for applications.
WRONG_TOKEN: Final = 4401
_FIRST_SPAN: Final = "2m"


@attrs.define
class ViewerWish:
    """What one viewer wants to see.

    Attributes:
        span: How far back.
        session: The number of the session to see whole, ``None`` for none.
        fresh: Whether this is new, so that it is answered at once.
    """

    span: str = _FIRST_SPAN
    session: int | None = None
    fresh: asyncio.Event = attrs.field(factory=asyncio.Event)


class Viewers:
    """Everybody who looks at the page.

    Args:
        watch: What is shown.
        gate: Who may look.
        title: What the page calls this program.
    """

    def __init__(self, watch: WatchList, gate: Gate, title: str) -> None:
        self._watch = watch
        self._gate = gate
        self._title = title
        # Those who are told, and those who have not shown the token yet, oldest first.
        self._told: set[web.WebSocketResponse] = set()
        self._waiting: dict[web.WebSocketResponse, None] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one viewer, until it leaves.

        Raises:
            HTTPServiceUnavailable: There are too many viewers.
        """
        if len(self._told) >= MOST_VIEWERS:
            raise web.HTTPServiceUnavailable(text="Too many viewers.\n")
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT,
            max_msg_size=_LARGEST,
            timeout=_FAREWELL,
            compress=False,
        )
        self._waiting[socket] = None
        try:
            await socket.prepare(request)
            with contextlib.suppress(ConnectionError):  # the viewer is gone
                if self._gate.bearer(request) or await self._is_admitted(socket):
                    self._waiting.pop(socket, None)
                    self._told.add(socket)
                    await self._serve(socket)
        finally:
            self._told.discard(socket)
            self._waiting.pop(socket, None)
        return socket

    async def close(self) -> None:
        """Say goodbye to every viewer."""
        for socket in [*self._told, *self._waiting]:
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _is_admitted(self, socket: web.WebSocketResponse) -> bool:
        """Ask for the token, where one is needed."""
        if not self._gate.needs_token:
            return True
        if len(self._waiting) > MOST_VIEWERS:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            await oldest.close(code=WSCloseCode.TRY_AGAIN_LATER)
        await socket.send_str('{"type":"locked"}')
        try:
            first = await socket.receive(timeout=_TIME_TO_SHOW)
        except TimeoutError:
            await socket.close(code=WRONG_TOKEN, message=b"no token came")
            return False
        shown = _object(first.data) if first.type is WSMsgType.TEXT else {}
        if self._gate.admits(shown.get("token")):
            return True
        await socket.close(code=WRONG_TOKEN, message=b"wrong token")
        return False

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        """Tell a viewer every turn, and listen to what it wants."""
        wanted = ViewerWish()
        await socket.send_str(views.hello(self._watch, self._title))
        teller = asyncio.create_task(
            self._tell(socket, wanted), name="resilient_ws monitor viewer"
        )
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    _note(wanted, _object(message.data))
        finally:
            teller.cancel()
            await asyncio.wait({teller})

    async def _tell(self, socket: web.WebSocketResponse, wanted: ViewerWish) -> None:
        """Send what is new after each turn, and what is asked for at once."""
        known = 0
        strips: tuple[str, int] | None = None
        with contextlib.suppress(ConnectionError):  # the viewer is gone
            while True:
                turn = self._watch.turn
                if turn > known:
                    text = views.turn(self._watch, known, time.time())
                    known = turn
                    await socket.send_str(text)
                # A strip changes when a sample of its span is whole.
                due = wanted.span, turn // _turns_of(wanted.span)
                if due != strips:
                    strips = due
                    await socket.send_str(views.strips(self._watch, wanted.span))
                if wanted.session is not None:
                    await socket.send_str(self._session(wanted.session, wanted.span))
                await self._something_new(wanted)

    def _session(self, number: int, span: str) -> str:
        history = self._watch.history(number)
        return views.gone(number) if history is None else views.session(history, span)

    async def _something_new(self, wanted: ViewerWish) -> None:
        """Wait for the next turn, or for another wish."""
        waits = {
            asyncio.ensure_future(self._watch.wait_turn()),
            asyncio.ensure_future(wanted.fresh.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        wanted.fresh.clear()


def _turns_of(span: str) -> int:
    """Return after how many turns a sample of a span is whole."""
    turns = 1
    for name, every in SPANS.items():
        turns *= every
        if name == span:
            break
    # Each second would be too often for a table of hundreds.
    return max(2, turns)


def _object(text: str) -> dict[str, object]:
    """Return a JSON object, empty if the text is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}


def _note(wanted: ViewerWish, wish: dict[str, object]) -> None:
    """Take note of what a viewer wants; ignore what makes no sense."""
    span = wish.get("span")
    if isinstance(span, str) and span in SPANS:
        wanted.span = span
    if "session" in wish:
        number = wish["session"]
        wanted.session = number if isinstance(number, int) else None
    wanted.fresh.set()
