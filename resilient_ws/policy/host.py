"""Hosts, which have one reading and one spelling.

Rules: a name is mapped as browsers map it (UTS 46, non-transitional) and encoded by
IDNA 2008. A name with characters that this would silently drop, or cannot encode, is
refused. A host that ends in a number must be an address in its usual form, because only
some resolvers read ``127.1`` and ``0x7f000001`` as addresses. The trailing dot and the
zone matter for the dial but are not part of the name, so comparisons ignore them.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, TypeAlias

import attrs
import idna


IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_MAX_HOST: Final = 253
#: WHATWG URL, "ends in a number": a host with such a last label is an address.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
#: RFC 6874 without percent-encoding, which interface names do not need.
_ZONE: Final = re.compile(r"[A-Za-z0-9._~-]+")
_ZONE_MARK: Final = "%25"


@attrs.frozen(kw_only=True)
class Host:
    """A host as it was given.

    Attributes:
        name: Lower-case IDNA without a trailing dot, or a compressed address without
            brackets. Hosts are compared by it.
        rooted: Whether a trailing dot excludes search domains.
        zone: The interface of a link-local address (RFC 6874), or empty.
    """

    name: str
    rooted: bool = False
    zone: str = ""


def parse_host(text: str) -> Host:
    """Read a host, without brackets.

    Raises:
        ValueError: It is neither a name nor an address. The error says what is allowed,
            and does not repeat the host.
    """
    if ":" in text:
        return _address_with_zone(text)
    given = _encoded(text)
    name = given.removesuffix(".")
    rooted = name != given
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return Host(name=_in_four_parts(name))
    if len(name) > _MAX_HOST or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError("use letters, digits, hyphens and single dots.")
    # Drop the dot of localhost: hosts files lack it, and no search domain applies.
    return Host(name=name, rooted=rooted and not is_localhost(name))


def is_localhost(name: str) -> bool:
    """Return whether a name means this machine (RFC 6761, section 6.3)."""
    return name == "localhost" or name.endswith(".localhost")


def canonical_host(text: str) -> str:
    """Return the spelling of a host that it is compared by.

    Raises:
        ValueError: It is neither a name nor an address.
    """
    return parse_host(text).name


def literal(host: str) -> IPAddress | None:
    """Return a host as an address, ``None`` if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def bracketed(host: str) -> str:
    """Return a host as it is written before a port."""
    return f"[{host}]" if ":" in host else host


def _address_with_zone(text: str) -> Host:
    address, mark, zone = text.partition(_ZONE_MARK)
    if "%" in address or (mark and not _ZONE.fullmatch(zone)):
        raise ValueError(
            "a zone must be an interface name after %25, as in [fe80::1%25eth0]."
        )
    try:
        found = ipaddress.IPv6Address(address)
    except ValueError:
        raise ValueError("a host with colons must be an IPv6 address.") from None
    if zone and not found.is_link_local:
        raise ValueError("only a link-local address (fe80::/10) can have a zone.")
    return Host(name=str(found), zone=zone)


def _encoded(name: str) -> str:
    if name.isascii():
        return name.lower()
    # Check the length first: encoding takes more than linear time.
    if len(name) > _MAX_HOST:
        raise ValueError("it may have at most 253 characters.")
    try:
        if not all(map(_mapped, name)):
            raise ValueError("it must not contain invisible characters.")
        labels = _mapped(name).split(".")
        return ".".join(map(_encoded_label, labels))
    except UnicodeError:  # the base of idna's errors, whose texts repeat the name
        raise ValueError(
            "a name that is not ASCII must be valid in IDNA 2008. If this one exists "
            "all the same, write it in its xn-- form."
        ) from None


def _mapped(text: str) -> str:
    return idna.uts46_remap(text, std3_rules=False, transitional=False)


def _encoded_label(label: str) -> str:
    return label if label.isascii() else idna.alabel(label).decode("ascii")


def _in_four_parts(name: str) -> str:
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        raise ValueError(
            "a host that ends in a number must be an IPv4 address in four decimal "
            "parts, like 127.0.0.1."
        ) from None
