"""From the backlog to the connection: what is written, when, and in which batches.

Rules: the first message of a loop turn leaves at once; later ones of the same turn are
joined, and leave at 64 KiB or at the end of the turn. A message leaves the backlog in
the step that hands it to the transport or claims it from a durable store. Only one
claim runs at a time, to keep the order. A claimed message that cannot be written
returns to where it stood in the backlog.
"""

from __future__ import annotations

import asyncio
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from resilient_ws.outbox.delivery import Place
from resilient_ws.outbox.places import place_of
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from resilient_ws.outbox.backlog import Backlog
    from resilient_ws.outbox.delivery import Delivery
    from resilient_ws.outbox.flight import Flight, OpenLink
    from resilient_ws.outbox.places import Places
    from resilient_ws.outbox.settlement import Settlement
    from resilient_ws.outbox.store.ledger import Ledger
    from resilient_ws.protocol.message import Message


#: Bytes after which a joined write leaves before the end of the turn.
JOINED_WRITE: Final = 64 * 1024
#: Bytes that one turn of the loop may hand over, so that the loop stays free.
TURN_LIMIT: Final = JOINED_WRITE
#: After a turn with a single message, send this many more without scheduling an
#: end-of-turn callback, which costs more than half as much as sending a small message.
MESSAGES_WITHOUT_TURN: Final = 16
#: Seconds before a store that failed is asked again.
STORE_RETRY_AFTER: Final = 1.0

#: Return the payload of a message that is about to be written, which has one.
_payload_of: Final[Callable[[Delivery], Message]] = attrgetter("data")
# Looking up an enum member costs ten times as much.
_WAITING: Final = Place.WAITING


class Writer:
    """Writes waiting messages to the open connection.

    Args:
        places: The places of the messages.
        backlog: The messages that wait.
        flight: The messages written and not confirmed.
        settlement: The writer of delivery states.
        ledger: The store at work.
        loop: The session's loop.
        progressed: Called when a task that waits for the outbox should look again.
    """

    __slots__ = (
        "_backlog",
        "_claim",
        "_draining",
        "_flight",
        "_ledger",
        "_loop",
        "_pause",
        "_places",
        "_progressed",
        "_settlement",
        "_turn_taken",
        "_without_turn",
        "epoch",
        "link",
    )

    def __init__(
        self,
        places: Places,
        backlog: Backlog,
        flight: Flight,
        settlement: Settlement,
        *,
        ledger: Ledger,
        loop: asyncio.AbstractEventLoop,
        progressed: Callable[[], None],
    ) -> None:
        self._places = places
        self._backlog = backlog
        self._flight = flight
        self._settlement = settlement
        self._ledger = ledger
        self._loop = loop
        self._progressed = progressed
        #: The open connection that messages are written to.
        self.link: OpenLink | None = None
        #: The epoch of the open connection, or of the last one; 0 before the first.
        self.epoch = 0
        # Whether the messages that waited when it opened are still being written.
        self._draining = False
        # The messages of the claim that the store has not answered yet.
        self._claim: Sequence[Delivery] = ()
        # Whether an end-of-turn callback is scheduled, and how many messages may still
        # leave without one.
        self._turn_taken = False
        self._without_turn = 0
        # Ends the pause after the store has failed.
        self._pause: asyncio.TimerHandle | None = None

    # The connection.

    def begin(self, link: OpenLink, epoch: int) -> None:
        """Write to a new connection, waiting messages first."""
        self.link = link
        self.epoch = epoch
        self._draining = True
        self.run()

    def halt(self) -> None:
        """Stop writing to the connection."""
        self.link = None
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether messages that waited when it opened are still being written."""
        return self._draining and self._places.waiting.messages > 0

    def ready(self) -> OpenLink | None:
        """Return the connection if a message may be written to it now."""
        link = self.link
        if link is None or not link.writable():
            return None
        if self._flight.confirms and self._flight.window() <= 0:
            return None
        return link

    def takes(self, only_epoch: int | None) -> bool:
        """Whether a message that is bound to a connection may still be sent."""
        if only_epoch is None:
            return True
        return self.link is not None and only_epoch == self.epoch

    @property
    def stuck(self) -> bool:
        """Whether a peer that confirms nothing keeps the rest from being written."""
        return self._flight.overdue and self.ready() is None

    # Accepted messages.

    def write(self, delivery: Delivery, link: OpenLink | None) -> None:
        """Write the newest message, at once or in its turn.

        Args:
            delivery: The message, which has just been accepted.
            link: What ``ready`` has just returned.
        """
        if (
            link is not None
            and not self._turn_taken
            and not self._places.waiting.messages
            and (data := delivery.data) is not None
        ):
            link.send(data)
            if self._without_turn:
                self._without_turn -= 1
            else:
                self._take_turn()
            if self._flight.confirms:
                self._mark_written((delivery,), link)
            else:
                self._settlement.mark_written_at_once(delivery, self.epoch)
            return
        weight = self._backlog.append(delivery)
        if weight >= JOINED_WRITE or (self.link is not None and not self._turn_taken):
            self._write_soon(weight)

    def write_saved(self, delivery: Delivery) -> None:
        """Write a message that a durable store has saved, in its turn."""
        self._write_soon(self._backlog.insert(delivery))

    def _write_soon(self, weight: int) -> None:
        """Write the backlog at the end of the turn, or now if it is heavy enough."""
        if weight >= JOINED_WRITE:
            self.run()
        elif self.link is not None:
            self._take_turn()

    def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Return messages to the backlog; drop those bound to an ended connection."""
        gone = [d for d in deliveries if not self.takes(d.only_epoch)]
        kept = [d for d in deliveries if self.takes(d.only_epoch)]
        self._settlement.lose(gone, DeliveryState.DROPPED)
        self._settlement.requeue(kept)
        self._backlog.put_back(kept)

    def drop_oldest(self) -> bool:
        """Drop the oldest message that is still to be written, if there is one."""
        oldest = self._backlog.first()
        if oldest is None and self._places.keeps_written:
            oldest = self._flight.first()
        if oldest is not None:
            self._settlement.lose((oldest,), DeliveryState.DROPPED)
        return oldest is not None

    # Batches.

    def run(self) -> None:
        """Write waiting messages, up to the limits of the transport and the turn."""
        waiting = self._places.waiting
        sent = 0
        while waiting.messages and not self._claim and self._pause is None:
            link = self.ready()
            if link is None:
                break
            if sent >= TURN_LIMIT:
                self._take_turn()
                return
            batch, size = self._next_batch()
            sent += size
            if batch:
                self._claim_or_write(batch, link)
        if not waiting.messages:
            self._draining = False
        self._progressed()

    def _take_turn(self) -> None:
        """Schedule the end of this turn, which writes what has been joined by then."""
        if not self._turn_taken:
            self._turn_taken = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_taken = False
        if self._places.waiting.messages:
            self.run()
        else:
            self._without_turn = MESSAGES_WITHOUT_TURN

    def _next_batch(self) -> tuple[list[Delivery], int]:
        """Take the oldest messages for one joined write, leaving out the expired."""
        batch, size = self._backlog.take(JOINED_WRITE, self._flight.window())
        stale = self._backlog.stale(batch)
        if stale:
            self._settlement.lose(stale, DeliveryState.EXPIRED)
            batch = [d for d in batch if place_of(d) is _WAITING]
        return batch, size

    def _claim_or_write(self, batch: Sequence[Delivery], link: OpenLink) -> None:
        claim = self._ledger.claim(batch)
        if claim is None:
            self._write(batch, link)
        else:
            self._places.move_all(batch, Place.CLAIMED)
            self._claim = batch
            claim.add_done_callback(partial(self._on_claimed, link))

    def _write(self, batch: Sequence[Delivery], link: OpenLink) -> None:
        link.send_many(list(map(_payload_of, batch)))
        self._mark_written(batch, link)

    def _mark_written(self, batch: Sequence[Delivery], link: OpenLink) -> None:
        self._settlement.mark_written(batch, self.epoch)
        if self._flight.confirms:
            self._flight.add(batch, link)
        else:
            self._places.move_all(batch, Place.GONE)

    # Claims from a durable store.

    def claimed(self) -> list[Delivery]:
        """Return the messages that the store is handing out, in order."""
        return [d for d in self._claim if place_of(d) is Place.CLAIMED]

    @property
    def claiming(self) -> bool:
        """Whether the store has not answered a claim yet."""
        return bool(self._claim)

    def _on_claimed(
        self, link: OpenLink, claim: asyncio.Future[list[Message | None]]
    ) -> None:
        """Write the payloads that the store returned, or put the messages back."""
        # Messages that were acknowledged meanwhile are gone.
        still_claimed = self.claimed()
        batch, self._claim = self._claim, ()
        if claim.cancelled() or claim.exception() is not None:
            self.put_back(still_claimed)
            self._pause = self._loop.call_later(STORE_RETRY_AFTER, self._unpause)
            self._progressed()
            return
        fresh = self._fresh(zip(batch, claim.result(), strict=True))
        if fresh and link is self.link and link.writable():
            self._write(fresh, link)
        elif fresh:
            self._ledger.put_back(fresh)
            self.put_back(fresh)
        self.run()

    def _fresh(
        self, claimed: Iterable[tuple[Delivery, Message | None]]
    ) -> list[Delivery]:
        """Return the claimed messages that are still to be written."""
        fresh: list[Delivery] = []
        stale: list[Delivery] = []
        damaged: list[Delivery] = []
        for delivery, data in claimed:
            if place_of(delivery) is not Place.CLAIMED:
                continue
            delivery.data = data
            if data is None:
                damaged.append(delivery)
            elif self._backlog.is_stale(delivery):
                stale.append(delivery)
            else:
                fresh.append(delivery)
        self._settlement.lose(damaged, DeliveryState.FAILED)
        self._settlement.lose(stale, DeliveryState.EXPIRED)
        return fresh

    def _unpause(self) -> None:
        self._pause = None
        self.run()

    def stop(self) -> None:
        """Stop asking a store that failed."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
