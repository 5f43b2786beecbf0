"""The inbox: messages that were received and not yet taken."""

from resilient_ws.inbox.interruption import Interruption
from resilient_ws.inbox.message import Message, size_of
from resilient_ws.inbox.policy import Inbox
from resilient_ws.inbox.queue import InboxQueue


__all__ = ["Inbox", "InboxQueue", "Interruption", "Message", "size_of"]
