"""How a session ended, all that it told, and the search for secrets in it."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
import tenacity

from resilient_ws import (
    Connection,
    GaveUp,
    Reconnect,
    Session,
    SessionClosed,
    State,
    connect,
)
from tests.servers.proxies import PASSWORD as PROXY_PASSWORD, USER as PROXY_USER
from tests.wire.witness import SOON, Witness


if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from tests.wire.raw import RawServer


#: Each planted at its own place, so that a leak says where it came from.
USER: Final = "plantedUser"
PASSWORD: Final = "plantedPassword"
TOKEN: Final = "plantedToken"
BARE: Final = "plantedBareItem"
API_KEY: Final = "plantedApiKey"
COOKIE: Final = "plantedCookie"
PATH_KEY: Final = "planted4842078b09946638c03157f"
REDIRECTED: Final = "plantedInLocation"
SET_COOKIE: Final = "plantedInSetCookie"
PATHS: Final = f"/feed/{PATH_KEY}?token={TOKEN}&{BARE}"
USERINFO: Final = f"{USER}:{PASSWORD}@"

SECRETS: Final = (
    "planted",
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
    base64.b64encode(f"{PROXY_USER}:{PROXY_PASSWORD}".encode()).decode(),
)

HEADERS: Final = {"X-Api-Key": API_KEY, "Cookie": f"id={COOKIE}"}


def chain_of(root: BaseException | None) -> Iterator[BaseException]:
    """Every exception that hangs on this one, shown by Python or not."""
    waiting, seen = [root], set()
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [found.__cause__, found.__context__]
        waiting += getattr(found, "history", ())
        waiting += [getattr(found, "failure", None)]


def told_by(failure: BaseException) -> list[str]:
    """All that an exception tells, with what is chained to it."""
    told = []
    for one in chain_of(failure):
        told += [str(one), repr(one), repr(one.args), *traceback.format_exception(one)]
        told += [str(getattr(one, "__notes__", ""))]
        told += shown_by_frames(one.__traceback__)
    return told


#: How deep our own objects are looked into, from a variable of a frame.
DEPTH: Final = 3
#: What the user holds anyway: only what its ``repr`` shows.
HELD: Final = (Session, Connection, BaseException)
#: The calls of a user's, whose frames are all that a traceback of ours has.
CALLS: Final = {
    "__aenter__",
    "__anext__",
    "connect",
    "receive",
    "reconnect",
    "send",
    "wait_closed",
    "wait_until",
}


def shown_by_frames(place: TracebackType | None) -> list[str]:
    """All that can be seen from the frames of others than the test."""
    shown = []
    while place is not None:
        frame = place.tb_frame
        if not frame.f_globals["__name__"].startswith(("tests.", "_pytest", "pytest")):
            assert frame.f_globals["__name__"].startswith("resilient_ws."), frame
            assert frame.f_code.co_name in CALLS, frame
            shown += [
                f"{frame.f_code.co_qualname}, {name}: {text}"
                for name, value in frame.f_locals.items()
                for text in seen_in(value, DEPTH)
            ]
        place = place.tb_next
    return shown


def seen_in(value: object, depth: int) -> Iterator[str]:
    """What whoever records a variable can see of it, and of what it holds."""
    yield repr(value)
    if depth == 0 or isinstance(value, HELD):
        return
    inside: list[object] = []
    if isinstance(value, Mapping):
        inside += [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inside += value
    elif type(value).__module__.startswith("resilient_ws"):
        names = {
            slot
            for kind in type(value).__mro__
            for slot in vars(kind).get("__slots__", ())
        }
        names |= vars(value).keys() if hasattr(value, "__dict__") else set()
        inside += [getattr(value, name, None) for name in names]
    for one in inside:
        yield from seen_in(one, depth - 1)


def find_secrets(told: list[str]) -> list[str]:
    return [
        text
        for text in told
        for secret in SECRETS
        if secret.lower() in urllib.parse.unquote(text).lower()
    ]


@attrs.frozen
class Outcome:
    """How a session ended, and all that it told."""

    failure: Exception
    told: list[str]

    @property
    def fatal(self) -> bool:
        """Whether the first failure was final, and no retry would have followed."""
        return not isinstance(self.failure, GaveUp)

    @property
    def root(self) -> Exception:
        """What failed, beneath the giving up."""
        if isinstance(self.failure, GaveUp):
            return self.failure.history[-1]
        return self.failure


async def outcome_of(
    url: Any, caplog: pytest.LogCaptureFixture, **options: Any
) -> Outcome:
    """Hold a session until it gives up, after the first failure, and listen."""
    caplog.set_level(logging.DEBUG, "resilient_ws")
    policy = Reconnect(wait=tenacity.wait_none(), stop=lambda _: True)
    session = connect(
        url, **{"headers": HEADERS, "reconnect": policy, "wait_open": False, **options}
    )
    seen = Witness(session)
    told = [repr(session)]
    async with session:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - its kind is the caller's to check
            async with asyncio.timeout(SOON):
                await session.wait_closed()
        assert not isinstance(caught.value, TimeoutError), seen.events
        told.append(repr(session))
        told += told_by(caught.value)
        for call in (
            lambda: session.send("x"),
            session.receive,
            lambda: session.wait_until(State.OPEN),
            lambda: anext(aiter(session)),
        ):
            with pytest.raises(type(caught.value)) as again:
                await call()
            told += told_by(again.value)
        with pytest.raises(type(caught.value)) as again:
            session.reconnect("to try")
        told += told_by(again.value)
    for event in seen.events:
        told += [repr(event), str(event)]
        for name in ("because", "failure"):
            because = getattr(event, name, None)
            if because is not None:
                told += told_by(because)
    assert seen.of(SessionClosed)
    for record in caplog.records:
        if record.name.startswith("resilient_ws"):
            told += [record.getMessage(), repr(record.args)]
            if record.exc_info:
                told += traceback.format_exception(*record.exc_info)
                told += shown_by_frames(record.exc_info[2])
    assert any(r.name.startswith("resilient_ws") for r in caplog.records)
    assert isinstance(caught.value, Exception)
    return Outcome(caught.value, told)


def laden(server: RawServer | str, path: str = PATHS) -> str:
    """A URL with every secret that a URL can hold."""
    base = server if isinstance(server, str) else server.url
    return base.replace("://", f"://{USERINFO}") + path
