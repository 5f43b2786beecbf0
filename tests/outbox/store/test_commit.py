"""Whatever goes wrong in the store's thread, each request gets its own answer."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

import resilient_ws
from resilient_ws import DeliveryState, MemoryStore, Outbox, SQLiteStore, StoreError
from resilient_ws.outbox.delivery import MAX_MESSAGE_ID
from resilient_ws.outbox.store import rows
from resilient_ws.outbox.store.database import Database
from tests.outbox.refusals import offline
from tests.outbox.stores import STORES, inside, new_store
from tests.record import of, recorded


if TYPE_CHECKING:
    from pathlib import Path

    from resilient_ws.testing import ScriptedServer

FAILURES = [
    ValueError("a bug"),
    TypeError(),
    KeyError("x"),
    OverflowError("too large"),
    MemoryError(),
    RecursionError(),
    UnicodeEncodeError("utf-8", "secret\ud800", 6, 7, "surrogates not allowed"),
    sqlite3.OperationalError("disk I/O error"),
    sqlite3.ProgrammingError("closed"),
    OSError(5, "Input/output error"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def told(failure: BaseException | None) -> str:
    assert isinstance(failure, StoreError), failure
    assert failure.__cause__ is None
    assert failure.__context__ is None
    return str(failure)


@pytest.mark.parametrize(
    "failure", FAILURES, ids=lambda failure: type(failure).__name__
)
async def test_one_that_fails_strands_nobody(
    server: ScriptedServer,
    path: Path,
    failure: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    perform = Database._perform

    def fails(self: Database, connection: Any, request: Any) -> Any:
        answer = perform(self, connection, request)
        if any(row[1] == "bad" for row in getattr(request, "values", ())):
            raise failure
        return answer

    monkeypatch.setattr(Database, "_perform", fails)
    async with offline(server, SQLiteStore(path)) as session:
        events = recorded(session)
        ids = ["1", "bad", "2", "bad", "3"]
        sends = [asyncio.ensure_future(session.send(i, message_id=i)) for i in ids]
        await asyncio.wait(sends, timeout=10)
        assert all(send.done() for send in sends)
        assert [s.exception() is None for s in sends] == [i != "bad" for i in ids]
        for send in (sends[1], sends[3]):
            assert "secret" not in told(send.exception())
        await session.send("4")
    assert len(of(events, resilient_ws.StoreFailed)) == 1
    assert inside(SQLiteStore(path)) == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "failure", FAILURES, ids=lambda failure: type(failure).__name__
)
async def test_a_thread_that_fails_as_a_whole_strands_nobody(
    server: ScriptedServer,
    path: Path,
    failure: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with offline(server, SQLiteStore(path)) as session:
        kept = await session.send("kept")
        stale = await session.send("stale", ttl=1)
        with monkeypatch.context() as broken:

            def fails(*_: object) -> None:
                raise failure

            broken.setattr(Database, "carry_out", fails)
            sends = [asyncio.ensure_future(session.send("x")) for _ in range(5)]
            await asyncio.wait(sends, timeout=10)
            for send in sends:
                assert type(failure).__name__ in told(send.exception())
            await asyncio.sleep(10)
            assert stale.state is DeliveryState.QUEUED
        await asyncio.sleep(10)
        with pytest.raises(resilient_ws.DeliveryError, match="ttl"):
            await stale.confirmed()
        await session.send("after")
    assert kept.stored
    assert inside(SQLiteStore(path)) == ["kept", "after"]


async def test_closing_ends_while_the_thread_fails(
    server: ScriptedServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    async with offline(server, SQLiteStore(path)) as session:
        kept = await session.send("kept")
        stale = await session.send("stale", ttl=1)
        monkeypatch.setattr(Database, "carry_out", fails)
        sending = asyncio.ensure_future(session.send("x"))
        await asyncio.sleep(2)
        async with asyncio.timeout(30):
            await session.close()
        told(sending.exception())
    assert kept.stored
    assert stale.stored


async def test_a_thread_that_takes_nothing_more_strands_nobody(
    server: ScriptedServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the interpreter ends."""
    async with offline(server, SQLiteStore(path)) as session:
        loop = asyncio.get_running_loop()

        def refuses(*_: object) -> None:
            raise RuntimeError("cannot schedule new futures after shutdown")

        with monkeypatch.context() as ending:
            ending.setattr(loop, "run_in_executor", refuses)
            sends = [asyncio.ensure_future(session.send("x")) for _ in range(3)]
            await asyncio.wait(sends, timeout=10)
            for send in sends:
                told(send.exception())
        await session.send("after")
    assert inside(SQLiteStore(path)) == ["after"]


async def test_a_bug_while_it_is_opened(
    server: ScriptedServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise TypeError("a bug")

    with monkeypatch.context() as broken:
        broken.setattr(rows, "row_of", fails)
        async with offline(server, SQLiteStore(path)) as session:
            await session.send("kept")
        with pytest.raises(StoreError, match="TypeError"):
            async with offline(server, SQLiteStore(path)):
                pass
    assert inside(SQLiteStore(path)) == ["kept"]


@pytest.mark.parametrize("kind", STORES)
async def test_an_id_is_checked_before_its_message_is_accepted(
    server: ScriptedServer, tmp_path: Path, kind: str
) -> None:
    store: Any = new_store(kind, tmp_path)
    assert isinstance(store, MemoryStore | SQLiteStore)
    async with resilient_ws.connect(
        server.url(), outbox=Outbox(store=store)
    ) as session:
        for bad in (json.loads('"\\ud800"'), "x" * (MAX_MESSAGE_ID + 1), "ok\udfff"):
            with pytest.raises(ValueError, match="message_id"):
                await session.send("never", message_id=bad)
        for good in ("", "\0", "é" * MAX_MESSAGE_ID, "\U0001f600", "'; DROP TABLE x;"):
            delivery = await session.send("x", message_id=good)
            assert delivery.message_id == good
        for bad in (b"x", 7, 1.5, ["x"]):
            with pytest.raises(TypeError, match="message_id"):
                await session.send("never", message_id=bad)  # type: ignore[arg-type]
    assert server.received == ["x"] * 5


async def test_every_id_comes_back_as_it_was(
    server: ScriptedServer, path: Path
) -> None:
    ids = ["", "\0", "a\0b", "é" * MAX_MESSAGE_ID, "\U0001f600", "\x1b[2J"]
    async with offline(server, SQLiteStore(path)) as session:
        for message_id in ids:
            await session.send("x", message_id=message_id)
    assert [message.message_id for message in SQLiteStore(path).pending()] == ids
    async with offline(server, SQLiteStore(path)) as session:
        assert [d.message_id for d in session.outstanding()] == ids
