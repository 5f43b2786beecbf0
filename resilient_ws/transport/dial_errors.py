"""The errors that say how a dial failed, made of the exceptions of aiohttp.

Rules: aiohttp's exceptions print URLs, passwords and headers, so they are never chained
and their texts never quoted; only an ``OSError`` is kept as the cause. Bytes from the
server are quoted only if they repeat nothing of the request.
"""

from __future__ import annotations

import errno
import socket
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import aiohttp

from resilient_ws.errors import (
    ConnectFailed,
    HandshakeRejected,
    ResilientWSError,
    leaves,
)
from resilient_ws.policy.foreign_protocols import is_http, protocol_of
from resilient_ws.policy.hints import (
    CERTIFICATE_HINT,
    certificate_hint,
    stage_hint,
    status_hint,
    tls_hint,
)
from resilient_ws.policy.quoting import quotation, secrets_of
from resilient_ws.policy.refusals import kept_headers
from resilient_ws.policy.tracebacks import without_frames
from resilient_ws.transport.response_handler import MAX_HEADERS
from resilient_ws.transport.tcp import errno_of, name_of


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resilient_ws.errors import Stage
    from resilient_ws.policy.url import Endpoint
    from resilient_ws.transport.current_dial import PartialAnswer


#: The side that answered, or that the dial failed with.
By: TypeAlias = Literal["server", "proxy"]


class Unforeseen(Exception):
    """Carries an unexpected exception of a request to where it is logged."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self.failure = failure


def translated(failure: BaseException, endpoint: Endpoint) -> ResilientWSError | None:
    """Return our error for an exception of a dial, ``None`` if it is not known.

    Args:
        failure: What aiohttp raised.
        endpoint: The endpoint that was dialled.
    """
    if isinstance(failure, ResilientWSError):
        return failure
    where = endpoint.redacted
    if isinstance(failure, aiohttp.ClientHttpProxyError):
        return rejected(failure.status, failure.headers or {}, where, by="proxy")
    for kinds, stage in _STAGES:
        if isinstance(failure, kinds):
            return failed(stage, failure, where, by=_whose(failure, endpoint))
    return None


def _whose(failure: BaseException, endpoint: Endpoint) -> By:
    """Tell whether aiohttp failed to connect to the server or to a proxy."""
    if not isinstance(failure, aiohttp.ClientConnectorError):
        return "server"
    there = (endpoint.dialled_host, endpoint.port)
    return "server" if (failure.host, failure.port) == there else "proxy"


#: The stage that each exception stands for. The first match counts, so subclasses come
#: before their base classes.
_STAGES: Final[tuple[tuple[tuple[type[BaseException], ...], Stage], ...]] = (
    (
        (
            aiohttp.ClientConnectorCertificateError,
            aiohttp.ServerFingerprintMismatch,
            ssl.SSLCertVerificationError,
        ),
        "certificate",
    ),
    ((aiohttp.ClientSSLError, ssl.SSLError), "tls"),
    ((aiohttp.ClientConnectorDNSError,), "resolve"),
    ((aiohttp.ClientProxyConnectionError,), "proxy"),
    ((aiohttp.ClientConnectorError,), "connect"),
    ((aiohttp.ClientError, OSError), "handshake"),
)


def rejected(
    status: int,
    headers: Mapping[str, str],
    where: str,
    *,
    body: bytes = b"",
    by: By = "server",
) -> HandshakeRejected:
    """Return the error for an answer other than 101."""
    try:
        words = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        words = str(status)
    hint = status_hint(status, by)
    remedy = "" if hint is None else f" {hint}"
    return HandshakeRejected(
        f"The {by} answered {words} to the handshake with {where}.{remedy}",
        status=status,
        headers=kept_headers(headers.items()),
        body=body,
        by=by,
    )


_TEXTS: Final[dict[Stage, str]] = {
    "resolve": "The name in {where} could not be resolved",
    "connect": "No TCP connection to {where} could be made",
    "tls": "The TLS handshake with {whose} failed",
    "certificate": "The certificate of {whose} was not accepted",
    "proxy": "The proxy on the way to {where} could not be reached",
    "handshake": "{where} ended the connection without answering the handshake",
}


def failed(
    stage: Stage, failure: BaseException, where: str, *, by: By = "server"
) -> ConnectFailed:
    """Return the error for a dial that failed.

    Args:
        stage: The stage that failed, unless the cause shows another.
        failure: What was raised.
        where: The URL, without secrets.
        by: The side that the TLS handshake was with.
    """
    cause = _os_error(failure)
    stage = _stage_of(stage, cause, where)
    whose = where if by == "server" else f"the proxy on the way to {where}"
    text = _TEXTS[stage].format(where=where, whose=whose)
    detail = "" if cause is None else f" ({_detail(cause)})"
    hint = _hint(stage, cause, where)
    remedy = "" if hint is None else f" {hint}"
    error = ConnectFailed(
        f"{text}{detail}.{remedy}", stage=stage, errno=errno_of(cause)
    )
    if cause is not None and cause.errno is not None:
        # A cause without an errno adds nothing. Its own cause may be aiohttp's, which
        # prints secrets, so it is removed.
        cause.__cause__ = None
        error.__cause__ = without_frames(cause)
    return error


#: The errnos of a TLS handshake that was cut off; asyncio sets none for an EOF.
_CUT_OFF: Final = frozenset({None, errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})


def _stage_of(stage: Stage, cause: OSError | None, where: str) -> Stage:
    """Return the stage by the cause, where one exception stands for several stages."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "certificate"
    if isinstance(cause, ssl.SSLError):
        return "tls"
    if isinstance(cause, socket.gaierror):
        return "proxy" if stage == "proxy" else "resolve"
    cut_off = cause is not None and cause.errno in _CUT_OFF
    return "tls" if stage == "connect" and cut_off and where[:4] == "wss:" else stage


def _hint(stage: Stage, cause: OSError | None, where: str) -> str | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return certificate_hint(cause.verify_code)
    if stage == "certificate":
        return CERTIFICATE_HINT
    if stage == "tls":
        reason = cause.reason if isinstance(cause, ssl.SSLError) else None
        return tls_hint(reason or "")
    return stage_hint(stage, where)


def _detail(cause: OSError) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message.rstrip(".")
    if isinstance(cause, ssl.SSLError):
        return cause.reason or "TLS error"
    if cause.errno is None:
        cut = isinstance(cause, ConnectionError)
        return "the connection was cut off" if cut else type(cause).__name__
    if isinstance(cause, socket.gaierror):
        return cause.strerror or "no such name"
    if cause.strerror:
        return f"{name_of(cause.errno)}, {cause.strerror}"
    return name_of(cause.errno)


def _os_error(failure: BaseException) -> OSError | None:
    """Return the operating system's or the TLS library's own error, if there is one."""
    for candidate in (
        getattr(failure, "certificate_error", None),
        getattr(failure, "os_error", None),
        failure.__cause__,
        failure,
    ):
        if isinstance(candidate, OSError) and not isinstance(
            candidate, aiohttp.ClientError
        ):
            return candidate
    if isinstance(failure, OSError) and failure.errno is not None:
        return OSError(failure.errno, failure.strerror)
    return None


def unusable_answer(
    answer: PartialAnswer,
    failure: Exception,
    endpoint: Endpoint,
    headers: Sequence[tuple[str, str]],
) -> ConnectFailed | None:
    """Return the error for an unusable answer, ``None`` for any other failure.

    Args:
        answer: What was received.
        failure: What aiohttp raised about it.
        endpoint: The endpoint that was dialled.
        headers: The headers of the request, which must not be shown.
    """
    if not answer.size or isinstance(failure, _NOT_OF_THE_ANSWER):
        return None
    if not isinstance(failure, aiohttp.ClientError | OSError):
        return None
    who = f"The proxy on the way to {endpoint}" if answer.of_proxy else str(endpoint)
    text, hint = _described(answer, failure, secrets_of(endpoint, headers))
    if answer.of_proxy:
        hint = " Check the scheme and the port of the proxy URL."
    return ConnectFailed(
        f"{who} {text}.{hint}",
        stage="proxy" if answer.of_proxy else "handshake",
        errno=errno_of(failure),
    )


#: Errors of aiohttp that are not about the bytes of an answer.
_NOT_OF_THE_ANSWER: Final = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError)


def _described(
    answer: PartialAnswer, failure: Exception, secrets: Sequence[str]
) -> tuple[str, str]:
    """Return what happened, and a hint with a leading space.

    Args:
        answer: What was received.
        failure: What aiohttp raised about it.
        secrets: The secret parts of the request, which must not be shown.
    """
    excess = answer.excess
    if excess is None and _has_too_many_headers(failure):
        excess = f"more than {MAX_HEADERS:,} headers"
    if excess is not None:
        return f"answered the handshake with {excess}", ""
    quoted = quotation(answer.first, secrets)
    first = "" if quoted is None else f" (first: {quoted})"
    known = protocol_of(answer.first)
    if known is not None:
        # Nothing is quoted if the answer repeats a part of our request.
        came = "" if quoted is None else f" ({quoted})"
        return f"answered the handshake with {known.name}{came}", f" {known.hint}"
    cut = isinstance(failure, aiohttp.ServerDisconnectedError | OSError)
    if cut and is_http(answer.first):
        return (
            "ended the connection in the middle of its answer to the handshake: "
            f"{answer.size:,} bytes received{first}"
        ), ""
    what = "malformed HTTP" if is_http(answer.first) else "something that is not HTTP"
    return (
        f"answered the handshake with {what}: {answer.size:,} bytes received{first}"
    ), " Check the host and the port of the URL."


def _has_too_many_headers(failure: Exception) -> bool:
    message = getattr(failure, "message", "")
    return isinstance(message, str) and message.startswith("Too many headers")


def is_network_error(failure: Exception) -> bool:
    """Return whether a user's callable failed because the network did.

    An exception group counts if all the exceptions in it do.
    """
    ours_or_network = (OSError, TimeoutError, aiohttp.ClientError, ResilientWSError)
    return all(isinstance(leaf, ours_or_network) for leaf in leaves(failure))
