"""Which sessions are watched, and the turns in which each is looked at.

Rules: sessions are held weakly; a callable that returns them is held as it is. A
session that is no longer among them is forgotten with all that is known of it. A turn
gives way to the loop between its slices, so that a thousand sessions hold up nobody.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from resilient_ws import Session
from resilient_ws.feeds import Channel
from resilient_ws.monitor.alarms import BLOCKED, WHILE_IT_LASTS
from resilient_ws.monitor.history import History


if TYPE_CHECKING:
    from collections.abc import Sequence


_log: Final = logging.getLogger("resilient_ws.monitor")

#: What can be watched: a session, or a channel, for the gaps of its feeds as well.
Watched: TypeAlias = Session | Channel
#: One, several, or a callable that is asked in each turn.
Sessions: TypeAlias = Watched | Iterable[Watched] | Callable[[], Iterable[Watched]]

#: Seconds between two looks.
PERIOD: Final = 1.0
#: Sessions that are watched; a page with more would help nobody.
MOST: Final = 2000
#: Sessions that are looked at before the loop gets its turn.
_SLICE: Final = 25

_WRONG: Final = (
    "sessions must be a Session, a Channel, several of them, or a callable that "
    "returns them, not {0}."
)


class WatchList:
    """The sessions that a monitor shows.

    Args:
        sessions: The sessions, or a callable that returns them.

    Attributes:
        turn: How many turns there were.
        began: When the watch began, in Unix seconds.
        left_out: How many sessions are not shown, because they are too many.
        failure: What is wrong with the callable, ``None`` while it works.

    Raises:
        TypeError: ``sessions`` holds something else.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._source = _source_of(sessions)
        self._histories: weakref.WeakKeyDictionary[Session, History] = (
            weakref.WeakKeyDictionary()
        )
        self._foreign: weakref.WeakSet[Session] = weakref.WeakSet()
        self._numbers = itertools.count(1)
        self._turned = asyncio.Event()
        self.turn = 0
        self.began = time.time()
        self.left_out = 0
        self.failure: str | None = None

    @property
    def histories(self) -> list[History]:
        """What is known of each session, in the order in which they came."""
        return sorted(self._histories.values(), key=lambda one: one.number)

    def history(self, number: int) -> History | None:
        """Return what is known of the session with a number on the page."""
        found = (one for one in self._histories.values() if one.number == number)
        return next(found, None)

    def notes(self) -> list[str]:
        """Return what is wrong with the program itself, or with the watch."""
        notes = [] if self.failure is None else [self.failure]
        if self.left_out:
            notes.append(f"{self.left_out:,} more sessions are not shown")
        now = asyncio.get_running_loop().time()
        lags = [one.chronicle.lag for one in self._histories.values()]
        blocked = [by for at, by in filter(None, lags) if now - at < WHILE_IT_LASTS]
        if blocked and max(blocked) >= BLOCKED:
            notes.append(f"The event loop was blocked for {max(blocked):.1f} s")
        return notes

    async def run(self) -> None:
        """Look at every session once a period, until this is cancelled.

        Cancellation:
            Ends the watch, and takes back every callback.
        """
        loop = asyncio.get_running_loop()
        self.began = time.time()
        due = loop.time()
        try:
            while True:
                await self._look(loop)
                self.turn += 1
                self._turned.set()
                self._turned = asyncio.Event()
                # A turn that was missed is not made up for.
                due = max(due + PERIOD, loop.time())
                await asyncio.sleep(due - loop.time())
        except Exception:  # noqa: BLE001 - the page is no reason to end the program
            _log.exception("the monitor stops because of a bug; the sessions go on")
        finally:
            for history in self.histories:
                history.stop()
            self._histories.clear()

    async def wait_turn(self) -> None:
        """Wait for the end of the next turn.

        Cancellation:
            Safe.
        """
        await self._turned.wait()

    async def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at every session, a slice at a time."""
        self._refresh()
        histories = self.histories
        for begin in range(0, len(histories), _SLICE):
            now, wall = loop.time(), time.time()
            for history in histories[begin : begin + _SLICE]:
                history.look(self.turn + 1, now=now, wall=wall)
            await asyncio.sleep(0)

    def _refresh(self) -> None:
        """Begin to watch what is new, and forget what is gone."""
        present = self._present()
        for session in set(self._histories) - present.keys():
            self._histories.pop(session).stop()
        for session, channel in present.items():
            if session not in self._histories and session not in self._foreign:
                self._begin(session, channel)

    def _begin(self, session: Session, channel: Channel | None) -> None:
        clock = asyncio.get_running_loop().time
        history = History(next(self._numbers), session, channel, clock=clock)
        try:
            history.start()
        except RuntimeError:
            self._foreign.add(session)
            _log.warning(
                "the session %s belongs to another loop and is not shown: serve a "
                "monitor in its loop",
                session.name,
            )
        else:
            self._histories[session] = history

    def _present(self) -> dict[Session, Channel | None]:
        """Return the sessions of now, each with its channel if it has one."""
        try:
            watched = _checked(self._source())
        except Exception as bug:  # noqa: BLE001 - a user's callable may raise anything
            if self.failure is None:
                _log.exception("the callable for sessions failed: the last ones stay")
            self.failure = f"The callable for sessions raised {type(bug).__name__}"
            return dict.fromkeys(self._histories)
        self.failure = None
        self.left_out = max(0, len(watched) - MOST)
        present: dict[Session, Channel | None] = {}
        for one in watched[:MOST]:
            if isinstance(one, Channel):
                present[one.session] = one
            else:
                present.setdefault(one)
        return present


def _source_of(sessions: object) -> Callable[[], Iterable[Watched]]:
    """Return a callable for what was given, which holds no session."""
    if callable(sessions):
        return cast("Callable[[], Iterable[Watched]]", sessions)
    held = [weakref.ref(one) for one in _checked(sessions)]
    return lambda: [one for ref in held if (one := ref()) is not None]


def _checked(watched: object) -> Sequence[Watched]:
    """Return a list of what can be watched.

    Raises:
        TypeError: Something else is in it.
    """
    if isinstance(watched, Session | Channel):
        return [watched]
    if isinstance(watched, str | bytes) or not isinstance(watched, Iterable):
        raise TypeError(_WRONG.format(type(watched).__name__))
    several = list(cast("Iterable[object]", watched))
    for one in several:
        if not isinstance(one, Session | Channel):
            raise TypeError(_WRONG.format(f"one with a {type(one).__name__} in it"))
    return cast("list[Watched]", several)
