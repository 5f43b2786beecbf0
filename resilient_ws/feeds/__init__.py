"""Feeds without holes: streams and calls over one session, across reconnects.

A session says *that* something may be missing; a feed knows *what*, fetches it, and
puts it in its place, or says exactly what is missing. ::

    from resilient_ws import connect
    from resilient_ws.feeds import Channel, Gap, Source

    async with Channel(connect(url), protocol) as channel:
        async for item in await channel.subscribe(source):
            ...
"""

from resilient_ws.feeds.channel import Channel
from resilient_ws.feeds.errors import (
    BackfillFailed,
    BackfillLimit,
    CallLost,
    CallTimeout,
    ConsumerTooSlow,
    FeedError,
    LoginRefused,
    NotBackfillable,
    RPCError,
    StreamEnded,
    StreamReset,
    SubscribeRefused,
    Undecodable,
)
from resilient_ws.feeds.flow import Stage
from resilient_ws.feeds.oddities import MessageOdd
from resilient_ws.feeds.protocol import (
    Answer,
    Ended,
    Ignore,
    Item,
    Plain,
    Protocol,
    Reply,
    Reset,
    Rotate,
    Route,
)
from resilient_ws.feeds.requests import Requests
from resilient_ws.feeds.source import (
    Continuity,
    Gap,
    Key,
    Source,
    consecutive,
    linked,
    ranges,
)
from resilient_ws.feeds.subscription import Subscription


__all__ = [
    "Answer",
    "BackfillFailed",
    "BackfillLimit",
    "CallLost",
    "CallTimeout",
    "Channel",
    "ConsumerTooSlow",
    "Continuity",
    "Ended",
    "FeedError",
    "Gap",
    "Ignore",
    "Item",
    "Key",
    "LoginRefused",
    "MessageOdd",
    "NotBackfillable",
    "Plain",
    "Protocol",
    "RPCError",
    "Reply",
    "Requests",
    "Reset",
    "Rotate",
    "Route",
    "Source",
    "Stage",
    "StreamEnded",
    "StreamReset",
    "SubscribeRefused",
    "Subscription",
    "Undecodable",
    "consecutive",
    "linked",
    "ranges",
]
