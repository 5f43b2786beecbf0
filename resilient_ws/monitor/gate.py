"""Who may look: the Host and the Origin of a request, and the token.

Rules: nothing is told to a request whose Host is not one of ours, because a name of
somebody else that points to this machine would make his page the same site as ours (DNS
rebinding). A WebSocket is opened only for our own page: browsers let every page try.
Without a token the page is for this machine only.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web


if TYPE_CHECKING:
    from collections.abc import Iterable


#: Characters that a token must have at least, so that nobody guesses it.
SHORTEST: Final = 16
_LOCAL: Final = "localhost"


class Gate:
    """Decides whom a monitor answers.

    Args:
        token: What a viewer must know, ``None`` where this machine alone may look.
        hosts: Names, beside loopback's, under which the page is served.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: The token is short, or there are hosts and no token.
    """

    def __init__(self, *, token: str | None, hosts: Iterable[str] = ()) -> None:
        self._digest = None if token is None else _digest(_checked_token(token))
        self._hosts = frozenset(_checked_hosts(hosts))
        strangers = [name for name in self._hosts if not is_loopback(name)]
        if strangers and token is None:
            raise ValueError(
                f"hosts goes beyond this machine ({min(strangers)}): give token too, "
                "such as secrets.token_urlsafe()."
            )

    @property
    def needs_token(self) -> bool:
        """Whether a viewer must know a token."""
        return self._digest is not None

    def admits(self, token: object) -> bool:
        """Whether this is the token; takes the same time for each that is not."""
        if self._digest is None:
            return True
        return isinstance(token, str) and hmac.compare_digest(
            self._digest, _digest(token)
        )

    def check(self, request: web.Request) -> None:
        """Refuse a request that another site may have made.

        Raises:
            HTTPMisdirectedRequest: Its Host is not ours.
            HTTPForbidden: It comes from the page of another site.
        """
        name = host_name(request.host)
        if name is None or not self._knows(name):
            raise web.HTTPMisdirectedRequest(
                text="This monitor is not served under that name. Give it to the "
                "monitor as hosts=[...], if it is yours.\n"
            )
        origin = request.headers.get("Origin")
        if origin is not None and not _same_site(origin, request.host):
            raise web.HTTPForbidden(text="Pages of other sites may not look.\n")

    def bearer(self, request: web.Request) -> bool:
        """Whether a request carries the token as a header, as programs send it."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.admits(token.strip())

    def _knows(self, name: str) -> bool:
        if is_loopback(name) or name in self._hosts:
            return True
        # An address cannot be rebound: whoever writes it means this machine.
        return self.needs_token and _is_address(name)


def host_name(host: str) -> str | None:
    """Return the name in a Host header, without port and brackets; ``None`` if bad."""
    try:
        parts = urlsplit(f"//{host}")
        name = parts.hostname
        _ = parts.port
    except ValueError:
        return None
    if not name or parts.path or parts.query or parts.fragment or "@" in host:
        return None
    return name.lower().removesuffix(".")


def is_loopback(name: str) -> bool:
    """Whether a host is this machine, whatever a name server says."""
    if name == _LOCAL:
        return True
    return _is_address(name) and ipaddress.ip_address(name).is_loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_site(origin: str, host: str) -> bool:
    """Whether a page came from where its request goes.

    The schemes are not compared: behind a proxy that speaks TLS they differ.
    """
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _checked_token(token: object) -> str:
    if not isinstance(token, str):
        raise TypeError(f"token must be a str or None, not {type(token).__name__}.")
    if len(token) < SHORTEST:
        raise ValueError(
            f"token must have {SHORTEST} characters or more, such as "
            "secrets.token_urlsafe() returns."
        )
    return token


def _checked_hosts(hosts: Iterable[str]) -> list[str]:
    if isinstance(hosts, str):
        raise TypeError("hosts must be several names: hosts=['bot.example.com'].")
    names = list(hosts)
    for name in names:
        # The parser takes an address of IPv6 in brackets only.
        given = f"[{name}]" if ":" in name else name
        if host_name(given) != name.lower() or "*" in name:
            raise ValueError(f"hosts must be names without a port, not {name!r}.")
    return [name.lower() for name in names]
