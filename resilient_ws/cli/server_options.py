"""What the command line says about the server, for each command that connects."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from resilient_ws import Access, Session, connect


@attrs.frozen(kw_only=True)
class ServerOptions:
    """Where to connect, and how.

    Attributes:
        url: The URL.
        headers: Sent with the handshake.
        subprotocols: Offered to the server.
        origin: The Origin header, if any.
        cafile: A file with the issuers to trust, in place of the system's.
        proxy: The URL of a proxy, or ``env``.
        allow_insecure: Whether ``ws://`` may leave this machine.
    """

    url: str
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    subprotocols: Sequence[str] = ()
    origin: str | None = None
    cafile: str | None = None
    proxy: str | None = None
    allow_insecure: bool = False

    def connect(self, **arguments: Any) -> Session:  # noqa: ANN401 - those of connect()
        """Return the session, not entered yet.

        Raises:
            SecurityError: The URL would not be encrypted.
            ValueError: Another argument is wrong.
        """
        return connect(
            self.url,
            headers=self.headers,
            subprotocols=arguments.pop("subprotocols", self.subprotocols),
            origin=self.origin,
            ssl=self.trust() or True,
            proxy=self.proxy,
            access=Access(allow_insecure=True) if self.allow_insecure else Access(),
            **arguments,
        )

    def trust(self) -> ssl.SSLContext | None:
        """Return a context that trusts the issuers of ``--cafile``.

        Raises:
            ValueError: The file cannot be read.
        """
        if self.cafile is None:
            return None
        try:
            return ssl.create_default_context(cafile=self.cafile)
        except ssl.SSLError:
            msg = f"--cafile: {self.cafile} holds no certificates in PEM"
            raise ValueError(msg) from None
        except (OSError, ValueError) as failure:
            why = getattr(failure, "strerror", None) or "not a path"
            msg = f"--cafile: {self.cafile} cannot be read: {why}"
            raise ValueError(msg) from None
