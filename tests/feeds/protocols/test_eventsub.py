"""Twitch's EventSub, against a server written from its documentation."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from resilient_ws import Fatal, Liveness, connect
from resilient_ws.feeds import (
    Channel,
    Gap,
    LoginRefused,
    MessageOdd,
    Stage,
    StreamEnded,
    SubscribeRefused,
)
from resilient_ws.feeds.protocols import EventSub
from resilient_ws.testing import ClientGone, ScriptedServer, assert_no_leaks
from tests.feeds.talk import now, take, until


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from resilient_ws.testing import Peer


QUIET = Liveness(ping_interval=None)


class Twitch:
    """The WebSocket server and the HTTP interface, which know of each other."""

    def __init__(self) -> None:
        self.server = ScriptedServer(self.play)
        self.keepalive = 10
        #: Seconds between two keepalives.
        self.every = 10.0
        self.posts: list[tuple[str, str]] = []
        self.deleted: list[str] = []
        self.failures: list[Exception] = []
        self.subscriptions: dict[str, list[str]] = {}
        self.reconnects: dict[str, str] = {}
        self.session = ""
        self.peer: Peer

    async def play(self, peer: Peer) -> None:
        await peer.accept()
        moved = self.reconnects.pop(peer.path, None)
        session = f"session-{len(self.server.peers)}"
        self.subscriptions[session] = self.subscriptions.get(moved or "", [])
        self.peer, self.session = peer, session
        await peer.send(self.welcome(session))
        while not peer.gone:
            await asyncio.sleep(self.every)
            if peer.received or peer.pings:
                await peer.close(4001, "client sent inbound traffic")
            elif not self.subscriptions[session]:
                await peer.close(4003, "connection unused")
            await peer.send(message("session_keepalive", {}))

    def welcome(self, session: str) -> str:
        about = {
            "id": session,
            "status": "connected",
            "keepalive_timeout_seconds": self.keepalive,
            "reconnect_url": None,
        }
        return message("session_welcome", {"session": about})

    def post(self, kind: str) -> Callable[[str], Awaitable[str]]:
        async def subscribe(session_id: str) -> str:
            await asyncio.sleep(0.05)
            self.posts.append((kind, session_id))
            if self.failures:
                raise self.failures.pop(0)
            key = f"{kind}-{len(self.posts)}"
            self.subscriptions[session_id].append(key)
            return key

        return subscribe

    async def delete(self, key: str) -> None:
        self.deleted.append(key)

    async def reconnect(self, url: Any = None) -> None:
        """Ask the client for a new connection."""
        path = f"/moved?id={self.session}"
        self.reconnects[path] = self.session
        about = {"id": self.session, "status": "reconnecting"}
        about["reconnect_url"] = self.server.url(path) if url is None else url
        await self.peer.send(message("session_reconnect", {"session": about}))

    async def notify(self, kind: str, number: int, **metadata: str) -> None:
        for key in self.subscriptions[self.session]:
            if key.startswith(kind):
                await self.peer.send(notification(key, number, **metadata))


def message(kind: str, payload: Any, **metadata: str) -> str:
    about = {"message_type": kind, "message_id": f"m{now()}{payload}", **metadata}
    return json.dumps({"metadata": about, "payload": payload})


def notification(key: str, number: int, **metadata: str) -> str:
    payload = {"subscription": {"id": key, "status": "enabled"}, "event": number}
    return message("notification", payload, **metadata)


@contextlib.asynccontextmanager
async def viewer(
    path: str = "/ws", **settings: Any
) -> AsyncIterator[tuple[Twitch, Channel, EventSub]]:
    twitch = Twitch()
    async with assert_no_leaks(), twitch.server as server:
        eventsub = EventSub(server.url(path))
        session = connect(eventsub.url, liveness=QUIET)
        async with Channel(session, eventsub, **settings) as feed:
            yield twitch, feed, eventsub


def events(items: list[Any]) -> list[Any]:
    return [None if isinstance(i, Gap) else i["payload"]["event"] for i in items]


async def test_subscriptions_are_made_for_the_session_of_the_welcome() -> None:
    async with viewer() as (twitch, feed, eventsub):
        assert eventsub.session_id == "session-1"
        follows = await feed.subscribe(eventsub.subscription(twitch.post("follow")))
        raids = await feed.subscribe(eventsub.subscription(twitch.post("raid")))
        assert twitch.posts == [("follow", "session-1"), ("raid", "session-1")]
        for number in range(5):
            await twitch.notify("follow", number)
            await twitch.notify("raid", -number)
        assert events(await take(follows, 5)) == [0, 1, 2, 3, 4]
        assert events(await take(raids, 5)) == [0, -1, -2, -3, -4]


async def test_a_client_says_nothing_for_an_hour_and_stays() -> None:
    async with viewer() as (twitch, feed, eventsub):
        follows = await feed.subscribe(eventsub.subscription(twitch.post("follow")))
        await asyncio.sleep(3600)
        await twitch.notify("follow", 1)
        assert events(await take(follows, 1)) == [1]
        assert len(twitch.server.dials) == 1


async def test_events_that_overtake_the_answer_of_the_post_are_there() -> None:
    async with viewer() as (twitch, feed, eventsub):

        async def subscribe(session_id: str) -> str:
            key = await twitch.post("follow")(session_id)
            for number in range(100):
                await twitch.notify("follow", number)
            await asyncio.sleep(2)
            return key

        follows = await feed.subscribe(eventsub.subscription(subscribe))
        assert events(await take(follows, 100)) == [*range(100)]


async def test_a_drop_leaves_a_gap_and_subscribes_on_the_new_session() -> None:
    async with viewer() as (twitch, feed, eventsub):
        follows = await feed.subscribe(eventsub.subscription(twitch.post("follow")))
        await twitch.notify("follow", 1)
        await twitch.peer.drop()
        await until(lambda: len(twitch.posts) == 2 and follows.state is Stage.LIVE)
        assert twitch.posts[1] == ("follow", "session-2")
        assert twitch.peer.path == "/ws"
        await twitch.notify("follow", 2)
        assert events(await take(follows, 3)) == [1, None, 2]


async def test_a_message_that_comes_again_is_yielded_once() -> None:
    async with viewer() as (twitch, feed, eventsub):
        follows = await feed.subscribe(eventsub.subscription(twitch.post("follow")))
        for number, name in enumerate(["a", "b", "a", "c"]):
            await twitch.notify("follow", number, message_id=name)
        assert events(await take(follows, 3)) == [0, 1, 3]
        assert follows.repeats == 1


async def test_a_reconnect_goes_where_twitch_says_and_subscribes_no_more() -> None:
    async with viewer() as (twitch, feed, eventsub):
        follows = await feed.subscribe(eventsub.subscription(twitch.post("follow")))
        await twitch.notify("follow", 1)
        old = twitch.peer
        await twitch.reconnect()
        await twitch.server.arrivals(2)
        # What the docstring says: the old connection is closed first.
        assert old.close_received == (1000, "")
        await until(lambda: eventsub.session_id == "session-2")
        await until(lambda: follows.state is Stage.LIVE)
        assert twitch.peer.path == "/moved?id=session-1"
        await twitch.notify("follow", 2)
        assert events(await take(follows, 3)) == [1, None, 2]
        assert len(twitch.posts) == 1
        # The URL is for one connection: a drop leads back to the first.
        await asyncio.sleep(100)
        await twitch.peer.drop()
        await until(lambda: len(twitch.posts) == 2)
        assert twitch.peer.path == "/ws"


async def test_events_right_behind_a_reconnect_are_there() -> None:
    async with viewer() as (twitch, feed, eventsub):
        source = eventsub.subscription(twitch.post("follow"))
        follows = await feed.subscribe(source)
        flood = [notification("follow-1", number) for number in range(200)]

        async def moved(peer: Peer) -> None:
            await peer.accept()
            await peer.send(twitch.welcome("session-2"), *flood)
            await peer.ended()

        twitch.server.play(moved)
        await twitch.reconnect()
        found = events(await take(follows, 201))
        assert found == [None, *range(200)]


@pytest.mark.parametrize("url", [None, 7, "nowhere", "http://127.0.0.1/", "ws://[::1"])
async def test_a_reconnect_to_nowhere_begins_anew(url: Any) -> None:
    async with viewer() as (twitch, feed, eventsub):
        follows = await feed.subscribe(eventsub.subscription(twitch.post("follow")))
        if url is None:
            async with ScriptedServer() as gone:
                url = gone.url("/moved")
        await twitch.reconnect(url)
        await until(lambda: len(twitch.posts) == 2)
        assert twitch.peer.path == "/ws"
        await until(lambda: follows.state is Stage.LIVE)
        await twitch.notify("follow", 1)
        assert events(await take(follows, 2)) == [None, 1]


async def test_a_reconnect_that_came_too_late_begins_anew() -> None:
    async with viewer() as (twitch, feed, eventsub):
        follows = await feed.subscribe(eventsub.subscription(twitch.post("follow")))

        async def refuse(peer: Peer) -> None:
            await peer.accept()
            await peer.close(4007, "invalid reconnect attempt")

        twitch.server.play(refuse, twitch.play)
        await twitch.reconnect()
        await until(lambda: len(twitch.posts) == 2)
        paths = [peer.path for peer in twitch.server.peers]
        assert paths == ["/ws", "/moved?id=session-1", "/ws"]
        await until(lambda: follows.state is Stage.LIVE)
        await twitch.notify("follow", 1)
        assert events(await take(follows, 2)) == [None, 1]


async def test_a_connection_without_its_keepalives_is_replaced() -> None:
    async with viewer() as (twitch, feed, eventsub):
        follows = await feed.subscribe(eventsub.subscription(twitch.post("follow")))
        twitch.every = 1000.0
        before = now()
        await twitch.server.arrivals(2)
        assert now() - before < 3 * 12
        await until(lambda: len(twitch.posts) == 2 and follows.state is Stage.LIVE)
        await twitch.notify("follow", 1)
        assert events(await take(follows, 2)) == [None, 1]


async def test_the_interval_of_the_keepalives_is_what_twitch_says() -> None:
    async with viewer("/ws?keepalive_timeout_seconds=600") as (twitch, _, eventsub):
        assert twitch.peer.path.endswith("=600")
        assert eventsub.beat_interval == 12
        twitch.keepalive = 600
        await twitch.peer.drop()
        await until(lambda: eventsub.beat_interval == 602)


@pytest.mark.parametrize("status", ["authorization_revoked", "x" * 10_000, None])
async def test_a_revocation_ends_its_subscription_alone(status: Any) -> None:
    async with viewer() as (twitch, feed, eventsub):
        source = eventsub.subscription(twitch.post("follow"))
        follows = await feed.subscribe(source)
        raids = await feed.subscribe(eventsub.subscription(twitch.post("raid")))
        await twitch.notify("follow", 1)
        about = {"id": "follow-1", "status": status}
        await twitch.peer.send(message("revocation", {"subscription": about}))
        assert events(await take(follows, 1)) == [1]
        with pytest.raises(StreamEnded) as ended:
            await anext(follows)
        assert str(status)[:20] in str(ended.value)
        assert len(str(ended.value)) < 200
        await twitch.notify("raid", 2)
        assert events(await take(raids, 1)) == [2]
        # The same source asks Twitch again.
        await feed.subscribe(source)
        assert [kind for kind, _ in twitch.posts] == ["follow", "raid", "follow"]


async def test_a_subscription_that_is_left_is_deleted() -> None:
    async with viewer() as (twitch, feed, eventsub):
        source = eventsub.subscription(twitch.post("follow"), twitch.delete)
        async with await feed.subscribe(source):
            assert twitch.deleted == []
        assert twitch.deleted == ["follow-1"]
        await feed.subscribe(source)
        assert len(twitch.posts) == 2


async def test_a_post_that_finds_no_network_is_made_again() -> None:
    async with viewer() as (twitch, feed, eventsub):
        twitch.failures += [ConnectionRefusedError(), TimeoutError()]
        await feed.subscribe(eventsub.subscription(twitch.post("follow")))
        assert len(twitch.posts) == 3


async def test_a_post_that_is_refused_ends_the_subscription() -> None:
    async with viewer() as (twitch, feed, eventsub):
        twitch.failures += [SubscribeRefused("Twitch says 403.")]
        with pytest.raises(SubscribeRefused, match="403"):
            await feed.subscribe(eventsub.subscription(twitch.post("follow")))
        assert len(twitch.posts) == 1


async def test_a_viewer_that_dials_by_itself_is_told_so() -> None:
    twitch = Twitch()
    async with assert_no_leaks(), twitch.server as server:
        session = connect(server.url("/ws"), liveness=QUIET)
        with pytest.raises(Fatal, match=r"connect\(protocol.url\)"):
            await Channel(session, EventSub()).__aenter__()


@pytest.mark.parametrize("session", [None, {}, {"id": 7}, {"id": "a"}, "x"])
async def test_a_welcome_that_makes_no_sense_is_a_failed_attempt(session: Any) -> None:
    async def greet(peer: Peer) -> None:
        await peer.accept()
        await peer.send("{", "[]", message("session_welcome", {"session": session}))
        await peer.ended()

    async with assert_no_leaks(), ScriptedServer(greet) as server:
        eventsub = EventSub(server.url())
        session_ = connect(eventsub.url, liveness=QUIET, wait_open=5)
        with pytest.raises(LoginRefused, match="session"):
            await Channel(session_, eventsub).__aenter__()
        assert len(server.dials) > 1


@pytest.mark.parametrize("seed", range(20))
async def test_no_event_is_lost_in_silence(seed: int) -> None:
    chance, sent = random.Random(seed), 0
    async with viewer() as (twitch, feed, eventsub):
        follows = await feed.subscribe(eventsub.subscription(twitch.post("follow")))
        while len(twitch.server.dials) < 15:
            for _ in range(chance.randrange(4)):
                sent += 1
                with contextlib.suppress(ClientGone):
                    await twitch.notify("follow", sent)
            with contextlib.suppress(ClientGone):
                match chance.randrange(6):
                    case 0:
                        await twitch.peer.reset()
                    case 1:
                        await twitch.peer.close(chance.choice([4000, 4005, 1001]))
                    case 2:
                        await twitch.reconnect(chance.choice([None, None, "nowhere"]))
                    case 3:
                        twitch.failures += [OSError()]
                    case _:
                        pass
            await asyncio.sleep(chance.choice([0, 0.01, 0.1, 1, 30]))
        await asyncio.sleep(120)
        await twitch.notify("follow", -1)
        found: list[Any] = [0]
        while found[-1] != -1:
            found += events(await take(follows, 1))
    for first, second in pairwise(found[:-1]):
        assert second is None or first is None or second == first + 1
    numbers = [number for number in found[:-1] if number is not None]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == sent or found[-2] is None


HOSTILE = [
    "",
    "[]",
    "{}",
    "[" * 100_000,
    '{"metadata": null, "payload": {}}',
    '{"metadata": {"message_type": "notification"}, "payload": {}}',
    '{"metadata": {"message_type": "notification"}, "payload": {"subscription": {"id": []}}}',
    '{"metadata": {"message_type": "session_reconnect"}, "payload": {}}',
    '{"metadata": {"message_type": "revocation"}, "payload": {"subscription": {"id": "x"}}}',
    '{"metadata": {"message_type": "something_new"}, "payload": {}}',
    '{"metadata": {"message_type": []}, "payload": {}}',
]


@pytest.mark.usefixtures("without_collection")
async def test_what_makes_no_sense_is_counted_and_does_no_harm() -> None:
    odd: list[MessageOdd] = []
    async with viewer(report=odd.append) as (twitch, feed, eventsub):
        follows = await feed.subscribe(eventsub.subscription(twitch.post("follow")))
        await twitch.peer.send(*HOSTILE)
        # Without an id, it could not be told from a repeat.
        bare = {"message_type": "notification"}
        payload = {"subscription": {"id": "follow-1"}, "event": 0}
        await twitch.peer.send(json.dumps({"metadata": bare, "payload": payload}))
        await twitch.notify("follow", 1)
        assert events(await take(follows, 1)) == [1]
        assert len(twitch.server.dials) == 1
    # An event for nobody is no offence, the end of nothing is one.
    assert len(odd) == len(HOSTILE) + 1
