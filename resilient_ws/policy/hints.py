"""Advice, a sentence each, for failures that do not pass by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal


if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilient_ws.errors import Stage

_CREDENTIALS: Final = (
    "The server did not accept the credentials: give url or headers as a callable "
    "that returns fresh ones, and check what they may do."
)
_STATUS_HINTS: Final[Mapping[int, str]] = {
    200: "That is a web page, not a WebSocket endpoint: check the path.",
    400: "The server found the request malformed: check the URL and your headers.",
    401: _CREDENTIALS,
    403: _CREDENTIALS,
    404: "Nothing is served at this path: check the URL.",
    405: "This path does not take a GET, so it is not a WebSocket: check the URL.",
    410: "This path is gone for good: ask the service for its new URL.",
    426: "The server wants another protocol: check the URL, and that TLS is used.",
}
_PROXY_CREDENTIALS: Final = (
    "The proxy wants credentials that it knows: put user:password@ into the proxy URL."
)
_BEYOND_PROXY: Final = (
    "The proxy did not get through to the server: check host and port of the URL."
)
_PROXY_HINTS: Final[Mapping[int, str]] = {
    401: _PROXY_CREDENTIALS,
    403: "The proxy does not allow this destination: ask its operator to allow it.",
    407: _PROXY_CREDENTIALS,
    500: _BEYOND_PROXY,
    502: _BEYOND_PROXY,
    503: _BEYOND_PROXY,
    504: _BEYOND_PROXY,
}
_CLOSE_HINTS: Final[Mapping[int, str]] = {
    1002: "One side broke RFC 6455: check that the URL leads to a WebSocket server.",
    1003: "The server does not take this kind of data: send str for text and bytes "
    "for binary messages.",
    1007: "A message did not match its type, such as a text message that is not "
    "UTF-8: send binary data as bytes.",
    1008: _CREDENTIALS,
    1009: "A message was too big: make your messages smaller, or, if the server's are "
    "the big ones, raise your max_message_size.",
    1010: "The server lacks an extension that it was expected to have: change "
    "compression.",
    3000: _CREDENTIALS,
    3003: _CREDENTIALS,
    4401: _CREDENTIALS,
    4403: _CREDENTIALS,
}
CERTIFICATE_HINT: Final = (
    "The certificate is not trusted: check the host name, its expiry and this "
    "machine's clock, or give ssl a context that trusts its issuer."
)
_UNKNOWN_ISSUER: Final = (
    "If the issuer is yours, give ssl a context that trusts it, such as "
    "ssl.create_default_context(cafile=...)."
)
_OTHER_NAME: Final = (
    "The certificate is for another name: check the host in the URL, or have the "
    "certificate issued for it."
)
#: By the verify code of OpenSSL.
_CERTIFICATE_HINTS: Final[Mapping[int, str]] = {
    9: "Check this machine's clock: the certificate is not valid yet.",
    10: "Have the certificate renewed, and check this machine's clock.",
    18: _UNKNOWN_ISSUER,
    19: _UNKNOWN_ISSUER,
    20: _UNKNOWN_ISSUER,
    21: _UNKNOWN_ISSUER,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
_TLS_HINT: Final = (
    "Check the port. If the server does not use TLS there, the URL must start with "
    "ws://."
)
_NO_COMMON_VERSION: Final = (
    "The two sides have no TLS version in common: change minimum_version or "
    "maximum_version of the context given as ssl, or have the server updated."
)
_OWN_CERTIFICATE: Final = (
    "The server did not accept your client certificate: check its expiry, and which "
    "issuers the server trusts."
)
#: By a part of OpenSSL's name for the reason. The first match counts.
_TLS_HINTS: Final[Mapping[str, str]] = {
    "CERTIFICATE_REQUIRED": "The server wants a client certificate: load yours into "
    "the context given as ssl, with load_cert_chain().",
    "HANDSHAKE_FAILURE": "The server wants a client certificate (load yours into the "
    "context given as ssl, with load_cert_chain()), or a cipher that we do not offer.",
    "PROTOCOL_VERSION": _NO_COMMON_VERSION,
    "UNSUPPORTED_PROTOCOL": _NO_COMMON_VERSION,
    "ALERT_UNKNOWN_CA": _OWN_CERTIFICATE,
    "ALERT_BAD_CERTIFICATE": _OWN_CERTIFICATE,
    "ALERT_CERTIFICATE": _OWN_CERTIFICATE,
    "ALERT_UNSUPPORTED_CERTIFICATE": _OWN_CERTIFICATE,
}


def status_hint(status: int, by: Literal["server", "proxy"]) -> str | None:
    """Return advice for an HTTP status received instead of 101, or None."""
    return (_PROXY_HINTS if by == "proxy" else _STATUS_HINTS).get(status)


def stage_hint(stage: Stage, where: str) -> str | None:
    """Return advice for a dial to a URL that failed at a stage, or None."""
    if stage == "handshake" and where.startswith("ws:"):
        return "Check the port. If the server uses TLS there, use wss://."
    if stage == "handshake":
        # In TLS 1.3 the client's handshake ends before the server checks the client
        # certificate, and a reset may overtake the alert.
        return "If it wants a client certificate, give ssl a context with yours."
    return None


def certificate_hint(verify_code: int) -> str:
    """Return advice for a certificate that failed OpenSSL's verification."""
    return _CERTIFICATE_HINTS.get(verify_code, CERTIFICATE_HINT)


def tls_hint(reason: str) -> str:
    """Return advice for a failed TLS handshake, given OpenSSL's reason."""
    return next(
        (hint for word, hint in _TLS_HINTS.items() if word in reason), _TLS_HINT
    )


def close_hint(code: int) -> str | None:
    """Return advice for a close code, or None."""
    return _CLOSE_HINTS.get(code)
