"""What tests of sessions look at, and how they wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from typing import TYPE_CHECKING, Final, TypeVar

from resilient_ws import Event


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from resilient_ws import Session


E = TypeVar("E", bound=Event)

#: Seconds that a program of a test may take: on a busy machine many times what it needs,
#: and less than ``faulthandler_timeout``, so that the failure tells what was said.
PROGRAM_PATIENCE: Final = 500
#: Whether what takes long is run, and in its full size: ``make check`` and CI do.
ENDURANCE: Final = bool(os.environ.get("ENDURANCE"))


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Collect no garbage meanwhile.

    JSON that is too deep is refused at the limit of the recursion. A finalizer of what
    is collected there, perhaps of another test, would have no room to run.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def now() -> float:
    """The time of the running loop."""
    return asyncio.get_running_loop().time()


def recorded(session: Session) -> list[Event]:
    """Return a list that every event of the session is appended to."""
    events: list[Event] = []
    session.on(Event, events.append)
    return events


def of(events: Sequence[Event], kind: type[E]) -> list[E]:
    """The events of one class."""
    return [event for event in events if isinstance(event, kind)]


async def until(condition: Callable[[], object], *, within: float = 600.0) -> None:
    """Wait, in the loop's time, until a condition holds; fail after ``within``.

    The longer it waits, the less often it looks: within a thousandth of that time.
    """
    began = now()
    while not condition():
        waited = now() - began
        assert waited < within, f"not within {within:g} s of virtual time"
        await asyncio.sleep(max(0.01, waited / 1000))


async def turns(count: int = 20) -> None:
    """Let the loop turn, so that what is on its way over loopback arrives."""
    for _ in range(count):
        await asyncio.sleep(0)
