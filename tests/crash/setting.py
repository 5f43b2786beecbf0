"""What is promised of a message, in the ways that are put to the test."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Literal

import attrs

from resilient_ws import Outbox, SQLiteStore


if TYPE_CHECKING:
    import pathlib

#: The most that may be on its way at a kill, where confirmations are waited for.
MAX_IN_FLIGHT: Final = 100
#: Servers log the text of messages up to 1 KiB; most of these are compressed.
MAX_FILLER: Final = 900


def body(number: int) -> str:
    """The message with this number: its id, and a filler that follows from it."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return f"{number} {digest * (MAX_FILLER // len(digest) + 1)}"[: _size(number)]


def number_of(message: str | bytes) -> int:
    """The number of a message."""
    return int(str(message).partition(" ")[0])


def ack_of(message: str | bytes) -> str:
    """The echo of a message is its acknowledgement."""
    return str(number_of(message))


def _size(number: int) -> int:
    return 16 + number * 7919 % MAX_FILLER


@attrs.frozen
class Setting:
    """An outbox on disk, and the path of the server that suits it.

    With ``"pong"`` the server takes and says nothing: one that fails to echo to a
    client which is gone would leave unread what its library has parsed and confirmed.
    """

    name: str
    confirm: Literal["write", "pong", "ack"]
    resend: bool
    path: str

    def outbox(self, store: pathlib.Path) -> Outbox:
        """What the sender is given."""
        return Outbox(
            max_messages=200,
            overflow="wait",
            confirm=ack_of if self.confirm == "ack" else self.confirm,
            resend=self.resend,
            confirm_interval=0.02,
            max_in_flight=MAX_IN_FLIGHT,
            # The cuts here never end: a message that gave up would look lost.
            max_transmissions=1_000_000,
            store=SQLiteStore(store),
        )


SETTINGS: Final = {
    setting.name: setting
    for setting in (
        Setting("pong, resend", "pong", resend=True, path="/sink"),
        Setting("ack_of, resend", "ack", resend=True, path="/echo"),
        Setting("pong, once", "pong", resend=False, path="/sink"),
        Setting("write, once", "write", resend=False, path="/echo"),
    )
}
