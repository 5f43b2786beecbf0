"""What a run comes to: outages, recoveries, false alarms, and what was broken."""

from __future__ import annotations

import collections
import statistics
from typing import TYPE_CHECKING, Final

import attrs

from tests.soak.ledger import Counts
from tests.soak.script import PING_INTERVAL, PING_TIMEOUT


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.soak.client import Client, Life
    from tests.soak.conductor import Done

#: Seconds after which a silent link has been given up, on a machine that is busy with
#: all the rest of the run.
NOTICED_WITHIN: Final = PING_INTERVAL + PING_TIMEOUT + 2.5

_SILENT: Final = frozenset({"BlackHole", "Freeze", "SIGSTOP"})


@attrs.frozen
class Spread:
    """Durations in seconds."""

    count: int
    median: float | None
    ninety_ninth: float | None
    longest: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum durations up."""
        if not values:
            return cls(0, None, None, None)
        ordered = sorted(values)
        place = min(len(ordered) - 1, int(0.99 * len(ordered)))
        return cls(
            len(ordered), statistics.median(ordered), ordered[place], ordered[-1]
        )


@attrs.frozen(kw_only=True)
class Verdict:
    """A whole run."""

    outages: int
    how: dict[str, int]
    attempts_failed: int
    noticed: Spread
    recovered: Spread
    false_alarms: int
    loop_lags: int
    counts: Counts
    violations: list[str]


def judge(clients: Sequence[Client], done: Sequence[Done]) -> Verdict:
    """Judge a run that is over."""
    violations: list[str] = []
    noticed: list[float] = []
    recovered: list[float] = []
    how: collections.Counter[str] = collections.Counter()
    counts = Counts()
    false_alarms = 0
    for client in clients:
        mine = [d for d in done if d.act.lethal and _concerns(d, client)]
        for place, life in enumerate(client.lives):
            for silence in _deaf_to(life, mine):
                client.ledger.violate(f"deaf: {silence.act} and {life}")
            if life.dropped is None:
                continue
            how[life.how] += 1
            if not _is_explained(life, mine):
                false_alarms += 1
                client.ledger.violate(f"a false alarm: {life}")
            noticed += _silences(life, mine)
            if place + 1 < len(client.lives):
                back = client.lives[place + 1].opened
                recovered.append(back - _usable(life.dropped, back, mine))
        epochs = len(client.lives)
        counts.add(client.ledger.balance(unconfirmed=client.unconfirmed, epochs=epochs))
        violations += [f"{client.name}: {what}" for what in client.ledger.violations]
    if not how or not counts.echoed:
        violations.append("nothing happened: the run proves nothing")
    return Verdict(
        outages=how.total(),
        how=dict(how),
        attempts_failed=sum(client.attempts_failed for client in clients),
        noticed=Spread.of(noticed),
        recovered=Spread.of(recovered),
        false_alarms=false_alarms,
        loop_lags=sum(client.lags for client in clients),
        counts=counts,
        violations=violations,
    )


def _concerns(done: Done, client: Client) -> bool:
    return done.act.where in {f"session {client.number}", f"server {client.server}"}


def _is_explained(life: Life, lethal: Sequence[Done]) -> bool:
    """Whether a connection that was lost had met a lethal fault."""
    assert life.dropped is not None
    return any(d.began <= life.dropped and d.ended >= life.dialled for d in lethal)


def _silences(life: Life, lethal: Sequence[Done]) -> list[float]:
    """How long it took to give a link up that had fallen silent, if it had."""
    if life.dropped is None or life.how != "silence":
        return []
    began = [
        d.began
        for d in lethal
        if d.act.name in _SILENT and life.opened <= d.began <= life.dropped
    ]
    return [life.dropped - max(began)] if began else []


def _deaf_to(life: Life, lethal: Sequence[Done]) -> list[Done]:
    """Return the silences that this connection should not have outlived, and did."""
    return [
        d
        for d in lethal
        if d.act.name in _SILENT
        and life.opened <= d.began
        and (life.dropped is None or life.dropped > d.began + NOTICED_WITHIN)
        and d.ended > d.began + NOTICED_WITHIN
    ]


def _usable(dropped: float, back: float, lethal: Sequence[Done]) -> float:
    """Return when, in an outage, nothing was in the way any more."""
    return max([dropped, *(d.ended for d in lethal if dropped < d.ended <= back)])
