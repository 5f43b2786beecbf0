"""From the line to the link: what is written, when, and in which batches.

Rules: the first message of a loop turn leaves at once; later ones of the same turn are
joined, and leave at 64 KiB or at the end of the turn. After a turn with a single
message, the next ``LONERS`` leave without an end-of-turn callback. A message leaves the
line in the step that hands it to the transport or claims it from a durable store; only
one claim runs at a time, to keep the order. A claimed message that cannot be written
goes back to its old place.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from resilient_ws.outbox.line import MESSAGE_COST
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from resilient_ws.outbox.confirmation import Confirmation
    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.expiry import Expiry
    from resilient_ws.outbox.fate import Fates
    from resilient_ws.outbox.line import Line
    from resilient_ws.outbox.link import Link
    from resilient_ws.outbox.policy import Outbox
    from resilient_ws.outbox.room import Room
    from resilient_ws.outbox.store.ledger import Ledger
    from resilient_ws.protocol.message import Message


#: A joined write leaves when it has grown to this many bytes.
JOINED_WRITE: Final = 64 * 1024
#: Bytes that one turn of the loop may hand over, so that the loop stays free.
TURN_LIMIT: Final = JOINED_WRITE
#: After a turn with a single message, send this many more without scheduling an
#: end-of-turn callback, which costs more than half as much as sending a small message.
LONERS: Final = 16
#: Seconds before a store that failed is asked again.
STORE_PAUSE: Final = 1.0


class Pump:
    """Writes waiting messages to the open connection."""

    __slots__ = (
        "_confirmation",
        "_expiry",
        "_fates",
        "_ledger",
        "_line",
        "_loners",
        "_loop",
        "_pause",
        "_policy",
        "_room",
        "_turn_taken",
        "claimed",
        "draining",
        "epoch",
        "link",
        "on_progress",
    )

    def __init__(
        self,
        policy: Outbox,
        *,
        line: Line,
        room: Room,
        fates: Fates,
        ledger: Ledger,
        expiry: Expiry,
        confirmation: Confirmation | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._policy = policy
        self._line = line
        self._room = room
        self._fates = fates
        self._ledger = ledger
        self._expiry = expiry
        self._confirmation = confirmation
        self._loop = loop
        #: The open connection that messages are written to; set by ``Traffic``.
        self.link: Link | None = None
        #: The epoch of the open connection, or of the last one; 0 before the first.
        self.epoch = 0
        #: Whether messages that waited when it opened are still being written.
        self.draining = False
        #: Messages being claimed from the store, to be written.
        self.claimed: list[Delivery] = []
        #: Called when waiting senders, or a waiting ``drained``, should check again.
        self.on_progress: Callable[[], None] | None = None
        self._turn_taken = False
        self._loners = 0
        self._pause: asyncio.TimerHandle | None = None

    # Placing.

    def ready(self) -> bool:
        """Whether a message may be written now."""
        link = self.link
        if link is None or not link.writable():
            return False
        return self._confirmation is None or self._confirmation.window() > 0

    def _window(self) -> int:
        confirmation = self._confirmation
        return sys.maxsize if confirmation is None else confirmation.window()

    def takes(self, only_epoch: int | None) -> bool:
        """Whether a message that is bound to a connection may still be sent."""
        if only_epoch is None:
            return True
        return self.link is not None and only_epoch == self.epoch

    def place(self, delivery: Delivery, *, ready: bool) -> None:
        """Give an accepted message its place: on the wire, or at the end of the line.

        A message that a store holds has no data here, so it always goes to the line.

        Args:
            delivery: The message.
            ready: Whether it may be written now, if no other message waits.
        """
        line = self._line
        if (
            ready
            and not self._turn_taken
            and not line.count
            and (link := self.link) is not None
            and (data := delivery.data) is not None
        ):
            link.send(data)
            if self._loners:
                self._loners -= 1
            else:
                self._take_turn()
            self._fates.write_at_once(delivery, self.epoch)
            if self._confirmation is not None:
                self._await_confirmation(link, (delivery,))
            return
        line.append(delivery)
        if delivery.expires_at is not None:
            self._expiry.watch(delivery)
        if line.size + MESSAGE_COST * line.count >= JOINED_WRITE:
            self.run()
        elif not self._turn_taken and self.link is not None:
            self._take_turn()

    def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Put messages back in line, at their old places."""
        gone = [d for d in deliveries if not self.takes(d.only_epoch)]
        kept = [d for d in deliveries if self.takes(d.only_epoch)]
        self._fates.lose(gone, DeliveryState.DROPPED)
        self._line.put_back(kept)
        for delivery in kept:
            self._expiry.watch(delivery)

    # Writing.

    def run(self) -> None:
        """Write waiting messages, up to the limits of the transport and the turn."""
        sent = 0
        while self._line and not self.claimed and self._pause is None and self.ready():
            if sent >= TURN_LIMIT:
                self._take_turn()
                return
            batch, size = self._next_batch()
            sent += size
            if not batch:
                continue
            claim = self._ledger.claim(batch)
            if claim is None:
                self._write(batch)
            else:
                self.claimed = batch
                self._room.hold(batch)
                claim.add_done_callback(partial(self._on_claimed, self.link))
        self.note_progress()

    def note_progress(self) -> None:
        """Notify those that wait for progress here."""
        if not self._line:
            self.draining = False
        if self.on_progress is not None:
            self.on_progress()

    def _take_turn(self) -> None:
        if not self._turn_taken:
            self._turn_taken = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_taken = False
        if self._line:
            self.run()
        else:
            self._loners = LONERS

    def _next_batch(self) -> tuple[list[Delivery], int]:
        """Take the oldest messages for one joined write, leaving out the expired."""
        taken, size = self._line.take(JOINED_WRITE, self._window())
        is_stale = self._expiry.is_stale
        stale = {d for d in taken if d.expires_at is not None and is_stale(d)}
        if not stale:
            return taken, size
        self._fates.lose(list(stale), DeliveryState.EXPIRED)
        return [d for d in taken if d not in stale], size

    def _write(self, batch: Sequence[Delivery]) -> None:
        if self.link is not None:
            self.link.send_many([d.data for d in batch if d.data is not None])
            self._fates.write(batch, time.time(), self.epoch)
            self._await_confirmation(self.link, batch)

    def _await_confirmation(self, link: Link, batch: Sequence[Delivery]) -> None:
        """Record a batch that was written, if confirmations are awaited."""
        if self._confirmation is not None:
            awaited = self._confirmation.wrote(batch, link)
            if self._policy.resend:
                self._room.hold(awaited)

    # Claims from a durable store.

    def _on_claimed(
        self, link: Link | None, claim: asyncio.Future[list[Message | None]]
    ) -> None:
        """Write the payloads that the store returned, or put the messages back."""
        batch, self.claimed = self.claimed, []
        self._room.release(batch)
        if claim.cancelled() or claim.exception() is not None:
            self.put_back(batch)
            self._pause = self._loop.call_later(STORE_PAUSE, self._unpause)
            self.note_progress()
            return
        fresh = self._fresh(batch, claim.result())
        if fresh and link is self.link and link is not None and link.writable():
            self._write(fresh)
        elif fresh:
            self._ledger.put_back(fresh)
            self.put_back(fresh)
        self.run()

    def _fresh(
        self, batch: Sequence[Delivery], payloads: Sequence[Message | None]
    ) -> list[Delivery]:
        """Return the claimed messages that are still to be written."""
        fresh: list[Delivery] = []
        stale: list[Delivery] = []
        poison: list[Delivery] = []
        for delivery, data in zip(batch, payloads, strict=True):
            if delivery.state is not DeliveryState.QUEUED:
                continue  # it was acknowledged meanwhile
            delivery.data = data
            if data is None:
                poison.append(delivery)
            elif self._expiry.is_stale(delivery):
                stale.append(delivery)
            else:
                fresh.append(delivery)
        self._fates.lose(poison, DeliveryState.FAILED)
        self._fates.lose(stale, DeliveryState.EXPIRED)
        return fresh

    def _unpause(self) -> None:
        self._pause = None
        self.run()

    def stop(self) -> None:
        """Stop asking a store that failed."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
