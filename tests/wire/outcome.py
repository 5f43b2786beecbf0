"""How a session ended, all that it told, and the search for secrets in it."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
import urllib.parse
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
import tenacity

from resilient_ws import GaveUp, Reconnect, SessionClosed, connect
from tests.servers.proxies import PASSWORD as PROXY_PASSWORD, USER as PROXY_USER
from tests.wire.witness import SOON, Witness


if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.wire.raw import RawServer


#: Each planted at its own place, so that a leak says where it came from.
USER: Final = "plantedUser"
PASSWORD: Final = "plantedPassword"
TOKEN: Final = "plantedToken"
BARE: Final = "plantedBareItem"
API_KEY: Final = "plantedApiKey"
COOKIE: Final = "plantedCookie"
REDIRECTED: Final = "plantedInLocation"
SET_COOKIE: Final = "plantedInSetCookie"
PATHS: Final = f"/feed?token={TOKEN}&{BARE}"
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
    return told


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
        with pytest.raises(type(caught.value)) as again:
            await session.send("x")
    told += told_by(caught.value) + told_by(again.value)
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
    assert any(r.name.startswith("resilient_ws") for r in caplog.records)
    assert isinstance(caught.value, Exception)
    return Outcome(caught.value, told)


def laden(server: RawServer | str, path: str = PATHS) -> str:
    """A URL with every secret that a URL can hold."""
    base = server if isinstance(server, str) else server.url
    return base.replace("://", f"://{USERINFO}") + path
