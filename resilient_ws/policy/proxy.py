"""The proxy to dial through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from resilient_ws.policy._validate import require
from resilient_ws.policy.host import bracketed
from resilient_ws.policy.url import authorization_of, host_of, port_of, split


if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_PORTS: Final[Mapping[str, int]] = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}


@attrs.frozen(kw_only=True, repr=False)
class Proxy:
    """A proxy, or ``env`` for the one that the environment names.

    Attributes:
        scheme: ``http``, ``https``, ``socks4``, ``socks5``, ``socks5h`` or ``env``.
        host: As it is dialled, without brackets; empty for ``env``.
        port: 0 for ``env``.
        authorization: The ``Basic`` header of its userinfo, or ``None``. Secret.
        url: The URL for an HTTP client, its host encoded. Secret: see ``redacted``.
    """

    scheme: str
    host: str = ""
    port: int = 0
    authorization: str | None = None
    url: str

    @property
    def from_environment(self) -> bool:
        """Whether the environment names the proxy, if any."""
        return self.scheme == "env"

    @property
    def is_http(self) -> bool:
        """Whether the proxy takes CONNECT."""
        return self.scheme in ("http", "https")

    @property
    def is_socks(self) -> bool:
        """Whether the proxy needs the extra ``socks``."""
        return self.scheme.startswith("socks")

    @property
    def server_name(self) -> str:
        """The name to check its certificate against, without a trailing dot."""
        return self.host.removesuffix(".")

    @property
    def redacted(self) -> str:
        """The URL to show, without user and password."""
        if self.from_environment:
            return "env"
        return f"{self.scheme}://{bracketed(self.host)}:{self.port}"

    def __str__(self) -> str:
        return self.redacted

    def __repr__(self) -> str:
        return f"<Proxy {self.redacted}>"


def parse_proxy(value: str | None) -> Proxy | None:
    """Check the ``proxy`` argument; ``None`` stays ``None``.

    Raises:
        TypeError: It is neither a ``str`` nor ``None``.
        ValueError: It is not the URL of a proxy of a supported kind.
    """
    if value is None:
        return None
    require(value, str, "proxy", "a URL, 'env' or None")
    if value == "env":
        return Proxy(scheme="env", url="env")
    right = "proxy must be 'env' or an http, https, socks4, socks5 or socks5h URL"
    if "://" not in value:
        raise ValueError(f"{right}, like http://proxy.example.com:3128.")
    parts = split(value, name="proxy")
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{right}.")
    if parts.path not in ("", "/") or "?" in value or "#" in value:
        raise ValueError(
            f"{right} with nothing after the port. In a password, write # as %23 and "
            "? as %3F."
        )
    found = host_of(parts, name="proxy")
    if found.zone:
        raise ValueError(f"{right}, without a zone (%25) in its address.")
    host = f"{found.name}." if found.rooted else found.name
    port = port_of(parts, _DEFAULT_PORTS[parts.scheme], name="proxy")
    userinfo, at, _ = parts.netloc.rpartition("@")
    return Proxy(
        scheme=parts.scheme,
        host=host,
        port=port,
        authorization=authorization_of(parts, name="proxy"),
        url=f"{parts.scheme}://{userinfo}{at}{bracketed(host)}:{port}",
    )
