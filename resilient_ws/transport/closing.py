"""How one connection ends, whoever ends it.

Rules: the first cause of the end wins, and is the result of ``ended`` whatever happens
later. From then on nothing is written. A close frame is answered once; a violation is
answered with a close frame that says what was wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws.errors import ConnectionLost
from resilient_ws.transport import loss_errors, tcp


if TYPE_CHECKING:
    import asyncio

    from resilient_ws.errors import LivenessTimeout
    from resilient_ws.protocol.engine import Engine
    from resilient_ws.transport.keepalive import Keepalive
    from resilient_ws.transport.outgoing import Outgoing


#: Bounds, in seconds, of the wait that tells a dead peer from a half-closed one.
EOF_PROBE_MIN: Final = 0.05
EOF_PROBE_MAX: Final = 1.0
#: Turns of the loop between a violation and our close frame. A consumer that waits for
#: the messages before it needs one turn to wake and answer, one more within
#: ``wait_for``, and the answer needs one to leave.
TURNS_TO_ANSWER: Final = 4


class Closing:
    """Ends one connection, and keeps why it ended.

    Attributes:
        ended: Completed with why the connection ended.
    """

    __slots__ = (
        "_engine",
        "_eof_probe",
        "_keepalive",
        "_loop",
        "_outgoing",
        "_refusing",
        "_requested",
        "_socket",
        "_transport",
        "ended",
    )

    def __init__(
        self,
        engine: Engine,
        outgoing: Outgoing,
        keepalive: Keepalive,
        ended: asyncio.Future[ConnectionLost],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.ended = ended
        self._engine = engine
        self._outgoing = outgoing
        self._keepalive = keepalive
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._socket: tcp.Socket | None = None
        #: Whether we asked for the closing handshake.
        self._requested = False
        #: Whether a violation is about to be answered.
        self._refusing = False
        self._eof_probe: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport, sock: tcp.Socket | None) -> None:
        """Take charge of the end of a connection."""
        self._transport = transport
        self._socket = sock

    # Ending it from our side.

    def end(self, because: ConnectionLost) -> None:
        """Record why the connection ended; only the first cause counts."""
        if self.ended.done():
            return
        self.ended.set_result(because)
        self._keepalive.stop()
        if self._eof_probe is not None:
            self._eof_probe.cancel()
        self._outgoing.end()

    def abandon(self) -> None:
        """End the connection without a word to the peer."""
        self.end(loss_errors.by_us(self._engine.record()))

    def request(self, code: int, reason: str) -> None:
        """Begin the closing handshake, which the peer's close frame will end."""
        self._requested = True
        self._outgoing.close(code, reason)

    def overflowed(self) -> None:
        """End the connection because the inbox is full, and may not make it wait."""
        text = (
            "The inbox was full and its overflow is 'close'; read faster, raise "
            "Inbox.max_messages, or choose another overflow."
        )
        self._outgoing.close(1008, "receiver too slow")
        self.end(ConnectionLost(text, how="local"))

    def silent(self, because: LivenessTimeout) -> None:
        """End the connection because nothing came, or no message did."""
        if because.kind == "idle":
            # Only here is the link alive, and the peer there to read a close frame.
            self._outgoing.close(1001, "no message received for too long")
        self.end(because)

    @property
    def may_be_answered(self) -> bool:
        """Whether a close frame of ours may still have to leave and be answered."""
        if not self.ended.done() or self._engine.close_sent is None:
            return False
        return self.ended.result().how in {"close", "local", "protocol", "silence"}

    # When the peer ends it.

    def farewell(self) -> None:
        """Answer the close frame or the violation that the engine has found."""
        engine = self._engine
        if self.ended.done():
            return
        if engine.receiver.violation is not None:
            if not self._refusing:
                self._refusing = True
                self._refuse(TURNS_TO_ANSWER)
            return
        self._outgoing.write(engine.close_reply())
        self.end(loss_errors.by_close(engine.record(), ours=self._requested))

    def _refuse(self, turns: int = 0) -> None:
        """Answer a violation, if there is one, after this many turns of the loop.

        A violation often comes in one chunk with good messages. Whether those can be
        answered must not depend on how the network cut the stream.
        """
        violation = self._engine.receiver.violation
        if violation is None or self.ended.done():
            return
        if turns:
            self._loop.call_soon(self._refuse, turns - 1)
            return
        self._outgoing.close(violation.code, violation.text)
        self.end(loss_errors.by_violation(violation, self._engine.record()))

    def at_eof(self) -> None:
        """Tell a dead peer from one that closed its half, after all was processed.

        They look alike until we write: the kernel of the dead one answers with a reset.
        """
        self._refuse()
        if self._transport is not None and self.ended.done():
            self._transport.close()
            return
        # 1002, because no close frame came.
        self._outgoing.close(1002, "stream ended without a close frame")
        wait = min(2 * (tcp.round_trip(self._socket) or 0.0), EOF_PROBE_MAX)
        self._eof_probe = self._loop.call_later(
            max(wait, EOF_PROBE_MIN), self._judge_eof
        )

    def _judge_eof(self) -> None:
        gone = tcp.peer_gone(self._socket)
        self.end(loss_errors.at_eof(self._engine.record(), gone=gone))

    def at_loss(self, failure: Exception | None) -> None:
        """Record that the transport was lost, after all was processed."""
        self._refuse()
        self.lost(failure)

    def lost(self, failure: Exception | None) -> None:
        """Record how the transport was lost; ``None`` where the stream just ended."""
        if self.ended.done():
            return
        record = self._engine.record()
        if self._eof_probe is not None or failure is None:
            self.end(loss_errors.at_eof(record, gone=True))
        else:
            self.end(loss_errors.by_error(failure, record))
