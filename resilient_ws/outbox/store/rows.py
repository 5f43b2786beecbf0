"""A message in a durable store: its row, and what a session and a user see of it.

Rule: every row that is read is checked, because a disk may have changed it. A row that
cannot be what was written is *damaged*, and is set aside.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs


if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.protocol.message import Message


#: Rows that are read at a time, so that a slow reader never blocks the store.
PAGE_ROWS: Final = 256
#: Payload bytes that end a page early.
PAGE_BYTES: Final = 4 * 1024 * 1024

#: The columns read when the store is opened: all but the payload.
HEAD: Final = (
    "id, message_id, accepted_at, expires_at, only_if_open, transmissions, size, "
    "accused, awaited"
)
HEAD_SIZE: Final = HEAD.count(",") + 1
#: The columns of the payload.
BODY: Final = "is_text, checksum, data"
#: Checks the type and size of the payload without reading it.
WHOLE: Final = "typeof(data) = 'blob' AND length(data) = size"

_MARKS: Final = ", ".join("?" * 12)
# Only names of columns are interpolated here.
_PUT: Final = f"INSERT OR REPLACE INTO messages ({HEAD}, {BODY}) VALUES ({_MARKS})"  # noqa: S608
_SPAN: Final = f"SELECT {HEAD}, {BODY} FROM messages WHERE id BETWEEN ? AND ?"  # noqa: S608
_HEADS: Final = f"SELECT {HEAD}, {WHOLE} FROM messages ORDER BY id"  # noqa: S608
_FORGET: Final = "DELETE FROM messages WHERE id = ?"
_FORGET_SPAN: Final = "DELETE FROM messages WHERE id BETWEEN ? AND ?"
_COUNT: Final = "UPDATE messages SET transmissions = transmissions + 1 WHERE id = ?"
_ACCUSE: Final = "UPDATE messages SET accused = ? WHERE id = ?"
_SET_ASIDE: Final = (
    f"INSERT OR REPLACE INTO set_aside (reason, {HEAD}, {BODY}) "  # noqa: S608
    f"SELECT ?, {HEAD}, {BODY} FROM messages WHERE id = ?"
)

#: The values of a row, in the order of its columns.
Values: TypeAlias = tuple[Any, ...]


@attrs.frozen(kw_only=True)
class StoredMessage:
    """A message in a durable store, as ``pending()`` shows it.

    If its row is damaged, ``data`` is what can be read of it; an unreadable time is 0.0
    or ``None``, and an unreadable count is 0.

    Attributes:
        sequence: Its number in the order of the store.
        data: The message, or what is left of it if it was set aside.
        message_id: The id given to ``send``, or ``None``.
        accepted_at: When it was accepted, in Unix seconds.
        expires_at: When its ``ttl`` passes, in Unix seconds; ``None`` for never.
        transmissions: How often it was handed to a connection, or was about to be.
        accused: How many connections ended while it was alone in flight.
        set_aside: Why it will not be sent; ``None`` for one that waits.
    """

    sequence: int
    data: str | bytes
    message_id: str | None
    accepted_at: float
    expires_at: float | None
    transmissions: int
    accused: int = 0
    set_aside: str | None = None


@attrs.frozen(kw_only=True)
class Row:
    """A message found in a store when it was opened, without its payload.

    Attributes:
        only_if_open: Whether it was bound to a connection, which is gone by now.
        accused: How many connections ended while it was alone in flight.
        awaited: Whether it has to be confirmed once it is written.
        damage: Why it cannot be sent and was set aside, ``None`` if it can.
    """

    sequence: int
    size: int = 0
    message_id: str | None = None
    accepted_at: float = 0.0
    expires_at: float | None = None
    only_if_open: bool = False
    transmissions: int = 0
    accused: int = 0
    awaited: bool = True
    damage: str | None = None


class DamagedRow(ValueError):
    """Raised for a row that cannot be what was written."""


# What a session does with its rows.


def load(connection: sqlite3.Connection) -> list[Row]:
    """Return the messages in a store, in order; set the damaged ones aside."""
    found: list[Row] = []
    for values in connection.execute(_HEADS).fetchall():
        try:
            found.append(row_of(values))
        except DamagedRow as damaged:
            connection.execute("BEGIN IMMEDIATE")
            _set_aside(connection, values[0], str(damaged))
            connection.execute("COMMIT")
            found.append(Row(sequence=values[0], damage=str(damaged)))
    return found


def last_sequence(connection: sqlite3.Connection) -> int:
    """Return the highest number that a message in a store ever had."""
    (last,) = connection.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()
    return last or 0


def put(connection: sqlite3.Connection, values: Sequence[Values]) -> None:
    """Store messages."""
    connection.executemany(_PUT, values)


def forget(connection: sqlite3.Connection, sequences: Sequence[int]) -> None:
    """Delete messages."""
    connection.executemany(_FORGET, [(sequence,) for sequence in sequences])


def accuse(connection: sqlite3.Connection, sequence: int, count: int) -> None:
    """Store how many connections ended while a message was alone in flight."""
    connection.execute(_ACCUSE, (count, sequence))


def claim(
    connection: sqlite3.Connection, sequences: Sequence[int], kept: Sequence[bool]
) -> list[Message | None]:
    """Return the payloads of messages, ``None`` for a damaged or missing one.

    Messages that are kept are counted as transmitted once more; the others are deleted.
    """
    span = (sequences[0], sequences[-1])
    found = {values[0]: values for values in connection.execute(_SPAN, span)}
    messages: list[Message | None] = []
    for sequence in sequences:
        values = found.get(sequence)
        message: Message | None = None
        try:
            if values is not None:
                message = message_of(values[1], values[6], values[HEAD_SIZE:])
        except DamagedRow as damaged:
            _set_aside(connection, sequence, str(damaged))
        messages.append(message)
    stay = [(one,) for one, keep in zip(sequences, kept, strict=True) if keep]
    go = [(one,) for one, keep in zip(sequences, kept, strict=True) if not keep]
    if len(go) == len(found) == len(sequences):
        connection.execute(_FORGET_SPAN, span)
    else:
        connection.executemany(_COUNT, stay)
        connection.executemany(_FORGET, go)
    return messages


def _set_aside(connection: sqlite3.Connection, sequence: int, reason: str) -> None:
    connection.execute(_SET_ASIDE, (reason, sequence))
    connection.execute(_FORGET, (sequence,))


# What a user looks at.


def pending(connection: sqlite3.Connection) -> Iterator[StoredMessage]:
    """Walk through the messages that wait, in order."""
    return _shown(connection, "messages", "NULL")


def set_aside(connection: sqlite3.Connection) -> Iterator[StoredMessage]:
    """Walk through the damaged messages, in order."""
    return _shown(connection, "set_aside", "reason")


def _shown(
    connection: sqlite3.Connection, table: str, reason: str
) -> Iterator[StoredMessage]:
    """Read a table page by page, so that no snapshot is held for long."""
    query = (
        f"SELECT {reason}, {HEAD}, {BODY} FROM {table} "  # noqa: S608 - ours, all of it
        "WHERE id > ? ORDER BY id LIMIT ?"
    )
    last = -1
    page: list[Values]
    while page := _page(connection.execute(query, (last, PAGE_ROWS))):
        for values in page:
            yield _stored_message(values[1:], reason=values[0])
        last = page[-1][1]


def _page(cursor: sqlite3.Cursor) -> list[Values]:
    """Read one page of rows, and release the store."""
    page: list[Values] = []
    size = 0
    with contextlib.closing(cursor):
        for values in cursor:
            page.append(values)
            size += len(values[-1]) if isinstance(values[-1], bytes | str) else 0
            if size >= PAGE_BYTES:
                break
    return page


# Conversion.


def values_of(delivery: Delivery, data: Message) -> Values:
    """Return a message as the values of ``HEAD`` and ``BODY``."""
    blob = data.encode() if isinstance(data, str) else data
    is_text = isinstance(data, str)
    return (
        delivery.sequence,
        delivery.message_id,
        delivery.accepted_at,
        delivery.expires_at,
        delivery.only_epoch is not None,
        delivery.transmissions,
        delivery.size,
        delivery.accused,
        delivery.awaited,
        is_text,
        _checksum(delivery.message_id, is_text, blob),
        blob,
    )


def row_of(values: Values) -> Row:
    """Return the row with these values of ``HEAD`` and ``WHOLE``.

    Raises:
        DamagedRow: The values cannot be what was written.
    """
    *head, whole = values
    sequence, message_id, accepted_at, expires_at, only_if_open, *counts, awaited = head
    times, size, accused = counts
    sound = (
        (message_id is None or isinstance(message_id, str))
        and _is_time(accepted_at)
        and (expires_at is None or _is_time(expires_at))
        and only_if_open in (0, 1)
        and awaited in (0, 1)
        and all(isinstance(count, int) and count >= 0 for count in counts)
    )
    if not sound:
        raise DamagedRow("it holds values of the wrong type or range")
    if not whole:
        raise DamagedRow("its payload does not have the stored size")
    return Row(
        sequence=sequence,
        size=size,
        message_id=message_id,
        accepted_at=accepted_at,
        expires_at=expires_at,
        only_if_open=bool(only_if_open),
        transmissions=times,
        accused=accused,
        awaited=bool(awaited),
    )


def _is_time(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def message_of(message_id: object, size: object, body: Values) -> Message:
    """Return the message with these values of ``BODY``.

    Raises:
        DamagedRow: The values cannot be what was written.
    """
    is_text, checksum, data = body
    if not isinstance(data, bytes) or len(data) != size:
        raise DamagedRow("its payload does not have the stored size")
    if checksum != _checksum(message_id, is_text, data):
        raise DamagedRow("its checksum does not match")
    if not is_text:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise DamagedRow("it is not UTF-8") from None


def _stored_message(values: Values, *, reason: object) -> StoredMessage:
    """Return a row, sound or damaged, as ``pending()`` shows it."""
    head, data = values[:HEAD_SIZE], values[-1]
    try:
        message: Message = message_of(head[1], head[6], values[HEAD_SIZE:])
    except DamagedRow:
        message = data if isinstance(data, bytes) else repr(data)
    sequence, message_id, accepted_at, expires_at, _, transmissions, _, accused, _ = (
        head
    )
    if message_id is not None and not isinstance(message_id, str):
        message_id = repr(message_id)
    return StoredMessage(
        sequence=sequence,
        data=message,
        message_id=message_id,
        accepted_at=accepted_at if _is_time(accepted_at) else 0.0,
        expires_at=expires_at if _is_time(expires_at) else None,
        transmissions=transmissions if isinstance(transmissions, int) else 0,
        accused=accused if isinstance(accused, int) else 0,
        set_aside=reason if reason is None else str(reason),
    )


def _checksum(message_id: object, is_text: object, blob: bytes) -> int:
    named = zlib.crc32(repr((message_id, bool(is_text))).encode())
    return zlib.crc32(blob, named)
