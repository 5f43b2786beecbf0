"""What a user's own tests need: a server, faults, time that flies, and no leaks."""

from resilient_ws.testing.connection import Direction, ProxiedConnection
from resilient_ws.testing.faults import (
    BlackHole,
    Cut,
    Delay,
    Dribble,
    Drop,
    Fault,
    Freeze,
    HalfClose,
    Healthy,
    Reset,
    Throttle,
    timed,
)
from resilient_ws.testing.frames import Misconduct
from resilient_ws.testing.leaks import assert_no_leaks
from resilient_ws.testing.peer import Peer
from resilient_ws.testing.proxy import FaultProxy
from resilient_ws.testing.refusals import Hang, Refuse, Reject
from resilient_ws.testing.server import ScriptedServer
from resilient_ws.testing.virtual import Deadlock, VirtualLoop
from resilient_ws.testing.witness import ClientGone


__all__ = [
    "BlackHole",
    "ClientGone",
    "Cut",
    "Deadlock",
    "Delay",
    "Direction",
    "Dribble",
    "Drop",
    "Fault",
    "FaultProxy",
    "Freeze",
    "HalfClose",
    "Hang",
    "Healthy",
    "Misconduct",
    "Peer",
    "ProxiedConnection",
    "Refuse",
    "Reject",
    "Reset",
    "ScriptedServer",
    "Throttle",
    "VirtualLoop",
    "assert_no_leaks",
    "timed",
]

# A test's output reads resilient_ws.testing.Peer, wherever the class was written.
for _public in [globals()[name] for name in __all__ if name != "Direction"]:
    _public.__module__ = __name__
