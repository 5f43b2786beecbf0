"""The socket of one connection, and how it ends.

Rules: nothing here raises into the event loop; the first cause of the end wins and is
the result of ``ended``, whatever comes later; after the end nothing is delivered; the
transport is aborted, and only then does aiohttp's hold on it end. What arrives is the
matter of ``Incoming``, what leaves of ``Outgoing``, the silence between of
``Watchman``. A wire knows nothing of sessions, and never touches another wire.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from resilient_ws.errors import ConnectionLost
from resilient_ws.policy.liveness import Watch
from resilient_ws.transport import losses, tcp, tls
from resilient_ws.transport.buffer import buffer_of
from resilient_ws.transport.incoming import Incoming
from resilient_ws.transport.outgoing import Outgoing
from resilient_ws.transport.watchman import Watchman


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.events import Event
    from resilient_ws.policy.liveness import Liveness
    from resilient_ws.protocol.engine import Engine
    from resilient_ws.transport.sinks import Peer, Sink


#: Seconds that the peer gets to end the TCP connection after the closing handshake.
LINGER: Final = 1.0
#: Bounds, in seconds, of the wait that tells a dead peer from a half-closed one.
EOF_PROBE_MIN: Final = 0.05
EOF_PROBE_MAX: Final = 1.0
#: Turns of the loop between a violation and our goodbye. A consumer that waits for the
#: messages before it needs one to wake and answer, one more within ``wait_for``, and
#: the answer one to leave.
LAST_WORDS: Final = 4


class Wire(asyncio.BufferedProtocol):
    """One connection's bytes, from the 101 to the end."""

    __slots__ = (
        "_buffer",
        "_closing",
        "_eof_probe",
        "_gone",
        "_loop",
        "_over_tls",
        "_peer",
        "_refusing",
        "_socket",
        "_transport",
        "ended",
        "engine",
        "incoming",
        "outgoing",
        "watchman",
    )

    def __init__(
        self,
        engine: Engine,
        sink: Sink,
        liveness: Liveness,
        *,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[Event], None],
    ) -> None:
        self.engine = engine
        #: Completed with why the connection ended.
        self.ended: asyncio.Future[ConnectionLost] = loop.create_future()
        watch = Watch(liveness)
        self.outgoing = Outgoing(
            engine, loop=loop, ended=self.ended, on_failure=self._lost
        )
        self.incoming = Incoming(
            engine.receiver, sink, watch, self, loop=loop, ended=self.ended
        )
        self.watchman = Watchman(self, watch, liveness, loop=loop, report=report)
        self._loop = loop
        self._buffer = buffer_of(loop)
        self._gone: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._socket: tcp.Socket | None = None
        self._over_tls = False
        self._peer: Peer | None = None
        self._closing = False
        self._refusing = False
        self._eof_probe: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport, peer: Peer, tail: bytes) -> None:
        """Take the transport over from aiohttp, with what came behind the 101."""
        self._transport = transport
        self._peer = peer
        self._socket = cast("tcp.Socket | None", transport.get_extra_info("socket"))
        self._over_tls = tls.over_tls(transport)
        transport.set_protocol(self)
        tcp.set_options(self._socket)
        self.outgoing.begin(transport, self._socket)
        self.incoming.begin(transport)
        self.watchman.start()
        if tail:
            self.incoming.take(memoryview(tail))

    # What the transport says.

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's one
        """Return where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        if not self.ended.done():
            self.incoming.take(self._buffer[:nbytes])

    def pause_writing(self) -> None:
        """Take note that the transport is above its high-water mark."""
        self.outgoing.pause()

    def resume_writing(self) -> None:
        """Take note that the transport has room again."""
        self.outgoing.resume()

    def eof_received(self) -> bool:
        """Find out what the end of the stream means; keep the transport for that."""
        if self.ended.done() or self._over_tls:
            return False
        self.incoming.take_all(b"", self._at_eof)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Deliver what had arrived, then say how the transport was lost."""
        try:
            if not self.ended.done():
                if self._over_tls:
                    rest = tls.decrypted_rest(self._transport)
                else:
                    rest = tcp.readable_rest(self._socket)
                self.incoming.take_all(rest, lambda: self._at_loss(exc))
        finally:
            if self._peer is not None:
                self._peer.connection_lost(exc)
            if not self._gone.done():
                self._gone.set_result(None)

    # What arrives besides messages.

    def on_control(self) -> None:
        """Hand pongs to the watchman, and answer pings."""
        pongs = self.engine.receiver.pongs
        for payload in pongs:
            self.watchman.pong(payload)
        pongs.clear()
        self.outgoing.answer_pings()

    def on_farewell(self) -> None:
        """Answer a close frame, or say what the peer did wrong."""
        engine = self.engine
        if self.ended.done():
            return
        if engine.receiver.violation is not None:
            if not self._refusing:
                self._refusing = True
                self._refuse(LAST_WORDS)
            return
        self.outgoing.write(engine.close_reply())
        self.end(losses.by_close(engine.record(), ours=self._closing))

    def on_resumed(self) -> None:
        """Begin to measure the silence anew."""
        self.watchman.resumed()

    def on_overflow(self) -> None:
        """End the connection: the inbox's rule when it is full is to close."""
        text = (
            "The inbox was full and its overflow is 'close'; read faster, raise "
            "Inbox.max_messages, or choose another overflow."
        )
        self.hang_up(ConnectionLost(text, how="local"), 1008, "receiver too slow")

    # How it ends.

    def end(self, because: ConnectionLost) -> None:
        """Record why the connection ended; only the first cause counts."""
        if self.ended.done():
            return
        self.ended.set_result(because)
        self.watchman.stop()
        if self._eof_probe is not None:
            self._eof_probe.cancel()
        self.outgoing.end()

    def hang_up(self, because: ConnectionLost, code: int, reason: str) -> None:
        """End the connection from our side, with a close frame as a courtesy."""
        self.outgoing.close(code, reason)
        self.end(because)

    def _refuse(self, turns: int = 0) -> None:
        """Say what the peer did wrong, if it did, so many turns of the loop later.

        A violation often comes in one chunk with good messages. Whether those can be
        answered must not depend on how the network cut the stream.
        """
        violation = self.engine.receiver.violation
        if violation is None or self.ended.done():
            return
        if turns:
            self._loop.call_soon(self._refuse, turns - 1)
            return
        self.outgoing.close(violation.code, violation.text)
        self.end(losses.by_violation(violation, self.engine.record()))

    def _at_eof(self) -> None:
        """Tell a dead peer from one that closed its half, once all has been taken.

        They look alike until we write: the kernel of the dead one answers with a reset.
        """
        self._refuse()
        if self._transport is not None and self.ended.done():
            self._transport.close()
            return
        # 1002, for no close frame came.
        self.outgoing.close(1002, "stream ended without a close frame")
        wait = min(2 * (tcp.round_trip(self._socket) or 0.0), EOF_PROBE_MAX)
        self._eof_probe = self._loop.call_later(
            max(wait, EOF_PROBE_MIN), self._judge_eof
        )

    def _judge_eof(self) -> None:
        gone = tcp.peer_gone(self._socket)
        self.end(losses.at_eof(self.engine.record(), gone=gone))

    def _at_loss(self, exc: Exception | None) -> None:
        self._refuse()
        self._lost(exc)

    def _lost(self, exc: Exception | None) -> None:
        """Say how the transport was lost."""
        if self.ended.done():
            return
        record = self.engine.record()
        if self._eof_probe is not None or exc is None:
            self.end(losses.at_eof(record, gone=True))
        else:
            self.end(losses.by_error(exc, record))

    # How we end it.

    async def close(self, code: int, reason: str, *, discard: bool) -> None:
        """Send a close frame and wait for the peer's; the caller bounds the wait.

        Args:
            code: The close code.
            reason: The close reason.
            discard: Whether messages that a full inbox holds up may be discarded, so
                that the peer's close frame behind them can be read.

        Cancellation:
            Safe; ``finish`` must follow.
        """
        if not self.ended.done():
            self._closing = True
            self.outgoing.close(code, reason)
            if discard:
                self.incoming.discard()
        await asyncio.shield(self.ended)

    async def finish(self) -> None:
        """Leave nothing behind: let the peer hang up first, briefly, then abort.

        Cancellation:
            Aborts at once, and still waits for the transport to be gone.
        """
        try:
            if self._peer_may_hang_up():
                await asyncio.wait([self._gone], timeout=LINGER)
        finally:
            self.abort()
            await self._gone

    def _peer_may_hang_up(self) -> bool:
        """Whether a close frame of ours may still have to leave and be answered."""
        if not self.ended.done() or self.engine.close_sent is None:
            return False
        return self.ended.result().how in {"close", "local", "protocol", "silence"}

    def abort(self) -> None:
        """Drop the transport and all that waits in it, then release aiohttp's hold."""
        self.end(losses.by_us(self.engine.record()))
        if self._transport is not None:
            self._transport.abort()
        elif not self._gone.done():
            self._gone.set_result(None)
        if self._peer is not None:
            self._peer.close()
