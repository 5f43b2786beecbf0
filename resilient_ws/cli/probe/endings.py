"""Says why a server ended a connection, or would not have one, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resilient_ws import (
    ConnectFailed,
    HandshakeRejected,
    OpenTimeout,
    ResilientWSError,
    printable,
)
from resilient_ws.cli.error_text import error_text
from resilient_ws.cli.probe.finding import Finding, Grade


if TYPE_CHECKING:
    from resilient_ws import Close, ConnectionDropped, ConnectionLost

#: Close codes by which servers say that they do not know who is there.
_NOT_ALLOWED: Final = frozenset({1008, 3000, 3003, 4001, 4003, 4401, 4403})
_LOGIN: Final = (
    "It wants to know who is there: check the URL, and give a token with --header or a "
    "login with --on-open. It may also refuse this --origin or address."
)
_BY_CODE: Final = {
    1002: "The server found a mistake in what it got: it may not be a WebSocket server "
    "of this protocol. Check --subprotocol.",
    1003: "It does not take this kind of message: check --on-open.",
    1007: "It does not take text that is not what it expects: check --on-open.",
    1009: "A message was too big for it: check --on-open.",
    1011: "It failed by itself: see the server's log.",
    1012: "It restarts: try again in a minute.",
    1013: "It is overloaded: try again later.",
}
_RATE_LIMITED: Final = "Retry later, and less often: it asks for that."


def no_handshake(failure: ResilientWSError, *, within: float) -> list[Finding]:
    """Return what a failed handshake tells."""
    step = "Handshake"
    text = error_text(failure)
    if isinstance(failure, HandshakeRejected):
        return [_rejected(failure)]
    if isinstance(failure, OpenTimeout):
        return [
            Finding(
                step,
                Grade.BAD,
                f"the server took the connection and said nothing for {within:g} s",
                "It swallows what it gets (a black hole), is overloaded, or waits for "
                "another protocol: check host and port, and the server's log.",
            )
        ]
    if isinstance(failure, ConnectFailed) and failure.stage == "proxy":
        remedy = "Check the proxy's address in --proxy, and that it runs."
        return [Finding("Proxy", Grade.BAD, _first_sentence(text), remedy)]
    first = _first_sentence(text)
    return [Finding(step, Grade.BAD, first, text[len(first) :].lstrip(". "))]


def _rejected(failure: HandshakeRejected) -> Finding:
    text = error_text(failure)
    first = _first_sentence(text)
    remedy = text[len(first) :].lstrip(". ")
    step = "Proxy" if failure.by == "proxy" else "Handshake"
    if failure.status == 407:  # noqa: PLR2004 - Proxy Authentication Required
        first = "the proxy wants a user name and a password (407)"
        remedy = "Put them into the proxy's URL: --proxy http://USER:PASSWORD@HOST:PORT"
    elif failure.by == "server" and failure.status < 400:  # noqa: PLR2004 - no error
        first = f"an HTTP server answered {failure.status}, and no WebSocket"
        remedy = "It is a web server: check the path of the URL."
    elif failure.status == 429:  # noqa: PLR2004 - Too Many Requests
        remedy = _RATE_LIMITED
    if failure.by == "server" and (server := failure.headers.get("server")):
        first += f" (Server: {printable(server[:40])})"
    return Finding(step, Grade.BAD, first, remedy)


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")


def ended_early(dropped: ConnectionDropped) -> Finding | None:
    """Return what an end says that has nothing to do with silence, or ``None``."""
    close = dropped.close
    if close is None or close.received is None:
        because = dropped.because
        if because.how == "protocol":
            text = _first_sentence(error_text(because))
            remedy = "The server, or something before it, breaks RFC 6455."
            return Finding("Open", Grade.BAD, text, remedy)
        return None
    code = close.received.code
    when = seconds(dropped.uptime)
    text = f"the server closed {when} after the handshake with {phrase(close)}"
    if code in _NOT_ALLOWED:
        return Finding("Open", Grade.BAD, text, _LOGIN)
    if code in _BY_CODE:
        return Finding("Open", Grade.BAD, text, _BY_CODE[code])
    return None


def lost(because: ConnectionLost) -> str:
    """Return how a connection ended, in a few words."""
    words = {
        "reset": "with a reset",
        "eof": "without a close frame",
        "half_close": "by half, without a close frame",
    }
    return words.get(because.how, "without a close frame")


def phrase(close: Close) -> str:
    """Return the code of a close frame, its meaning and its reason."""
    return str(close).partition(" with ")[2].rpartition(", ")[0]


def seconds(duration: float) -> str:
    """Return a duration: ``3.0 s``, ``1 min 5 s``."""
    if duration < 60:  # noqa: PLR2004 - a minute
        return f"{duration:.1f} s"
    return f"{duration // 60:.0f} min {duration % 60:.0f} s"
