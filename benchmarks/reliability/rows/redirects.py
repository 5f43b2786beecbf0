"""Servers that send their clients elsewhere: what goes along, and what must not."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import tempfile
import urllib.parse
from typing import TYPE_CHECKING, Final

import trustme

from benchmarks.reliability.clients.user import Settings
from benchmarks.reliability.network import ELSEWHERE, PORT, SERVER
from benchmarks.reliability.situation import PATIENCE, USUAL, Outcome, situation


if TYPE_CHECKING:
    from benchmarks.reliability.program import Line, Program
    from benchmarks.reliability.situation import Stage


_SECURE_PORT: Final = 8443


def _redirect(location: str) -> str:
    query = urllib.parse.urlencode({"status": 302, "location": location})
    return f"/refuse?{query}"


def _carried(handshake: Line) -> list[str]:
    """Which credentials it had."""
    return sorted({"authorization", "cookie"} & handshake["headers"].keys())


async def _led(stage: Stage, origin: str, other: str, settings: Settings) -> str:
    """Send a client with credentials from one origin to another; what became of it."""
    scheme = other.partition(":")[0]
    target = f"/echo?{scheme}"
    url = origin + _redirect(other + target)
    settings = dataclasses.replace(settings, url=url, credentials="fixed")
    client = await stage.client(settings=settings)
    # It is there then, or it does not go there.
    end = await client.until("opened", "failed", "over", within=PATIENCE)
    if end is None:
        raise RuntimeError(f"not led anywhere: {client.lines} {client.complaint}")
    if end["event"] == "opened":
        await stage.server.until("open", path=target, within=PATIENCE)
    asked = bool(stage.server.said("request", path=target))
    opened = stage.server.said("open", path=target)
    leaked = sorted({name for line in opened for name in _carried(line)})
    if leaked:
        return f"`{scheme}://` followed, **with {' and '.join(leaked)}**"
    return f"`{scheme}://` {'followed without them' if asked else 'refused'}"


async def _led_both_ways(
    stage: Stage, first: Program, origin: str, host: str, settings: Settings = USUAL
) -> str:
    """Servers spell it one way or the other, and some clients know only one."""
    ways = [
        await _led(stage, origin, f"{scheme}://{host}:{PORT}", settings)
        for scheme in ("ws", "http")
    ]
    sent = [_carried(line) for line in first.said("refuse")]
    if not sent or not all(sent):
        raise RuntimeError(f"no credentials were sent: {first.lines}")
    return ", ".join(ways)


@situation(
    "Server redirects to another host; `Authorization` and `Cookie` were sent",
    "neither is seen there",
    server="aiohttp",
)
async def redirect_elsewhere(stage: Stage) -> Outcome:
    """A host that is taken over must not collect what is meant for others."""
    await stage.network.address(stage.network.server, ELSEWHERE)
    origin = f"ws://{SERVER}:{PORT}"
    words = await _led_both_ways(stage, stage.server, origin, ELSEWHERE)
    there = [line for line in stage.server.said("open") if _carried(line)]
    return Outcome(kept=not there, words=words)


@situation(
    "Server redirects from `wss://` to `ws://`; credentials were sent",
    "nothing is asked for in the clear",
    server="aiohttp",
)
async def redirect_downgrade(stage: Stage) -> Outcome:
    """A mistake in the server's configuration, or somebody's intention."""
    with tempfile.TemporaryDirectory() as folder:
        authority, certificate = _certificate(pathlib.Path(folder))
        secure = stage.program(
            stage.network.server,
            *(sys.executable, "-m", "tests.servers.serve_aiohttp"),
            *(str(_SECURE_PORT), "*", certificate),
        )
        settings = Settings(authority=authority)
        async with secure:
            origin = f"wss://{SERVER}:{_SECURE_PORT}"
            words = await _led_both_ways(stage, secure, origin, SERVER, settings)
    return Outcome(kept=not stage.server.said("request"), words=words)


def _certificate(folder: pathlib.Path) -> tuple[str, str]:
    """The files of an authority, and of what it issued for the server."""
    authority = trustme.CA()
    own = authority.issue_cert(SERVER)
    files = folder / "authority.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(str(files[0]))
    own.private_key_and_cert_chain_pem.write_to_path(str(files[1]))
    return str(files[0]), str(files[1])
