"""``resilient-ws top``: watch the page's WebSocket, and draw what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import attrs
from rich.console import Console
from rich.live import Live

from resilient_ws import Event, Reconnect, ResilientWSError, State
from resilient_ws.cli.error_text import error_text
from resilient_ws.cli.exit_codes import DONE, FAILED
from resilient_ws.cli.keyboard import Keyboard, has_keyboard
from resilient_ws.cli.screen import Screen
from resilient_ws.cli.server_options import ServerOptions
from resilient_ws.cli.stdio import complain
from resilient_ws.cli.stopping import until_stopped
from resilient_ws.cli.top.drawing import drawn
from resilient_ws.cli.top.picture import Picture


if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from resilient_ws import Session

#: Where the page's WebSocket is, below the page.
_LIVE: Final = "live"
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_QUIT: Final = frozenset("qQ")
#: Seconds to reach the page.
_WITHIN: Final = 10.0
_REDRAWN_A_SECOND: Final = 4
#: Columns of the table in a pipe.
_WIDE: Final = 160
#: Close code for a wrong token.
_WRONG_TOKEN: Final = 4401


class Locked(Exception):
    """The page wants a token, or another one."""


@attrs.frozen(kw_only=True)
class TopOptions:
    """What the command line says.

    Attributes:
        server: Where the page's WebSocket is.
        token: What to show the page, if it asks.
        once: Whether to print the table once.
    """

    server: ServerOptions
    token: str | None
    once: bool


def live_url(url: str) -> str:
    """Return where the WebSocket of the page at a URL is.

    Raises:
        ValueError: It is not the URL of a page.
    """
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme.lower())
    if scheme is None or not parts.netloc:
        raise ValueError("URL must be that of the page, such as http://localhost:8080/")
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    return urlunsplit((scheme, parts.netloc, f"{path}{_LIVE}", parts.query, ""))


class Top:
    """Listens to the page, and keeps what it tells.

    Args:
        session: A session with the page's WebSocket.
        token: What to show it, if it asks.
    """

    def __init__(self, session: Session, token: str | None) -> None:
        self.picture = Picture()
        self._session = session
        self._token = token
        self.drawable = asyncio.Event()

    async def listen(self) -> None:
        """Take what the page tells, until the session ends.

        Raises:
            Locked: The page wants a token, or another one.
        """
        async for message in self._session:
            self.picture.take(message)
            if self.picture.locked:
                if self._token is None:
                    raise Locked("the page wants a token: give --token-file")
                await self._session.send(json.dumps({"token": self._token}))
            if self.picture.turns:
                self.drawable.set()

    @property
    def state(self) -> str:
        """What to say of the link to the page, if anything."""
        state = self._session.state
        return "" if state is State.OPEN else f"the page is {_WORDS[state]}"


_WORDS: Final = {
    State.IDLE: "not asked yet",
    State.CONNECTING: "being asked",
    State.RESTORING: "being asked",
    State.OPEN: "there",
    State.BACKOFF: "not reached",
    State.CLOSING: "being left",
    State.CLOSED: "left",
}


async def top(options: TopOptions) -> int:
    """Show the sessions until the end, and return the exit code."""
    # What is wrong with the link to the page stands in the title.
    logging.getLogger("resilient_ws").addHandler(logging.NullHandler())
    screen = Screen(sys.stdout)
    live = screen.is_terminal and not options.once
    session = options.server.connect(
        wait_open=_WITHIN,
        reconnect=Reconnect() if live else Reconnect.once(),
        name="top",
    )
    refused = _note_refusal(session)
    shown = Top(session, options.token)
    try:
        async with session:
            if live:
                await _live(shown)
            else:
                await _once(shown)
    except Locked as locked:
        complain(str(locked))
        return FAILED
    except ResilientWSError as failure:
        complain("the token is wrong" if refused else error_text(failure))
        return FAILED
    return DONE


def _note_refusal(session: Session) -> list[int]:
    """Return a list that gets the close code for a wrong token, if it comes."""
    refused: list[int] = []

    def note(event: Event) -> None:
        close = getattr(event, "close", None)
        if close is not None and close.code == _WRONG_TOKEN:
            refused.append(close.code)

    session.on(Event, note)
    return refused


async def _once(shown: Top) -> None:
    """Print the table as soon as there is one."""
    listening = asyncio.create_task(shown.listen())
    waiting = asyncio.create_task(shown.drawable.wait())
    try:
        await asyncio.wait(
            [listening, waiting], timeout=_WITHIN, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for task in (listening, waiting):
            task.cancel()
        await asyncio.wait([listening, waiting])
    if not listening.cancelled() and (failure := listening.exception()) is not None:
        raise failure
    console = Console(highlight=False)
    if not console.is_terminal:
        # Whoever reads a pipe wants whole names.
        console.width = max(console.width, _WIDE)
    console.print(drawn(shown.picture, width=console.width, height=0))


async def _live(shown: Top) -> None:
    """Draw the table again and again, until q or a signal."""
    console = Console(highlight=False)
    async with contextlib.AsyncExitStack() as stack:
        works: list[Coroutine[Any, Any, object]] = [shown.listen()]
        if has_keyboard():
            loop = asyncio.get_running_loop()
            keyboard = await stack.enter_async_context(Keyboard(loop))
            works.append(_until_quit(keyboard))
        live = stack.enter_context(
            Live(console=console, screen=True, auto_refresh=False)
        )
        works.append(_draw(shown, live, console))
        await until_stopped(*works)


async def _until_quit(keyboard: Keyboard) -> None:
    async for keys in keyboard.keys():
        if _QUIT & set(keys):
            return


async def _draw(shown: Top, live: Live, console: Console) -> None:
    while True:
        size = console.size
        table = drawn(
            shown.picture, width=size.width, height=size.height, state=shown.state
        )
        live.update(table, refresh=True)
        await asyncio.sleep(1 / _REDRAWN_A_SECOND)
