"""Feeds without holes: streams and calls over one session, across reconnects.

A session says *that* something may be missing; a feed knows *what*, fetches it, and
puts it in its place, or says exactly what is missing. ::

    from resilient_ws import connect
    from resilient_ws.feeds import Channel, Gap, Source

    async with Channel(connect(url), protocol) as channel:
        async for item in await channel.subscribe(source):
            ...
"""

from resilient_ws.feeds.batching import batches
from resilient_ws.feeds.books import Books, BookSource, Stale, Synced
from resilient_ws.feeds.channel import Channel
from resilient_ws.feeds.commands import NumberedCommands
from resilient_ws.feeds.errors import (
    BackfillFailed,
    BackfillLimit,
    CallLost,
    CallTimeout,
    ChecksumMismatch,
    ConsumerTooSlow,
    FeedError,
    HistoryPruned,
    ItemsMissed,
    LoginRefused,
    NotBackfillable,
    ReorgTooDeep,
    RequestRefused,
    RPCError,
    SinkBusy,
    SinkGone,
    StreamEnded,
    StreamReset,
    SubscribeRefused,
    Undecodable,
    Undeliverable,
    UnknownTag,
    Unreadable,
    WrongChain,
)
from resilient_ws.feeds.flow import Stage
from resilient_ws.feeds.login_requests import log_in
from resilient_ws.feeds.mail import email
from resilient_ws.feeds.merge import Leg, Merged, merge
from resilient_ws.feeds.oddities import MessageOdd
from resilient_ws.feeds.progress import CursorFile, CursorStore
from resilient_ws.feeds.protocol import (
    Answer,
    Ended,
    Ignore,
    Item,
    Missed,
    Plain,
    Protocol,
    Reply,
    Reset,
    Rotate,
    Route,
)
from resilient_ws.feeds.recovery import Position, Publication, Recovered, recovering
from resilient_ws.feeds.redelivery import DeadLetter, Redelivery, Sink
from resilient_ws.feeds.relaying import relay
from resilient_ws.feeds.requests import Requests
from resilient_ws.feeds.rotation import overlap
from resilient_ws.feeds.source import (
    Continuity,
    Gap,
    Key,
    Source,
    consecutive,
    in_epochs,
    linked,
    ranges,
)
from resilient_ws.feeds.statistics import ChannelStatistics
from resilient_ws.feeds.subscription import Subscription
from resilient_ws.feeds.webhooks import webhook


__all__ = [
    "Answer",
    "BackfillFailed",
    "BackfillLimit",
    "BookSource",
    "Books",
    "CallLost",
    "CallTimeout",
    "Channel",
    "ChannelStatistics",
    "ChecksumMismatch",
    "ConsumerTooSlow",
    "Continuity",
    "CursorFile",
    "CursorStore",
    "DeadLetter",
    "Ended",
    "FeedError",
    "Gap",
    "HistoryPruned",
    "Ignore",
    "Item",
    "ItemsMissed",
    "Key",
    "Leg",
    "LoginRefused",
    "Merged",
    "MessageOdd",
    "Missed",
    "NotBackfillable",
    "NumberedCommands",
    "Plain",
    "Position",
    "Protocol",
    "Publication",
    "RPCError",
    "Recovered",
    "Redelivery",
    "ReorgTooDeep",
    "Reply",
    "RequestRefused",
    "Requests",
    "Reset",
    "Rotate",
    "Route",
    "Sink",
    "SinkBusy",
    "SinkGone",
    "Source",
    "Stage",
    "Stale",
    "StreamEnded",
    "StreamReset",
    "SubscribeRefused",
    "Subscription",
    "Synced",
    "Undecodable",
    "Undeliverable",
    "UnknownTag",
    "Unreadable",
    "WrongChain",
    "batches",
    "consecutive",
    "email",
    "in_epochs",
    "linked",
    "log_in",
    "merge",
    "overlap",
    "ranges",
    "recovering",
    "relay",
    "webhook",
]
