from __future__ import annotations

import asyncio

from resilient_ws.feeds.heartbeat import Heartbeat
from resilient_ws.feeds.links import Links
from resilient_ws.feeds.outgoing import OutgoingLine
from resilient_ws.feeds.protocol import Plain, Route
from resilient_ws.feeds.throttled_log import ThrottledLog
from resilient_ws.feeds.turns import Turns
from tests.feeds.scripted_session import ScriptedSession
from tests.record import now, turns


class Beating(Plain):
    """Its heartbeat comes sooner each time, and the third is left out."""

    beat_interval: float | None = 8.0
    count = 0

    def beat(self) -> str | None:
        self.count += 1
        assert self.beat_interval is not None
        self.beat_interval /= 2
        return None if self.count == 3 else f"{now():g}"

    def route(self, message: str | bytes) -> Route:
        raise NotImplementedError


async def test_heartbeats_come_at_the_interval_that_the_protocol_names_each_time() -> (
    None
):
    session, protocol = ScriptedSession(), Beating()
    session.open()
    link = Links(session.session).opened(1)
    outgoing = OutgoingLine(Turns(), ThrottledLog(str, now), asyncio.create_task)
    running = asyncio.create_task(outgoing.run())
    heartbeat = Heartbeat(
        protocol, outgoing, asyncio.create_task, received=lambda: 0, dead=print
    )
    heartbeat.start(link)
    await asyncio.sleep(15.5)
    assert session.sent == [(1, "8"), (1, "12"), (1, "15")], "14 was left out"
    heartbeat.stop()
    heartbeat.stop()
    await asyncio.sleep(100)
    assert len(session.sent) == 3
    protocol.beat_interval = None
    heartbeat.start(link)
    assert heartbeat._task is None
    running.cancel()
    await turns()
