"""What the page is told, as JSON texts.

Rules: a time is in Unix seconds, a duration in seconds. The page counts ages by itself,
so that a session to which nothing happens costs nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws.monitor.history import COLUMNS, rounded
from resilient_ws.monitor.series import SPANS, Sample
from resilient_ws.monitor.watch_list import PERIOD


if TYPE_CHECKING:
    from collections.abc import Iterable

    from resilient_ws import Session, Statistics
    from resilient_ws.monitor.history import History
    from resilient_ws.monitor.watch_list import WatchList


#: The counters that the page shows of one session.
_SHOWN: Final = (
    "opened_at",
    "last_message_at",
    "outage_seconds",
    "backoff_seconds",
    "attempts",
    "opened",
    "drops",
    "messages_received",
    "messages_sent",
    "bytes_received",
    "bytes_sent",
    "inbox_messages",
    "inbox_discarded",
    "outbox_messages",
    "outbox_bytes",
    "outbox_oldest_age",
    "outbox_unconfirmed",
    "outbox_lost",
    "events_discarded",
)


def hello(watch: WatchList, title: str) -> str:
    """Return the first text: what the others mean."""
    return _text(
        type="hello",
        title=title,
        began=watch.began,
        period=PERIOD,
        columns=COLUMNS,
        spans=list(SPANS),
    )


def turn(watch: WatchList, since: int, now: float) -> str:
    """Return the rows that changed after a turn, and which sessions there are.

    Args:
        watch: What is watched.
        since: The last turn that the viewer knows, 0 for none.
        now: The time, in Unix seconds.
    """
    histories = watch.histories
    # Each row is JSON already: it was written once, for every viewer.
    rows = ",".join(one.row for one in histories if one.changed > since)
    numbers = ",".join(str(one.number) for one in histories)
    notes = json.dumps(watch.notes())
    return (
        f'{{"type":"turn","now":{now:.3f},"notes":{notes},"ids":[{numbers}],'
        f'"rows":[{rows}]}}'
    )


def strips(watch: WatchList, span: str) -> str:
    """Return the strip of every session: see ``Series.strip``."""
    found = {one.number: one.series.strip(span) for one in watch.histories}
    return _text(type="strips", span=span, strips=found)


def session(history: History, span: str) -> str:
    """Return all that is known of one session."""
    subject = history.session
    if subject is None:
        return gone(history.number)
    return _text(
        type="session",
        id=history.number,
        name=subject.name,
        endpoint=history.chronicle.endpoint,
        epoch=subject.epoch,
        limits=_limits(subject),
        counters=_counters(history.sampler.statistics),
        feed=None
        if history.sampler.feed is None
        else attrs.asdict(history.sampler.feed),
        span=span,
        samples=_columns(history.series.samples(span)),
        downtimes=_newest_first(history.chronicle.downtimes),
        attempts=_newest_first(history.chronicle.attempts),
        events=_newest_first(history.chronicle.entries),
    )


def gone(number: int) -> str:
    """Return that a session is not watched (any more)."""
    return _text(type="gone", id=number)


def _limits(subject: Session) -> dict[str, object]:
    return {
        "inbox": subject.inbox.max_messages,
        "inboxOverflow": subject.inbox.overflow,
        "outbox": subject.outbox.max_messages,
        "outboxBytes": subject.outbox.max_bytes,
        "outboxOverflow": subject.outbox.overflow,
    }


def _counters(statistics: Statistics | None) -> dict[str, object]:
    if statistics is None:
        return {}
    return {name: getattr(statistics, name) for name in _SHOWN}


def _columns(samples: list[Sample]) -> dict[str, list[float | None]]:
    """Return samples as one list for each field."""
    columns: dict[str, list[float | None]] = {
        name: [rounded(getattr(sample, name)) for sample in samples]
        for name in Sample._fields
    }
    columns["at"] = [round(sample.at, 1) for sample in samples]
    return columns


def _newest_first(entries: Iterable[attrs.AttrsInstance]) -> list[dict[str, object]]:
    return [attrs.asdict(entry) for entry in reversed(list(entries))]


def _text(**fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"))
