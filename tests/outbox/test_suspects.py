"""A connection that ends because of a message: that one fails, and takes none along."""

from __future__ import annotations

import asyncio
import json
import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tenacity import wait_fixed

import resilient_ws
from resilient_ws import (
    Close,
    ConnectionLost,
    DeliveryState,
    Liveness,
    LivenessTimeout,
    MemoryStore,
    Outbox,
    ProtocolError,
    Reconnect,
    SQLiteStore,
    State,
)
from resilient_ws.outbox.suspects import Suspects
from resilient_ws.testing import ScriptedServer, VirtualLoop
from resilient_ws.testing.scripts import hold
from tests.outbox.picky import (
    ACCUSATIONS,
    LIMIT,
    ack_of,
    ending_with,
    picky,
    reading,
    resetting,
)
from tests.outbox.stores import STORES, crashed, inside, new_store
from tests.record import now, of, recorded, until


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws import Session
    from resilient_ws.testing import Peer

TIMES = 5


def closed(code: int, initiator: Any = "peer", how: Any = "close") -> ConnectionLost:
    record = Close(code=code, reason="", initiator=initiator, clean=True)
    return ConnectionLost("It was closed.", how=how, close=record)


RESET = ConnectionLost("It was reset.", how="reset")
SILENT = LivenessTimeout("It fell silent.", kind="ping", after=40.0)
BROKEN = ProtocolError("It broke the rules.", code=1009)


def slow(most: int = 8) -> Suspects:
    """What goes slowly, on a connection that has just begun."""
    suspects = Suspects(most)
    suspects.doubt()
    suspects.begin()
    return suspects


class TestSuspects:
    """The rules, without an outbox."""

    def test_nothing_is_suspected_at_first(self) -> None:
        suspects = Suspects(8)
        suspects.begin()
        assert suspects.window == 8
        assert not suspects.needs_pong

    @pytest.mark.parametrize("because", [RESET, SILENT, BROKEN, closed(1000)], ids=str)
    def test_an_end_with_nothing_confirmed_makes_the_next_begin_slow(
        self, because: ConnectionLost
    ) -> None:
        suspects = Suspects(8)
        suspects.begin()
        suspects.note_written(3)
        assert not suspects.judge(because, 3)
        suspects.begin()
        assert suspects.needs_pong

    @pytest.mark.parametrize(
        "because",
        [
            None,
            *[closed(code) for code in (1001, 1012, 1013, 3000, 3003, 4401, 4403)],
            closed(1009, "us", "local"),
            ConnectionLost("Ours.", how="local"),
        ],
        ids=str,
    )
    def test_an_end_with_another_reason_accuses_nothing(
        self, because: ConnectionLost | None
    ) -> None:
        for suspects in (Suspects(8), slow()):
            suspects.note_pong()
            suspects.note_written(1)
            before = suspects.window
            assert not suspects.judge(because, 1)
            assert not suspects.blamed
            suspects.begin()
            assert suspects.needs_pong is (before != 8)

    def test_an_end_with_nothing_on_its_way_accuses_nothing(self) -> None:
        suspects = Suspects(8)
        suspects.begin()
        assert not suspects.judge(closed(1009), 0)
        assert not suspects.blamed
        suspects.begin()
        assert not suspects.needs_pong

    def test_what_was_confirmed_clears_the_rest_unless_the_code_names_it(self) -> None:
        for because, waits in ((RESET, False), (closed(1009), True)):
            suspects = Suspects(8)
            suspects.begin()
            suspects.note_written(3)
            suspects.note_confirmed(1, 2, first=True)
            suspects.judge(because, 2)
            suspects.begin()
            assert suspects.needs_pong is waits

    def test_the_head_goes_alone_behind_a_pong_and_the_window_doubles(self) -> None:
        suspects = slow(100)
        windows = []
        suspects.note_pong()
        while suspects.window < 100:
            windows.append(suspects.window)
            suspects.note_written(suspects.window)
            suspects.note_confirmed(suspects.window, 0, first=True)
        assert windows == [1, 2, 4, 8, 16, 32, 64]
        suspects.judge(RESET, 3)
        suspects.begin()
        assert suspects.window == 100

    def test_an_end_before_the_pong_accuses_nothing(self) -> None:
        suspects = slow()
        assert not suspects.judge(RESET, 0)
        suspects.begin()
        # Nor does one where the head went out because no pong would come.
        suspects.admit_head()
        suspects.note_written(1)
        assert not suspects.judge(RESET, 1)
        suspects.begin()
        suspects.admit_head()
        suspects.note_written(1)
        assert suspects.judge(closed(1009), 1)

    @pytest.mark.parametrize("code", [1003, 1007, 1008, 1009, 4000, 4400, 4999])
    def test_codes_that_speak_of_messages(self, code: int) -> None:
        suspects = Suspects(8)
        suspects.begin()
        suspects.note_written(1)
        assert suspects.judge(closed(code), 1)
        assert suspects.blamed

    def test_confirmations_of_later_messages_do_not_clear_the_first(self) -> None:
        suspects = Suspects(8)
        suspects.begin()
        suspects.note_written(3)
        suspects.note_confirmed(2, 1, first=False)
        suspects.judge(RESET, 1)
        suspects.begin()
        assert suspects.needs_pong

    @pytest.mark.parametrize("confirmed", [0, 1])
    def test_a_head_that_was_outwaited_is_accused_if_nothing_else_was_confirmed(
        self, confirmed: int
    ) -> None:
        suspects = slow()
        suspects.note_pong()
        suspects.note_written(1)
        suspects.release()
        assert suspects.window == 8
        suspects.note_written(5)
        if confirmed:
            suspects.note_confirmed(1, 5, first=False)
        assert suspects.judge(RESET, 6 - confirmed) is not bool(confirmed)

    def test_what_nothing_confirms_may_be_it_as_well(self) -> None:
        suspects = slow()
        suspects.note_pong()
        # Two were written, and one of them is not waited for.
        suspects.note_written(2)
        assert not suspects.judge(RESET, 1)


# Scenes with a session, in virtual time.


CONFIRMS: dict[str, Any] = {"pong": "pong", "ack": ack_of}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Each store in turn."""
    return new_store(request.param, tmp_path)


@pytest.fixture(params=sorted(CONFIRMS))
def confirm(request: pytest.FixtureRequest) -> Any:
    """Both ways of confirming."""
    return CONFIRMS[request.param]


def session_of(
    server: ScriptedServer, store: Any, confirm: Any, **outbox: Any
) -> Session:
    outbox.setdefault("resend", True)
    return resilient_ws.connect(
        server.url(),
        wait_open=False,
        outbox=Outbox(store=store, confirm=confirm, **outbox),
        reconnect=Reconnect(wait=wait_fixed(1)),
    )


async def send_all(session: Session, poisons: set[int], count: int) -> list[Any]:
    return [
        await session.send(reading(n, poison=n in poisons), message_id=str(n))
        for n in range(count)
    ]


async def test_a_balancer_that_never_reads_costs_nothing(
    server: ScriptedServer, store: Any, confirm: Any
) -> None:
    async def balancer(peer: Peer) -> None:
        await peer.accept()
        peer.freeze()
        await asyncio.sleep(0.5)
        await peer.drop()

    server.play(balancer)
    async with session_of(server, store, confirm) as session:
        events = recorded(session)
        sent = await send_all(session, set(), 500)
        await asyncio.sleep(600)
        assert of(events, resilient_ws.DeliveryFailed) == []
        assert session.epoch > 100
        assert {d.state for d in sent} == {DeliveryState.QUEUED}
        # Written to the first connection, and to none after it.
        assert {d.transmissions for d in sent} == {1}
        taken: list[str] = []
        answer = "ack" if callable(confirm) else "pong"
        server.play(picky(taken, answer=answer, accused=resetting))
        await asyncio.gather(*[d.confirmed() for d in sent])
        assert taken == [str(n) for n in range(500)]
    if not isinstance(store, MemoryStore):
        assert inside(store) == []


@pytest.mark.parametrize("accusation", sorted(ACCUSATIONS))
async def test_a_poison_fails_alone(
    server: ScriptedServer, store: Any, confirm: Any, accusation: str
) -> None:
    taken: list[str] = []
    answer = "ack" if callable(confirm) else "pong"
    server.play(picky(taken, answer=answer, accused=ACCUSATIONS[accusation]))
    async with session_of(server, store, confirm) as session:
        events = recorded(session)
        sent = await send_all(session, {3}, 24)
        await until(lambda: all(d.settled for d in sent))
        assert session.state is not State.CLOSED
        failed = of(events, resilient_ws.DeliveryFailed)
        assert [(e.message_id, e.state) for e in failed] == [
            ("3", DeliveryState.FAILED)
        ]
        assert failed[0].maybe_delivered
        assert sent[3].accused == TIMES
        with pytest.raises(resilient_ws.DeliveryError, match="5 connections ended"):
            await sent[3].confirmed()
    check_arrivals(taken, set(range(24)) - {3}, at_most=4)
    # Suspected twice among others, then so often alone.
    assert sent[3].transmissions <= TIMES + 3


def check_arrivals(taken: list[str], wanted: set[int], *, at_most: int) -> None:
    """Everything has arrived, in order, and repeated a few times at most."""
    numbers = [int(one) for one in taken]
    assert set(numbers) == wanted
    first = list(dict.fromkeys(numbers))
    assert first == sorted(first)
    assert all(numbers.count(n) <= at_most for n in wanted)


@pytest.mark.parametrize("accusation", sorted(ACCUSATIONS))
async def test_a_poison_fails_alone_across_restarts(
    server: ScriptedServer, confirm: Any, accusation: str, tmp_path: Path
) -> None:
    store = SQLiteStore(tmp_path / "outbox.db")
    taken: list[str] = []
    answer = "ack" if callable(confirm) else "pong"
    server.play(picky(taken, answer=answer, accused=ACCUSATIONS[accusation]))
    failed: list[resilient_ws.DeliveryFailed] = []
    async with session_of(server, store, confirm) as session:
        session.on(resilient_ws.DeliveryFailed, failed.append)
        await send_all(session, {3}, 24)
        await session.wait_until(State.BACKOFF)
        await session.close(drain=0)
    for _ in range(100):
        if not inside(store):
            break
        # Restarted after each end.
        session = session_of(server, store, confirm)
        session.on(resilient_ws.DeliveryFailed, failed.append)
        async with session:
            await session.wait_until(State.OPEN)
            ended = asyncio.ensure_future(session.wait_until(State.BACKOFF))
            await asyncio.wait({ended}, timeout=30)
            ended.cancel()
    assert [(e.message_id, e.state) for e in failed] == [("3", DeliveryState.FAILED)]
    check_arrivals(taken, set(range(24)) - {3}, at_most=4)


def acknowledging(
    taken: list[str], *, never: frozenset[str] = frozenset(), dies_after: float
) -> Any:
    """A server that does not acknowledge some, and ends so long after those."""

    async def script(peer: Peer) -> None:
        await peer.accept()
        seen, dies_at = 0, float("inf")
        while not peer.gone and now() < dies_at:
            await asyncio.sleep(0.02)
            for message in peer.received[seen:]:
                seen += 1
                name = json.loads(message)["id"]
                if name in never:
                    dies_at = min(dies_at, now() + dies_after)
                else:
                    taken.append(name)
                    await peer.send(json.dumps({"ack": name}))
        await peer.reset()

    return script


async def test_a_poison_that_acts_late_fails_in_a_steady_stream(
    server: ScriptedServer, store: Any
) -> None:
    """Later messages are acknowledged on each connection before it ends."""
    taken: list[str] = []
    server.play(acknowledging(taken, never=frozenset({"3"}), dies_after=0.5))
    async with session_of(server, store, ack_of) as session:
        sent = []
        for number in range(200):
            sent.append(await session.send(reading(number), message_id=str(number)))
            await asyncio.sleep(0.2)
        await until(lambda: all(d.settled for d in sent))
        assert sent[3].state is DeliveryState.FAILED
        assert session.epoch == TIMES + 2
    check_arrivals(taken, set(range(200)) - {3}, at_most=2)


async def test_a_message_that_nobody_acknowledges_holds_the_others_up_for_a_while(
    server: ScriptedServer, store: Any
) -> None:
    async def unheard(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(0.5)
        await peer.reset()

    never = {"0", "4", "5"}
    taken: list[str] = []
    patient = acknowledging(taken, never=frozenset(never), dies_after=1000)
    server.play(unheard, patient)
    async with session_of(server, store, ack_of) as session:
        events = recorded(session)
        sent = await send_all(session, set(), 12)
        await until(lambda: session.epoch == 2)
        began = now()
        await until(lambda: len(session.outstanding()) == len(never))
        # Once for confirm_timeout: the peer has answered a ping behind it.
        assert now() - began == pytest.approx(20, abs=0.5)
        assert {d.message_id for d in session.outstanding()} == never
        assert len(of(events, resilient_ws.ConfirmationOverdue)) == 1
        assert {d.accused for d in sent} == {0}
        await session.close(drain=0)


async def test_a_poison_that_freezes_what_is_behind_a_gateway_fails_alone(
    server: ScriptedServer, store: Any
) -> None:
    """The gateway answers pings, and hangs up when it has waited for long enough."""

    async def gateway(peer: Peer) -> None:
        await peer.accept()
        seen = 0
        while not peer.gone:
            await asyncio.sleep(0.02)
            for message in peer.received[seen:]:
                if len(message) > LIMIT:
                    await asyncio.sleep(60)
                    await peer.close(1011)
                    return
                seen += 1
                taken.append(json.loads(message)["id"])
                await peer.send(json.dumps({"ack": taken[-1]}))

    taken: list[str] = []
    server.play(gateway)
    async with session_of(server, store, ack_of) as session:
        sent = await send_all(session, {3, 4}, 12)
        await until(lambda: all(d.settled for d in sent), within=2000)
        failed = [d.message_id for d in sent if d.state is DeliveryState.FAILED]
        assert failed == ["3", "4"]
    check_arrivals(taken, set(range(12)) - {3, 4}, at_most=2)


async def test_a_late_confirmation_gives_hope_for_the_next(
    server: ScriptedServer, store: Any
) -> None:
    """After it ``send`` waits for room again, and ``close`` for confirmations."""

    async def stalls_once(peer: Peer) -> None:
        await peer.accept()
        await asyncio.sleep(30)
        while not peer.gone:
            message = await peer.receive()
            await peer.send(json.dumps({"ack": json.loads(message)["id"]}))
            await asyncio.sleep(0.5)

    server.play(stalls_once)
    async with session_of(
        server, store, ack_of, max_messages=4, max_in_flight=2
    ) as session:
        events = recorded(session)
        await session.wait_until(State.OPEN)
        sent = [await session.send(reading(n), message_id=str(n)) for n in range(4)]
        await until(lambda: not session.outstanding())
        sent += [
            await session.send(reading(n), message_id=str(n)) for n in range(4, 20)
        ]
        assert len(of(events, resilient_ws.ConfirmationOverdue)) == 1
        await session.close(drain=60)
    assert {d.state for d in sent} == {DeliveryState.CONFIRMED}


async def test_at_most_once_goes_slowly_after_a_kill(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """What was on its way is told, and the next is not risked on the same peer."""

    async def deaf(peer: Peer) -> None:
        peer.answers_pings = False
        await peer.accept()
        await peer.ended()

    server.play(deaf)
    path = tmp_path / "outbox.db"
    store = SQLiteStore(path)
    async with session_of(
        server, store, "pong", resend=False, max_in_flight=2
    ) as session:
        await send_all(session, set(), 6)
        await until(lambda: len(server.peer.received) == 2)
        killed = crashed(path, tmp_path / "killed.db")
        await session.close(drain=0)
    session = session_of(server, killed, "pong", resend=False, max_in_flight=2)
    events = recorded(session)
    async with session:
        await session.wait_until(State.OPEN)
        await asyncio.sleep(5)
        lost = [event.message_id for event in of(events, resilient_ws.DeliveryFailed)]
        assert lost == ["0", "1"]
        assert server.peer.received == []
        await session.close(drain=0)


async def test_at_most_once_goes_slowly_too(
    server: ScriptedServer, store: Any, confirm: Any
) -> None:
    async def hanging_up(peer: Peer) -> None:
        await peer.accept()
        peer.freeze()
        await asyncio.sleep(0.5)
        await peer.drop()

    server.play(hanging_up, hanging_up, hanging_up)
    async with session_of(
        server, store, confirm, resend=False, max_in_flight=10
    ) as session:
        events = recorded(session)
        await send_all(session, set(), 50)
        await server.arrivals(3)
        await session.wait_until(State.BACKOFF)
        # The first ten may have arrived; no others were risked on such a peer.
        assert len(of(events, resilient_ws.DeliveryFailed)) == 10
        await session.close(drain=0)


async def test_a_named_ending_ends_no_session_while_a_message_is_suspected(
    server: ScriptedServer, store: Any
) -> None:
    """1009 is fatal where nothing was on its way, and not where something was."""
    asked: list[resilient_ws.Ending] = []

    def classify(ending: resilient_ws.Ending) -> None:
        asked.append(ending)

    server.play(picky([], answer="pong", accused=ending_with(1009)))
    session = resilient_ws.connect(
        server.url(),
        outbox=Outbox(store=store, confirm="pong", resend=True),
        reconnect=Reconnect(wait=wait_fixed(1), classify=classify),
    )
    async with session:
        delivery = await session.send(reading(0, poison=True))
        with pytest.raises(resilient_ws.DeliveryError):
            await delivery.confirmed()
        await until(lambda: session.epoch == TIMES + 1)
    assert [ending.code for ending in asked] == [1009] * TIMES
    assert {ending.suspected for ending in asked} == {True}


@pytest.mark.parametrize("rudely", ["drop", "reset", "half_close"])
async def test_an_end_of_ours_accuses_nothing_however_the_server_takes_it(
    server: ScriptedServer, store: Any, rudely: str
) -> None:
    """It hangs up at our close frame, with a message alone on its way."""

    async def rude(peer: Peer) -> None:
        peer.answers_close = False
        await peer.accept()
        await until(lambda: peer.close_received is not None)
        await getattr(peer, rudely)()

    server.play(rude)
    async with session_of(server, store, ack_of, max_transmissions=2) as session:
        await session.wait_until(State.OPEN)
        delivery = await session.send(reading(0), message_id="0")

        def written(times: int) -> bool:
            return delivery.transmissions == times

        for epoch in range(1, TIMES):
            await until(partial(written, epoch))
            session.reconnect("maintenance")
        await until(partial(written, TIMES))
        assert delivery.accused == 0
        assert not delivery.settled
        await session.close(drain=0)


async def test_a_server_that_answers_no_ping_gets_the_head_in_time(
    server: ScriptedServer, store: Any
) -> None:
    taken: list[str] = []
    server.play(picky(taken, answer="ack", accused=ending_with(4000), pongs=False))
    session = resilient_ws.connect(
        server.url(),
        outbox=Outbox(store=store, confirm=ack_of, resend=True, confirm_timeout=5),
        liveness=Liveness(ping_timeout=None),
        reconnect=Reconnect(wait=wait_fixed(1)),
    )
    async with session:
        began = now()
        sent = await send_all(session, {1}, 4)
        await until(lambda: all(d.settled for d in sent))
        assert [d.state.value for d in sent] == ["confirmed", "failed"] + [
            "confirmed"
        ] * 2
        # It waited for a pong on each connection but the first.
        assert now() - began >= 5 * (server.peer.number - 1)
    check_arrivals(taken, {0, 2, 3}, at_most=4)


@pytest.mark.parametrize("kind", STORES)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_random_poisons_hang_ups_and_kills(
    kind: str, seed: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Exactly the poisons fail, whatever else ends connections and processes."""
    count = data.draw(st.integers(1, 20), label="messages")
    poisons = data.draw(st.sets(st.integers(0, count - 1), max_size=3), label="poisons")
    answer = data.draw(st.sampled_from(sorted(CONFIRMS)), label="confirm")
    accusation = data.draw(st.sampled_from(sorted(ACCUSATIONS)), label="accusation")
    kills = data.draw(st.integers(0, 4), label="restarts") if kind == "sqlite" else 0
    scene = Scene(seed, answer, accusation)
    folder = tmp_path_factory.mktemp("suspects")
    store = new_store(kind, folder, synchronous="NORMAL")
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        failed = runner.run(scene.play(store, count, poisons, kills))
    # A session that is restarted may tell of a failure again, and of no other.
    assert {int(one or "") for one in failed} == poisons
    check_arrivals(scene.taken, set(range(count)) - poisons, at_most=60)


class Scene:
    """A server with its whims, and a sender that is restarted."""

    def __init__(self, seed: int, answer: str, accusation: str) -> None:
        self.chance = random.Random(seed)
        self.answer = answer
        self.accusation = accusation
        self.taken: list[str] = []
        #: Connections that end for no reason, before the whims are over.
        self.whims = self.chance.randrange(12)

    async def server_side(self, peer: Peer) -> None:
        whim = self.chance.choice(["deaf", "hang up", "going away"])
        if self.whims <= 0:
            whim = "none"
        self.whims -= 1
        proper = picky(
            self.taken, answer=self.answer, accused=ACCUSATIONS[self.accusation]
        )
        if whim == "none":
            await proper(peer)
        elif whim == "deaf":
            await peer.accept()
            peer.freeze()
            await asyncio.sleep(self.chance.random())
            await peer.drop()
        else:
            # Ends in the midst of messages; not alone with one five times over.
            work = asyncio.ensure_future(proper(peer))
            await asyncio.wait({work}, timeout=0.3 * self.chance.random())
            if not work.done():
                work.cancel()
                if whim == "hang up":
                    await peer.reset()
                else:
                    await peer.close(1001)
            await asyncio.gather(work, return_exceptions=True)

    async def play(
        self, store: Any, count: int, poisons: set[int], kills: int
    ) -> list[str | None]:
        failed: list[str | None] = []
        async with ScriptedServer(self.server_side) as server:
            for life in range(kills + 1):
                session = self.session(server, store, failed)
                async with session:
                    if life == 0:
                        await send_all(session, poisons, count)
                    if life < kills:
                        await asyncio.sleep(5 * self.chance.random())
                        await session.close(drain=0)
                    else:
                        await until(partial(finished, session), within=5000)
        return failed

    def session(
        self, server: ScriptedServer, store: Any, failed: list[str | None]
    ) -> Session:
        session = session_of(
            server,
            store,
            CONFIRMS[self.answer],
            # More than all the whims could count against one message.
            max_transmissions=13,
            confirm_interval=0.01,
        )
        session.on(
            resilient_ws.DeliveryFailed, lambda event: failed.append(event.message_id)
        )
        return session


def finished(session: Session) -> bool:
    return not session.outstanding()


async def test_a_message_may_be_for_one_connection_only(
    server: ScriptedServer, store: Any
) -> None:
    server.play(hold)
    async with session_of(server, store, "pong") as session:
        await session.wait_until(State.OPEN)
        first = await session.send("ack of 1", epoch=1)
        await first.confirmed()
        assert first.epoch == 1
        await server.peer.reset()
        await server.arrivals(2)
        await until(lambda: session.epoch == 2 and session.state is State.OPEN)
        late = await session.send("ack of 1, too late", epoch=1)
        early = await session.send("ack of 3", epoch=3)
        assert late.state is early.state is DeliveryState.DROPPED
        assert late.epoch is early.epoch is None
        assert not late.maybe_delivered
        fits = await session.send("ack of 2", epoch=2, message_id="2")
        await fits.confirmed()
        assert fits.epoch == 2
    assert server.received == ["ack of 1", "ack of 2"]


async def test_a_message_for_one_connection_is_dropped_when_that_ends(
    server: ScriptedServer, store: Any
) -> None:
    async def deaf(peer: Peer) -> None:
        peer.answers_pings = False
        await peer.accept()
        await peer.ended()

    server.play(deaf, hold)
    async with session_of(server, store, "pong", max_in_flight=1) as session:
        await session.wait_until(State.OPEN)
        held = await session.send("held")
        bound = await session.send("bound", epoch=1)
        assert bound.state is DeliveryState.QUEUED
        await until(lambda: server.peer.received == ["held"])
        await server.peer.reset()
        await held.confirmed()
        assert bound.state.value == "dropped"
        assert not bound.maybe_delivered
    assert server.received == ["held", "held"]


@pytest.mark.parametrize("epoch", [0, -1, 1.0, True, "1"])
async def test_an_epoch_is_a_positive_whole_number(
    server: ScriptedServer, epoch: Any
) -> None:
    async with resilient_ws.connect(server.url()) as session:
        with pytest.raises((TypeError, ValueError), match="epoch must be a positive"):
            await session.send("x", epoch=epoch)


async def test_a_close_shakes_hands_however_slow_the_confirmations(
    server: ScriptedServer, store: Any
) -> None:
    server.play(hold)
    async with session_of(server, store, ack_of, max_in_flight=1) as session:
        await session.wait_until(State.OPEN)
        await session.send("one", message_id="1")
        await session.send("two", message_id="2")
        began = now()
        record = await session.close()
        assert now() - began == pytest.approx(4.0, abs=0.1)
        assert record is not None
        assert record.clean
    assert server.peer.close_received == (1000, "")
