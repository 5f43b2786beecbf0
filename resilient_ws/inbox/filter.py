"""Keep replies out of the inbox: acknowledgements, and answers to probes.

Rules: the callables that recognise replies are the user's, so their failures must not
break the session. A failure is reported, and the message is delivered. A ``Fatal`` ends
the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_ws.errors import fatal_of
from resilient_ws.policy._validate import require


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.protocol.message import AckOf, Message


class ReplyFilter:
    """Recognises acknowledgements and answers to probes among received messages.

    Args:
        is_answer: ``Liveness.is_answer``: whether a message answers a probe.
        ack_of: Returns the id that a message acknowledges, or ``None``.
        deliver_acks: Whether the user receives acknowledgements too.
        acknowledge: Called with each acknowledged id.
        complain: Called when a callable raised: its name, its event, the exception.
        on_fatal: Called with a ``Fatal`` that a callable raised.
    """

    __slots__ = (
        "_ack_of",
        "_acknowledge",
        "_complain",
        "_deliver_acks",
        "_is_answer",
        "_on_fatal",
    )

    def __init__(
        self,
        *,
        is_answer: Callable[[Message], bool] | None,
        ack_of: AckOf | None,
        deliver_acks: bool,
        acknowledge: Callable[[str], None],
        complain: Callable[[str, str, Exception], None],
        on_fatal: Callable[[Exception], None],
    ) -> None:
        self._is_answer = is_answer
        self._ack_of = ack_of
        self._deliver_acks = deliver_acks
        self._acknowledge = acknowledge
        self._complain = complain
        self._on_fatal = on_fatal

    def __call__(self, message: Message) -> bool:
        """Return whether to keep a message from the user."""
        if self._ack_of is not None and self._take_ack(message, self._ack_of):
            return not self._deliver_acks
        try:
            return self._is_answer is not None and bool(self._is_answer(message))
        except Exception as failure:  # noqa: BLE001 - the user's error is reported
            self._report("is_answer", failure)
            return False

    def _take_ack(self, message: Message, ack_of: AckOf) -> bool:
        """Pass on the id that a message acknowledges; return whether it does."""
        try:
            message_id = ack_of(message)
            if message_id is not None:
                require(message_id, str, "the return value of ack_of", "a str, or None")
        except Exception as failure:  # noqa: BLE001 - the user's error is reported
            self._report("ack_of", failure)
            return False
        if message_id is None:
            return False
        self._acknowledge(message_id)
        return True

    def _report(self, name: str, failure: Exception) -> None:
        """Report that the callable ``name`` raised."""
        fatal = fatal_of(failure)
        if fatal is not None:
            self._on_fatal(fatal)
        else:
            self._complain(name, "MessageReceived", failure)
