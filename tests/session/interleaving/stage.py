"""Plays a plan: a real session against a scripted server, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws.testing import ScriptedServer, VirtualLoop, assert_no_leaks
from tests.session.interleaving.record import Record
from tests.session.interleaving.server_side import ServerSide
from tests.session.interleaving.user_side import UserSide


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.session.interleaving.plans import ServerPlan, UserPlan


def play(servers: Sequence[ServerPlan], user: UserPlan) -> Record:
    """Play a plan to its end; return what was seen."""

    async def both() -> Record:
        record = Record()
        script = ServerSide(servers, record)
        async with assert_no_leaks(turns=10), ScriptedServer(script) as server:
            await UserSide(user, server, script, record).play()
        return record

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(both())
