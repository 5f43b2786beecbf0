"""``on_open``: what restores a connection comes before anything else is sent on it."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Connection, Fatal, Inbox, Reconnect, State, Timeouts
from resilient_ws.testing.frames import close_frame, message
from resilient_ws.testing.scripts import SOON, closing, echo, feeding, hold
from tests.record import now, of, recorded, turns, until


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resilient_ws import Session
    from resilient_ws.testing import Peer, ScriptedServer

QUICK = Reconnect(wait=wait_fixed(1))
LOGIN = "login"
WELCOME = "welcome"


def session_to(
    server: ScriptedServer,
    on_open: Callable[[Connection], Awaitable[object]],
    **options: Any,
) -> Session:
    return resilient_ws.connect(
        server.url(),
        on_open=on_open,
        wait_open=False,
        reconnect=QUICK,
        **options,
    )


async def log_in(connection: Connection) -> None:
    await connection.send(LOGIN)
    assert await connection.receive(matching=lambda m: m == WELCOME) == WELCOME


async def with_login(peer: Peer) -> None:
    """News comes before, between and after the answer to the login."""
    await peer.accept()
    await peer.send("1", "2")
    assert await peer.receive() == LOGIN
    await peer.send("3", WELCOME, "4")
    await asyncio.sleep(SOON)
    await peer.send("5")
    await peer.ended()


async def test_the_hook_speaks_first_and_what_it_leaves_is_received_in_order(
    server: ScriptedServer,
) -> None:
    server.play(with_login)
    async with session_to(server, log_in) as session:
        await session.send("from the outbox")
        assert [await session.receive() for _ in range(5)] == list("12345")
        await session.send("while open")
    assert server.received == [LOGIN, "from the outbox", "while open"]


async def test_a_send_of_the_session_inside_queues_behind_it(
    server: ScriptedServer,
) -> None:
    async def on_open(connection: Connection) -> None:
        delivery = await session.send("queued")
        assert delivery.state is resilient_ws.DeliveryState.QUEUED
        with pytest.raises(RuntimeError, match="on_open"):
            await delivery.confirmed()
        await asyncio.sleep(1)
        await connection.send(b"first")

    session = session_to(server, on_open)
    async with session:
        await session.wait_until(State.OPEN)
    assert server.received == [b"first", "queued"]


async def test_what_could_never_end_inside_it_raises(server: ScriptedServer) -> None:
    refused: list[str] = []

    async def on_open(_: Connection) -> None:
        calls: tuple[Callable[[], Any], ...] = (
            session.receive,
            lambda: anext(aiter(session)),
            lambda: anext(session.with_interruptions()),
            lambda: session.wait_until(State.OPEN),
            session.wait_closed,
        )
        for call in calls:
            with pytest.raises(RuntimeError) as caught:
                await call()
            refused.append(str(caught.value))
        await session.wait_until(State.RESTORING)

    session = session_to(server, on_open)
    async with session:
        await session.wait_until(State.OPEN)
    assert len(refused) == 5
    assert all("on_open" in text for text in refused)


async def test_another_task_may_wait_while_it_runs(server: ScriptedServer) -> None:
    async def on_open(connection: Connection) -> None:
        await asyncio.sleep(1)

    server.play(feeding("1"))
    async with session_to(server, on_open) as session:
        await session.wait_until(State.RESTORING)
        assert await session.receive() == "1"
        assert session.state is State.OPEN


async def test_an_exception_of_it_is_a_failed_attempt(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    failure = ConnectionRefusedError("secret")
    calls = 0

    async def on_open(_: Connection) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise failure

    session = session_to(server, on_open)
    events = recorded(session)
    async with session:
        await session.wait_until(State.OPEN)
        assert session.epoch == 1
        assert now() == pytest.approx(2, abs=0.1)
    failed = of(events, resilient_ws.AttemptFailed)
    assert [e.because for e in failed] == [failure, failure]
    assert [e.attempt for e in failed] == [1, 2]
    assert not of(events, resilient_ws.ConnectionDropped)
    assert [r.exc_info is not None for r in caplog.records].count(True) == 1
    assert "on_open raised ConnectionRefusedError" in caplog.text


MISTAKES: list[Exception] = [KeyError("op"), ZeroDivisionError(), ValueError("no JSON")]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda e: type(e).__name__)
async def test_a_mistake_in_it_ends_the_session_before_its_first_open(
    server: ScriptedServer, mistake: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_open(_: Connection) -> None:
        raise mistake

    session = resilient_ws.connect(
        [server.url(), server.url("/other")], on_open=on_open, wait_open=True
    )
    with pytest.raises(resilient_ws.Fatal, match="on_open raised") as caught:
        await session.__aenter__()
    assert caught.value.__cause__ is mistake
    assert len(server.dials) == 1
    (traceback,) = (r.exc_text or "" for r in caplog.records if r.exc_info)
    assert "raise mistake" in traceback


async def test_classify_may_have_a_mistake_retried(server: ScriptedServer) -> None:
    async def on_open(connection: Connection) -> None:
        if len(server.dials) < 3:
            raise KeyError

    def classify(ending: resilient_ws.Ending) -> resilient_ws.Verdict | None:
        return resilient_ws.RETRY if ending.bug else None

    policy = Reconnect(wait=wait_fixed(1), classify=classify)
    async with resilient_ws.connect(server.url(), on_open=on_open, reconnect=policy):
        assert len(server.dials) == 3


async def test_later_a_mistake_is_a_failed_attempt_with_one_traceback(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.play(closing(1001, after=20.0), hold)

    async def on_open(_: Connection) -> None:
        if 2 <= len(server.dials) < 50:
            raise KeyError("op")

    async with resilient_ws.connect(
        server.url(),
        on_open=on_open,
        wait_open=False,
        reconnect=Reconnect(wait=wait_fixed(10)),
    ) as session:
        await until(lambda: session.epoch == 2, within=1000)
    (record,) = (r for r in caplog.records if r.exc_info)
    assert "on_open raised KeyError" in record.getMessage()
    told = [r for r in caplog.records if "on_open raised KeyError" in r.getMessage()]
    # In eight minutes: the traceback, and once a minute that it goes on.
    assert 9 <= len(told) <= 2 + 2 * 9


async def test_one_that_hangs_is_cancelled_in_time(server: ScriptedServer) -> None:
    cancelled: list[float] = []

    async def on_open(_: Connection) -> None:
        if not cancelled:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(now())

    session = session_to(server, on_open, timeouts=Timeouts(restore=7))
    events = recorded(session)
    async with session:
        await session.wait_until(State.OPEN)
    assert cancelled == [pytest.approx(7)]
    (timed_out,) = of(events, resilient_ws.ConnectionTimedOut)
    assert (timed_out.kind, timed_out.after) == ("restore", 7)
    (failed,) = of(events, resilient_ws.AttemptFailed)
    assert isinstance(failed.because, resilient_ws.OpenTimeout)


async def test_fatal_from_it_ends_the_session(server: ScriptedServer) -> None:
    fatal = resilient_ws.Fatal("wrong password")

    async def on_open(_: Connection) -> None:
        raise fatal

    async with session_to(server, on_open) as session:
        with pytest.raises(resilient_ws.Fatal) as caught:
            await session.wait_closed()
        assert caught.value is fatal
    assert len(server.dials) == 1


async def test_fatal_from_the_hook_counts_when_the_connection_ends_with_it(
    server: ScriptedServer,
) -> None:
    async def denies(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(0.01)
        await peer.write(message("denied") + close_frame(1011))
        await peer.ended()

    async def logs_in(connection: Connection) -> None:
        raise Fatal(f"the server said {await connection.receive()!r}")

    server.play(denies)
    session = resilient_ws.connect(
        server.url(), on_open=logs_in, reconnect=QUICK, wait_open=10
    )
    with pytest.raises(Fatal, match="denied"):
        async with session:
            pass


async def test_one_that_is_not_async_ends_the_session(server: ScriptedServer) -> None:
    def on_open(_: Connection) -> None:
        return None

    async with session_to(server, on_open) as session:  # type: ignore[arg-type]
        with pytest.raises(resilient_ws.Fatal, match="async function"):
            await session.wait_closed()


@pytest.mark.parametrize("waiting_for", ["receive", "sleep", "send"])
async def test_it_is_cancelled_when_its_connection_ends(
    server: ScriptedServer, waiting_for: str
) -> None:
    ended: list[type[BaseException]] = []

    async def on_open(connection: Connection) -> None:
        if connection.endpoint and ended:
            return
        try:
            if waiting_for == "receive":
                await connection.receive()
            elif waiting_for == "send":
                while True:
                    await connection.send(b"x" * 100_000)
            else:
                await asyncio.sleep(1000)
        except BaseException as failure:
            ended.append(type(failure))
            raise

    async def dies(peer: Peer) -> None:
        await peer.accept()
        peer.freeze()
        await asyncio.sleep(2)
        await peer.reset()

    server.play(dies, hold)
    session = session_to(server, on_open)
    events = recorded(session)
    async with session:
        await session.wait_until(State.OPEN)
        assert now() < 5
    assert ended[0] in {asyncio.CancelledError, resilient_ws.ConnectionLost}
    (failed,) = of(events, resilient_ws.AttemptFailed)
    assert isinstance(failed.because, resilient_ws.ConnectionLost)
    assert failed.because.how == "reset"


async def test_a_hook_that_fails_as_its_connection_ends_is_not_unretrieved(
    server: ScriptedServer,
) -> None:
    async def denies(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(0.01)
        await peer.write(message("denied") + close_frame(1011))
        await peer.ended()

    async def logs_in(connection: Connection) -> None:
        raise ValueError(await connection.receive())

    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, c: unheard.append(c))
    server.play(denies)
    async with session_to(server, logs_in):
        await server.arrivals(3)
    gc.collect()
    assert unheard == []


async def test_a_hook_whose_connection_half_closes_cannot_send_into_the_void(
    server: ScriptedServer,
) -> None:
    seen: list[str] = []

    async def half_closes(peer: Peer) -> None:
        peer.answers_close = False
        await peer.accept()
        peer.transport.write_eof()
        await peer.ended()

    async def logs_in(connection: Connection) -> None:
        await asyncio.sleep(0.02)  # within the window of the end-of-stream probe
        await connection.send("login")
        seen.append("sent")

    server.play(half_closes)
    async with session_to(server, logs_in):
        await server.arrivals(2)
    assert seen == []
    assert server.received == []


async def test_an_open_connection_may_not_be_used_any_more(
    server: ScriptedServer,
) -> None:
    kept: list[Connection] = []

    async def on_open(connection: Connection) -> None:
        kept.append(connection)
        assert connection.restoring
        assert "being restored" in repr(connection)

    async with session_to(server, on_open) as session:
        await session.wait_until(State.OPEN)
        (connection,) = kept
        assert not connection.restoring
        assert (connection.epoch, connection.subprotocol) == (1, None)
        assert connection.extensions == {}
        assert "restored" in repr(connection)
        with pytest.raises(RuntimeError, match=r"session\.send"):
            await connection.send("x")
        with pytest.raises(RuntimeError, match=r"session\.receive"):
            await connection.receive()


async def test_it_runs_anew_for_every_connection(server: ScriptedServer) -> None:
    async def goodbye(peer: Peer) -> None:
        await peer.accept()
        await peer.send(await peer.receive())
        await asyncio.sleep(SOON)
        await peer.close(1001)

    async def on_open(connection: Connection) -> None:
        await connection.send(f"epoch {connection.epoch}")

    server.play(goodbye, goodbye, echo)
    async with session_to(server, on_open) as session:
        received = [await session.receive() for _ in range(3)]
    assert received == ["epoch 1", "epoch 2", "epoch 3"]


async def test_a_consumer_that_never_reads_cannot_starve_it(
    server: ScriptedServer,
) -> None:
    async def busy(peer: Peer) -> None:
        await peer.accept()
        await peer.send(*map(str, range(20)))
        assert await peer.receive() == LOGIN
        await peer.send(WELCOME)
        await asyncio.sleep(1)
        await peer.reset()

    server.play(busy, busy, busy, hold)
    async with session_to(
        server, log_in_by_reading, inbox=Inbox(max_messages=5)
    ) as session:
        await until(lambda: session.epoch == 3)
        assert session.state is State.OPEN


async def log_in_by_reading(connection: Connection) -> None:
    await connection.send(LOGIN)
    while await connection.receive() != WELCOME:
        pass


async def test_its_buffer_is_bounded_and_loses_nothing(server: ScriptedServer) -> None:
    numbers = [str(n) for n in range(200)]
    server.play(feeding(*numbers))

    async def on_open(_: Connection) -> None:
        await asyncio.sleep(3)

    async with session_to(server, on_open, inbox=Inbox(max_messages=10)) as session:
        await session.wait_until(State.OPEN)
        assert session.statistics().inbox_messages == 10
        async with asyncio.timeout(60):
            assert [await session.receive() for _ in numbers] == numbers


async def test_its_buffer_is_bounded_in_bytes(server: ScriptedServer) -> None:
    server.play(feeding(*(5 * ["x" * 100])))
    held: list[int] = []

    async def on_open(connection: Connection) -> None:
        await asyncio.sleep(3)
        held.append(len(await connection.receive()))

    async with session_to(server, on_open, inbox=Inbox(max_bytes=150)) as session:
        await session.wait_until(State.OPEN)
        async with asyncio.timeout(60):
            for _ in range(4):
                assert len(await session.receive()) == 100
    assert held == [100]


async def test_messages_of_a_connection_that_ends_with_its_handshake_are_not_lost(
    server: ScriptedServer,
) -> None:
    # An exchange says why it refuses, as a message, and hangs up in the same breath.
    async def goodbye(peer: Peer) -> None:
        await peer.close(1000)

    server.play(feeding("why", then=goodbye), hold)
    async with resilient_ws.connect(
        server.url(), reconnect=Reconnect(wait=wait_fixed(1))
    ) as session:
        await until(lambda: len(server.dials) == 2)
        await turns()
        async with asyncio.timeout(5):
            assert await session.receive() == "why"


async def test_cancelling_its_receive_loses_nothing(server: ScriptedServer) -> None:
    taken: list[str | bytes] = []

    async def on_open(connection: Connection) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await connection.receive(matching=lambda m: m == "never")
        taken.append(await connection.receive())

    server.play(feeding("1", "2"))
    async with session_to(server, on_open) as session:
        taken.append(await session.receive())
    assert taken == ["1", "2"]


async def test_two_receives_of_one_hook_each_get_theirs(
    server: ScriptedServer,
) -> None:
    got: list[str | bytes] = []

    async def feeds(peer: Peer) -> None:
        await peer.accept()
        for text in ("b", "a"):
            await asyncio.sleep(0.1)
            await peer.send(text)
        await peer.ended()

    async def awaits_both(connection: Connection) -> None:
        async def take(wanted: str) -> None:
            got.append(await connection.receive(lambda data: data == wanted))

        await asyncio.gather(take("a"), take("b"))

    server.play(feeds)
    async with resilient_ws.connect(
        server.url(), on_open=awaits_both, wait_open=5, timeouts=Timeouts(restore=2)
    ):
        assert sorted(map(str, got)) == ["a", "b"]


async def test_a_buffer_filled_to_the_brim_does_not_end_the_reading(
    server: ScriptedServer,
) -> None:
    async def later(peer: Peer) -> None:
        await asyncio.sleep(1)
        await peer.send("4", "5")
        await peer.ended()

    server.play(feeding("1", "2", "3", then=later))
    async with resilient_ws.connect(
        server.url(), inbox=Inbox(max_messages=3)
    ) as session:
        await asyncio.sleep(2)
        async with asyncio.timeout(60):
            assert [await session.receive() for _ in range(5)] == list("12345")


# --- what leaves the session is of the tree ------------------------------------------


def in_a_group(failure: Exception) -> Callable[[Connection], Awaitable[object]]:
    async def fail() -> None:
        raise failure

    async def hook(_: Connection) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    return hook


def plainly(failure: Exception) -> Callable[[Connection], Awaitable[object]]:
    async def hook(_: Connection) -> None:
        raise failure

    return hook


NETWORK = [TimeoutError(), OSError(5, "io"), aiohttp.ClientError("at s3cret")]


@pytest.mark.parametrize("raised", [plainly, in_a_group])
@pytest.mark.parametrize("failure", NETWORK, ids=lambda failure: type(failure).__name__)
async def test_a_hook_that_the_network_fails_is_tried_again_and_told_in_our_words(
    server: ScriptedServer, raised: Any, failure: Exception
) -> None:
    server.play(hold)
    policy = Reconnect(wait=wait_fixed(1))
    session = resilient_ws.connect(
        server.url(), on_open=raised(failure), wait_open=5, reconnect=policy
    )
    with pytest.raises(resilient_ws.OpenTimeout, match="on_open raised") as caught:
        async with session:
            pytest.fail("it was open")
    assert session.statistics().attempts == 5
    assert isinstance(caught.value.__cause__, type(failure) | ExceptionGroup)
    assert "s3cret" not in str(caught.value)
    assert session.failure is caught.value


async def test_what_classify_calls_fatal_is_told_in_our_words(
    server: ScriptedServer,
) -> None:
    server.play(hold)
    policy = Reconnect(classify=lambda _: resilient_ws.FATAL)
    hook = plainly(TimeoutError())
    with pytest.raises(
        resilient_ws.Fatal, match="on_open raised TimeoutError, which class"
    ):
        async with resilient_ws.connect(server.url(), on_open=hook, reconnect=policy):
            pytest.fail("it was open")


async def test_a_mistake_in_a_group_is_a_mistake(server: ScriptedServer) -> None:
    server.play(hold)
    hook = in_a_group(KeyError("price"))
    with pytest.raises(resilient_ws.Fatal, match="Fix it"):
        async with resilient_ws.connect(server.url(), on_open=hook):
            pytest.fail("it was open")


async def test_fatal_ends_the_session_from_a_group_too(server: ScriptedServer) -> None:
    server.play(hold)
    fatal = resilient_ws.Fatal("The token is not known.")
    session = session_to(server, in_a_group(fatal))
    async with session:
        with pytest.raises(resilient_ws.Fatal) as caught:
            await session.wait_closed()
    assert caught.value is fatal


async def test_a_callback_ends_the_session_from_a_group_too(
    server: ScriptedServer,
) -> None:
    server.play(hold)
    fatal = resilient_ws.Fatal("Enough.")
    session = resilient_ws.connect(server.url())

    @session.on(resilient_ws.ConnectionOpened)
    async def opened(_: resilient_ws.ConnectionOpened) -> None:
        raise ExceptionGroup("of a TaskGroup", [ExceptionGroup("deeper", [fatal])])

    async with session:
        with pytest.raises(resilient_ws.Fatal) as caught:
            await session.wait_closed()
    assert caught.value is fatal


async def test_url_ends_the_session_from_a_group_too() -> None:
    fatal = resilient_ws.Fatal("Enough.")

    async def url(_: resilient_ws.Attempt) -> str:
        raise ExceptionGroup("of a TaskGroup", [fatal])

    with pytest.raises(resilient_ws.Fatal) as caught:
        async with resilient_ws.connect(url):
            pytest.fail("it was open")
    assert caught.value is fatal


async def test_what_does_not_match_because_it_is_no_callable_raises(
    server: ScriptedServer,
) -> None:
    server.play(hold)

    async def hook(connection: Connection) -> None:
        await connection.receive(matching="welcome")  # type: ignore[arg-type] # wrong

    with pytest.raises(resilient_ws.Fatal, match="TypeError") as caught:
        async with resilient_ws.connect(server.url(), on_open=hook):
            pytest.fail("it was open")
    assert str(caught.value.__cause__) == (
        "matching must be a callable, not a value of type str."
    )


@pytest.mark.parametrize(
    ("option", "answer", "what"),
    [
        ("headers", {"A": 1}, "headers['A'] must be a str, not a value of type int"),
        ("headers", None, "headers must be a mapping of str to str, not None"),
        ("url", "http://a.example/", "url must start with ws://, not http://"),
        ("url", None, "url must be a str, not None"),
    ],
)
async def test_what_is_wrong_with_the_answer_of_a_callable_is_told(
    server: ScriptedServer, option: str, answer: Any, what: str
) -> None:
    options: dict[str, Any] = {"url": server.url(), option: lambda _: answer}
    with pytest.raises(resilient_ws.Fatal) as caught:
        async with resilient_ws.connect(**options):
            pytest.fail("it was open")
    assert str(caught.value) == (
        f"The session ended because the {option} callable returned an invalid value: "
        f"{what}. Fix it and connect again."
    )


# Hooks that libraries add.


async def test_added_hooks_run_behind_that_of_connect(server: ScriptedServer) -> None:
    server.play(with_login)
    order: list[str] = []

    async def first(_: Connection) -> None:
        order.append("connect")

    session = session_to(server, first)

    @session.on_open
    async def second(connection: Connection) -> None:
        order.append("added")
        await log_in(connection)

    async with session:
        assert [await session.receive() for _ in range(5)] == ["1", "2", "3", "4", "5"]
        assert order == ["connect", "added"]


async def test_an_added_hook_that_fails_is_a_failed_attempt(
    server: ScriptedServer,
) -> None:
    server.play(hold, hold)
    session = resilient_ws.connect(
        server.url(), wait_open=False, reconnect=Reconnect(wait=wait_fixed(1))
    )
    failures = iter([ConnectionResetError("once")])

    @session.on_open
    async def fails_once(_: Connection) -> None:
        for failure in failures:
            raise failure

    events = recorded(session)
    async with session:
        await session.wait_until(State.OPEN)
        assert len(of(events, resilient_ws.AttemptFailed)) == 1


async def test_hooks_are_added_before_entering(server: ScriptedServer) -> None:
    server.play(hold)
    session = session_to(server, log_in)
    with pytest.raises(TypeError, match="hook must be"):
        session.on_open("no hook")  # type: ignore[arg-type]
    await session.close()
    with pytest.raises(RuntimeError, match="too late"):
        session.on_open(log_in)
