"""What nobody foresaw beneath a session is a failed attempt, told by its class."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
import pytest
import tenacity

import resilient_ws
from resilient_ws import (
    AttemptFailed,
    ConnectFailed,
    Fatal,
    Reconnect,
    ResilientWSError,
    RetryScheduled,
    State,
)
from resilient_ws.supervisor.current_connection import CurrentConnection
from resilient_ws.supervisor.dialler import Dialler
from resilient_ws.testing.scripts import closing, hold
from resilient_ws.transport.client import HttpClient
from tests.record import of, recorded, turns, until


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.testing import ScriptedServer


SECRET = "plantedSecret"


class Unheard(Exception):
    """Of a version of aiohttp that is not written yet."""


def raising(kind: type[BaseException]) -> Callable[..., Any]:
    async def get(*args: object, **kwargs: object) -> NoReturn:
        raise kind(SECRET)

    return get


def unlike(server: ScriptedServer, **options: Any) -> resilient_ws.Session:
    """A session with one second between its attempts."""
    policy = Reconnect(wait=tenacity.wait_fixed(1))
    return resilient_ws.connect(server.url(), reconnect=policy, **options)


def of_dials(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    return [text for text in found if " with an unexpected " in text and ":\n" in text]


@pytest.mark.parametrize("kind", [Unheard, ValueError, AssertionError])
async def test_aiohttp_may_raise_what_it_likes(
    kind: type[Exception],
    server: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.play(closing(1001), hold)
    session = unlike(server)
    events = recorded(session)
    async with session:
        with monkeypatch.context() as patch:
            patch.setattr(aiohttp.ClientSession, "get", raising(kind))
            await until(lambda: len(of(events, AttemptFailed)) == 3)
        await until(lambda: session.epoch == 2)
        assert session.state is State.OPEN
    for failed in of(events, AttemptFailed):
        assert isinstance(failed.because, ConnectFailed)
        assert failed.because.stage == "handshake"
        assert kind.__name__ in str(failed.because)
        assert failed.because.__cause__ is None
    assert [e.delay for e in of(events, RetryScheduled)] == [1, 1, 1, 1]
    # Once, with where it was, and without what it says.
    (text,) = of_dials(caplog)
    assert "client.py" in text
    assert kind.__name__ in text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("kind", [TimeoutError, ConnectionError, OSError])
async def test_an_error_of_the_system_without_a_number_is_not_quoted(
    kind: type[Exception], server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text is somebody's, and may hold a URL."""
    monkeypatch.setattr(aiohttp.ClientSession, "get", raising(kind))
    with pytest.raises(ConnectFailed) as caught:
        async with unlike(server, wait_open=3):
            pass
    assert caught.value.__cause__ is None
    assert SECRET not in str(caught.value)


async def test_a_bug_of_ours_in_the_dial_is_a_failed_attempt_with_the_longest_wait(
    server: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.play(closing(1001), hold)
    session = unlike(server)
    events = recorded(session)
    async with session:
        with monkeypatch.context() as patch:
            patch.setattr(Dialler, "_space_out", raising(KeyError))
            await until(lambda: len(of(events, AttemptFailed)) == 2)
        await until(lambda: session.epoch == 2)
    assert [e.delay for e in of(events, RetryScheduled)] == [1, 61, 61]
    for failed in of(events, AttemptFailed):
        assert isinstance(failed.because, ConnectFailed)
        assert failed.because.stage == "internal"
        assert "KeyError in resilient_ws" in str(failed.because)
    (text,) = of_dials(caplog)
    assert "_space_out" in text or "dialler.py" in text
    assert SECRET not in caplog.text


async def test_the_first_connection_may_meet_one_too(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp.ClientSession, "get", raising(Unheard))
    with pytest.raises(ConnectFailed, match="Unheard"):
        async with unlike(server, wait_open=5):
            pass


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt])
async def test_a_cancellation_and_an_interrupt_stay_what_they_are(
    kind: type[BaseException],
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither is told as a fault that nobody foresaw."""
    client = HttpClient.__new__(HttpClient)
    dialler = Dialler.__new__(Dialler)
    monkeypatch.setattr(HttpClient, "get", raising(kind))
    monkeypatch.setattr(HttpClient, "forget_dial", lambda _: None)
    monkeypatch.setattr(Dialler, "_dial", lambda *_: client.get(None, []))  # type: ignore[arg-type]
    monkeypatch.setattr(Dialler, "_slot", lambda *_: asyncio.timeout(None))
    dialler._settings = resilient_ws.connect(server.url())._settings
    dialler._client = client
    with pytest.raises(kind):
        await dialler.dial(None, None, member=0, url=None)  # type: ignore[arg-type]


async def test_a_bug_elsewhere_ends_the_session_in_the_tree(
    server: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*args: object) -> NoReturn:
        raise KeyError(SECRET)

    session = unlike(server)
    async with session:
        monkeypatch.setattr(CurrentConnection, "_next_attempt", fails)
        await server.peer.drop()
        with pytest.raises(Fatal, match=r"bug in resilient_ws \(KeyError\)"):
            await session.wait_closed()
    assert "_next_attempt" in caplog.text
    assert SECRET not in caplog.text
    # Its frames are told as text: a record takes no variables along.
    assert not any(record.exc_info for record in caplog.records)


# A client that the user lends.


async def test_a_client_that_is_closed_is_refused_at_once() -> None:
    client = aiohttp.ClientSession()
    await client.close()
    with pytest.raises(ValueError, match=r"^http must be an open client"):
        resilient_ws.connect("wss://example.com", http=client)


@pytest.mark.parametrize("opened", [False, True])
async def test_a_client_that_is_closed_later_ends_the_session_and_is_named(
    opened: bool, server: ScriptedServer
) -> None:
    client = aiohttp.ClientSession()
    session = unlike(server, http=client, wait_open=False)
    if not opened:
        await client.close()
    async with session:
        if opened:
            await session.wait_until(State.OPEN)
            await client.close()
            await server.peer.drop()
        with pytest.raises(Fatal, match="given as http is closed") as caught:
            await session.wait_closed()
    assert session.failure is caught.value
    assert caught.value.__cause__ is None


async def test_a_client_that_is_closed_during_a_dial_is_named(
    server: ScriptedServer,
) -> None:
    server.play()
    client = aiohttp.ClientSession()
    async with unlike(server, http=client, wait_open=False) as session:
        await server.request()
        await client.close()
        with pytest.raises(Fatal, match="given as http is closed"):
            await session.wait_closed()


# The environment.


@pytest.mark.parametrize(
    "value",
    [f"http://u:{SECRET}@h:99999", "ftp://h:1", "http://", f"http://h/{SECRET}"],
)
async def test_a_proxy_of_the_environment_may_turn_bad_and_good_again(
    value: str,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    session = unlike(server, proxy="env")
    events = recorded(session)
    async with session:
        with monkeypatch.context() as patch:
            patch.setenv("http_proxy", value)
            await server.peer.drop()
            await until(lambda: len(of(events, AttemptFailed)) == 2)
        await until(lambda: session.epoch == 2)
        await turns()
    for failed in of(events, AttemptFailed):
        assert isinstance(failed.because, ConnectFailed)
        assert failed.because.stage == "proxy"
        assert "HTTP_PROXY" in str(failed.because)
        assert SECRET not in str(failed.because)
    assert SECRET not in caplog.text


# The policy.


@pytest.mark.parametrize("which", ["wait", "stop"])
async def test_a_wait_or_a_stop_that_raises_ends_the_session_in_the_tree(
    which: str, server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(state: object) -> NoReturn:
        raise LookupError("not in my table")

    server.play(closing(1001))
    policy = Reconnect(**{which: breaks})  # type: ignore[arg-type]
    async with resilient_ws.connect(server.url(), reconnect=policy) as session:
        with pytest.raises(
            Fatal, match=r"Reconnect\.wait or Reconnect\.stop"
        ) as caught:
            await session.wait_closed()
    assert isinstance(caught.value.__cause__, LookupError)
    assert isinstance(session.failure, ResilientWSError)
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[2] is not None
    # It begins with what is the user's, or at least not ours.
    assert "resilient_ws" not in record.exc_info[2].tb_frame.f_globals["__name__"]
