"""The hosts that ``NO_PROXY`` excludes from the proxy of the environment.

Rules: ``NO_PROXY`` has no standard, so this module follows what curl and Go agree on.
An item is a name, which covers its subdomains; an address; a network; or ``*`` for all.
A port after it restricts it to that port. Names are not resolved, so an address never
matches a name. Any other item is ignored.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from resilient_ws.policy.host import canonical_host, literal


_BETWEEN: Final = re.compile(r"[,\s]+")
_ITEM: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]*))(/\d+)?(?::(\d{1,5}))?")


def excepted(no_proxy: str, host: str, port: int) -> bool:
    """Return whether a destination is dialled without the proxy.

    Args:
        no_proxy: The value of the variable: items separated by commas or spaces.
        host: Lower-case IDNA without a trailing dot, or an address.
        port: The port of the destination.
    """
    items = _BETWEEN.split(no_proxy)
    return any(_excepts(item, host, port) for item in items if item)


def _excepts(item: str, host: str, port: int) -> bool:
    if item == "*":
        return True
    where, only = _taken_apart(item)
    if only is not None and only != port:
        return False
    address = literal(host)
    try:
        if address is not None:
            return address in ipaddress.ip_network(where, strict=False)
        name = canonical_host(where.removeprefix("*").removeprefix("."))
    except ValueError:
        return False
    return host == name or host.endswith(f".{name}")


def _taken_apart(item: str) -> tuple[str, int | None]:
    """Split an item into its host or network, and its port, if any."""
    match = _ITEM.fullmatch(item)
    if match is None:  # more than one colon: an IPv6 address or network
        return item, None
    bracketed, plain, prefix, port = match.groups()
    where = (bracketed or plain) + (prefix or "")
    return where, None if port is None else int(port)
