"""What ``aiohttp`` raises where a session of ours could not connect.

Rule: aiohttp's exceptions print URLs, so these hold the URL without its query and its
user.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy

from resilient_ws import (
    ConnectFailed,
    ConnectionLost,
    Fatal,
    HandshakeRejected,
    OpenTimeout,
    ProtocolError,
    ResilientWSError,
    SecurityError,
)


if TYPE_CHECKING:
    from yarl import URL


def as_aiohttp(  # noqa: PLR0911 - a table, which needs isinstance
    failure: ResilientWSError, url: URL
) -> Exception:
    """Return the exception that a library expects where a dial failed."""
    text = str(failure)
    shown = url.with_query(None).with_user(None)
    if isinstance(failure, HandshakeRejected):
        headers = CIMultiDict(failure.headers)
        return _rejected(shown, text, status=failure.status, headers=headers)
    if isinstance(failure, OpenTimeout):
        return aiohttp.ConnectionTimeoutError(text)
    if isinstance(failure, ConnectFailed):
        return _unreachable(failure, shown, text)
    if isinstance(failure, ProtocolError):
        return _rejected(shown, text, status=101, headers=CIMultiDict())
    if isinstance(failure, ConnectionLost):
        return aiohttp.ServerDisconnectedError(text)
    if isinstance(failure, SecurityError):
        return aiohttp.ClientConnectionError(text)
    if isinstance(failure, Fatal):
        return RuntimeError(text)
    return aiohttp.ClientError(text)


def _rejected(
    url: URL, text: str, *, status: int, headers: CIMultiDict[str]
) -> aiohttp.WSServerHandshakeError:
    none = CIMultiDictProxy(CIMultiDict[str]())
    info = aiohttp.RequestInfo(url, "GET", none, url)
    return aiohttp.WSServerHandshakeError(
        info, (), status=status, message=text, headers=headers
    )


def _unreachable(
    failure: ConnectFailed, url: URL, text: str
) -> aiohttp.ClientConnectionError:
    key = ConnectionKey(
        host=url.host or "",
        port=url.port,
        is_ssl=url.scheme == "wss",
        ssl=True,
        proxy=None,
        proxy_auth=None,
        proxy_headers_hash=None,
    )
    cause = failure.__cause__
    known = cause if isinstance(cause, OSError) else None
    error = known or OSError(failure.errno or 0, text)
    if failure.stage == "certificate" and isinstance(cause, ssl.CertificateError):
        return aiohttp.ClientConnectorCertificateError(key, cause)
    if failure.stage in {"tls", "certificate"}:
        return aiohttp.ClientConnectorSSLError(key, error)
    if failure.stage == "resolve":
        return aiohttp.ClientConnectorDNSError(key, error)
    if failure.stage == "proxy":
        return aiohttp.ClientProxyConnectionError(key, error)
    if failure.stage == "connect":
        return aiohttp.ClientConnectorError(key, error)
    return aiohttp.ServerDisconnectedError(text)
