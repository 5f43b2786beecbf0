"""A client under every order of calls, answers, drops, floods and timeouts."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from resilient_ws import State
from resilient_ws.feeds import (
    CallLost,
    CallTimeout,
    RPCError,
    Stage,
    SubscribeRefused,
    Subscription,
    consecutive,
)
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.state import DeliveryState
from resilient_ws.testing import VirtualLoop
from tests.feeds.hostile import MESSAGES
from tests.feeds.scripted_session import ScriptedSession
from tests.feeds.stream import judge
from tests.record import no_collection


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


TIMEOUT = 5.0
IN_FLIGHT = 6
EARLY = 4
SIZE = 3


@attrs.define(eq=False)
class Call:
    """A call as the test knows it."""

    number: int
    repeat: bool
    began: float
    task: asyncio.Task[Any]
    answered: str | None = None
    judged: bool = False


@attrs.define(eq=False)
class Held:
    """A subscription as the test knows it."""

    topic: str
    task: asyncio.Task[Subscription[Any]]
    taken: list[Any] = attrs.Factory(list)
    subscription: Subscription[Any] | None = None
    reading: asyncio.Task[Any] | None = None
    closed: bool = False


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="resilient_ws")


class ChannelMachine(RuleBasedStateMachine):
    """Plays both sides of a client, and judges what its user sees."""

    calls: Bundle[Any] = Bundle("calls")
    topics: Bundle[Any] = Bundle("topics")

    @initialize()
    def begin(self) -> None:
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        self.session = ScriptedSession()
        self.numbers = iter(range(1, 1_000_000))
        self.made: list[Call] = []
        self.held: list[Held] = []
        self.newest: dict[str, int] = {}
        #: The keys that the server has granted on its connection: more than one for a
        #: topic, where it answers a request after the client had asked again.
        self.keys: dict[str, dict[str, None]] = {}
        self.seen = 0
        self.closing: list[asyncio.Task[None]] = []
        self.pending: dict[int, dict[str, Any]] = {}
        self.behaves = False
        self.client = Client(
            self.session.session,
            timeout=TIMEOUT,
            max_in_flight=IN_FLIGHT,
        )
        channel = self.client.channel
        channel._options = attrs.evolve(channel._options, early=EARLY)
        self.run(self.client.__aenter__())
        self.session.open()
        self.settle()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def settle(self) -> None:
        """Let everything happen that takes no time."""

        async def turns() -> None:
            for _ in range(40):
                await asyncio.sleep(0)
                self.look()

        self.run(turns())

    def look(self) -> None:
        """See what the server got."""
        for epoch, message in self.session.sent[self.seen :]:
            self.seen += 1
            data = json.loads(message)
            for request in data if isinstance(data, list) else [data]:
                if "method" in request and "id" in request:
                    self.pending[request["id"]] = {**request, "epoch": epoch}
                    if self.behaves:
                        self.answer_rightly(request["id"])

    # The user.

    @rule(target=calls, repeat=st.booleans())
    def call(self, repeat: bool) -> Call:
        number = next(self.numbers)
        work = self.client.call("do", [number], repeat=repeat)
        call = Call(number, repeat, self.loop.time(), self.loop.create_task(work))
        self.made.append(call)
        self.settle()
        return call

    @rule(call=calls)
    def cancel(self, call: Call) -> None:
        if not call.task.done():
            call.task.cancel()
            call.judged = True
        self.settle()

    @rule(target=topics, count=st.integers(0, 2))
    def subscribe(self, count: int) -> Any:
        if len(self.held) > 4:
            return multiple()
        topic = f"t{len(self.held)}"
        self.newest[topic] = count
        task = self.loop.create_task(self._subscribe(topic))
        self.held.append(Held(topic, task))
        self.settle()
        return topic

    async def _subscribe(self, topic: str) -> Subscription[Any]:
        async def backfill(after: int, until: int | None) -> AsyncIterator[int]:
            for number in await self.client.call(
                "range", [topic, after, until], repeat=True
            ):
                yield number

        return await self.client.subscribe(
            "sub",
            [topic],
            unsubscribe="unsub",
            parse=_number,
            cursor_of=int,
            follows=consecutive(int),
            backfill=backfill,
            buffer=SIZE,
        )

    @rule(count=st.integers(1, 6))
    def read(self, count: int) -> None:
        for held in self.held:
            for _ in range(count):
                self._read(held)

    def _read(self, held: Held) -> bool:
        """Take one item, if there is one."""
        if held.subscription is None or not held.subscription.lag:
            return False
        held.taken.append(self.run(anext(held.subscription)))
        self.settle()
        return True

    @rule(index=st.integers(0, 4))
    def close(self, index: int) -> None:
        if index < len(self.held):
            held = self.held[index]
            held.closed = True
            if held.subscription is None:
                held.task.cancel()
            else:
                self.closing.append(self.loop.create_task(held.subscription.aclose()))
            self.settle()

    # The server.

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), how=st.sampled_from(["right", "error", "twice", "null"]))
    def answer(self, data: st.DataObject, how: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.pending)))
        request = self.pending[number]
        if not self.is_current(request):
            del self.pending[number]
            return
        if how == "error":
            error = {"code": -1, "message": "no"}
            self.respond(number, error=error)
        elif how == "null" and request["method"] == "unsub":
            self.respond(number, result=None)
        else:
            if how == "twice":
                self.answer_rightly(number, keep=True)
            self.answer_rightly(number)
        self.settle()

    def is_current(self, request: dict[str, Any]) -> bool:
        return (
            self.session.state is State.OPEN and request["epoch"] == self.session.epoch
        )

    def answer_rightly(self, number: int, *, keep: bool = False) -> None:
        request = self.pending[number]
        method, params = request["method"], request["params"]
        if not self.is_current(request):
            del self.pending[number]
            return
        result: Any = params[0]
        if method == "sub":
            result = f"{request['epoch']}/{number}"
            self.keys.setdefault(params[0], {})[result] = None
        elif method == "range":
            topic, after, until = params
            end = self.newest[topic] if until is None else until
            result = list(range(after + 1, end + 1))
        self.respond(number, keep=keep, result=result)

    def respond(self, number: int, *, keep: bool = False, **what: Any) -> None:
        request = self.pending[number] if keep else self.pending.pop(number)
        if request["method"] == "do":
            for call in self.made:
                mine = call.number == request["params"][0]
                if mine and call.answered is None and not call.task.done():
                    call.answered = next(iter(what))
        self.session.receive({"jsonrpc": "2.0", "id": number, **what})

    @rule(topic=topics, sent=st.integers(0, 8), lost=st.integers(0, 2))
    def news(self, topic: str, sent: int, lost: int) -> None:
        self.newest[topic] += lost
        for _ in range(sent):
            self.newest[topic] += 1
            self.notify(topic)
        self.settle()

    def notify(self, topic: str) -> None:
        if self.session.state is State.OPEN:
            for key in self.keys.get(topic, ()):
                self.session.receive(_news(key, self.newest[topic]))

    @precondition(lambda self: any(r["method"] == "sub" for r in self.pending.values()))
    @rule(sent=st.integers(1, 6))
    def news_before_the_answer(self, sent: int) -> None:
        number = next(n for n, r in self.pending.items() if r["method"] == "sub")
        request = self.pending[number]
        if self.is_current(request):
            topic = request["params"][0]
            for _ in range(sent):
                self.newest[topic] += 1
                key = f"{request['epoch']}/{number}"
                self.session.receive(_news(key, self.newest[topic]))
            self.answer_rightly(number)
            self.settle()

    @rule(message=st.sampled_from(MESSAGES))
    def nonsense(self, message: str) -> None:
        if self.session.state is State.OPEN:
            with no_collection():
                self.session.receive(message)
                self.settle()

    # The link.

    @precondition(lambda self: self.session.state is State.OPEN)
    @rule(settle=st.booleans())
    def drop(self, settle: bool) -> None:
        self.session.drop()
        self.keys.clear()
        self.settle()
        if settle:
            self.check_nothing_hangs()

    @precondition(lambda self: self.session.state is State.OPEN)
    @rule()
    def replace(self) -> None:
        self.session.replace()
        self.keys.clear()
        self.settle()
        self.check_nothing_hangs()

    def check_nothing_hangs(self) -> None:
        """A drop fails at once what was sent on the connection."""
        for call in self.made:
            if not call.task.done():
                assert call.repeat or not self.executions(call), call

    @precondition(lambda self: self.session.state is State.BACKOFF)
    @rule()
    def open(self) -> None:
        self.session.open()
        self.settle()

    @precondition(lambda self: self.session.state is State.OPEN)
    @rule(lost=st.integers(0, 3))
    def overflow(self, lost: int) -> None:
        for topic in self.newest:
            self.newest[topic] += lost
        suspect = [call for call in self.made if self.executions(call)]
        self.session.discard()
        self.settle()
        assert all(call.task.done() or call.repeat for call in suspect), suspect

    @rule(state=st.sampled_from([None, DeliveryState.QUEUED, DeliveryState.DROPPED]))
    def transport(self, state: DeliveryState | None) -> None:
        """What is sent from now on is transmitted, or only accepted, or dropped."""
        self.session.on_send = None if state is None else lambda _: state

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 4.9, 5.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))
        self.settle()

    # The judge.

    def executions(self, call: Call) -> int:
        sent = self.session.requests("do")
        return sum(request["params"][0] == call.number for request in sent)

    @invariant()
    def each_call_ends_in_one_way(self) -> None:
        for call in getattr(self, "made", []):
            if call.judged:
                continue
            if not call.task.done():
                assert self.loop.time() <= call.began + TIMEOUT, call
                continue
            call.judged = True
            executions = self.executions(call)
            assert call.repeat or executions <= 1
            failure = call.task.exception()
            if failure is None:
                assert call.task.result() == call.number
                assert call.answered == "result"
            elif isinstance(failure, RPCError):
                assert call.answered == "error"
            else:
                assert isinstance(failure, CallLost | CallTimeout), failure
                assert call.answered is None
                assert failure.maybe_executed == bool(executions)
                if isinstance(failure, CallTimeout):
                    assert self.loop.time() >= call.began + TIMEOUT
                else:
                    assert not call.repeat

    @invariant()
    def subscriptions_are_known(self) -> None:
        for held in getattr(self, "held", []):
            if held.subscription is None and held.task.done() and not held.closed:
                failure = held.task.exception()
                if failure is None:
                    held.subscription = held.task.result()
                else:
                    assert isinstance(failure, SubscribeRefused), failure
                    held.closed = True

    @invariant()
    def nothing_grows(self) -> None:
        if not hasattr(self, "client"):
            return
        channel = self.client.channel
        assert channel._board is not None
        assert len(channel._board._registry._early) <= EARLY
        assert channel.statistics().calls_in_flight <= IN_FLIGHT
        # The pump, what goes out, and for each subscription its own, and farewells.
        assert len(channel._tasks) <= 2 + 3 * len(self.held), channel._tasks
        for held in self.held:
            if held.subscription is not None:
                # What was held comes before the end.
                most = 2 * SIZE if held.subscription._buffer._ended else SIZE
                assert held.subscription.lag <= most + 1

    def teardown(self) -> None:
        if not hasattr(self, "client"):
            return
        self.behaves = True
        self.session.on_send = None
        if self.session.state is not State.OPEN:
            self.session.open()
        for number in sorted(self.pending):
            self.answer_rightly(number)
        self.settle()
        # Until every pause is over: the link stands, and the server answers.
        for _ in range(400):
            moved = [self._read(held) for held in self.held]
            self.subscriptions_are_known()
            if not any(moved):
                self.run(asyncio.sleep(0.5))
                self.settle()
        for held in self.held:
            if not held.closed:
                self.finish(held)
        self.each_call_ends_in_one_way()
        assert all(call.task.done() for call in self.made)
        self.run(self.client.__aexit__(None, None, None))
        self.settle()
        rest = asyncio.all_tasks(self.loop)
        assert not rest, rest
        asyncio.set_event_loop(None)
        self.loop.close()

    def finish(self, held: Held) -> None:
        """The subscription lives, and what its consumer got has no silent hole."""
        self.newest[held.topic] += 1
        self.notify(held.topic)
        self.settle()
        while self._read(held):
            pass
        subscription = held.subscription
        if subscription is None:
            raise AssertionError(f"{held} is not granted")
        if subscription.state is Stage.DOWN:
            # The server refused it anew after a drop, and it says so.
            try:
                self.run(asyncio.wait_for(anext(subscription), 1))
            except SubscribeRefused:
                return
        assert subscription.state is Stage.LIVE, subscription
        judge(held.taken)
        assert held.taken[-1] == self.newest[held.topic], held


def _number(value: Any) -> int:
    if not isinstance(value, dict):
        raise TypeError
    number: int = value["n"]
    return number


def _news(key: str, number: int) -> dict[str, Any]:
    params = {"subscription": key, "result": {"n": number}}
    return {"jsonrpc": "2.0", "method": "news", "params": params}


ChannelMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestChannel = ChannelMachine.TestCase
