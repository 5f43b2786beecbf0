"""What a program sees in its log through two outages, set up in three ways.

    python -m benchmarks.instruments.logs plain|fields|structured

The function of the way is what docs/observability.md shows, with what it wrote.
"""

from __future__ import annotations

import asyncio
import sys

from tenacity import wait_fixed

import resilient_ws
from resilient_ws import Reconnect, State
from resilient_ws.testing import ScriptedServer
from resilient_ws.testing.scripts import closing, hold, rejecting, resetting


def plain() -> None:
    import logging

    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def fields() -> None:
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter(
            "%(levelname)s session=%(session)s epoch=%(epoch)s %(message)s",
            # Records of others have no such fields.
            defaults={"session": "", "epoch": ""},
        )
    )
    logging.basicConfig(handlers=[handler])


def structured() -> None:
    import logging

    import structlog

    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            # For records of the standard library, such as ours.
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(["session", "epoch", "endpoint"]),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler])


WAYS = {one.__name__: one for one in (plain, fields, structured)}


async def outages() -> None:
    """Be refused, open, be reset, be refused twice, and open again."""
    async with ScriptedServer(hold) as server:
        again = closing(1001, after=0.5)
        server.play(rejecting(503), resetting(after=0.5), *[rejecting(502)] * 2, again)
        async with resilient_ws.connect(
            server.url("/feed?token=s3cr3t"),
            name="trades",
            reconnect=Reconnect(wait=wait_fixed(0.2)),
        ) as session:
            while session.epoch < 3:
                await session.wait_until(State.BACKOFF)
                await session.wait_until(State.OPEN)


if __name__ == "__main__":
    WAYS[sys.argv[1]]()
    asyncio.run(outages())
