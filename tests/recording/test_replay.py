"""A recording is played to a session that knows nothing of it."""

from __future__ import annotations

import asyncio
import itertools
import math
from typing import TYPE_CHECKING

import pytest

from resilient_ws import (
    Connection,
    ConnectionDropped,
    HandshakeRejected,
    Reconnect,
    connect,
)
from resilient_ws.recording import Entry, Recorder, Replay, read
from resilient_ws.recording.entries import line_of
from resilient_ws.testing import ScriptedServer


if TYPE_CHECKING:
    import pathlib

    from resilient_ws.testing import Peer

FIRST = '{"recording":1}'


def written(path: pathlib.Path, *entries: Entry) -> pathlib.Path:
    path.write_text("\n".join([FIRST, *map(line_of, entries), ""]))
    return path


def said(at: float, data: str, epoch: int = 1) -> Entry:
    return Entry(at=at, kind="text", epoch=epoch, data=data)


def _shown(item: object) -> object:
    if isinstance(item, ConnectionDropped) and item.close is not None:
        return item.close.code, item.close.reason
    return item if isinstance(item, str | bytes) else type(item).__name__


async def subscribe(connection: Connection) -> None:
    await connection.send("subscribe")


async def test_plays_what_was_recorded(tmp_path: pathlib.Path) -> None:
    async def feed(peer: Peer) -> None:
        await peer.accept(subprotocol="quotes")
        await peer.expect("subscribe")
        await peer.send("a", b"b", "c")
        await peer.close(4000, "enough")

    path = tmp_path / "run.jsonl"

    async def listened(url: str, record: pathlib.Path) -> list[object]:
        session = connect(
            url,
            subprotocols=["quotes"],
            on_open=subscribe,
            reconnect=Reconnect(wait=lambda _: 0.3),
        )
        heard: list[object] = []
        async with Recorder(session, record), session:
            items = session.with_interruptions(drops=True)
            while len(heard) < 6:
                heard.append(_shown(await anext(items)))
            assert session.subprotocol == "quotes"
        return heard

    async with ScriptedServer(feed) as server:
        first = await listened(server.url(), path)
    async with Replay(path, speed=math.inf) as replay:
        again = await listened(replay.url, tmp_path / "again.jsonl")
        assert replay.connections == 2
    assert again == first
    assert tuple(first[:3]) == ("a", b"b", "c")
    kinds = [
        [(e.epoch, e.kind, e.data) for e in read(p) if e.is_message and e.epoch == 1]
        for p in (path, tmp_path / "again.jsonl")
    ]
    assert kinds[0] == kinds[1]


async def test_keeps_the_pace_and_goes_faster(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path / "x", *(said(n * 10.0, str(n)) for n in range(4)))
    loop = asyncio.get_running_loop()
    async with Replay(path, speed=200) as replay, connect(replay.url) as session:
        times = []
        for _ in range(4):
            await session.receive()
            times.append(loop.time())
    gaps = [b - a for a, b in itertools.pairwise(times)]
    # Never early, but for what the first one was late; a busy machine may be late.
    assert times[-1] - times[0] > 0.1
    assert max(gaps) < 9


async def test_an_answer_waits_for_its_question(tmp_path: pathlib.Path) -> None:
    question = Entry(at=1.0, kind="text", epoch=1, sent=True, data="question")
    path = written(tmp_path / "x", said(0.0, "hello"), question, said(1.1, "answer"))
    async with Replay(path, speed=math.inf) as replay, connect(replay.url) as session:
        assert await session.receive() == "hello"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await session.receive()
        await session.send("question")
        assert await session.receive() == "answer"


async def test_a_lost_connection_is_lost_again_and_then_it_is_over(
    tmp_path: pathlib.Path,
) -> None:
    path = written(
        tmp_path / "x",
        said(0.0, "one"),
        Entry(at=0.1, kind="ended", epoch=1, detail="reset"),
        said(3.0, "two", epoch=2),
    )
    async with Replay(path, speed=math.inf) as replay:
        wait = Reconnect(wait=lambda _: 0.2)
        drops: list[ConnectionDropped] = []
        session = connect(replay.url, reconnect=wait)
        session.on(ConnectionDropped, drops.append)
        async with session:
            assert await session.receive() == "one"
            assert await session.receive() == "two"
            await replay.over()
            assert drops[0].close is None
        assert replay.sent == 2
        with pytest.raises(HandshakeRejected, match="410"):
            async with connect(replay.url):
                pass


async def test_may_begin_again(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path / "x", said(0.0, "one"))
    async with Replay(path, repeat=True) as replay:
        for _ in range(3):
            async with connect(replay.url) as session:
                assert await session.receive() == "one"


async def test_a_recording_without_connections_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    path = written(tmp_path / "x", Entry(at=0.0, kind="failed", detail="refused"))
    with pytest.raises(ValueError, match="nothing to play"):
        async with Replay(path):
            pass
    with pytest.raises(ValueError, match="speed must be above 0"):
        Replay(path, speed=0)


async def test_the_end_of_the_recording_is_told(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path / "x", said(0.0, "one"))
    async with Replay(path) as replay:
        session = connect(replay.url, reconnect=Reconnect.once())
        drops: list[ConnectionDropped] = []
        session.on(ConnectionDropped, drops.append)
        async with session:
            await session.receive()
            await replay.over()
            await session.wait_closed()
    assert drops[0].close is not None
    assert drops[0].close.reason == "end of the recording"
