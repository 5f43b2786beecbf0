"""From the wire to the consumer: messages that were received and not yet taken."""

from resilient_ws.inbox.interruption import Interruption
from resilient_ws.inbox.policy import Inbox
from resilient_ws.inbox.queue import InboxQueue


__all__ = ["Inbox", "InboxQueue", "Interruption"]
