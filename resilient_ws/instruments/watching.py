"""Which sessions are measured, and what they say.

Rules: sessions and channels are held weakly, and each session is heard once, however
often it is given. What a session had counted stays in the sum of its time series after
it is gone, as long as another session shares them: a counter never goes back. When the
last one is gone, so are the time series.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from urllib.parse import urlsplit

from resilient_ws import Event, Session, SessionClosed
from resilient_ws.feeds import Channel
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.instruments.durations import TELLING
from resilient_ws.instruments.failure_types import error_type
from resilient_ws.instruments.loop_reading import read_on
from resilient_ws.instruments.metric import Kind, Metric, Snapshot
from resilient_ws.instruments.metrics import READ


if TYPE_CHECKING:
    from resilient_ws.feeds import ChannelStatistics


#: What can be measured: a session, or a channel with its session.
Measurable: TypeAlias = Session | Channel | Client
#: One of those, several, or a callable that returns those that there are now.
Watched: TypeAlias = (
    Measurable | Iterable[Measurable] | Callable[[], Iterable[Measurable]]
)
#: The values of the attributes ``WHERE``.
Where: TypeAlias = tuple[str, str | None, int | None]
#: The values of all attributes of a metric, those of ``WHERE`` first.
Key: TypeAlias = tuple[str | int | None, ...]
#: The value of each time series of each metric.
Readings: TypeAlias = dict[Metric, dict[Key, float]]
#: What a session had counted, by metric and its own attributes.
Counted: TypeAlias = dict[tuple[Metric, tuple[str, ...]], float]

_HEARD: Final = (*TELLING, SessionClosed)
_PORTS: Final = {"ws": 80, "wss": 443}


class SessionWatch:
    """The sessions that one collector measures, all on one event loop.

    Args:
        watched: The first of them, or a callable that is asked at each reading.
        on_event: Called with each event of a session that tells a duration.
        on_gone: Called when no session has these attributes any more.

    Raises:
        RuntimeError: No event loop is running.
        TypeError: ``watched`` is none of what can be measured.
    """

    def __init__(
        self,
        watched: Watched,
        *,
        on_event: Callable[[Event, Where], None],
        on_gone: Callable[[Where], None],
    ) -> None:
        self._loop = _loop_here()
        self._on_event = on_event
        self._on_gone = on_gone
        self._records: dict[weakref.ref[Session], Record] = {}
        # How many sessions have the same attributes.
        self._sharing = Counter[Where]()
        # What those who are gone had counted, while others share their time series.
        self._past: dict[Where, Counted] = {}
        self._present: Callable[[], Iterable[Measurable]] | None = None
        if callable(watched):
            self._present = watched
            self._follow(watched())
        else:
            self.add(*_several(watched))

    # Who is watched.

    def add(self, *measured: Measurable) -> None:
        """Measure more sessions, on the loop of the others."""
        for one in measured:
            self._record(one)

    def close(self) -> None:
        """Forget all sessions, and take back the callbacks."""
        self._present = None
        for record in list(self._records.values()):
            record.leave()
            self._forget(record.ref)

    def _record(self, measured: Measurable) -> Record:
        """Return the record of a session, new if it was not watched before."""
        session, channel = _parts(measured)
        ref = weakref.ref(session, self._died)
        record = self._records.get(ref)
        if record is None:
            record = Record(ref, _where(session), self._on_event)
            record.join(session)
            self._records[ref] = record
            self._sharing[record.where] += 1
        if channel is not None:
            record.channel = weakref.ref(channel)
        return record

    def _follow(self, present: Iterable[Measurable]) -> None:
        """Watch those who are there now, and no others."""
        kept = {self._record(one).ref for one in present}
        for ref in [ref for ref in self._records if ref not in kept]:
            self._records[ref].leave()
            self._forget(ref)

    def _died(self, ref: weakref.ref[Session]) -> None:
        """Forget a session that nobody holds; this may run in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._forget, ref)

    def _forget(self, ref: weakref.ref[Session]) -> None:
        record = self._records.pop(ref, None)
        if record is None:
            return
        where = record.where
        self._sharing[where] -= 1
        if self._sharing[where]:
            past = self._past.setdefault(where, {})
            for counter, own, value in _counted(record.last):
                past[counter, own] = past.get((counter, own), 0) + value
        else:
            del self._sharing[where]
            self._past.pop(where, None)
            self._on_gone(where)

    # What they say.

    def read(self) -> Readings:
        """Return the value of every time series; call this from any thread.

        Raises:
            Exception: What the callable raised that was given.
        """
        snapshots = read_on(self._loop, self._snapshots_now)
        if snapshots is None:
            snapshots = self._snapshots()
        readings: Readings = {metric: {} for metric in READ}
        for where, snapshot in snapshots:
            for metric in READ:
                series = readings[metric]
                for value, own in metric.values(snapshot):
                    _put(series, metric, (*where, *own), value)
        for where, past in list(self._past.items()):
            for (metric, own), value in list(past.items()):
                _put(readings[metric], metric, (*where, *own), value)
        return readings

    def _snapshots_now(self) -> list[tuple[Where, Snapshot]]:
        """Take the snapshots in a turn of the loop."""
        if self._present is not None:
            self._follow(self._present())
        return self._snapshots()

    def _snapshots(self) -> list[tuple[Where, Snapshot]]:
        taken: list[tuple[Where, Snapshot]] = []
        for record in list(self._records.values()):
            record.look()
            if record.last is not None:
                taken.append((record.where, record.last))
        return taken


class Record:
    """What is known of one session.

    Args:
        ref: The session.
        where: Its attributes.
        on_event: Called with its events that tell a duration.
    """

    __slots__ = ("_on_event", "channel", "last", "ref", "where")

    def __init__(
        self,
        ref: weakref.ref[Session],
        where: Where,
        on_event: Callable[[Event, Where], None],
    ) -> None:
        self.ref = ref
        self.where = where
        self._on_event = on_event
        self.channel: weakref.ref[Channel] | None = None
        #: The newest snapshot.
        self.last: Snapshot | None = None

    def join(self, session: Session) -> None:
        """Hear the events of the session."""
        for event in _HEARD:
            session.on(event, self._hear)

    def leave(self) -> None:
        """Hear them no more."""
        session = self.ref()
        if session is not None:
            for event in _HEARD:
                session.off(event, self._hear)

    def look(self) -> None:
        """Take a snapshot, if the session is still there."""
        session = self.ref()
        if session is not None:
            self.last = Snapshot(
                state=session.state,
                error_type=error_type(session.failure),
                session=session.statistics(),
                feed=self._feed(),
            )

    def _feed(self) -> ChannelStatistics | None:
        channel = None if self.channel is None else self.channel()
        return None if channel is None else channel.statistics()

    def _hear(self, event: Event) -> None:
        if isinstance(event, SessionClosed):
            # The last look: the session may be gone when the next one is due.
            self.look()
        elif self.ref() is not None:
            self._on_event(event, self.where)


def _put(series: dict[Key, float], metric: Metric, key: Key, value: float) -> None:
    """Add a value to those of other sessions with the same attributes."""
    known = series.get(key)
    if known is None:
        series[key] = value
    elif metric.kind is Kind.GAUGE:
        series[key] = max(known, value)
    else:
        series[key] = known + value


def _counted(last: Snapshot | None) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
    """Yield what a session had counted when it was last looked at."""
    if last is not None:
        for metric in READ:
            if metric.kind is Kind.COUNTER:
                for value, own in metric.values(last):
                    yield metric, own, value


def _where(session: Session) -> Where:
    """Return the attributes of a session, which stay the same while it lives."""
    if session.endpoint is None:
        return session.name, None, None
    url = urlsplit(session.endpoint)
    return session.name, url.hostname, url.port or _PORTS.get(url.scheme)


def _parts(measured: object) -> tuple[Session, Channel | None]:
    """Return the session of what is measured, and its channel, if it has one."""
    if isinstance(measured, Session):
        return measured, None
    channel = measured.channel if isinstance(measured, Client) else measured
    if isinstance(channel, Channel):
        return channel.session, channel
    kind = type(measured).__name__
    raise TypeError(
        "Sessions, channels and JSON-RPC clients can be measured, several of them, or "
        f"a callable that returns them; not {kind}."
    )


def _several(watched: Measurable | Iterable[Measurable]) -> Iterable[Measurable]:
    """Return what was given as several; ``_parts`` refuses what cannot be measured."""
    # Not Iterable: a session is one too, and what is neither is refused later.
    if isinstance(watched, Session | Channel | Client) or not hasattr(
        watched, "__iter__"
    ):
        return (cast("Measurable", watched),)
    return watched


def _loop_here() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "Sessions are measured on their event loop, so make this inside "
            "async def main(), where they are."
        ) from None
