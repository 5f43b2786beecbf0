"""Writes what passes over a session to a file.

Rules: the session only appends to a list; a thread hides secrets, makes the lines and
writes them. What waits for the thread is bounded, and so is the file. A disk that fails
or is slow costs entries, which are counted, and never holds up the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import attrs

import resilient_ws
from resilient_ws.events import (
    AttemptFailed,
    ConnectionDropped,
    ConnectionOpened,
    ConnectionReplaced,
)
from resilient_ws.recording.entries import VERSION, Entry, line_of
from resilient_ws.recording.files import LineWriter, check
from resilient_ws.recording.redaction import Redaction


if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from resilient_ws import Event, Session, Traffic

#: Seconds between two writes.
_INTERVAL: Final = 0.25
#: The most bytes of payload that wait to be written.
_MOST_WAITING: Final = 32 * 1024 * 1024
#: What an entry takes beside its payload, about, in bytes.
_OVERHEAD: Final = 400

_log: Final = logging.getLogger("resilient_ws.recording")


class Recorder:
    """Records a session, from before it is entered until it is closed.

    ::

        session = connect(url, on_open=subscribe)
        async with Recorder(session, "today.jsonl"), session:
            ...

    Values that look secret are hidden: those of names such as ``token`` or ``apiKey``
    in JSON, JSON Web Tokens, ``Bearer`` and ``Basic`` credentials, and ``secrets``. The
    URL is written as logs show it, and headers are not written. Look through a
    recording before you give it away, above all if your protocol is binary.

    Args:
        session: The session, not entered yet.
        path: The file, which is replaced. Named ``.zst``, it is compressed, and
            zstandard is needed.
        secrets: More texts to hide wherever they are, 4 characters or longer.
        payloads: ``False`` writes the sizes of messages in place of the messages.
        max_bytes: The size of the file at which recording stops (default 1 GiB), with a
            WARNING in the log.

    Attributes:
        failure: The error of the disk that ended the recording, or ``None``.
        skipped: How many entries are missing because the disk was too slow.

    Raises:
        RuntimeError: The session was entered before.
        ValueError: A secret is too short, or zstandard is missing.
    """

    def __init__(
        self,
        session: Session,
        path: str | os.PathLike[str],
        *,
        secrets: Iterable[str] = (),
        payloads: bool = True,
        max_bytes: int = 1024**3,
    ) -> None:
        self._path = Path(path)
        check(self._path)
        self._redaction = Redaction(secrets)
        self._payloads = payloads
        self._max_bytes = max_bytes
        self.failure: OSError | None = None
        self.skipped = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = 0.0
        self._waiting: list[Entry] = []
        self._waiting_bytes = 0
        self._skipped_now = 0
        self._ending = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        session.tap(self._take)
        for event in (
            AttemptFailed,
            ConnectionDropped,
            ConnectionOpened,
            ConnectionReplaced,
        ):
            session.on(event, self._take_event)

    async def __aenter__(self) -> Self:
        """Make the file and begin.

        Raises:
            OSError: The file cannot be made.
        """
        file = await asyncio.to_thread(LineWriter, self._path)
        self._loop = loop = asyncio.get_running_loop()
        self._began = loop.time()
        first = json.dumps(
            {
                "recording": VERSION,
                "began": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
                "by": f"resilient_ws {resilient_ws.__version__}",
            }
        )
        self._writing = loop.create_task(
            self._write(file, first), name=f"resilient_ws recorder of {self._path.name}"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what waits, and end the file.

        Cancellation:
            Does not wait for the file, which is ended all the same.
        """
        self._loop = None
        self._ending.set()
        if self._writing is not None:
            await asyncio.wait([self._writing])

    # What the session calls.

    def _take(self, traffic: Traffic) -> None:
        self._append(
            Entry(
                at=traffic.at - self._began,
                kind=traffic.kind,
                epoch=traffic.epoch,
                sent=traffic.sent,
                data=traffic.data,
                code=traffic.code,
            )
        )

    def _take_event(self, event: Event) -> None:
        if self._loop is not None:
            entry = _entry_of(event, self._loop.time() - self._began)
            if entry is not None:
                self._append(entry)

    def _append(self, entry: Entry) -> None:
        """Let an entry wait for the thread, if recording is on and there is room."""
        if self._loop is None:
            return
        size = len(entry.data) + _OVERHEAD
        if self._waiting_bytes + size > _MOST_WAITING:
            self.skipped += 1
            self._skipped_now += 1
            return
        self._waiting.append(entry)
        self._waiting_bytes += size

    # Writing.

    async def _write(self, file: LineWriter, first: str) -> None:
        """Write what waits, again and again, and the rest at the end."""
        try:
            await asyncio.to_thread(file.write, [first])
            while file.size < self._max_bytes:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), _INTERVAL)
                ends = self._ending.is_set()
                if entries := self._taken():
                    await asyncio.to_thread(self._put, file, entries)
                if ends:
                    return
            self._stop("the file is as large as it may be (max_bytes)")
        except OSError as failure:
            self.failure = failure
            self._stop(failure.strerror or type(failure).__name__)
        finally:
            with contextlib.suppress(OSError):
                file.close()

    def _taken(self) -> list[Entry]:
        """Return what waits, which is then taken, with what is missing of it."""
        entries, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if self._skipped_now:
            at = entries[-1].at if entries else 0.0
            entries.append(Entry(at=at, kind="skipped", detail=f"{self._skipped_now}"))
            self._skipped_now = 0
        return entries

    def _put(self, file: LineWriter, entries: list[Entry]) -> None:
        """Make the lines of entries, and write them; runs in the thread."""
        sizes_only = not self._payloads
        file.write(
            [line_of(self._redacted(one), sizes_only=sizes_only) for one in entries]
        )

    def _redacted(self, entry: Entry) -> Entry:
        if entry.kind in {"text", "binary", "close"} and entry.data:
            return attrs.evolve(entry, data=self._redaction.of(entry.data))
        return entry

    def _stop(self, why: str) -> None:
        self._loop = None
        self._waiting = []
        _log.warning("recording to %s stopped: %s", self._path, why)


def _entry_of(event: Event, at: float) -> Entry | None:
    """Return the entry for what happened to a connection, ``None`` for other events."""
    match event:
        case ConnectionOpened():
            return Entry(
                at=at,
                kind="opened",
                epoch=event.epoch,
                data=event.endpoint,
                detail=event.subprotocol or "",
            )
        case ConnectionDropped():
            why = str(event.because)
            return Entry(at=at, kind="ended", epoch=event.epoch, detail=why)
        case ConnectionReplaced():
            return Entry(at=at, kind="ended", epoch=event.epoch, detail=event.reason)
        case AttemptFailed():
            why = str(event.because)
            return Entry(at=at, kind="failed", data=event.endpoint, detail=why)
        case _:
            return None
