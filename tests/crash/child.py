"""The sender that is killed: numbered messages, and a journal of what it was told.

    python -m tests.crash.child SETTING URL STORE JOURNAL FIRST [--drain]

It goes on with the number FIRST until it is killed. With ``--drain`` it sends nothing,
and ends once what its store held has met its fate.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import pathlib
import random
import sys
from typing import TYPE_CHECKING

import tenacity

import resilient_ws
from resilient_ws import (
    ConnectionDropped,
    DeliveryError,
    DeliveryFailed,
    Liveness,
    Reconnect,
    Timeouts,
)
from tests.crash.journal import Journal
from tests.crash.setting import SETTINGS, body


if TYPE_CHECKING:
    from resilient_ws import Delivery, Session

#: Seconds in which a healthy link takes all that 200 messages need.
DRAINED_WITHIN = 60.0


class Sender:
    """Sends, and writes down what becomes of it."""

    def __init__(self, session: Session, journal: Journal, first: int) -> None:
        self._session = session
        self._journal = journal
        self._numbers = itertools.count(first)
        self._random = random.Random(first)
        session.on(DeliveryFailed, self._lost)
        session.on(ConnectionDropped, self._dropped)

    def _lost(self, event: DeliveryFailed) -> None:
        assert event.message_id is not None
        self._journal.write(
            "lost",
            number=int(event.message_id),
            state=event.state.value,
            maybe=event.maybe_delivered,
        )

    def _dropped(self, event: ConnectionDropped) -> None:
        self._journal.write("dropped", unconfirmed=event.unconfirmed)

    async def run(self, *, drain: bool) -> None:
        """Watch what an earlier life left; send, until killed."""
        async with asyncio.TaskGroup() as tasks:
            watching = [
                tasks.create_task(self._watch(delivery))
                for delivery in self._session.outstanding()
            ]
            consumer = tasks.create_task(self._take())
            while not drain:
                # Together, so that one commit of the store holds several.
                async with asyncio.TaskGroup() as burst:
                    for _ in range(self._random.randint(1, 12)):
                        burst.create_task(self._send(tasks))
                await asyncio.sleep(self._random.uniform(0, 0.01))
            async with asyncio.timeout(DRAINED_WITHIN):
                await asyncio.gather(*watching)
            consumer.cancel()

    async def _send(self, tasks: asyncio.TaskGroup) -> None:
        number = next(self._numbers)
        self._journal.write("trying", number=number)
        delivery = await self._session.send(body(number), message_id=str(number))
        self._journal.write("accepted", number=number, sequence=delivery.sequence)
        tasks.create_task(self._watch(delivery))

    async def _watch(self, delivery: Delivery) -> None:
        try:
            await delivery.confirmed()
        except DeliveryError:
            return  # DeliveryFailed has said so
        self._journal.write(
            "delivered",
            number=int(delivery.message_id or ""),
            transmissions=delivery.transmissions,
        )

    async def _take(self) -> None:
        async for _ in self._session:
            pass


async def main(options: argparse.Namespace) -> None:
    # Whoever would kill it is gone: it must not send for ever.
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), os._exit, 3)
    journal = Journal(options.journal)
    journal.write("began")
    session = resilient_ws.connect(
        options.url,
        wait_open=False,
        outbox=SETTINGS[options.setting].outbox(options.store),
        reconnect=Reconnect(wait=tenacity.wait_random(0, 0.05)),
        liveness=Liveness(ping_interval=0.3, ping_timeout=0.3),
        timeouts=Timeouts(open=1, close=5),
    )
    sender = Sender(session, journal, options.first)
    async with session:
        await sender.run(drain=options.drain)
    journal.write("ended")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.crash.child")
    parser.add_argument("setting", choices=list(SETTINGS))
    parser.add_argument("url")
    parser.add_argument("store", type=pathlib.Path)
    parser.add_argument("journal", type=pathlib.Path)
    parser.add_argument("first", type=int)
    parser.add_argument("--drain", action="store_true")
    asyncio.run(main(parser.parse_args()))
