"""README.md says what the code does."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import resilient_ws
from resilient_ws import Liveness, Outbox, Reconnect, Timeouts
from resilient_ws.policy.failures import EXTRA_AFTER_CLOSE
from resilient_ws.policy.reconnect import MIN_DIAL_SPACING, FullJitter
from resilient_ws.state import TRANSITIONS, State
from resilient_ws.testing import ScriptedServer
from tests.examples.program import Program
from tests.servers.process import ROOT


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from resilient_ws.testing import Peer
    from tests.servers.process import ServerProcess

README = (ROOT / "README.md").read_text()
FEED = "wss://stream.example.com/feed"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


QUICK_START, *OTHERS = blocks("python")


@pytest.mark.wire
async def test_the_quick_start_prints_what_the_server_sends(
    websockets_server: ServerProcess, tmp_path: Path
) -> None:
    assert FEED in QUICK_START
    script = tmp_path / "quick_start.py"
    script.write_text(QUICK_START.replace(FEED, f"{websockets_server.url}/echo"))
    async with Program(str(script)) as program:
        said = await program.said("{")
        assert ast.literal_eval(said) == {"op": "subscribe", "channel": "trades"}


@pytest.mark.wire
async def test_the_quick_start_hears_again_after_a_restart(tmp_path: Path) -> None:
    """A server that sends to those alone who subscribe."""
    script = tmp_path / "quick_start.py"
    async with ScriptedServer(ticking("1"), ticking("2")) as server:
        script.write_text(QUICK_START.replace(FEED, server.url()))
        async with Program(str(script)) as program:
            await program.said("tick 1")
            await server.peers[0].reset()
            await program.said("tick 2")


def ticking(number: str) -> Callable[[Peer], Awaitable[None]]:
    async def tick(peer: Peer) -> None:
        await peer.accept()
        asked = json.loads(await peer.receive())
        assert asked == {"op": "subscribe", "channel": "trades"}
        await peer.send(f"tick {number}")
        await peer.ended()

    return tick


def test_the_quick_start_is_the_one_of_the_package() -> None:
    documented = re.sub(r"^ {4}", "", resilient_ws.__doc__ or "", flags=re.MULTILINE)
    assert QUICK_START.strip() in documented


@pytest.mark.parametrize("block", OTHERS, ids=range(len(OTHERS)))
def test_every_other_block_runs_as_it_stands(block: str) -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    assert {name for name in names if not name.startswith("__")}


def test_the_diagram_shows_every_move_and_no_other() -> None:
    (diagram,) = blocks("mermaid")
    shown = {tuple(re.findall(r"[A-Z]+", line)) for line in diagram.splitlines()}
    moves = {(a.name, b.name) for a, after in TRANSITIONS.items() for b in after}
    assert {move for move in shown if len(move) == 2} == moves
    assert "[*] --> IDLE" in diagram
    assert {
        line.split()[0] for line in diagram.splitlines() if line.endswith("[*]")
    } == {state.name for state in State if state.terminal}


ROWS = re.findall(r"^\| `(\w+)\.(\w+)` \| (\S+) \|", README, re.MULTILINE)


@pytest.mark.parametrize(("policy", "name", "shown"), ROWS)
def test_a_timeout_has_the_default_that_is_shown(
    policy: str, name: str, shown: str
) -> None:
    made = {c.__name__: c() for c in (Timeouts, Liveness, Reconnect, Outbox)}[policy]
    default = getattr(made, name)
    assert shown == ("None" if default is None else f"{default:g}")


def test_the_table_of_timeouts_is_complete() -> None:
    durations = {
        (policy.__name__, field.name)
        for policy in (Timeouts, Liveness, Reconnect, Outbox)
        for field in attrs.fields(policy)
        if field.type in {"float", "float | None"}
    }
    assert {(policy, name) for policy, name, _ in ROWS} == durations


def test_the_backoff_has_the_bounds_that_are_shown() -> None:
    shown = re.search(r"min\((\d+) s, (\d+) s . 2ⁿ⁻¹\)", README)
    assert shown is not None
    jitter = FullJitter()
    assert (jitter.maximum, jitter.initial) == tuple(map(float, shown.groups()))
    extra = EXTRA_AFTER_CLOSE[1012]
    assert f"so are {extra:g} s after a close with 1012 or 1013" in README
    assert extra == EXTRA_AFTER_CLOSE[1013]
    assert f"are never less than {MIN_DIAL_SPACING:g} s apart" in README


def test_every_link_to_a_file_leads_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
