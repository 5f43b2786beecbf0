"""``resilient-ws outbox``: print what is inside a durable outbox."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Final

from resilient_ws import printable


if TYPE_CHECKING:
    from resilient_ws import SQLiteStore, StoredMessage


#: The most characters shown of a message. --json shows all of them.
_MAX_SHOWN: Final = 60


def show(store: SQLiteStore, *, as_json: bool) -> None:
    """Print each message of a store on a line of stdout, and the total to stderr.

    Raises:
        OSError: stdout cannot be written.
        StoreError: The file does not exist or is not a store.
    """
    waiting = set_aside = 0
    write = json_line if as_json else line
    for message in store.pending():
        print(write(message))
        waiting += message.set_aside is None
        set_aside += message.set_aside is not None
    sys.stdout.flush()
    plural = "message waits" if waiting == 1 else "messages wait"
    also = f", {set_aside} set aside" if set_aside else ""
    # The messages are printed, so a failing stderr does not matter.
    with contextlib.suppress(OSError):
        print(f"{waiting} {plural}{also}", file=sys.stderr, flush=True)


def line(message: StoredMessage) -> str:
    """Return a line about a message, for people."""
    parts = [f"{message.sequence:>6}", when(message.accepted_at)]
    if message.message_id is not None:
        parts.append(f"id {printable(message.message_id)}")
    if message.transmissions:
        parts.append(f"sent {message.transmissions}x")
    if message.expires_at is not None:
        parts.append(f"expires {when(message.expires_at)}")
    if message.set_aside is not None:
        parts.append(f"SET ASIDE, {printable(message.set_aside)}")
    data = message.data
    text = printable(data) if isinstance(data, str) else f"{len(data)} bytes, {data!r}"
    if len(text) > _MAX_SHOWN:
        text = f"{text[:_MAX_SHOWN]}..."
    return "  ".join([*parts, text])


def json_line(message: StoredMessage) -> str:
    """Return a whole message as a JSON object."""
    data = message.data
    payload = (
        {"text": data}
        if isinstance(data, str)
        else {"base64": base64.b64encode(data).decode()}
    )
    return json.dumps(
        {
            "sequence": message.sequence,
            "message_id": message.message_id,
            "accepted_at": message.accepted_at,
            "expires_at": message.expires_at,
            "transmissions": message.transmissions,
            "set_aside": message.set_aside,
            **payload,
        }
    )


def when(seconds: object) -> str:
    """Return Unix seconds as a date and time, or a damaged row's value as text."""
    try:
        moment = dt.datetime.fromtimestamp(float(str(seconds)), dt.UTC)
    except (ValueError, OverflowError, OSError):
        return printable(str(seconds))
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
