"""A kit for a user's own tests: a server, faults, virtual time, and a check for leaks.

The server is made of ``server``, ``peer``, ``scripts``, ``client_stream``, ``frames``
and ``http``, the proxy of ``proxy``, ``proxied_connection``, ``pipe``, ``faults`` and
``refusals``. Nothing here shares code with the library.
"""

from resilient_ws.testing.faults import (
    BlackHole,
    Cut,
    Delay,
    Dribble,
    Drop,
    Freeze,
    HalfClose,
    Healthy,
    Reset,
    Throttle,
    timed,
)
from resilient_ws.testing.frames import Misconduct
from resilient_ws.testing.leaks import assert_no_leaks
from resilient_ws.testing.peer import ClientGone, Peer
from resilient_ws.testing.proxied_connection import (
    Direction,
    Fault,
    ProxiedConnection,
)
from resilient_ws.testing.proxy import FaultProxy
from resilient_ws.testing.refusals import Hang, Refuse, Reject
from resilient_ws.testing.server import ScriptedServer
from resilient_ws.testing.virtual_time import Deadlock, VirtualLoop


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

# A test's output reads resilient_ws.testing.Peer, whichever module defines the class.
for _public in [globals()[name] for name in __all__ if name != "Direction"]:
    _public.__module__ = __name__
