"""docs/settings.md and docs/concepts.md say what the code does."""

from __future__ import annotations

import re

import attrs
import pytest

from resilient_ws import DeliveryState, Liveness, Outbox, Reconnect, Timeouts
from resilient_ws.policy.failures import EXTRA_AFTER_CLOSE
from resilient_ws.policy.reconnect import MIN_DIAL_SPACING, FullJitter
from resilient_ws.state import TRANSITIONS, State
from tests.examples.page import Page


SETTINGS = Page("docs/settings.md").text
CONCEPTS = Page("docs/concepts.md")


def test_the_diagram_shows_every_move_and_no_other() -> None:
    (diagram,) = (b.text for b in CONCEPTS.blocks if b.language == "mermaid")
    shown = {tuple(re.findall(r"[A-Z]+", line)) for line in diagram.splitlines()}
    moves = {(a.name, b.name) for a, after in TRANSITIONS.items() for b in after}
    assert {move for move in shown if len(move) == 2} == moves
    assert "[*] --> IDLE" in diagram
    assert {
        line.split()[0] for line in diagram.splitlines() if line.endswith("[*]")
    } == {state.name for state in State if state.terminal}


def test_every_state_of_a_delivery_is_told() -> None:
    table = CONCEPTS.text[CONCEPTS.text.index("| state | the message |") :]
    told = re.findall(r"^\| `([A-Z]+)` \|", table, re.MULTILINE)
    assert set(told) == {state.name for state in DeliveryState}


ROWS = re.findall(r"^\| `(\w+)\.(\w+)` \| (\S+) \|", SETTINGS, re.MULTILINE)


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
    shown = re.search(r"min\((\d+) s, (\d+) s . 2ⁿ⁻¹\)", SETTINGS)
    assert shown is not None
    jitter = FullJitter()
    assert (jitter.maximum, jitter.initial) == tuple(map(float, shown.groups()))
    extra = EXTRA_AFTER_CLOSE[1012]
    assert f"so are {extra:g} s after a close with 1012 or 1013" in SETTINGS
    assert extra == EXTRA_AFTER_CLOSE[1013]
    assert f"are never less than {MIN_DIAL_SPACING:g} s apart" in SETTINGS
