"""A session with everything that it reports on record."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest
import tenacity

from resilient_ws import Event, Reconnect, Session, Timeouts, connect


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


#: Seconds in which on this machine everything must have happened that was caused.
SOON: Final = 5.0

#: Comes back as fast as the spacing of dials allows.
AT_ONCE: Final = Reconnect(wait=tenacity.wait_none())

#: For the mark of a test that must hold on both.
BOTH_LOOPS: Final = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

E = TypeVar("E", bound=Event)


class Witness:
    """Keeps every event of a session, in order."""

    def __init__(self, session: Session) -> None:
        self.events: list[Event] = []
        self._noted = asyncio.Event()
        session.on(Event, self._note)

    def _note(self, event: Event) -> None:
        self.events.append(event)
        self._noted.set()

    def of(self, *kinds: type[E]) -> list[E]:
        """The events of these classes, in the order of all."""
        return [event for event in self.events if isinstance(event, kinds)]

    async def until(
        self, kind: type[E], *, count: int = 1, within: float = SOON
    ) -> list[E]:
        """Wait for so many events of a class; return all there are."""
        try:
            async with asyncio.timeout(within):
                while len(found := self.of(kind)) < count:
                    self._noted.clear()
                    await self._noted.wait()
        except TimeoutError:
            pytest.fail(
                f"{count} x {kind.__name__} did not come within {within} s: "
                f"{self.events}"
            )
        return found


@contextlib.asynccontextmanager
async def watched(url: Any, **options: Any) -> AsyncIterator[tuple[Session, Witness]]:
    """Enter a session that comes back at once, with a witness from its beginning."""
    # Servers that answer no close frame are not waited for.
    usual = {"reconnect": AT_ONCE, "timeouts": Timeouts(close=0.5)}
    session = connect(url, **{**usual, **options})
    witness = Witness(session)
    async with session:
        yield session, witness


async def eventually(condition: Callable[[], bool], *, within: float = SOON) -> None:
    """Wait until a condition holds that no event tells of."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.005)


async def soon(session: Session) -> str | bytes:
    """The next message, which must not be long in coming."""
    async with asyncio.timeout(SOON):
        return await session.receive()


async def take(session: Session, count: int) -> list[str]:
    """The next texts, without the padding that the servers give them."""
    return [str(await soon(session)).strip() for _ in range(count)]
