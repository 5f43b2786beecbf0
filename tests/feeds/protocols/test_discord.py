"""Discord's gateway, against a server written from its documentation."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from resilient_ws import ConnectionDropped, Fatal, GaveUp, Reconnect, connect
from resilient_ws.feeds import (
    Channel,
    Gap,
    LoginRefused,
    MessageOdd,
    NotBackfillable,
    StreamReset,
    SubscribeRefused,
)
from resilient_ws.feeds.protocols import Discord
from resilient_ws.inbox import Inbox
from resilient_ws.testing import ClientGone, ScriptedServer, assert_no_leaks
from tests.feeds.talk import now, take, until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws.testing import Peer


TOKEN = "Bot.very-secret.token"
QUERY = "?v=10&encoding=json"


@attrs.define
class Kept:
    """What the gateway keeps of a session: its events, for a resumption."""

    number: int = 0
    events: list[str] = attrs.Factory(list)


class Gateway:
    """A gateway with one client after the other."""

    def __init__(self) -> None:
        self.server = ScriptedServer(self.play)
        self.interval = 40_000
        self.sessions: dict[str, Kept] = {}
        self.identified: list[dict[str, Any]] = []
        self.resumed: list[int] = []
        self.beats: list[tuple[float, Any]] = []
        self.acks = True
        #: What is answered to the next logins, in place of what is right.
        self.answers: list[str | int] = []
        self.resume_url: Any = None
        self.session = ""
        self.peer: Peer

    async def play(self, peer: Peer) -> None:
        await peer.accept()
        await peer.send(op(10, {"heartbeat_interval": self.interval, "_trace": ["x"]}))
        while True:
            message = json.loads(await peer.receive())
            await self.answer(peer, message["op"], message["d"])

    async def answer(self, peer: Peer, opcode: int, data: Any) -> None:
        if opcode == 1:
            self.beats.append((now(), data))
            if self.acks:
                await peer.send(op(11))
        elif self.answers:
            await self.refuse(peer, self.answers.pop(0))
        elif opcode == 2:
            self.identified.append(data)
            await (self.begin(peer) if data["token"] == TOKEN else peer.close(4004))
        elif opcode == 6:
            await self.resume(peer, data)
        else:
            await peer.close(4001, "Unknown opcode.")

    async def refuse(self, peer: Peer, what: str | int) -> None:
        if isinstance(what, str):
            await peer.send(what)
        else:
            await peer.close(what, "as the test says")

    async def begin(self, peer: Peer) -> None:
        self.peer, self.session = peer, f"s{len(self.identified)}"
        self.sessions[self.session] = Kept()
        url = self.server.url("/resume") if self.resume_url is None else self.resume_url
        ready = {"v": 10, "session_id": self.session, "resume_gateway_url": url}
        await self.dispatch("READY", ready)

    async def resume(self, peer: Peer, data: Any) -> None:
        self.resumed.append(data["seq"])
        kept = self.sessions.get(data["session_id"])
        if data["token"] != TOKEN:
            await peer.close(4004)
        elif kept is None:
            await peer.send(op(9, data=False))
        elif data["seq"] > kept.number:
            await peer.close(4007, "Invalid seq.")
        else:
            self.peer, self.session = peer, data["session_id"]
            await peer.send(*kept.events[data["seq"] :])
            await self.dispatch("RESUMED", {})

    async def dispatch(self, kind: str, data: Any) -> None:
        """Send an event to the client, or keep it for a resumption if it is gone."""
        kept = self.sessions[self.session]
        kept.number += 1
        kept.events.append(
            json.dumps({"op": 0, "t": kind, "s": kept.number, "d": data})
        )
        with contextlib.suppress(ClientGone):
            await self.peer.send(kept.events[-1])

    async def say(self, *texts: Any) -> None:
        for text in texts:
            await self.dispatch("MESSAGE_CREATE", {"content": text})


def op(opcode: int, data: Any = None) -> str:
    return json.dumps({"op": opcode, "d": data, "s": None, "t": None})


@contextlib.asynccontextmanager
async def bot(
    *, token: str = TOKEN, report: Any = None, inbox: Inbox | None = None
) -> AsyncIterator[tuple[Gateway, Channel, Discord]]:
    """A gateway, and a bot that has logged in."""
    gateway = Gateway()
    async with assert_no_leaks(), gateway.server as server:
        discord = Discord(server.url(f"/{QUERY}"), token, 513, shard=[0, 1])
        async with Channel(
            connect(discord.url, inbox=inbox), discord, report=report
        ) as feed:
            yield gateway, feed, discord


def said(items: list[Any]) -> list[Any]:
    """Return what each message says, and for a gap why it is one."""
    return [type(i.because) if isinstance(i, Gap) else i.data["content"] for i in items]


async def test_a_bot_identifies_and_gets_events_in_their_order() -> None:
    async with bot() as (gateway, feed, discord):
        (login,) = gateway.identified
        assert login["token"] == TOKEN
        assert login["intents"] == 513
        assert login["shard"] == [0, 1]
        assert set(login["properties"]) == {"os", "browser", "device"}
        assert discord.ready["session_id"] == "s1"
        messages = await feed.subscribe(
            discord.events("MESSAGE_CREATE", "MESSAGE_DELETE")
        )
        rest = await feed.subscribe(discord.events())
        with pytest.raises(SubscribeRefused):
            await feed.subscribe(discord.events("MESSAGE_DELETE"))
        for kind in ["MESSAGE_CREATE", "TYPING_START", "MESSAGE_DELETE", "NEW"]:
            await gateway.dispatch(kind, {"of": kind})
        found = await take(messages, 2)
        assert [(e.type, e.number) for e in found] == [
            ("MESSAGE_CREATE", 2),
            ("MESSAGE_DELETE", 4),
        ]
        assert [event.data["of"] for event in await take(rest, 2)] == [
            "TYPING_START",
            "NEW",
        ]


async def test_events_right_behind_the_login_are_there() -> None:
    async with bot() as (gateway, feed, discord):
        for guild in range(200):
            await gateway.dispatch("GUILD_CREATE", {"id": guild})
        await asyncio.sleep(1)
        guilds = await feed.subscribe(discord.events("GUILD_CREATE"))
        assert [e.data["id"] for e in await take(guilds, 200)] == [*range(200)]


async def test_heartbeats_carry_the_number_and_begin_by_chance() -> None:
    first_beats = []
    for _ in range(5):
        async with bot() as (gateway, _, _):
            begin = now()
            await gateway.say("a", "b")
            await asyncio.sleep(130)
            times = [when - begin for when, _ in gateway.beats]
            assert {number for _, number in gateway.beats} == {3}
            assert 3 <= len(times) <= 4
            assert 0 < times[0] < 40.1
            assert times[1] - times[0] == pytest.approx(40, abs=0.1)
            first_beats.append(round(times[0], 3))
    assert len(set(first_beats)) == 5


async def test_a_heartbeat_that_is_asked_for_is_sent_at_once() -> None:
    async with bot() as (gateway, _, _):
        await gateway.peer.send(op(1))
        await until(lambda: gateway.beats)
        assert gateway.beats[0][1] == 1


async def test_a_drop_is_resumed_where_discord_says() -> None:
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        await gateway.say(1, 2)
        await take(messages, 2)
        await gateway.peer.drop()
        await gateway.say(3, 4)
        assert said(await take(messages, 2)) == [3, 4]
        await gateway.say(5)
        assert said(await take(messages, 1)) == [5]
        assert gateway.resumed == [3]
        assert len(gateway.identified) == 1
        assert gateway.server.peer.path == f"/resume{QUERY}"
        assert messages.gaps == 0


async def test_a_quiet_stream_has_no_gap_either() -> None:
    async with bot() as (gateway, feed, discord):
        quiet = await feed.subscribe(discord.events("GUILD_BAN_ADD"))
        for _ in range(3):
            await gateway.peer.drop()
            await gateway.server.arrivals(len(gateway.server.peers) + 1)
            await asyncio.sleep(1)
        await gateway.dispatch("GUILD_BAN_ADD", {"content": "at last"})
        assert said(await take(quiet, 1)) == ["at last"]


async def test_a_long_replay_is_taken_whole() -> None:
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        await gateway.peer.drop()
        await gateway.say(*range(5000))
        assert said(await take(messages, 5000)) == [*range(5000)]
        assert messages.gaps == 0


async def test_what_is_replayed_again_comes_once() -> None:
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        await gateway.say(1, 2)
        await take(messages, 2)
        kept = gateway.sessions["s1"]
        await gateway.peer.send(*kept.events[1:])
        await gateway.say(3)
        assert said(await take(messages, 1)) == [3]


async def test_a_number_that_is_left_out_is_a_gap_of_all_streams() -> None:
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        rest = await feed.subscribe(discord.events())
        await gateway.say(1)
        gateway.sessions["s1"].number += 1
        await gateway.dispatch("TYPING_START", {"content": "typing"})
        await gateway.say(2)
        assert said(await take(messages, 3)) == [1, NotBackfillable, 2]
        assert said(await take(rest, 2)) == [NotBackfillable, "typing"]


async def test_what_an_inbox_left_is_a_gap() -> None:
    inbox = Inbox(max_messages=10, overflow="drop_oldest")
    async with bot(inbox=inbox) as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        kept = gateway.sessions["s1"]
        events = [
            json.dumps({"op": 0, "t": "MESSAGE_CREATE", "s": n, "d": {"content": n}})
            for n in range(2, 102)
        ]
        kept.events += events
        kept.number = 101
        await gateway.peer.send(*events)
        found = said(await take(messages, 11))
        assert found == [NotBackfillable, *range(92, 102)]


@pytest.mark.parametrize("reason", ["op 7", "no heartbeat ACK"])
async def test_a_new_connection_keeps_the_session(reason: str) -> None:
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        await gateway.say(1)
        first = gateway.peer
        if reason == "op 7":
            await first.send(op(7))
        else:
            gateway.acks = False
            # The session's own pings are answered: the socket lives.
            await gateway.server.arrivals(2)
            assert 1 <= len(gateway.beats) <= 2
            gateway.acks = True
        await until(lambda: gateway.resumed)
        # With 1000 or 1001 Discord would end the session.
        assert first.close_received is not None
        assert first.close_received[0] == 4000
        await gateway.say(2)
        assert said(await take(messages, 2)) == [1, 2]
        assert len(gateway.identified) == 1


async def test_an_invalid_session_is_begun_anew_and_tells_the_gap() -> None:
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        await gateway.say(1)
        await take(messages, 1)
        await gateway.peer.drop()
        gateway.sessions.clear()  # it was away for too long
        await until(lambda: gateway.resumed)
        before = now()
        await until(lambda: len(gateway.identified) == 2)
        # After 1 to 5 seconds, as Discord wants it, and where the bot began.
        assert 1 <= now() - before <= 6
        assert gateway.peer.path == f"/{QUERY}"
        await gateway.say(2)
        assert said(await take(messages, 2)) == [StreamReset, 2]


async def test_an_invalid_session_that_may_be_resumed_is() -> None:
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        await gateway.peer.send(op(9, data=True))
        await until(lambda: gateway.resumed)
        assert gateway.server.peers[0].close_received == (4000, "")
        await gateway.say(1)
        assert said(await take(messages, 1)) == [1]
        assert len(gateway.identified) == 1


@pytest.mark.parametrize("code", [4007, 4009])
async def test_a_session_that_is_closed_for_good_is_not_resumed(code: int) -> None:
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        await gateway.say(1)
        await take(messages, 1)
        await gateway.peer.close(code)
        await until(lambda: len(gateway.identified) == 2)
        assert gateway.resumed == []
        await gateway.say(2)
        assert said(await take(messages, 2)) == [StreamReset, 2]


@pytest.mark.parametrize("code", [4000, 4001, 4002, 4003, 4005, 4008, 1001, 1006])
async def test_other_codes_are_resumed(code: int) -> None:
    async with bot() as (gateway, _, _):
        await (gateway.peer.drop() if code == 1006 else gateway.peer.close(code))
        await until(lambda: gateway.resumed)
        assert len(gateway.identified) == 1


@pytest.mark.parametrize("code", [4004, 4010, 4011, 4012, 4013, 4014])
async def test_a_bot_that_is_not_wanted_stops(code: int) -> None:
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events())
        await gateway.peer.close(code)
        with pytest.raises(Fatal, match=str(code)):
            await anext(messages)
        assert len(gateway.server.dials) == 1


async def test_a_wrong_token_is_tried_once() -> None:
    gateway = Gateway()
    async with assert_no_leaks(), gateway.server as server:
        discord = Discord(server.url(f"/{QUERY}"), "another-secret-token", 0)
        with pytest.raises(Fatal, match="4004") as refused:
            await Channel(connect(discord.url), discord).__aenter__()
        assert len(gateway.identified) == 1
        assert "secret" not in str(refused.value)


async def test_a_refused_login_waits_for_the_backoff() -> None:
    """A bot has a thousand logins a day: one a second would cost it its token."""
    gateway = Gateway()
    gateway.answers += 1000 * [op(9, data=False)]
    async with assert_no_leaks(), gateway.server as server:
        discord = Discord(server.url(f"/{QUERY}"), TOKEN, 0)
        with pytest.raises(LoginRefused):
            await Channel(connect(discord.url, wait_open=600), discord).__aenter__()
        assert len(server.dials) < 60


async def test_a_resumption_that_is_always_refused_meets_a_backoff() -> None:
    async with bot() as (gateway, _, _):
        gateway.answers += 1000 * [op(9, data=True)]
        await gateway.peer.drop()
        await asyncio.sleep(600)
        assert len(gateway.server.dials) < 60


async def test_a_resumption_that_always_fails_is_given_up() -> None:
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        await gateway.say(1)
        await take(messages, 1)
        gateway.answers += 3 * [4000]
        await gateway.peer.drop()
        await until(lambda: len(gateway.identified) == 2)
        paths = [peer.path for peer in gateway.server.peers]
        assert paths == [f"/{QUERY}", *3 * [f"/resume{QUERY}"], f"/{QUERY}"]
        await gateway.say(2)
        assert said(await take(messages, 2)) == [StreamReset, 2]


async def test_many_resumptions_that_work_are_none_too_many() -> None:
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        for number in range(10):
            await gateway.peer.drop()
            await gateway.say(number)
            assert said(await take(messages, 1)) == [number]
        assert len(gateway.resumed) == 10
        assert len(gateway.identified) == 1


async def test_a_heartbeat_is_sent_in_the_middle_of_a_login() -> None:
    gateway = Gateway()
    gateway.answers += [op(1)]
    async with assert_no_leaks(), gateway.server as server:
        discord = Discord(server.url(f"/{QUERY}"), TOKEN, 0)
        async with Channel(connect(discord.url, wait_open=False), discord) as feed:
            await until(lambda: gateway.beats)
            assert gateway.beats[0][1] is None
            await gateway.begin(server.peer)
            messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
            await gateway.say(1)
            assert said(await take(messages, 1)) == [1]


async def test_a_resume_url_that_leads_nowhere_is_left_after_a_while() -> None:
    async with ScriptedServer() as gone:
        nowhere = gone.url("/resume")
    async with bot() as (gateway, feed, discord):
        gateway.resume_url = nowhere
        await gateway.peer.close(4009)
        await until(lambda: len(gateway.identified) == 2)
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        await gateway.peer.drop()
        await gateway.say(1)
        assert said(await take(messages, 1)) == [1]
        assert gateway.server.peer.path == f"/{QUERY}"


@pytest.mark.parametrize(
    "url",
    [
        7,
        "",
        "nowhere",
        "http://127.0.0.1/",
        "wss://",
        "ws://a b/",
        "ws://u:p@x/",
        "ws://[::1",
    ],
)
async def test_a_resume_url_that_makes_no_sense_is_not_dialled(url: Any) -> None:
    async with bot() as (gateway, _, _):
        gateway.resume_url = url
        await gateway.peer.close(4009)
        await until(lambda: len(gateway.identified) == 2)
        await gateway.peer.drop()
        await until(lambda: gateway.resumed)
        assert gateway.server.peer.path == f"/{QUERY}"


async def test_a_bot_that_dials_by_itself_is_told_so() -> None:
    gateway = Gateway()
    async with assert_no_leaks(), gateway.server as server:
        discord = Discord(server.url(), TOKEN, 0)
        with pytest.raises(Fatal, match=r"connect\(protocol.url\)"):
            await Channel(connect(server.url()), discord).__aenter__()
        assert gateway.identified == []


BAD_LOGINS = [
    op(10, {"heartbeat_interval": "often"}),
    op(10),
    json.dumps({"op": 10}),
]


@pytest.mark.parametrize("hello", BAD_LOGINS)
async def test_a_greeting_that_makes_no_sense_is_a_failed_attempt(hello: str) -> None:
    async def greet(peer: Peer) -> None:
        await peer.accept()
        await peer.send("{", "[]", '"hello"', hello)
        await peer.ended()

    async with assert_no_leaks(), ScriptedServer(greet) as server:
        discord = Discord(server.url(), TOKEN, 0)
        with pytest.raises(LoginRefused, match="heartbeat_interval"):
            await Channel(connect(discord.url, wait_open=5), discord).__aenter__()
        assert len(server.dials) > 1


async def misfortune(
    gateway: Gateway, chance: random.Random, events: list[int]
) -> None:
    """Send an event or two, and have something go wrong."""
    for _ in range(chance.randrange(4)):
        events.append(len(events))
        await gateway.say(events[-1])
    match chance.randrange(8):
        case 0:
            await gateway.peer.reset()
        case 1:
            await gateway.peer.drop()
        case 2:
            await gateway.refuse(gateway.peer, chance.choice([4000, 4009, 1012]))
        case 3:
            await gateway.refuse(gateway.peer, op(chance.choice([1, 7])))
        case 4:
            await gateway.refuse(gateway.peer, op(9, data=chance.random() < 0.5))
        case 5:
            gateway.acks = not gateway.acks
        case 6:
            answers: list[str | int] = [4000, 4007, op(9, data=False)]
            gateway.answers.append(chance.choice(answers))
        case _:
            gateway.sessions = {gateway.session: gateway.sessions[gateway.session]}
    await asyncio.sleep(chance.choice([0, 0, 0.3, 5, 60]))


@pytest.mark.parametrize("seed", range(20))
async def test_no_event_is_lost_in_silence(seed: int) -> None:
    chance = random.Random(seed)
    events = [0]
    async with bot() as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        for _ in range(60):
            with contextlib.suppress(ClientGone):
                await misfortune(gateway, chance, events)
        gateway.acks = True
        gateway.answers.clear()
        # Long enough for the longest backoff.
        await asyncio.sleep(300)
        await gateway.say("the end")
        found: list[Any] = []
        while not found or said(found[-1:]) != ["the end"]:
            found += await take(messages, 1)
        last = 0
        for earlier, later in pairwise([messages, *found]):
            if isinstance(later, Gap) or later.data["content"] == "the end":
                continue
            number = later.data["content"]
            assert number > last
            assert number == last + 1 or isinstance(earlier, Gap)
            last = number
        assert last == events[-1] or isinstance(found[-2], Gap)
        # A gap is where a session was lost, and nowhere else.
        assert messages.gaps <= len(gateway.identified) - 1


HOSTILE = [
    "",
    "[]",
    "{}",
    "[" * 100_000,
    '{"op": null}',
    '{"op": "0"}',
    '{"op": 0}',
    '{"op": 0, "t": null, "s": null, "d": null}',
    '{"op": 0, "t": "X", "s": "2", "d": null}',
    '{"op": 9}',
    '{"op": 99}',
]


@pytest.mark.usefixtures("without_collection")
async def test_what_makes_no_sense_is_counted_and_does_no_harm() -> None:
    odd: list[MessageOdd] = []
    async with bot(report=odd.append) as (gateway, feed, discord):
        messages = await feed.subscribe(discord.events("MESSAGE_CREATE"))
        await gateway.peer.send(*HOSTILE, op(10), op(11))
        await gateway.say(1)
        assert said(await take(messages, 1)) == [1]
        assert len(gateway.server.dials) == 1
    assert len(odd) == len(HOSTILE)


async def test_nothing_tells_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    drops: list[Any] = []
    gateway = Gateway()
    async with assert_no_leaks(), gateway.server as server:
        discord = Discord(server.url(f"/{QUERY}"), TOKEN, 0)
        session = connect(discord.url, reconnect=Reconnect(max_outage=30))
        session.on(ConnectionDropped, drops.append)
        async with Channel(session, discord) as feed:
            events = await feed.subscribe(discord.events())
            gateway.answers += 1000 * [4000]
            await gateway.peer.drop()
            with pytest.raises(GaveUp) as gave_up:
                await anext(events)
    told = f"{caplog.text} {gave_up.value!r} {drops!r} {session!r} {discord!r}"
    assert "very-secret" not in told
