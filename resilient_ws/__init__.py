"""A WebSocket client session that survives its connections, for asyncio.

::

    import asyncio
    import resilient_ws


    async def subscribe(connection: resilient_ws.Connection) -> None:
        # On each new connection: a subscription ends with the one before.
        await connection.send('{"op": "subscribe", "channel": "trades"}')


    async def main() -> None:
        url = "wss://stream.example.com/feed"
        async with resilient_ws.connect(url, on_open=subscribe) as session:
            async for message in session:
                print(message)


    asyncio.run(main())

``on_open`` runs on each new connection. A message sent outside it is sent once, and is
kept while the session is offline. The iteration continues across reconnects.
``connect`` documents the settings, ``Session`` the methods, ``resilient_ws.events``
what a session reports and ``resilient_ws.errors`` what it raises.
"""

from typing import TYPE_CHECKING

from resilient_ws.client import connect
from resilient_ws.connection import Connection
from resilient_ws.errors import (
    ConnectFailed,
    ConnectionLost,
    DeliveryError,
    Fatal,
    GaveUp,
    HandshakeRejected,
    LivenessTimeout,
    MessageTooBig,
    OpenTimeout,
    OutboxFull,
    ProtocolError,
    ResilientWSError,
    SecurityError,
    StoreError,
)
from resilient_ws.events import (
    AttemptFailed,
    AttemptQueued,
    ConfirmationOverdue,
    ConnectionDropped,
    ConnectionOpened,
    ConnectionReplaced,
    ConnectionStable,
    ConnectionTimedOut,
    DeliveryFailed,
    Event,
    HandlerFailed,
    InboxOverflowed,
    LoopLagged,
    MessageReceived,
    OutboxOverflowed,
    PongReceived,
    RetryScheduled,
    ServerTerminated,
    SessionClosed,
    StateChanged,
    StoreFailed,
)
from resilient_ws.inbox import Inbox, Interruption
from resilient_ws.limiter import ConnectLimiter
from resilient_ws.outbox.delivery import Delivery
from resilient_ws.outbox.policy import Outbox
from resilient_ws.outbox.store.ledger import MemoryStore
from resilient_ws.outbox.store.rows import StoredMessage
from resilient_ws.outbox.store.sqlite import SQLiteStore
from resilient_ws.policy.access import Access
from resilient_ws.policy.failures import Ending, Verdict
from resilient_ws.policy.liveness import Liveness
from resilient_ws.policy.reconnect import FullJitter, Reconnect
from resilient_ws.policy.timeouts import Timeouts
from resilient_ws.protocol.close import Close
from resilient_ws.protocol.text import printable
from resilient_ws.protocol.walk import COMPILED
from resilient_ws.session import Session
from resilient_ws.settings import Attempt
from resilient_ws.state import DeliveryState, State
from resilient_ws.statistics import Statistics
from resilient_ws.traffic import Traffic


#: Whether the compiled loops run, or those in Python (docs/performance.md).
__compiled__ = COMPILED

#: ``classify`` may answer with these words as well as with the enum's members.
RETRY = Verdict.RETRY
RETRY_FRESH = Verdict.RETRY_FRESH
FATAL = Verdict.FATAL

__all__ = [
    "FATAL",
    "RETRY",
    "RETRY_FRESH",
    "Access",
    "Attempt",
    "AttemptFailed",
    "AttemptQueued",
    "Close",
    "ConfirmationOverdue",
    "ConnectFailed",
    "ConnectLimiter",
    "Connection",
    "ConnectionDropped",
    "ConnectionLost",
    "ConnectionOpened",
    "ConnectionReplaced",
    "ConnectionStable",
    "ConnectionTimedOut",
    "Delivery",
    "DeliveryError",
    "DeliveryFailed",
    "DeliveryState",
    "Ending",
    "Event",
    "Fatal",
    "FullJitter",
    "GaveUp",
    "HandlerFailed",
    "HandshakeRejected",
    "Inbox",
    "InboxOverflowed",
    "Interruption",
    "Liveness",
    "LivenessTimeout",
    "LoopLagged",
    "MemoryStore",
    "MessageReceived",
    "MessageTooBig",
    "OpenTimeout",
    "Outbox",
    "OutboxFull",
    "OutboxOverflowed",
    "PongReceived",
    "ProtocolError",
    "Reconnect",
    "ResilientWSError",
    "RetryScheduled",
    "SQLiteStore",
    "SecurityError",
    "ServerTerminated",
    "Session",
    "SessionClosed",
    "State",
    "StateChanged",
    "Statistics",
    "StoreError",
    "StoreFailed",
    "StoredMessage",
    "Timeouts",
    "Traffic",
    "Verdict",
    "connect",
    "printable",
]

# So that a traceback shows resilient_ws.ConnectionLost rather than the inner module.
for _public in [globals()[name] for name in __all__ if not name.isupper()]:
    _public.__module__ = __name__


if TYPE_CHECKING:
    __version__: str
else:
    # For type checkers a module with __getattr__ has every name, mistyped ones too.
    def __getattr__(name: str) -> str:
        """Return ``__version__``; to read it takes 30 modules that few need."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version  # noqa: PLC0415 - the 30 modules

        return version("resilient-ws")
