"""Where to dial: a URL taken apart once, and printed only without its secrets.

Rules: what a lenient parser would repair is refused, because two parsers that repair
differently see two different hosts; hosts are lower-case IDNA without the trailing
dot; no message here repeats the URL, which may hold a password or a token.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import SplitResult, quote, unquote_to_bytes, urljoin, urlsplit

import attrs

from resilient_ws.errors import SecurityError
from resilient_ws.policy._validate import require


if TYPE_CHECKING:
    from collections.abc import Mapping

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_DEFAULT_PORTS: Final[Mapping[str, int]] = {"ws": 80, "wss": 443}
_DIALLED_AS: Final[Mapping[str, str]] = {"ws": "http", "wss": "https"}
_REDIRECTED_AS: Final[Mapping[str, str]] = {"http": "ws", "https": "wss"}

#: Whitespace and control characters, which urlsplit would silently drop, and the
#: backslash, which browsers read as a slash and Python does not.
_UNSAFE: Final = re.compile(r"[\s\x00-\x20\x7f-\x9f\\\ud800-\udfff]")
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_HOST: Final = 253
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~[]|"


@attrs.frozen(kw_only=True, repr=False)
class Endpoint:
    """One parsed WebSocket URL.

    Attributes:
        scheme: ``ws`` or ``wss``.
        host: Lower-case IDNA without a trailing dot, or an IP address without brackets.
        port: Given, or the scheme's default.
        target: Path and query, as in the request line. Secret: see ``redacted``.
        authorization: The ``Basic`` header of the URL's userinfo, or ``None``. Secret.
    """

    scheme: str
    host: str
    port: int
    target: str
    authorization: str | None = None

    @property
    def secure(self) -> bool:
        """Whether it is dialled with TLS."""
        return self.scheme == "wss"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: within it credentials may travel."""
        return self.scheme, self.host, self.port

    @property
    def address(self) -> IPAddress | None:
        """The host as an address, ``None`` when it is a name."""
        return literal(self.host)

    @property
    def http_url(self) -> str:
        """What the dialler is given: http(s), no userinfo. Holds the query: secret."""
        return f"{_DIALLED_AS[self.scheme]}://{self._authority}{self.target}"

    @property
    def redacted(self) -> str:
        """The URL as it may be shown: no userinfo, and no value of the query."""
        path, mark, query = self.target.partition("?")
        shown = "&".join(_hidden(item) for item in query.split("&")) if query else ""
        return f"{self.scheme}://{self._authority}{path}{mark}{shown}"

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = self.port == _DEFAULT_PORTS[self.scheme]
        return host if default else f"{host}:{self.port}"

    def __str__(self) -> str:
        return self.redacted

    def __repr__(self) -> str:
        return f"<Endpoint {self.redacted}>"


def parse_endpoint(url: str, *, name: str = "url") -> Endpoint:
    """Take a WebSocket URL apart (RFC 6455, section 3).

    Args:
        url: ``ws://`` or ``wss://``, absolute, without a fragment.
        name: What to call it in a message.

    Raises:
        TypeError: It is not a ``str``.
        ValueError: It is not a WebSocket URL that can be read in one way only.
    """
    parts = split(url, name=name)
    if parts.scheme in _REDIRECTED_AS:
        right = _REDIRECTED_AS[parts.scheme]
        raise ValueError(f"{name} must start with {right}://, not {parts.scheme}://.")
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{name} must start with ws:// or wss://.")
    if "#" in url:
        raise ValueError(
            f"{name} must not have a fragment (RFC 6455, section 3): remove what "
            "follows the #, or write it as %23."
        )
    target = quote(parts.path or "/", safe=_PATH_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_PATH_SAFE + "?")
    return Endpoint(
        scheme=parts.scheme,
        host=host_of(parts, name=name),
        port=port_of(parts, _DEFAULT_PORTS[parts.scheme], name=name),
        target=target,
        authorization=authorization_of(parts, name=name),
    )


def same_origin(a: Endpoint, b: Endpoint) -> bool:
    """Whether credentials for one may be shown to the other."""
    return a.origin == b.origin


def redirected(source: Endpoint, location: str) -> Endpoint:
    """Where a ``Location`` header leads from ``source``.

    The credentials of ``source`` go along within its origin only; those that a server
    puts into the header are not ours and are left out.

    Raises:
        SecurityError: It leads to nothing that a WebSocket can dial.
    """
    try:
        # The dialler's spelling, because urljoin knows no ws; checked before, because
        # it would drop line breaks.
        _refuse_unsafe(location, name="Location")
        target, _, _ = urljoin(source.http_url, location).partition("#")
        scheme, _, rest = target.partition(":")
        url = f"{_REDIRECTED_AS.get(scheme, scheme)}:{rest}"
        endpoint = parse_endpoint(url, name="Location")
    except ValueError as error:
        raise SecurityError(
            f"{source} redirects to something that is no WebSocket: {error}"
        ) from None
    kept = source.authorization if same_origin(source, endpoint) else None
    return attrs.evolve(endpoint, authorization=kept)


def split(url: str, *, name: str) -> SplitResult:
    """Split a URL that has a host, or refuse it without repeating it."""
    require(url, str, name, "a str")
    _refuse_unsafe(url, name=name)
    try:
        parts = urlsplit(url)
    except ValueError:  # its text repeats the authority, with the password
        parts = None
    if parts is None or (parts.netloc and not parts.hostname):
        raise ValueError(
            f"{name} must have a host that can be read, like wss://example.com/path."
        )
    if not parts.netloc:
        raise ValueError(f"{name} must be absolute, like wss://example.com/path.")
    return parts


def host_of(parts: SplitResult, *, name: str) -> str:
    """The host of a split URL, in its one spelling."""
    try:
        return canonical_host(parts.hostname or "")
    except ValueError:
        raise ValueError(
            f"{name} must name a valid host: letters, digits, hyphens and dots."
        ) from None


def canonical_host(host: str) -> str:
    """The one spelling of a host: lower-case IDNA, or a compressed address.

    Raises:
        ValueError: It is neither a name nor an address.
    """
    if ":" in host:
        return str(ipaddress.IPv6Address(host))
    name = host.removesuffix(".")
    if not name.isascii():
        name = name.encode("idna").decode("ascii")
    name = name.lower()
    if len(name) > _MAX_HOST or not _HOST.fullmatch(name):
        raise ValueError("not a host")
    return name


def port_of(parts: SplitResult, default: int, *, name: str) -> int:
    """The port of a split URL."""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"{name} must have a port from 1 to 65535, or none.")
    return default if port is None else port


def authorization_of(parts: SplitResult, *, name: str) -> str | None:
    """The ``Basic`` header of a split URL's userinfo (RFC 7617), or ``None``."""
    user, password = (
        unquote_to_bytes(part or "") for part in (parts.username, parts.password)
    )
    if not user and not password:
        return None
    if b":" in user:
        raise ValueError(
            f"{name} must not have a colon in its user name: Basic cannot carry it."
        )
    return "Basic " + base64.b64encode(user + b":" + password).decode("ascii")


def literal(host: str) -> IPAddress | None:
    """A host as an address, ``None`` when it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refuse_unsafe(url: str, *, name: str) -> None:
    found = _UNSAFE.search(url)
    if found:
        raise ValueError(
            f"{name} must not contain whitespace, control characters or a backslash "
            f"(found one at position {found.start()}): percent-encode it."
        )


def _hidden(item: str) -> str:
    key, equals, _ = item.partition("=")
    # A bare item may be a token as well as a name.
    return f"{key}=***" if equals else "***"
