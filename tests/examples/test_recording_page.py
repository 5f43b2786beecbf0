"""docs/recording.md: what it shows records a session, reads it, and plays it back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import resilient_ws
from tests.examples.page import Page
from tests.record import until


if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.process import ServerProcess

pytestmark = pytest.mark.wire


async def test_the_blocks_of_the_page(
    websockets_server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in Page("docs/recording.md").blocks:
        if block.language == "python":
            exec(compile(block.text, "docs/recording.md", "exec"), names)

    heard: list[str] = []
    url = f"{websockets_server.url}/feed?n=3"
    recording = asyncio.create_task(names["record"](url, heard.append))
    await until(lambda: len(heard) == 3, within=60)
    recording.cancel()
    await asyncio.wait({recording})

    read: list[tuple[float, str]] = []
    names["back_test"](lambda at, data: read.append((at, data)))
    assert [data for _, data in read] == heard == ["1", "2", "3"]
    assert [at for at, _ in read] == sorted(at for at, _ in read)

    played: list[str | bytes] = []

    async def bot(url: str) -> None:
        async with resilient_ws.connect(url) as session:
            played.extend([await session.receive() for _ in range(3)])

    await names["play"](bot)
    assert played == heard
