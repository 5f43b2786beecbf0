"""A Prometheus server, and what it answers."""

from __future__ import annotations

import asyncio
import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.servers.process import HOST, ServerProcess, daemon, free_port


if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable


class Prometheus(ServerProcess):
    """A Prometheus that scrapes one program, and evaluates rules, often.

    Args:
        folder: Where it keeps its configuration and what it has scraped.
        target: The port of the program.
        rules: The text of a file of rules.
    """

    def __init__(self, folder: pathlib.Path, target: int, rules: str) -> None:
        program = daemon("prometheus", "prometheus")
        port = free_port()
        often = {"scrape_interval": "200ms", "scrape_timeout": "200ms"}
        job = {
            "job_name": "bots",
            "static_configs": [{"targets": [f"{HOST}:{target}"]}],
        }
        config = {
            "global": {**often, "evaluation_interval": "200ms"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [job],
        }
        (folder / "rules.yml").write_text(rules)
        (folder / "prometheus.yml").write_text(json.dumps(config))
        super().__init__(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={HOST}:{port}",
            ],
            port=port,
            cwd=folder,
            scheme="http",
        )

    async def value(self, expression: str) -> float | None:
        """Return the one value of an expression, ``None`` if it has none."""
        found = await self._get("query", {"query": expression})
        values = [float(one["value"][1]) for one in found["result"]]
        assert len(values) <= 1, found
        return values[0] if values else None

    async def becomes(
        self, expression: str, expected: Callable[[float | None], bool]
    ) -> None:
        """Wait until the value of an expression is as expected."""
        deadline = time.monotonic() + 30.0
        while not expected(seen := await self.value(expression)):
            if time.monotonic() > deadline:
                pytest.fail(f"{expression} stayed {seen}; {self.output[-5:]}")
            await asyncio.sleep(0.1)

    async def alerts(self) -> dict[str, dict[str, Any]]:
        """Return the alerts that fire, by their names."""
        found = await self._get("alerts", {})
        return {
            alert["labels"]["alertname"]: alert
            for alert in found["alerts"]
            if alert["state"] == "firing"
        }

    async def alerted(self, name: str, *, fires: bool = True) -> dict[str, Any]:
        """Wait until an alert fires, or does so no more; return it."""
        deadline = time.monotonic() + 30.0
        while (name in (firing := await self.alerts())) is not fires:
            if time.monotonic() > deadline:
                pytest.fail(f"firing: {firing}; {self.output[-5:]}")
            await asyncio.sleep(0.1)
        return firing.get(name, {})

    async def _get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{path}"
        async with (
            aiohttp.ClientSession() as http,
            http.get(url, params=query) as response,
        ):
            if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
                return {"result": [], "alerts": []}  # it is not ready yet
            answer = await response.json()
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data
