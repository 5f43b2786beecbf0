"""The entries of a recording, and how each is written as a line of JSON."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import attrs


#: What an entry is: a message, a control frame, or what happened to the connection.
EntryKind: TypeAlias = Literal[
    "text",
    "binary",
    "ping",
    "pong",
    "close",
    "opened",
    "ended",
    "failed",
    "skipped",
]
_KINDS: Final = frozenset(get_args(EntryKind))
#: The format's version, in the first line of a recording.
VERSION: Final = 1


@attrs.frozen(kw_only=True)
class Entry:
    """A line of a recording.

    Attributes:
        at: When, in seconds since the recording began, by the monotonic clock.
        kind: ``text``, ``binary``, ``ping``, ``pong`` or ``close``: what passed.
            ``opened``, ``ended`` and ``failed``: a connection opened, ended, or could
            not be opened. ``skipped``: traffic is missing here, because it came faster
            than the file could be written.
        epoch: The ordinal of the connection, from 1.
        sent: Whether this side sent it.
        data: The message or the payload; the reason of a close; the endpoint of what
            was opened or failed.
        code: The code of a close, 1005 when the frame held none; else ``None``.
        detail: The subprotocol of what was opened, ``""`` for none; why it was ended or
            failed; how many entries were skipped.
    """

    at: float
    kind: EntryKind
    epoch: int = 0
    sent: bool = False
    data: str | bytes = ""
    code: int | None = None
    detail: str = ""

    @property
    def is_message(self) -> bool:
        """Whether it is a text or a binary message."""
        return self.kind in {"text", "binary"}


def line_of(entry: Entry, *, sizes_only: bool = False) -> str:
    """Return an entry as a line of JSON, with the size of its data alone if asked."""
    fields: dict[str, object] = {"at": round(entry.at, 6), "kind": entry.kind}
    if entry.epoch:
        fields["epoch"] = entry.epoch
    if entry.sent:
        fields["sent"] = True
    if sizes_only and entry.is_message:
        fields["size"] = len(entry.data)
    elif isinstance(entry.data, bytes):
        fields["base64"] = base64.b64encode(entry.data).decode()
    elif entry.data:
        fields["data"] = entry.data
    if entry.code is not None:
        fields["code"] = entry.code
    if entry.detail:
        fields["detail"] = entry.detail
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def entry_of(line: str) -> Entry:
    """Return the entry that a line holds.

    Raises:
        ValueError: It holds none.
    """
    try:
        found = json.loads(line)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - a damaged line
    fields = cast("dict[str, Any]", found)
    kind = _field(fields, "kind", str, "")
    if kind not in _KINDS:
        raise ValueError(f"its kind is {kind!r}")
    code = fields.get("code")
    if code is not None and type(code) is not int:
        raise ValueError("its code is not a whole number")
    return Entry(
        at=float(_field(fields, "at", (int, float), 0.0)),
        kind=cast("EntryKind", kind),
        epoch=_field(fields, "epoch", int, 0),
        sent=_field(fields, "sent", bool, False),  # noqa: FBT003 - the default
        data=_data(fields, kind),
        code=code,
        detail=_field(fields, "detail", str, ""),
    )


#: The largest message that is made up where only its size was kept, in characters.
_MOST_MADE_UP: Final = 64 * 1024 * 1024


def _data(fields: dict[str, Any], kind: str) -> str | bytes:
    """Return the payload: as written, or as many stars where only the size is."""
    if "base64" in fields:
        try:
            return base64.b64decode(_field(fields, "base64", str, ""), validate=True)
        except binascii.Error:
            raise ValueError("its base64 is damaged") from None
    if "size" in fields:
        size: int = _field(fields, "size", int, 0)
        if not 0 <= size <= _MOST_MADE_UP:
            raise ValueError("its size is out of range")
        return "*" * size if kind == "text" else b"*" * size
    text: str = _field(fields, "data", str, "")
    # Bytes are always written as base64, except that there are none.
    return b"" if kind in {"binary", "ping", "pong"} and not text else text


def _field(fields: dict[str, Any], name: str, kind: Any, default: Any) -> Any:  # noqa: ANN401 - JSON
    value = fields.get(name, default)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"its {name} has the wrong type")
    return value
