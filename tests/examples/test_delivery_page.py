"""docs/delivery.md says what the code does: its examples run, its table is complete."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from resilient_ws import MemoryStore, Outbox, SQLiteStore, StoreError
from resilient_ws.testing import FaultProxy, Refuse
from tests.record import until
from tests.servers.process import HOST, ROOT


if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PAGE = (ROOT / "docs" / "delivery.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
READINGS = {f"kitchen-{number}": 20 + number / 100 for number in range(40)}


def examples() -> dict[str, Any]:
    """The names that the blocks of the page define, run as they stand."""
    names: dict[str, Any] = {"__name__": "delivery"}
    for block in BLOCKS:
        exec(compile(block, "delivery.md", "exec"), names)
    return names


class Collector:
    """The server of the page: it answers, or its connection breaks before that."""

    def __init__(self, take: Any) -> None:
        self._take = take
        self.database = sqlite3.connect(":memory:")
        self.database.execute("CREATE TABLE readings (id TEXT PRIMARY KEY, celsius)")
        self.received: list[str] = []
        self.answers = True
        #: The numbers of the messages whose answer never leaves.
        self.breaks_after: tuple[int, ...] = ()

    async def serve(self, connection: ServerConnection) -> None:
        try:
            async for message in connection:
                assert isinstance(message, str)
                self.received.append(json.loads(message)["id"])
                answer = self._take(self.database, message)
                if len(self.received) in self.breaks_after:
                    connection.transport.abort()
                if self.answers:
                    await connection.send(answer)
        except ConnectionClosed:
            pass

    def readings(self) -> dict[str, float]:
        return dict(self.database.execute("SELECT id, celsius FROM readings"))


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector(examples()["take"])
    yield collector
    collector.database.close()


@pytest.fixture
async def proxy(collector: Collector) -> AsyncIterator[FaultProxy]:
    async with serve(collector.serve, HOST, 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with FaultProxy(HOST, port) as proxy:
            yield proxy


@pytest.mark.wire
async def test_each_reading_has_its_effect_once(
    collector: Collector,
    proxy: FaultProxy,
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "outbox.db")
    collector.breaks_after = (3, 10)
    async with asyncio.timeout(60):
        await examples()["report"](proxy.url(), path, READINGS)
    assert collector.readings() == READINGS
    assert len(collector.received) >= len(READINGS) + 2, "nothing was ever repeated"
    assert not list(SQLiteStore(path).pending())


@pytest.mark.wire
async def test_what_the_last_session_left_arrives(
    collector: Collector,
    proxy: FaultProxy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names, path = examples(), tmp_path / "outbox.db"
    # A pong comes before the application has read: it must not fail to answer then.
    collector.answers = False
    proxy.apply(Refuse())
    async with asyncio.timeout(60):
        reporting = asyncio.create_task(
            names["report"](proxy.url(), str(path), READINGS)
        )
        while len(waiting(path)) < len(READINGS):
            assert not reporting.done()
            await asyncio.sleep(0.01)
        reporting.cancel()
        await asyncio.wait({reporting})
        # Without the last one, if its send had not returned.
        left = waiting(path)
        proxy.heal()
        await names["go_on"](proxy.url(), str(path))
        await until(lambda: len(collector.received) == len(left))
    assert left == list(READINGS)[: len(left)]
    assert len(left) >= len(READINGS) - 1
    assert list(collector.readings()) == left
    assert capsys.readouterr().out.splitlines() == [f"{n}: arrived" for n in left]


def waiting(path: Path) -> list[str | None]:
    """The ids in a store that is being made, or is there."""
    try:
        return [message.message_id for message in SQLiteStore(path).pending()]
    except StoreError:
        return []


def rows() -> set[tuple[str, str, bool]]:
    """Store, confirmation and resend of each row of the table of guarantees."""
    found = re.findall(
        r"^\| (memory|SQLite) \| (.+?) \| (yes|no) \|", PAGE, re.MULTILINE
    )
    return {
        (store, confirm.strip('`"'), resend == "yes")
        for store, confirms, resend in found
        for confirm in confirms.split(", ")
    }


def test_the_table_has_every_outbox_that_can_be_made_and_no_other(
    tmp_path: Path,
) -> None:
    stores = {"memory": MemoryStore(), "SQLite": SQLiteStore(tmp_path / "outbox.db")}
    confirms: dict[str, Any] = {"write": "write", "pong": "pong", "ack_of": str}
    made: set[tuple[str, str, bool]] = set()
    for (store, kept), (confirm, how), resend in itertools.product(
        stores.items(), confirms.items(), (False, True)
    ):
        try:
            Outbox(store=kept, confirm=how, resend=resend)
        except ValueError:
            continue
        made.add((store, confirm, resend))
    assert rows() == made


@pytest.mark.parametrize(
    "name",
    ["max_transmissions", "max_in_flight", "confirm_interval", "confirm_timeout"],
)
def test_a_default_is_the_one_that_is_told(name: str) -> None:
    (shown,) = re.findall(rf"`{name}` \(([\d.]+)(?: s)?\)", PAGE.replace("\n", " "))
    assert float(shown) == getattr(Outbox(), name)


def test_the_defaults_of_the_store_are_those_that_are_told(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "outbox.db")
    assert f"takes {store.max_file_size // 2**20} MiB\n  at most" in PAGE
    assert f'synchronous="{store.synchronous}")`, the default' in PAGE


def test_the_readme_leads_to_it() -> None:
    assert "(docs/delivery.md)" in (ROOT / "README.md").read_text()


def test_every_link_leads_to_a_page_or_to_one_that_a_command_writes() -> None:
    written = re.findall(r"--write docs/(\S+)", (ROOT / "Makefile").read_text())
    targets = set(re.findall(r"\]\((?!https?:)([^)]+)\)", PAGE))
    assert targets >= {"crash.md", "outbox.md", "pongs.md"}
    assert [
        target
        for target in targets
        if target not in written and not (ROOT / "docs" / target).exists()
    ] == []
