"""Where to dial: a URL parsed once, and printed without its secrets.

Rules: a URL that a lenient parser would repair is refused, because two parsers that
repair it differently see two different hosts. The request target is sent byte for byte
as given, because gateways sign it. No error here repeats the URL, which may hold a
password or a token.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

import attrs

from resilient_ws.errors import SecurityError
from resilient_ws.policy._validate import require
from resilient_ws.policy.host import Host, bracketed, literal, parse_host
from resilient_ws.policy.redaction import shown_target
from resilient_ws.policy.reference import resolved


if TYPE_CHECKING:
    from collections.abc import Mapping

    from resilient_ws.policy.host import IPAddress

_DEFAULT_PORTS: Final[Mapping[str, int]] = {"ws": 80, "wss": 443}
_DIALLED_AS: Final[Mapping[str, str]] = {"ws": "http", "wss": "https"}
_REDIRECTED_AS: Final[Mapping[str, str]] = {"http": "ws", "https": "wss"}

#: Whitespace and control characters, which urlsplit would silently drop, and the
#: backslash, which browsers read as a slash and Python does not.
_UNSAFE: Final = re.compile(r"[\s\x00-\x20\x7f-\x9f\\\ud800-\udfff]")
#: Host and port. urlsplit ignores text before and after the brackets, and accepts names
#: and future address formats (RFC 3986, IPvFuture) inside them.
_HOST_AND_PORT: Final = re.compile(r"(?:\[[^\[\]:.]*:[^\[\]]*\]|[^\[\]:]*)(?::.*)?")
#: A URL up to its path, query or fragment (RFC 3986, section 3.2).
_FRONT: Final = re.compile(r"[^/?#]*//[^/?#]*")
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
#: Bytes of a header that are not UTF-8, as aiohttp decodes them.
_RAW_BYTES: Final = re.compile(r"[\udc80-\udcff]+")


@attrs.frozen(kw_only=True, repr=False)
class Endpoint:
    """One parsed WebSocket URL.

    Attributes:
        scheme: ``ws`` or ``wss``.
        host: Lower-case IDNA without a trailing dot, or an IP address without brackets.
        port: Given, or the scheme's default.
        target: Path and query, as in the request line. Secret: see ``redacted``.
        rooted: Whether a trailing dot keeps search domains from being tried.
        zone: The interface of a link-local address (RFC 6874), or empty.
        authorization: The ``Basic`` header of the URL's userinfo, or ``None``. Secret.
    """

    scheme: str
    host: str
    port: int
    target: str
    rooted: bool = False
    zone: str = ""
    authorization: str | None = None

    @property
    def secure(self) -> bool:
        """Whether it is dialled with TLS."""
        return self.scheme == "wss"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port, within which credentials may be sent."""
        host = f"{self.host}%{self.zone}" if self.zone else self.host
        return self.scheme, host, self.port

    @property
    def address(self) -> IPAddress | None:
        """The host as an address, ``None`` when it is a name."""
        return literal(self.host)

    @property
    def dialled_host(self) -> str:
        """The host as a resolver and a socket understand it."""
        if self.zone:
            return f"{self.host}%{self.zone}"
        return f"{self.host}." if self.rooted else self.host

    @property
    def host_header(self) -> str:
        """The ``Host`` header, without the zone (RFC 6874, section 3)."""
        return self._with_port(bracketed(self.host))

    @property
    def authority(self) -> str:
        """Host and port as they are dialled; with a zone, not valid in a URI."""
        return self._with_port(bracketed(self.dialled_host))

    @property
    def server_name(self) -> str:
        """The name to check the certificate against, without dot and zone."""
        return self.host

    @property
    def http_scheme(self) -> str:
        """The scheme as an HTTP client knows it."""
        return _DIALLED_AS[self.scheme]

    @property
    def http_url(self) -> str:
        """The URL with http(s) and without userinfo. Secret: it holds the query."""
        return f"{self.http_scheme}://{self._shown_authority}{self.target}"

    @property
    def redacted(self) -> str:
        """The URL to show, without userinfo, query values and keys in the path."""
        return f"{self.scheme}://{self._shown_authority}{shown_target(self.target)}"

    @property
    def _shown_authority(self) -> str:
        host = f"{self.host}%25{self.zone}" if self.zone else self.dialled_host
        return self._with_port(bracketed(host))

    def _with_port(self, host: str) -> str:
        default = self.port == _DEFAULT_PORTS[self.scheme]
        return host if default else f"{host}:{self.port}"

    def __str__(self) -> str:
        return self.redacted

    def __repr__(self) -> str:
        return f"<Endpoint {self.redacted}>"


def parse_endpoint(url: str, *, name: str = "url") -> Endpoint:
    """Parse a WebSocket URL (RFC 6455, section 3).

    Args:
        url: ``ws://`` or ``wss://``, absolute, without a fragment.
        name: What errors call the URL.

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
    host = host_of(parts, name=name)
    return Endpoint(
        scheme=parts.scheme,
        host=host.name,
        port=port_of(parts, _DEFAULT_PORTS[parts.scheme], name=name),
        target=_target(url),
        rooted=host.rooted,
        zone=host.zone,
        authorization=authorization_of(parts, name=name),
    )


def same_origin(a: Endpoint, b: Endpoint) -> bool:
    """Return whether credentials for ``a`` may be sent to ``b`` after a redirect.

    Servers redirect from port 80 to 443 of the same host. That counts as the same
    origin, because the credentials have already been sent there unencrypted.
    """
    upgraded = (a.scheme, a.port, b.scheme, b.port) == ("ws", 80, "wss", 443)
    return a.origin == b.origin or (upgraded and a.origin[1] == b.origin[1])


def redirected(source: Endpoint, location: str) -> Endpoint:
    """Return where a ``Location`` header leads from ``source`` (RFC 3986, section 5.2).

    The credentials of ``source`` are kept within its origin only. Credentials that the
    server puts into the header are dropped. A link-local address gets the zone of
    ``source``, because a server does not know the names of our interfaces.

    Raises:
        SecurityError: It does not lead to a WebSocket URL.
    """
    try:
        location = _RAW_BYTES.sub(_percent_encoded, location)
        _refuse_unsafe(location, name="Location")
        # With http(s), because a Location does not use ws(s).
        scheme, _, rest = resolved(source.http_url, location).partition(":")
        scheme = scheme.lower()
        url = f"{_REDIRECTED_AS.get(scheme, scheme)}:{rest}"
        endpoint = parse_endpoint(url, name="Location")
        if endpoint.zone not in ("", source.zone):
            raise ValueError("Location must not name an interface of this machine.")  # noqa: TRY301 - wrapped below, like the others
    except ValueError as error:
        raise SecurityError(
            f"{source} redirects to something that is not a WebSocket URL: {error}"
        ) from None
    address = endpoint.address
    if address is not None and address.is_link_local and address.version == 6:  # noqa: PLR2004 - only IPv6 has zones
        endpoint = attrs.evolve(endpoint, zone=source.zone)
    kept = source.authorization if same_origin(source, endpoint) else None
    return attrs.evolve(endpoint, authorization=kept)


def split(url: str, *, name: str) -> SplitResult:
    """Split a URL, or refuse it without repeating it, for example without a host."""
    require(url, str, name, "a str")
    _refuse_unsafe(url, name=name)
    try:
        parts = urlsplit(url)
    except ValueError:  # the text of the error repeats the password
        parts = None
    if parts is None or (parts.netloc and not _has_host(parts)):
        raise ValueError(
            f"{name} must have a valid host, as in wss://example.com/path."
        )
    if not parts.netloc:
        raise ValueError(f"{name} must be absolute, as in wss://example.com/path.")
    return parts


def host_of(parts: SplitResult, *, name: str) -> Host:
    """Return the host of a split URL."""
    try:
        return parse_host(parts.hostname or "")
    except ValueError as error:
        raise ValueError(f"{name} must name a valid host: {error}") from None


def port_of(parts: SplitResult, default: int, *, name: str) -> int:
    """Return the port of a split URL."""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"{name} must have a port from 1 to 65535, or none.")
    return default if port is None else port


def authorization_of(parts: SplitResult, *, name: str) -> str | None:
    """Return the ``Basic`` header of a split URL's userinfo (RFC 7617), or ``None``."""
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


def _has_host(parts: SplitResult) -> bool:
    host_and_port = parts.netloc.rpartition("@")[2]
    return bool(parts.hostname and _HOST_AND_PORT.fullmatch(host_and_port))


def _target(url: str) -> str:
    """Return path and query of a URL, unchanged except for non-ASCII characters."""
    target = _FRONT.sub("", url, count=1)
    target = target if target.startswith("/") else f"/{target}"
    return _NOT_ASCII.sub(_percent_encoded, target)


def _percent_encoded(match: re.Match[str]) -> str:
    return quote(match[0].encode("utf-8", "surrogateescape"), safe="")


def _refuse_unsafe(url: str, *, name: str) -> None:
    found = _UNSAFE.search(url)
    if found:
        raise ValueError(
            f"{name} must not contain whitespace, control characters or a backslash "
            f"(found one at position {found.start()}): percent-encode it."
        )
