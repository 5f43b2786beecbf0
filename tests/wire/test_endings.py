"""Each way to lose a connection is told apart, and reported once, in order."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

import attrs
import pytest

from resilient_ws import (
    ConnectionDropped,
    ConnectionLost,
    ConnectionOpened,
    ConnectionTimedOut,
    Event,
    Liveness,
    LivenessTimeout,
    RetryScheduled,
    ServerTerminated,
    State,
    StateChanged,
)
from resilient_ws.testing import assert_no_leaks
from tests.wire.raw import Peer, RawServer
from tests.wire.witness import BOTH_LOOPS, Witness, soon, watched


if TYPE_CHECKING:
    from tests.servers.process import ServerProcess


pytestmark = pytest.mark.wire


@attrs.frozen(kw_only=True)
class Told:
    """What the session must say of one way to end."""

    how: str
    errno: int | None = None
    #: Of the close frame, if there was one.
    code: int | None = None
    reason: str = ""
    timed_out: bool = False


ENDINGS = {
    "close 1001": Told(how="close", code=1001),
    "close 4001 go away now": Told(how="close", code=4001, reason="go away now"),
    "drop": Told(how="eof"),
    "reset": Told(how="reset", errno=errno.ECONNRESET),
    "half-close": Told(how="half_close"),
}


def check_reports(seen: Witness, told: Told) -> ConnectionLost:
    """The loss of the first connection was told as it was: once, and in order."""
    kinds: list[type[Event]] = []
    if told.timed_out:
        kinds.append(ConnectionTimedOut)
    if told.code is not None:
        kinds.append(ServerTerminated)
    kinds.append(ConnectionDropped)
    reports = seen.of(ConnectionTimedOut, ServerTerminated, ConnectionDropped)
    assert [type(report) for report in reports] == kinds
    *_, drop = reports
    assert isinstance(drop, ConnectionDropped)
    lost = drop.because
    assert isinstance(lost, ConnectionLost)
    assert (lost.how, lost.errno) == (told.how, told.errno)
    assert (drop.epoch, drop.close) == (1, lost.close)
    # uvloop's clock counts milliseconds.
    assert drop.uptime >= 0
    assert drop.clean is (told.code is not None)
    if told.code is None:
        assert lost.close is None
    else:
        terminated = reports[0]
        assert isinstance(terminated, ServerTerminated)
        assert (terminated.code, terminated.reason) == (told.code, told.reason)
        assert lost.close is not None
        assert (lost.close.code, lost.close.reason) == (told.code, told.reason)
        assert (lost.close.initiator, lost.close.clean) == ("peer", True)
    # What followed names the same cause.
    back_off = next(e for e in seen.of(StateChanged) if e.current is State.BACKOFF)
    assert back_off.because is lost
    assert seen.of(RetryScheduled)[0].because is lost
    assert seen.events.index(drop) < seen.events.index(back_off)
    return lost


@BOTH_LOOPS
@pytest.mark.parametrize("command", ENDINGS)
async def test_each_ending_is_told_apart(
    any_server: ServerProcess, command: str
) -> None:
    url = f"{any_server.url}/control"
    async with assert_no_leaks(), watched(url) as (session, seen):
        await session.send(command)
        await seen.until(ConnectionOpened, count=2)
        check_reports(seen, ENDINGS[command])
        await session.send("back")
        assert await soon(session) == "back"
        assert len(seen.of(ConnectionDropped)) == 1


async def test_a_killed_server_is_an_eof(any_server: ServerProcess) -> None:
    async with assert_no_leaks(), watched(f"{any_server.url}/echo") as (session, seen):
        await any_server.kill()
        await seen.until(ConnectionDropped)
        await seen.until(RetryScheduled)
        check_reports(seen, Told(how="eof"))
        await any_server.start()
        await session.send("back")
        assert await soon(session) == "back"


async def test_a_frozen_server_is_a_silence(any_server: ServerProcess) -> None:
    liveness = Liveness(ping_interval=0.2, ping_timeout=0.3)
    url = f"{any_server.url}/echo"
    async with assert_no_leaks(), watched(url, liveness=liveness) as (session, seen):
        await session.send("here")
        assert await soon(session) == "here"
        await any_server.freeze()
        frozen_at = time.monotonic()
        await seen.until(ConnectionDropped)
        noticed_after = time.monotonic() - frozen_at
        await seen.until(RetryScheduled)
        lost = check_reports(seen, Told(how="silence", timed_out=True))
        assert isinstance(lost, LivenessTimeout)
        [timed_out] = seen.of(ConnectionTimedOut)
        assert (timed_out.kind, timed_out.after) == (lost.kind, lost.after)
        assert lost.kind == "ping"
        # Ping interval and timeout together, and half a second for a busy machine.
        assert 0.5 <= lost.after < 1.0
        assert noticed_after < 1.0
        await any_server.thaw()
        await session.send("back")
        assert await soon(session) == "back"


async def test_a_link_without_messages_is_idle(any_server: ServerProcess) -> None:
    # Pongs come, messages do not.
    liveness = Liveness(ping_interval=0.1, ping_timeout=1.0, idle_timeout=0.4)
    url = f"{any_server.url}/echo"
    async with assert_no_leaks(), watched(url, liveness=liveness) as (_, seen):
        await seen.until(ConnectionDropped)
        [timed_out] = seen.of(ConnectionTimedOut)
        assert timed_out.kind == "idle"
        # How promptly is told in virtual time.
        assert timed_out.after >= 0.4
        [drop] = seen.of(ConnectionDropped)
        assert isinstance(drop.because, LivenessTimeout)
        assert drop.because.how == "silence"
    await any_server.logged("close", code=1001)


async def test_an_orderly_end_of_the_server_is_no_fault(
    any_server: ServerProcess,
) -> None:
    async with assert_no_leaks(), watched(f"{any_server.url}/echo") as (session, seen):
        await any_server.stop()
        [terminated] = await seen.until(ServerTerminated)
        assert (terminated.code, terminated.meaning) == (1001, "going away")
        await any_server.start()
        await session.send("back")
        assert await soon(session) == "back"


async def test_the_end_of_one_connection_is_reported_once_however_many_signs() -> None:
    """Close frame, then an RST: the first cause counts, the second is no news."""

    def script(peer: Peer) -> None:
        peer.accept()
        if server.accepted == 1:
            peer.receive()
            peer.close(4002, "first")
            peer.reset()
        else:
            peer.echo()

    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        watched(server.url) as (session, seen),
    ):
        await session.send("now")
        await seen.until(ConnectionOpened, count=2)
        check_reports(seen, Told(how="close", code=4002, reason="first"))
        await session.send("back")
        assert await soon(session) == "back"


async def test_without_a_word_about_1006() -> None:
    """Nobody sent 1006, so nobody is told of it."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.receive()
        peer.reset()

    async with (
        assert_no_leaks(),
        RawServer(script) as server,
        watched(server.url) as (session, seen),
    ):
        await session.send("now")
        [drop] = await seen.until(ConnectionDropped)
        assert drop.close is None
        assert "1006" not in repr(drop)
        assert "close frame may have been lost" in str(drop.because)
        assert not seen.of(ServerTerminated)
