"""The way to the server, step by step: its name, TCP, and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import attrs

from resilient_ws import printable
from resilient_ws.cli.error_text import system_words
from resilient_ws.cli.probe.certificate import (
    Certificate,
    lifetime_left,
    read_certificate,
)
from resilient_ws.cli.probe.finding import Finding, Grade


if TYPE_CHECKING:
    from resilient_ws.cli.probe.finding import Found

_PORTS: Final = {"ws": 80, "wss": 443}
#: A certificate that expires within this time deserves a word.
_SOON: Final = dt.timedelta(days=14)
_MOST_ADDRESSES: Final = 4

#: By OpenSSL's verify code (include/openssl/x509_vfy.h).
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_UNKNOWN_ISSUER: Final = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME: Final = frozenset({62, 64})


@attrs.frozen
class ProbedPlace:
    """Where a URL leads.

    Attributes:
        host: The host, without brackets.
        port: The port.
        encrypted: Whether TLS is spoken there.
    """

    host: str
    port: int
    encrypted: bool

    def __str__(self) -> str:
        """Return ``host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def place_of(url: str) -> ProbedPlace:
    """Return where a URL leads, which ``connect`` has found to be right."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    port = _PORTS[scheme] if parts.port is None else parts.port
    return ProbedPlace(parts.hostname or "", port, encrypted=scheme == "wss")


async def resolve(place: ProbedPlace, found: Found, *, within: float) -> bool:
    """Look the name up; return whether it has an address."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(place.host.partition("%")[0])
        return True
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(within):
            infos = await loop.getaddrinfo(
                place.host, place.port, type=socket.SOCK_STREAM
            )
    except (socket.gaierror, UnicodeError) as failure:
        why = getattr(failure, "strerror", None) or "no such name"
        text = f"{printable(place.host)} has no address ({why[:1].lower()}{why[1:]})"
        remedy = "Check the host in the URL, and this machine's DNS."
        found(Finding("DNS", Grade.BAD, text, remedy))
        return False
    except TimeoutError:
        text = f"no answer about {printable(place.host)} within {within:g} s"
        remedy = "This machine's DNS servers do not answer: see /etc/resolv.conf."
        found(Finding("DNS", Grade.BAD, text, remedy))
        return False
    addresses = list(dict.fromkeys(str(info[4][0]) for info in infos))
    more = len(addresses) - _MOST_ADDRESSES
    shown = ", ".join(addresses[:_MOST_ADDRESSES])
    shown += f" and {more} more" if more > 0 else ""
    took = milliseconds(loop.time() - began)
    found(Finding("DNS", Grade.OK, f"{printable(place.host)} is {shown} ({took})"))
    return True


async def connect_tcp(place: ProbedPlace, found: Found, *, within: float) -> bool:
    """Open a TCP connection and end it; return whether there was one."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(within):
            _, writer = await asyncio.open_connection(place.host, place.port)
    except TimeoutError:
        text = f"nothing at {place} answers within {within:g} s"
        remedy = (
            "A firewall swallows the packets, or the host is down: check host and "
            "port, and whether this machine may reach them."
        )
        found(Finding("TCP", Grade.BAD, text, remedy))
        return False
    except OSError as failure:
        found(_no_tcp(place, failure))
        return False
    took = milliseconds(loop.time() - began)
    await _end(writer)
    found(Finding("TCP", Grade.OK, f"connected to {place} in {took}"))
    return True


def _no_tcp(place: ProbedPlace, failure: OSError) -> Finding:
    if isinstance(failure, ConnectionRefusedError):
        return Finding(
            "TCP",
            Grade.BAD,
            f"{place}: connection refused",
            "Nobody listens at this port: check the port, and that the server runs.",
        )
    why = type(failure).__name__
    if failure.errno is not None:
        why = system_words(failure.errno)
    remedy = "Check host and port, and this machine's network."
    return Finding("TCP", Grade.BAD, f"{place}: {why}", remedy)


async def connect_tls(
    place: ProbedPlace, trust: ssl.SSLContext | None, found: Found, *, within: float
) -> bool:
    """Make a TLS handshake and judge the certificate; return whether it is good."""
    context = ssl.create_default_context() if trust is None else trust
    try:
        async with asyncio.timeout(within):
            peer = await _handshake(place, context)
    except ssl.SSLCertVerificationError as refused:
        certificate = await _unverified(place, within)
        found(certificate_finding(place, refused, certificate))
        return False
    except TimeoutError:
        text = f"{place} took the connection, and no TLS handshake within {within:g} s"
        remedy = "The server may be overloaded, or not speak TLS at this port (ws://)."
        found(Finding("TLS", Grade.BAD, text, remedy))
        return False
    except (OSError, ssl.SSLError) as failure:
        found(_no_tls(place, failure))
        return False
    found(_good_tls(peer))
    return True


async def _handshake(place: ProbedPlace, context: ssl.SSLContext) -> dict[str, Any]:
    """Return what is known of the server's certificate and the connection."""
    _, writer = await asyncio.open_connection(
        place.host, place.port, ssl=context, server_hostname=place.host
    )
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    known: dict[str, Any] = {
        "version": tls.version(),
        "certificate": tls.getpeercert(),
        "der": tls.getpeercert(binary_form=True),
    }
    await _end(writer)
    return known


def _good_tls(peer: dict[str, Any]) -> Finding:
    certificate = read_certificate(peer["der"] or b"")
    text = f"{peer['version']}, certificate for {certificate.shown_names()}"
    until, now = certificate.until, dt.datetime.now(dt.UTC)
    if until is None:
        return Finding("TLS", Grade.OK, text)
    left = lifetime_left(until, now)
    if until - now < _SOON:
        remedy = "Have the certificate renewed: clients will refuse it then."
        return Finding("TLS", Grade.NOTE, f"{text}, which expires in {left}", remedy)
    return Finding("TLS", Grade.OK, f"{text}, valid for {left}")


def certificate_finding(
    place: ProbedPlace,
    refused: ssl.SSLCertVerificationError,
    certificate: Certificate | None,
) -> Finding:
    """Return what is wrong with a certificate that was not accepted."""
    code, known = refused.verify_code, certificate
    if code == _EXPIRED:
        day = f" on {known.until:%Y-%m-%d}" if known and known.until else ""
        text = f"the certificate has expired{day}"
        remedy = "Have it renewed. If it is newer than that, set this machine's clock."
    elif code == _NOT_YET_VALID:
        day = f" before {known.since:%Y-%m-%d}" if known and known.since else " yet"
        text = f"the certificate is not valid{day}"
        remedy = "Check this machine's clock."
    elif code in _OTHER_NAME:
        names = f", but for {printable(known.shown_names())}" if known else ""
        text = f"the certificate is not for {printable(place.host)}{names}"
        remedy = "Use that name in the URL, or have a certificate issued for this one."
    elif code in _UNKNOWN_ISSUER:
        text = "the certificate's issuer is not known to this machine"
        remedy = (
            "If the issuer is yours, give --cafile a file with it. If it is a public "
            "one, the server does not send the certificates between."
        )
    else:
        text = f"the certificate is not accepted ({refused.verify_message})"
        remedy = "Have it issued anew."
    return Finding("TLS", Grade.BAD, text, remedy)


def _no_tls(place: ProbedPlace, failure: OSError) -> Finding:
    reason = failure.reason if isinstance(failure, ssl.SSLError) else None
    if reason in {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}:
        text = f"{place} does not speak TLS"
        remedy = "Use ws:// if the server has no TLS, or check the port."
    elif reason is not None:
        text = f"the handshake with {place} failed ({reason.lower().replace('_', ' ')})"
        remedy = "The two sides do not agree on a version, a cipher or a certificate."
    else:
        text = f"{place} hung up during the handshake"
        remedy = "It has no TLS at this port (try ws://), or does not let us in."
    return Finding("TLS", Grade.BAD, text, remedy)


async def _unverified(place: ProbedPlace, within: float) -> Certificate | None:
    """Return the certificate that was refused, to say more about it."""
    # Nothing is sent on this connection, and nothing is believed.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(within):
            known = await _handshake(place, context)
    except (OSError, TimeoutError):
        return None
    return read_certificate(known["der"] or b"")


async def speaks_tls(place: ProbedPlace, *, within: float) -> bool:
    """Return whether a TLS handshake succeeds there, with any certificate."""
    return await _unverified(place, within) is not None


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def milliseconds(seconds: float) -> str:
    """Return a short time for people: ``0.4 ms``, ``12 ms``, ``1.5 s``."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    thousandths = seconds * 1000
    return f"{thousandths:.0f} ms" if thousandths >= 10 else f"{thousandths:.1f} ms"  # noqa: PLR2004 - two digits
