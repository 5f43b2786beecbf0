"""Reads ``[HOST:]PORT`` from the command line."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit


_LOOPBACK: Final = "127.0.0.1"
_HIGHEST: Final = 65535
_SCHEMES: Final = {"ws": 80, "wss": 443, "http": 80, "https": 443}


def read_listen(text: str, argument: str) -> tuple[str, int]:
    """Return the host and the port to listen at; loopback if there is a port alone.

    Raises:
        ValueError: It is neither; the message begins with the argument's name.
    """
    host, port = _split(text)
    if port is None:
        raise ValueError(f"{argument} must be PORT or HOST:PORT, such as 9000")
    return host or _LOOPBACK, port


def read_upstream(text: str, argument: str) -> tuple[str, int]:
    """Return the host and the port of a server, from HOST:PORT or from its URL.

    Raises:
        ValueError: It is neither; the message begins with the argument's name.
    """
    if "://" in text:
        parts = urlsplit(text)
        try:
            port = parts.port or _SCHEMES[parts.scheme.lower()]
        except (ValueError, KeyError):
            port = None
        host = parts.hostname or ""
    else:
        host, port = _split(text)
    if not host or not port:
        raise ValueError(f"{argument} must be HOST:PORT or the URL of a server")
    return host, port


def _split(text: str) -> tuple[str, int | None]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit()) or int(port) > _HIGHEST:
        return host, None
    return host.removeprefix("[").removesuffix("]"), int(port)
