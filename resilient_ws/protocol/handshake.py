"""The opening handshake, client side: what to ask, what to accept (RFC 6455 4.1).

Rules of :class:`Handshake`: one object is one attempt, because its key is used once.
An answer that is not exactly what was asked for is a :class:`HandshakeFailure`, because
a server that gets this wrong does not speak WebSocket.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping  # attrs looks it up
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import attrs


if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence


_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_TCHARS: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_IS_TOKEN: Final = re.compile(_TCHARS)
_QUOTED: Final = r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"'
_NAME: Final = re.compile(rf"[ \t]*({_TCHARS})[ \t]*")
_PARAMETER: Final = re.compile(
    rf";[ \t]*({_TCHARS})[ \t]*(?:=[ \t]*({_TCHARS}|{_QUOTED})[ \t]*)?"
)
_EMPTY_ITEM: Final = re.compile(r"[ \t]*(?=,|\Z)")
_ESCAPED: Final = re.compile(r"\\(.)")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
#: The most characters quoted of a server's text: its headers may have 256 KiB.
_QUOTED_AT_MOST: Final = 60
_NOT_QUOTED: Final = "(a part of our own request)"


@attrs.frozen(kw_only=True)
class Negotiated:
    """What both sides agreed on.

    Attributes:
        subprotocol: The one that the server chose, or ``None``.
        extensions: The parameters of each extension in use; a parameter without a
            value is ``None``.
        headers: The headers of the answer, by name in lower case.
    """

    subprotocol: str | None
    extensions: Mapping[str, Mapping[str, str | None]]
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])


class HandshakeFailure(Exception):
    """Raised when the server's answer is not a WebSocket handshake.

    Args:
        what: What is wrong with the answer, with ``{}`` in place of a quote.
        said: The server's text to quote, if any.
        code: See the attribute.

    Attributes:
        code: The close code for it: 1002, or 1010 for a required extension that the
            server did not agree to.
        text: What is wrong with the answer, with the quote.
        said: The quoted beginning of the server's text, ``None`` without a quote.
        unquoted: The text without the quote, for a quote that repeats the request.
    """

    def __init__(self, what: str, said: str | None = None, *, code: int = 1002) -> None:
        self.code = code
        self.said = None if said is None else said[:_QUOTED_AT_MOST]
        self.text = what if said is None else what.format(_first_of(said))
        self.unquoted = what if said is None else what.format(_NOT_QUOTED)
        super().__init__(self.text)


class Handshake:
    """One attempt to open a connection.

    Args:
        subprotocols: The subprotocols to offer, best first.
        origin: The Origin header, for servers that ask who calls.
        offered: The extensions to offer, best first, with their parameters.
        required: The names of extensions without which there is no connection.
        entropy: Where the key comes from.

    Raises:
        ValueError: An argument cannot go into a header.
    """

    __slots__ = ("_key", "_offered", "_origin", "_required", "_subprotocols")

    def __init__(
        self,
        *,
        subprotocols: Sequence[str] = (),
        origin: str | None = None,
        offered: Sequence[tuple[str, Mapping[str, str | None]]] = (),
        required: Collection[str] = (),
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        _check_subprotocols(subprotocols)
        if origin is not None and not _PRINTABLE.fullmatch(origin):
            raise ValueError(
                f"origin {origin!r} is not an origin: pass scheme://host[:port] "
                "in ASCII, without spaces or line breaks"
            )
        self._subprotocols = tuple(subprotocols)
        self._origin = origin
        self._offered = tuple(offered)
        self._required = tuple(required)
        self._key = base64.b64encode(entropy(16)).decode()

    def request_headers(self) -> list[tuple[str, str]]:
        """Return the headers that make an HTTP request a WebSocket handshake."""
        headers = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", self._key),
            ("Sec-WebSocket-Version", "13"),
        ]
        if self._subprotocols:
            headers.append(("Sec-WebSocket-Protocol", ", ".join(self._subprotocols)))
        if self._offered:
            offers = ", ".join(_offer(*extension) for extension in self._offered)
            headers.append(("Sec-WebSocket-Extensions", offers))
        if self._origin is not None:
            headers.append(("Origin", self._origin))
        return headers

    def check(self, status: int, headers: Sequence[tuple[str, str]]) -> Negotiated:
        """Return what was agreed on.

        Args:
            status: The HTTP status of the answer.
            headers: Its headers in order, repeated ones included.

        Raises:
            HandshakeFailure: The answer is not the one that was asked for.
        """
        if status != HTTPStatus.SWITCHING_PROTOCOLS:
            raise HandshakeFailure(
                f"the server answered {status}, not 101 Switching Protocols"
            )
        upgrade = _only(headers, "Upgrade")
        if upgrade is None:
            raise HandshakeFailure("there is no Upgrade header")
        if upgrade.lower() != "websocket":
            raise HandshakeFailure("the Upgrade header is {}, not websocket", upgrade)
        connection = ",".join(_values(headers, "Connection"))
        tokens = {token.strip(" \t").lower() for token in connection.split(",")}
        if "upgrade" not in tokens:
            raise HandshakeFailure(
                "the Connection header is {}, without upgrade", connection
            )
        if _only(headers, "Sec-WebSocket-Accept") != _accept(self._key):
            raise HandshakeFailure(
                "the Sec-WebSocket-Accept header does not answer our key"
            )
        return Negotiated(
            subprotocol=self._chosen(_only(headers, "Sec-WebSocket-Protocol")),
            extensions=self._agreed(_values(headers, "Sec-WebSocket-Extensions")),
        )

    def _chosen(self, subprotocol: str | None) -> str | None:
        """Return the subprotocol that the server chose, if we offered it."""
        if subprotocol is None or subprotocol in self._subprotocols:
            return subprotocol
        raise HandshakeFailure(
            "the server chose subprotocol {}, which was not offered", subprotocol
        )

    def _agreed(self, values: Sequence[str]) -> dict[str, dict[str, str | None]]:
        """Return the extensions in use, each of which we offered."""
        offered = {name for name, _ in self._offered}
        agreed: dict[str, dict[str, str | None]] = {}
        # Several headers of one name are one list (RFC 6455 section 9.1).
        for name, parameters in _extensions(", ".join(values)):
            if name not in offered:
                raise HandshakeFailure(
                    "the server chose extension {}, which was not offered", name
                )
            if name in agreed:
                raise HandshakeFailure("the server chose extension {} twice", name)
            agreed[name] = parameters
        if missing := [name for name in self._required if name not in agreed]:
            raise HandshakeFailure(
                f"the server did not agree to extension {missing[0]!r}", code=1010
            )
        return agreed


def _check_subprotocols(subprotocols: Sequence[str]) -> None:
    if isinstance(subprotocols, str):
        # It is a Sequence[str] too, so the type is right and the value is not.
        raise ValueError(  # noqa: TRY004
            "subprotocols is one string: pass a list, such as ['mqtt']"
        )
    for place, name in enumerate(subprotocols):
        if not _IS_TOKEN.fullmatch(name):
            # Not quoted: servers for browsers often take a login token here.
            raise ValueError(
                f"subprotocols[{place}] must be a token of letters, digits and "
                "!#$%&'*+-.^_`|~: a subprotocol has no other characters"
            )
    if len(set(subprotocols)) != len(subprotocols):
        raise ValueError("subprotocols holds a name twice: offer each subprotocol once")


def _accept(key: str) -> str:
    """Return the only right answer to a key (RFC 6455 section 4.2.2)."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _offer(name: str, parameters: Mapping[str, str | None]) -> str:
    """Return one extension as it is offered."""
    words = [name]
    for key, value in parameters.items():
        words.append(key if value is None else f"{key}={value}")
    return "; ".join(words)


def _values(headers: Sequence[tuple[str, str]], name: str) -> list[str]:
    """Return the values of all headers of this name."""
    wanted = name.lower()
    return [value.strip(" \t") for key, value in headers if key.lower() == wanted]


def _only(headers: Sequence[tuple[str, str]], name: str) -> str | None:
    """Return the value of a header that may come once, or not at all."""
    values = _values(headers, name)
    if len(values) > 1:
        raise HandshakeFailure(f"the server sent {len(values)} {name} headers")
    return values[0] if values else None


def _extensions(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """Parse a list of extensions (RFC 6455 section 9.1)."""
    found: list[tuple[str, dict[str, str | None]]] = []
    pos, end = 0, len(text)
    while pos < end:
        # HTTP allows a list to have empty items (RFC 9110 section 5.6.1).
        if empty := _EMPTY_ITEM.match(text, pos):
            pos = empty.end() + 1
            continue
        name = _NAME.match(text, pos)
        if name is None:
            raise _malformed(text)
        parameters, pos = _parameters(text, name.end())
        found.append((name[1], parameters))
        if pos < end and text[pos] != ",":
            raise _malformed(text)
        pos += 1
    return found


def _parameters(text: str, pos: int) -> tuple[dict[str, str | None], int]:
    """Parse the parameters of one extension; return them and where they end."""
    parameters: dict[str, str | None] = {}
    while match := _PARAMETER.match(text, pos):
        key, value = match.groups()
        if value is not None and value.startswith('"'):
            # Quoted or not, a value is a token once it is unwrapped.
            value = _ESCAPED.sub(r"\1", value[1:-1])
            if not _IS_TOKEN.fullmatch(value):
                raise _malformed(text)
        if key in parameters:
            raise HandshakeFailure("the server gave extension parameter {} twice", key)
        parameters[key] = value
        pos = match.end()
    return parameters, pos


def _malformed(text: str) -> HandshakeFailure:
    return HandshakeFailure("malformed Sec-WebSocket-Extensions header: {}", text)


def _first_of(said: str) -> str:
    """Return the beginning of a server's text, in quotes."""
    if len(said) <= _QUOTED_AT_MOST:
        return repr(said)
    return f"{said[:_QUOTED_AT_MOST]!r}... ({len(said):,} characters)"
