"""How long each step of a connection's life may take."""

from __future__ import annotations

import attrs

from resilient_ws.policy._validate import positive, seconds


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long opening, restoring and closing may take, in seconds.

    Give it to ``connect(timeouts=...)`` when the network is slower, or patience
    shorter, than the defaults assume.

    Attributes:
        open: For dialling: DNS, TCP, TLS, proxy and handshake together. Default 10.
        restore: For your ``on_open`` hook. Default 30.
        close: For draining and the closing handshake together. Default 5.

    Raises:
        TypeError: A value is not a number.
        ValueError: A value is not positive and finite.
    """

    open: float = attrs.field(default=10.0, converter=seconds, validator=positive)
    restore: float = attrs.field(default=30.0, converter=seconds, validator=positive)
    close: float = attrs.field(default=5.0, converter=seconds, validator=positive)
