"""The verdict sees each way in which a promise can be broken, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from tests.crash import journal
from tests.crash.evidence import Evidence, Life, Served, connections
from tests.crash.setting import SETTINGS, body, number_of
from tests.crash.verdict import judge


if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.crash.journal import Entry

RESEND, ACK, ONCE, WRITE = SETTINGS.values()


def entry(event: str, at: float = 0.0, **fields: Any) -> Entry:
    return {"event": event, "at": at, **fields}


def lost(number: int, at: float, *, maybe: bool = True) -> Entry:
    return entry("lost", at, number=number, state="failed", maybe=maybe)


def life(began: float, accepted: Sequence[int], *more: Entry, left: Any = ()) -> Life:
    lines = [entry("began", began)]
    for number in accepted:
        lines.append(entry("trying", number=number))
        lines.append(entry("accepted", number=number, sequence=number))
    return Life([*lines, *more], dict.fromkeys(left, 1))


def served(opened: float, *numbers: int) -> Served:
    return Served("ws", opened, [body(number) for number in numbers])


def delivered(number: int, transmissions: int = 1) -> Entry:
    return entry("delivered", number=number, transmissions=transmissions)


#: Three lives, killed at 10 and 20; 4 and 5 are sent again.
AT_LEAST_ONCE = Evidence(
    [
        life(0, [1, 2, 3, 4, 5], delivered(1), delivered(2), left=[4, 5]),
        life(10, [6], left=[6]),
        life(20, [], delivered(5, 3), delivered(6)),
    ],
    [served(1, 1, 2, 3, 4, 5), served(11, 4, 5), served(21, 5, 6)],
)
#: 3 is lost at a drop, 5 at the first kill, of which the next life tells.
AT_MOST_ONCE = Evidence(
    [
        life(
            0,
            [1, 2, 3, 4, 5, 6],
            entry("dropped", 2, unconfirmed=1),
            lost(3, 2),
            left=[6],
        ),
        life(10, [7], lost(5, 11)),
        life(20, []),
    ],
    [served(1, 1, 2), served(3, 4), served(11, 6, 7)],
)
#: The same; nobody reports by name what was lost.
WRITTEN = attrs.evolve(
    AT_MOST_ONCE,
    lives=[
        life(0, [1, 2, 3, 4, 5, 6], entry("dropped", 2, unconfirmed=1), left=[6]),
        life(10, [7]),
        life(20, []),
    ],
)


def test_what_may_happen_is_no_violation() -> None:
    assert judge(RESEND, AT_LEAST_ONCE).violations == []
    once = judge(ONCE, AT_MOST_ONCE)
    assert once.violations == []
    assert once.figures["missing: reported"] == 2
    assert once.figures["missing: in flight at a kill"] == 0
    written = judge(WRITE, WRITTEN)
    assert written.violations == []
    assert written.figures["missing: counted at a drop"] == 1
    assert written.figures["missing: in flight at a kill"] == 1


def test_what_was_tried_and_not_accepted_may_arrive_or_not() -> None:
    first = attrs.evolve(
        AT_LEAST_ONCE.lives[0],
        journal=[
            *AT_LEAST_ONCE.lives[0].journal,
            entry("trying", number=8),
            entry("trying", number=9),
        ],
    )
    evidence = Evidence(
        [first, *AT_LEAST_ONCE.lives[1:]], [*AT_LEAST_ONCE.connections, served(22, 8)]
    )
    verdict = judge(RESEND, evidence)
    assert verdict.violations == []
    assert verdict.figures["tried, never accepted"] == 2
    assert verdict.figures["of these arrived"] == 1


def wired(evidence: Evidence, *connections: Served) -> Evidence:
    return attrs.evolve(evidence, connections=connections)


def lived(evidence: Evidence, place: int, *more: Entry, **fields: Any) -> Evidence:
    lives = list(evidence.lives)
    journal = [*lives[place].journal, *more]
    lives[place] = attrs.evolve(lives[place], journal=journal, **fields)
    return attrs.evolve(evidence, lives=lives)


@pytest.mark.parametrize(
    ("setting", "evidence", "said"),
    [
        (RESEND, wired(AT_LEAST_ONCE), "nothing arrived"),
        (
            RESEND,
            wired(AT_LEAST_ONCE, served(1, 1, 2, 3, 4, 5)),
            "message 6 is missing; the store let go of it in life 2",
        ),
        (
            RESEND,
            wired(AT_LEAST_ONCE, served(1, 1, 2, 4, 3, 5, 6)),
            "message 3 came after 4 on one connection",
        ),
        (
            RESEND,
            wired(AT_LEAST_ONCE, served(1, 1, 2, 4), served(2, 3, 4, 5, 6)),
            "message 4 came before the older 3",
        ),
        (
            RESEND,
            wired(AT_LEAST_ONCE, served(1, 1, 1, 2, 3, 4, 5, 6)),
            "message 1 came after 1 on one connection",
        ),
        (
            RESEND,
            wired(AT_LEAST_ONCE, *AT_LEAST_ONCE.connections, served(22, 5, 6)),
            "message 6 arrived 2x, and counts 1",
        ),
        (
            RESEND,
            wired(AT_LEAST_ONCE, *AT_LEAST_ONCE.connections, served(22, 99)),
            "arrived and was never sent",
        ),
        (
            RESEND,
            wired(AT_LEAST_ONCE, Served("ws", 1, ["1 x"]), *AT_LEAST_ONCE.connections),
            "message 1 arrived altered",
        ),
        (RESEND, lived(AT_LEAST_ONCE, 2, lost(6, 30)), "message 6 was given up"),
        (
            RESEND,
            lived(AT_LEAST_ONCE, 1, lost(5, 15)),
            "message 5 was sent after it was reported as lost",
        ),
        (
            ONCE,
            lived(AT_MOST_ONCE, 1, lost(7, 30, maybe=False)),
            "message 7 arrived, though reported as never written",
        ),
        (
            RESEND,
            lived(AT_LEAST_ONCE, 2, left={6: 1}),
            "the drained store still holds",
        ),
        (
            RESEND,
            lived(AT_LEAST_ONCE, 2, entry("accepted", number=7, sequence=3)),
            "the store has not kept the order",
        ),
        (
            RESEND,
            attrs.evolve(AT_LEAST_ONCE, troubles=["life 1 ended by itself"]),
            "life 1 ended by itself",
        ),
        (
            ONCE,
            lived(AT_MOST_ONCE, 1, delivered(5)),
            "message 5 was confirmed and never arrived",
        ),
        (
            ONCE,
            wired(AT_MOST_ONCE, *AT_MOST_ONCE.connections, served(22, 7)),
            "message 7 arrived 2x",
        ),
        (
            ONCE,
            wired(AT_MOST_ONCE, served(1, 1, 2), served(3, 6), served(11, 4, 7)),
            "message 4 came after 6",
        ),
        (
            ONCE,
            wired(AT_MOST_ONCE, served(1, 1, 2, 4), served(11, 6, 7)),
            "message 3 is missing in the middle of a connection",
        ),
        (
            ONCE,
            wired(AT_MOST_ONCE, served(1, 1, 2), served(3, 4), served(11, 6)),
            "message 7 is missing in silence",
        ),
        (
            ONCE,
            lived(wired(AT_MOST_ONCE, *AT_MOST_ONCE.connections[:2]), 1, left=[6, 7]),
            "message 6 is missing in silence",
        ),
        (
            WRITE,
            lived(WRITTEN, 0, entry("dropped", unconfirmed=-1)),
            "life 0 lost [3], and told of 0",
        ),
        (
            ONCE,
            WRITTEN,
            "message 3 is missing in silence",
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_must_not_happen_is_one(
    setting: Any, evidence: Evidence, said: str | None
) -> None:
    violations = judge(setting, evidence).violations
    if said is None:
        assert violations == []
    else:
        assert any(said in violation for violation in violations), violations


def test_a_servers_log_is_sorted_by_connection() -> None:
    log = [
        entry("open", 1, connection=1),
        entry("open", 2, connection=2),
        entry("message", 3, connection=2, text="5 x"),
        entry("message", 4, connection=1, text="4 x"),
        entry("message", 5, connection=2, size=2000),
    ]
    assert connections("ws", log) == [
        Served("ws", 1, ["4 x"]),
        Served("ws", 2, ["5 x", ""]),
    ]


def test_a_torn_line_is_the_last_and_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal.Journal(path).write("trying", number=1)
    with path.open("a") as file:
        file.write('{"event": "acc')
    (only,) = journal.read(path)
    assert (only["event"], only["number"]) == ("trying", 1)


def test_messages_differ_in_size_and_are_known_by_their_text() -> None:
    texts = [body(number) for number in range(1, 2000)]
    assert len(set(texts)) == len(texts)
    assert [number_of(text) for text in texts] == list(range(1, 2000))
    # Both sides of where compression begins, and all short enough to be logged.
    assert min(map(len, texts)) < 256 < max(map(len, texts)) < 1024
