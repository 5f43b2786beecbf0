"""Where a session may go.

Rules: a destination is vetted by host before any packet is sent, and by address when it
is dialled, because a name may resolve to anything. We see no address where a proxy
resolves the name. Plain ``ws://`` may only go to loopback, unless allowed. A redirect
is vetted like a destination, stays within its origin unless allowed, and never leads
from TLS to plain. NAT64 and 6to4 addresses are unwrapped before they are *refused*; an
address is *trusted* as loopback only if its packets stay in this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Literal, cast

import attrs

from resilient_ws.errors import SecurityError
from resilient_ws.policy._validate import one_of, whole_number, wrong_type
from resilient_ws.policy.host import canonical_host, is_localhost
from resilient_ws.policy.url import same_origin


if TYPE_CHECKING:
    from resilient_ws.policy.host import IPAddress
    from resilient_ws.policy.url import Endpoint

#: The ports that browsers refuse because other protocols listen there (WHATWG Fetch,
#: "bad port"): a mail or IRC server could take the handshake for commands.
# fmt: off
FETCH_BAD_PORTS: Final = frozenset((
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87,
    95, 101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143,
    161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554,
    556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045,
    4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
))
# fmt: on

_YES_OR_NO: Final = (True, False)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
#: The only range of public addresses that IANA has assigned (RFC 4291, section 2.4).
#: Mapped, local, site-local, multicast and unassigned addresses are outside it.
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
#: Networks that are not public, though some Pythons think so: RFC 6890, 7526 and 9637.
_RESERVED: Final = (
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv4Network("192.88.99.0/24"),
    ipaddress.IPv6Network("3fff::/20"),
)


def _patterns(value: Iterable[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    items = _items(value, "Access.allowed_hosts", "a collection of host names")
    return tuple(_pattern(item) for item in items)


def _pattern(item: object) -> str:
    if not isinstance(item, str):
        raise wrong_type("Every item of Access.allowed_hosts", "a str", item)
    wildcard = "*." if item.startswith("*.") else ""
    host = item.removeprefix("*.")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        return wildcard + canonical_host(host)
    except ValueError:
        raise ValueError(
            "Access.allowed_hosts must hold hosts like 'example.com' or "
            f"'*.example.com', without scheme, port or path, not {item!r}."
        ) from None


def _ports(value: Iterable[int]) -> frozenset[int]:
    if value is FETCH_BAD_PORTS:
        return FETCH_BAD_PORTS  # shared: a copy would take 8 KiB
    items = _items(value, "Access.blocked_ports", "a collection of port numbers")
    for item in items:
        whole_number("Every item of Access.blocked_ports", item, at_least=0)
    return frozenset(cast("list[int]", items))


def _items(value: object, name: str, right: str) -> list[object]:
    # A str is iterable as well, and each letter would become a host.
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise wrong_type(name, right, value)
    return list(cast("Iterable[object]", value))


def _redirects(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    whole_number(f"Access.{attribute.name}", value, at_least=0)


@attrs.frozen(kw_only=True)
class Access:
    """Where a session may connect to.

    The defaults let a client reach its server in any network, encrypted. When the URL
    comes from somebody else, set ``allowed_hosts``, or ``allow_private=False``.

    Hosts are vetted before any packet is sent, and addresses again when they are
    dialled. Behind a proxy, the check depends on who resolves names. With ``socks4://``
    and ``socks5://`` the session does, and vets the address before it asks the proxy.
    With ``http://``, ``https://`` and ``socks5h://`` the proxy does: the session can
    vet only the host, and the proxy itself must refuse private addresses in its
    network. Every proxy sees host and port, and all of a ``ws://`` connection. The
    address of the proxy is your own choice, so it is never vetted.

    Attributes:
        allow_insecure: ``"loopback"`` allows ``ws://`` to this machine only, ``True``
            to anywhere, ``False`` to nowhere.
        allowed_hosts: Exact hosts, or ``"*.example.com"`` for its subdomains; ``None``
            for all.
        blocked_ports: Ports that are never dialled.
        allow_private: ``False`` refuses every address that is not public, and the
            names of this machine (``localhost`` and its subdomains).
        allow_redirects: ``"same-origin"`` follows a redirect to the same scheme, host
            and port, or from ``ws://`` to ``wss://`` on the same host at their default
            ports. ``"any"`` follows every redirect, ``"none"`` follows none. Headers,
            cookies, ``Authorization``, ``origin`` and subprotocols are not sent to
            another origin, but messages from ``on_open`` and the outbox are.
        max_redirects: How many redirects a handshake may follow.

    Raises:
        TypeError: A value of another type.
        ValueError: A pattern that is not a host, a negative number, or an unknown word.
    """

    allow_insecure: Literal["loopback"] | bool = attrs.field(
        default="loopback", validator=one_of("loopback", *_YES_OR_NO)
    )
    allowed_hosts: tuple[str, ...] | None = attrs.field(
        default=None, converter=_patterns
    )
    blocked_ports: frozenset[int] = attrs.field(
        default=FETCH_BAD_PORTS, converter=_ports, repr=False
    )
    allow_private: bool = attrs.field(default=True, validator=one_of(*_YES_OR_NO))
    allow_redirects: Literal["same-origin", "any", "none"] = attrs.field(
        default="same-origin", validator=one_of("same-origin", "any", "none")
    )
    max_redirects: int = attrs.field(default=5, validator=_redirects)

    def check_endpoint(self, endpoint: Endpoint, *, proxied: bool = False) -> None:
        """Vet a destination by its URL, before any packet.

        Args:
            endpoint: Where to.
            proxied: Whether a proxy will dial it. Loopback then means the proxy's
                machine, so it does not count as secure.

        Raises:
            SecurityError: It is not allowed.
        """
        self._check_host(endpoint)
        if endpoint.port in self.blocked_ports:
            raise SecurityError(
                f"{endpoint} uses port {endpoint.port}, which Access.blocked_ports "
                "lists: another protocol lives there."
            )
        if endpoint.scheme == "ws":
            self._check_insecure_endpoint(endpoint, proxied=proxied)
        if not self.allow_private and _names_private(endpoint):
            raise _private(endpoint, endpoint.host)

    def check_address(self, ip: str, endpoint: Endpoint) -> None:
        """Vet an address that is about to be dialled.

        Args:
            ip: The address, resolved or as it stood in the URL.
            endpoint: The destination it belongs to.

        Raises:
            SecurityError: It is not allowed.
        """
        address = ipaddress.ip_address(ip)
        plain = endpoint.scheme == "ws" and self.allow_insecure == "loopback"
        if plain and not _is_loopback(address):
            raise SecurityError(
                f"{endpoint} leads to {ip}, which is not this machine: use wss://, or "
                "Access(allow_insecure=True) if the network is trusted."
            )
        if not self.allow_private and not _is_public(_reached(address)):
            raise _private(endpoint, ip)

    def check_redirect(
        self, source: Endpoint, target: Endpoint, hops: int, *, proxied: bool = False
    ) -> None:
        """Vet a redirect before it is followed.

        Args:
            source: The server that redirects.
            target: Where it redirects to.
            hops: Which redirect of this handshake it is, from 1.
            proxied: As in ``check_endpoint``.

        Raises:
            SecurityError: It is not allowed.
        """
        if hops > self.max_redirects:
            raise SecurityError(
                f"{source} redirects once more than Access.max_redirects "
                f"({self.max_redirects}) allows."
            )
        if source.scheme == "wss" and target.scheme == "ws":
            raise SecurityError(
                f"{source} redirects to {target}, which gives up encryption."
            )
        if self.allow_redirects == "none":
            raise SecurityError(
                f"{source} redirects to {target}, and Access(allow_redirects='none') "
                "follows no redirect: give that URL to connect()."
            )
        if self.allow_redirects == "same-origin" and not same_origin(source, target):
            raise SecurityError(
                f"{source} redirects to another origin, {target}: give that URL to "
                "connect() if you trust it with what you send, or allow all redirects "
                "with Access(allow_redirects='any')."
            )
        self.check_endpoint(target, proxied=proxied)

    def _check_host(self, endpoint: Endpoint) -> None:
        allowed = self.allowed_hosts
        if allowed is None or any(_matches(endpoint.host, item) for item in allowed):
            return
        raise SecurityError(
            f"{endpoint} is not among Access.allowed_hosts: add {endpoint.host!r}."
        )

    def _check_insecure_endpoint(self, endpoint: Endpoint, *, proxied: bool) -> None:
        if self.allow_insecure is True:
            return
        local = _names_loopback(endpoint) and not proxied
        if local and self.allow_insecure == "loopback":
            return
        allowing = "'loopback'" if local else "True"
        raise SecurityError(
            f"{endpoint} is not encrypted: use wss://, or Access(allow_insecure="
            f"{allowing}) if the network is trusted."
        )


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return host == pattern


def _names_loopback(endpoint: Endpoint) -> bool:
    if endpoint.address is not None:
        return _is_loopback(endpoint.address)
    return is_localhost(endpoint.host)


def _names_private(endpoint: Endpoint) -> bool:
    if endpoint.address is not None:
        return not _is_public(_reached(endpoint.address))
    return _names_loopback(endpoint)


def _is_loopback(address: IPAddress) -> bool:
    """Return whether packets to an address stay in this machine."""
    mapped = getattr(address, "ipv4_mapped", None) or address
    # Dialling the unspecified address reaches this machine.
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _reached(address: IPAddress) -> IPAddress:
    """Return the address that packets finally reach, as far as its bits tell."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: IPAddress) -> bool:
    if any(address in network for network in _RESERVED):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address.is_global and address in _UNICAST
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _private(endpoint: Endpoint, where: str) -> SecurityError:
    return SecurityError(
        f"{endpoint} leads to {where}, which is not a public address: "
        "Access(allow_private=False) refuses it."
    )
