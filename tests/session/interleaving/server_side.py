"""The server of a plan: each connection is treated as its own plan says."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from resilient_ws.testing.frames import PING, PONG, close_frame, frame, message
from tests.record import now
from tests.session.interleaving.plans import ServerPlan
from tests.session.interleaving.record import Record, Served


if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilient_ws.testing import Peer
    from tests.session.interleaving.plans import Doing


class ServerSide:
    """The script of all connections: each has a plan, and those after them none."""

    def __init__(self, plans: Sequence[ServerPlan], record: Record) -> None:
        self._plans = deque(plans)
        self._record = record
        self._left = len(self._plans)
        #: Set when every plan has been played.
        self.finished = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        served = Served(int(peer.path.removeprefix("/")), peer, now())
        self._record.served.append(served)
        plan = self._plans.popleft() if self._plans else ServerPlan()
        try:
            await self._play(served, plan)
        finally:
            self._left -= 1
            if self._left == 0:
                self.finished.set()
        await peer.ended()

    async def _play(self, served: Served, plan: ServerPlan) -> None:
        await asyncio.sleep(plan.after)
        if not await self._greet(served, plan):
            return
        for step in plan.steps:
            await asyncio.sleep(step.after)
            if step.what in {"half close", "drop", "reset"}:
                await self._end(served, step.what)
                break
            await self._do(served, plan, step)

    async def _greet(self, served: Served, plan: ServerPlan) -> bool:
        peer = served.peer
        peer.answers_close = plan.answers_close
        if plan.greeting == "accept":
            texts = self._stamped(served, plan.at_once)
            await peer.accept(tail=b"".join(map(message, texts)))
        elif plan.greeting == "reject":
            await peer.reject(plan.status)
        elif plan.greeting == "drop":
            await peer.drop()
        elif plan.greeting == "reset":
            await peer.reset()
        return peer.accepted

    async def _do(self, served: Served, plan: ServerPlan, step: Doing) -> None:
        peer = served.peer
        if step.what == "send":
            await peer.send(*self._stamped(served, step.count))
        elif step.what == "ping":
            await peer.write(frame(PING, b"are you there?"))
        elif step.what == "stray pongs":
            others = [s.peer for s in self._record.served if s is not served]
            stale = [payload for other in others for payload in other.pings]
            strays = [*stale[-3:], bytes(8), b"nobody asked"]
            await peer.write(b"".join(frame(PONG, payload) for payload in strays))
        elif step.what == "close":
            served.over = True
            peer.answers_close = False
            await peer.write(close_frame(plan.code))
        elif step.what == "freeze":
            served.froze = True
            peer.freeze()
        elif step.what == "thaw":
            peer.thaw()
        elif step.what == "mute":
            peer.answers_pings = False

    async def _end(self, served: Served, how: str) -> None:
        served.over = True
        if how == "half close":
            # It may be gone, without a server that has stopped reading knowing it.
            with contextlib.suppress(OSError):
                await served.peer.half_close()
        elif how == "drop":
            await served.peer.drop()
        else:
            await served.peer.reset()

    def _stamped(self, served: Served, count: int) -> list[str]:
        """Messages that tell which connection they belong to, and their place in it."""
        first = len(served.sent)
        numbers = range(first, first + count)
        if served.over:
            texts = [f"{served.attempt}:late" for _ in numbers]
            served.late += texts
        else:
            texts = [f"{served.attempt}:{number}" for number in numbers]
            served.sent += texts
        return texts
