"""Conversion of messages to rows of the store, and back.

Rule: every row that is read is checked, because a disk may have changed it. A row that
cannot be what was written is *poison*.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, Final

from resilient_ws.outbox.store.ledger import Row, StoredMessage


if TYPE_CHECKING:
    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.protocol.message import Message


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

Values = tuple[Any, ...]


class Poison(ValueError):
    """Raised for a row that cannot be what was written."""


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
        Poison: The values cannot be what was written.
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
        raise Poison("it holds values of the wrong type or range")
    if not whole:
        raise Poison("its payload does not have the stored size")
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
        Poison: The values cannot be what was written.
    """
    is_text, checksum, data = body
    if not isinstance(data, bytes) or len(data) != size:
        raise Poison("its payload does not have the stored size")
    if checksum != _checksum(message_id, is_text, data):
        raise Poison("its checksum does not match")
    if not is_text:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Poison("it is not UTF-8") from None


def stored_message(values: Values, *, reason: object) -> StoredMessage:
    """Return a row, sound or damaged, as ``pending()`` shows it."""
    head, data = values[:HEAD_SIZE], values[-1]
    try:
        message: Message = message_of(head[1], head[6], values[HEAD_SIZE:])
    except Poison:
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
