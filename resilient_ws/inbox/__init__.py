"""From the wire to the consumer: messages that were received and not yet taken.

A connection delivers its messages to a ``RestoreBuffer`` until ``on_open`` has
returned, and to the ``InboxQueue`` from then on. The queue limits an ``UnreadStream``
and lets a consumer wait for it. The stream keeps ``Runs`` of messages, with the holes
and drops between them. ``Iteration`` is what ``async for`` uses. ``ReplyFilter`` keeps
acknowledgements and answers to probes out of all of them.
"""

from resilient_ws.inbox.interruption import Interruption
from resilient_ws.inbox.policy import Inbox
from resilient_ws.inbox.queue import InboxQueue


__all__ = ["Inbox", "InboxQueue", "Interruption"]
