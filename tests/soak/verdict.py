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

#: Seconds beyond ``ping_interval + ping_timeout`` in which a dead link is noticed, on
#: a machine that is busy with all the rest of the run.
NOTICE_SLACK: Final = 3.0

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
            if life.dropped is None:
                continue
            how[life.how] += 1
            if (culprit := _culprit(life, mine)) is None:
                false_alarms += 1
                client.ledger.violate(f"a false alarm: {life}")
            elif culprit.act.name in _SILENT and life.how == "silence":
                noticed.append(life.dropped - culprit.began)
            if place + 1 < len(client.lives):
                back = client.lives[place + 1].opened
                recovered.append(back - _usable(life.dropped, back, mine))
        epochs = len(client.lives)
        counts.add(client.ledger.balance(unconfirmed=client.unconfirmed, epochs=epochs))
        violations += [f"{client.name}: {what}" for what in client.ledger.violations]
    late = [t for t in noticed if t > PING_INTERVAL + PING_TIMEOUT + NOTICE_SLACK]
    violations += [f"a dead link was noticed after {seconds:.1f} s" for seconds in late]
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


def _culprit(life: Life, lethal: Sequence[Done]) -> Done | None:
    """Return the first lethal fault that this connection met."""
    assert life.dropped is not None
    met = [d for d in lethal if d.began <= life.dropped and d.ended >= life.dialled]
    return min(met, key=lambda d: d.began, default=None)


def _usable(dropped: float, back: float, lethal: Sequence[Done]) -> float:
    """Return when, in an outage, nothing was in the way any more."""
    return max([dropped, *(d.ended for d in lethal if dropped < d.ended <= back)])
