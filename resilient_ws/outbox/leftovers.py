"""Messages that an earlier session left in its store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from resilient_ws.outbox.delivery import Delivery
from resilient_ws.state import DeliveryState


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resilient_ws.outbox.backlog import Backlog
    from resilient_ws.outbox.delivery import Terms
    from resilient_ws.outbox.flight import Flight
    from resilient_ws.outbox.settlement import Settlement
    from resilient_ws.outbox.store.rows import Row


#: Messages that one turn of the loop takes over, so that the loop stays free.
MESSAGES_PER_TURN: Final = 1000


async def take_over(
    rows: Sequence[Row],
    terms_of: Callable[[Row], Terms],
    *,
    backlog: Backlog,
    flight: Flight,
    settlement: Settlement,
) -> None:
    """Queue the messages found in a store, and settle those that may not be sent.

    Args:
        rows: The messages, in order.
        terms_of: Returns the terms that a message has in this session.
        backlog: Takes the messages that may be sent.
        flight: Learns of the messages that were written before.
        settlement: Settles the messages that may not be sent.
    """
    for count, row in enumerate(rows):
        delivery = _delivery_of(row, terms_of(row))
        if delivery.transmissions:
            # It may have ended its connection, even if it is not written again.
            flight.doubt()
        if row.only_if_open:
            settlement.lose([delivery], DeliveryState.DROPPED)
        elif row.damage is not None or settlement.is_spent(delivery):
            settlement.lose([delivery], DeliveryState.FAILED)
        else:
            backlog.append(delivery)
            if delivery.transmissions:
                flight.remember(delivery)
        if count % MESSAGES_PER_TURN == 0:
            await asyncio.sleep(0)


def _delivery_of(row: Row, terms: Terms) -> Delivery:
    delivery = Delivery(
        terms,
        row.sequence,
        None,
        row.size,
        row.message_id,
        row.expires_at,
        None,
    )
    delivery.accepted_at = row.accepted_at
    delivery.transmissions = row.transmissions
    delivery.accused = row.accused
    delivery.stored = row.damage is None
    return delivery
