"""The one door through which aiohttp's exceptions pass, and become ours.

Rule: aiohttp prints URLs, passwords and headers, so its exceptions are never chained
and their texts never quoted; the cause that is kept is the ``OSError`` alone.
"""

from __future__ import annotations

import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal

import aiohttp

from resilient_ws.errors import ConnectFailed, HandshakeRejected, ResilientWSError
from resilient_ws.policy.hints import stage_hint, status_hint
from resilient_ws.transport.tcp import name_of


if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilient_ws.errors import Stage


def translated(failure: BaseException, where: str) -> ResilientWSError | None:
    """Return what an exception of a dial means, or ``None`` if it is not known.

    Args:
        failure: What aiohttp, or the proxy connector, raised.
        where: The URL without secrets.
    """
    if isinstance(failure, ResilientWSError):
        return failure
    if isinstance(failure, aiohttp.ClientHttpProxyError):
        return rejected(failure.status, failure.headers or {}, where, by="proxy")
    for kinds, stage in _STAGES:
        if isinstance(failure, kinds):
            return _failed(_stage_of(stage, failure, where), failure, where)
    return _from_proxy_connector(failure, where)


def _stage_of(stage: Stage, failure: BaseException, where: str) -> Stage:
    """Tell a TLS handshake that was cut off from a TCP connection that failed."""
    cause = _os_error(failure)
    cut_off = cause is not None and cause.errno is None
    return "tls" if stage == "connect" and cut_off and where[:4] == "wss:" else stage


#: Which exception means a failure at which stage; the first match counts, so the more
#: special ones stand first.
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
    by: Literal["server", "proxy"] = "server",
) -> HandshakeRejected:
    """Return the error for an answer other than 101."""
    try:
        words = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        words = str(status)
    kept = {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() not in {"set-cookie", "location"}
    }
    hint = status_hint(status, by)
    remedy = "" if hint is None else f" {hint}"
    return HandshakeRejected(
        f"The {by} answered {words} to the handshake with {where}.{remedy}",
        status=status,
        headers=kept,
        body=body,
        by=by,
    )


_TEXTS: dict[Stage, str] = {
    "resolve": "The name in {where} could not be resolved",
    "connect": "No TCP connection to {where} could be made",
    "tls": "The TLS handshake with {where} failed",
    "certificate": "The certificate of {where} was not accepted",
    "proxy": "The proxy on the way to {where} could not be reached",
    "handshake": "{where} ended the connection without answering the handshake",
}


def _failed(stage: Stage, failure: BaseException, where: str) -> ConnectFailed:
    cause = _os_error(failure)
    number = None if cause is None else cause.errno
    detail = "" if cause is None else f" ({_detail(cause)})"
    hint = stage_hint(stage, where)
    remedy = "" if hint is None else f" {hint}"
    error = ConnectFailed(
        f"{_TEXTS[stage].format(where=where)}{detail}.{remedy}",
        stage=stage,
        errno=number,
    )
    if cause is not None:
        # Cut loose from what aiohttp chained to it, for that prints secrets.
        cause.__cause__ = cause.__context__ = None
        error.__cause__ = cause.with_traceback(None)
    return error


def _detail(cause: OSError) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    if isinstance(cause, ssl.SSLError):
        return cause.reason or "TLS error"
    if cause.errno is None:
        return type(cause).__name__
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


def _from_proxy_connector(
    failure: BaseException, where: str
) -> ResilientWSError | None:
    """Translate the proxy connector's errors, which share no root with others."""
    if not type(failure).__module__.startswith("aiohttp_socks"):
        return None
    code = getattr(failure, "error_code", None)
    if not isinstance(code, int):
        return _failed("proxy", failure, where)
    # An HTTP proxy's status, or a code of SOCKS, which are small.
    if code >= HTTPStatus.MULTIPLE_CHOICES:
        return rejected(code, {}, where, by="proxy")
    return ConnectFailed(
        f"The proxy refused to connect to {where} (SOCKS error {code}).", stage="proxy"
    )


def is_network_error(failure: Exception) -> bool:
    """Whether an exception of a user's callable means that the network failed it."""
    return isinstance(failure, OSError | TimeoutError | aiohttp.ClientError)
