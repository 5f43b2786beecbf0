"""The items of a chain as JSON objects, one per line.

Rules: quantities are numbers, data is text, as in the library. Each object says with
``type`` what it is; the cursor, about 5 kB, is in it only where it was asked for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from resilient_ws.feeds import Gap
from resilient_ws.feeds.evm import BlockLogs, Head, Reorg


if TYPE_CHECKING:
    from resilient_ws.feeds.evm import BlockRef, Log, Progress


def chain_json(
    item: Head | BlockLogs | Reorg | Progress | Gap, *, with_cursor: bool
) -> str | None:
    """Return the line of an item; ``None`` for one that has nothing to show.

    Args:
        item: What a stream yielded.
        with_cursor: Whether its cursor is in the line.
    """
    shown = _shown(item)
    if shown is None:
        return None
    cursor = getattr(item, "cursor", None)
    if with_cursor and cursor is not None:
        shown["cursor"] = str(cursor)
    return json.dumps(shown, separators=(",", ":"))


def _shown(item: Head | BlockLogs | Reorg | Progress | Gap) -> dict[str, Any] | None:
    match item:
        case Head():
            return {"type": "head", **_fields(item)}
        case BlockLogs(head=head, logs=logs):
            told = {"type": "logs", **_block(head), "logs": _logs(logs)}
            return told if logs else None
        case Reorg():
            told = {
                "type": "reorg",
                "depth": item.depth,
                "ancestor": _block(item.ancestor),
                "removed": [_block(head) for head in item.removed],
            }
            return told | {"logs": _logs(item.logs)} if item.logs else told
        case Gap():
            return {
                "type": "gap",
                "first_missing": item.first_missing,
                "until": item.until,
                "because": str(item.because),
            }
        case _:
            return None


def _block(head: BlockRef) -> dict[str, Any]:
    return {"number": head.number, "hash": head.hash}


def _logs(logs: tuple[Log, ...]) -> list[dict[str, Any]]:
    return [_fields(log) for log in logs]


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    """Return what the node sent: no field that it left out, and none of ours."""
    fields = msgspec.structs.asdict(struct)
    extra: dict[str, Any] = fields.pop("extra")
    public = {
        name: value
        for name, value in fields.items()
        if value is not None and not name.startswith("_")
    }
    return {**public, **extra}
