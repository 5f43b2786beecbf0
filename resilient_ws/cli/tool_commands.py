"""The commands that look at servers and links: probe, chaos, top and replay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws.cli import options, tool_options
from resilient_ws.cli.app import app
from resilient_ws.cli.arguments import read_headers, read_messages, read_url
from resilient_ws.cli.error_text import with_option_names
from resilient_ws.cli.exit_codes import BAD_ARGUMENTS
from resilient_ws.cli.probe.command import probe as run_probe
from resilient_ws.cli.probe.walk import ProbeOptions
from resilient_ws.cli.server_options import ServerOptions
from resilient_ws.cli.stdio import complain
from resilient_ws.errors import SecurityError


if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any


@app.command()
def probe(
    url: options.Url = None,
    *,
    watch: tool_options.Watch = 65.0,
    within: tool_options.Within = 10.0,
    message: tool_options.BusyMessage = None,
    url_file: options.UrlFile = None,
    header: options.Header = None,
    subprotocol: options.Subprotocol = None,
    on_open: options.OnOpen = None,
    origin: options.Origin = None,
    cafile: options.CaFile = None,
    proxy: options.Proxy = None,
    allow_insecure: options.AllowInsecure = False,
    as_json: tool_options.JsonReport = False,
) -> int:
    """Find out what is wrong with a server, and which settings suit it.

    Walks from the name over TCP, TLS and the handshake to the server's habits: whether
    it answers pings, when it pings, and when it closes an idle link. It makes a few
    connections and sends nothing but pings, unless --on-open or --message say so.
    Exits with 0 if a session works with the server, with 1 if it does not, with 2 when
    an argument is wrong, and with 130 on Ctrl-C, which ends the watch early.
    """

    def chosen() -> Coroutine[Any, Any, int]:
        server = ServerOptions(
            url=read_url(url, url_file),
            headers=read_headers(header or []),
            subprotocols=subprotocol or (),
            origin=origin,
            cafile=cafile,
            proxy=proxy,
            allow_insecure=allow_insecure,
        )
        # Checks the arguments.
        server.connect()
        return run_probe(
            ProbeOptions(
                server=server,
                watch=watch,
                within=within,
                on_open=tuple(read_messages(on_open or [])),
                message=message,
            ),
            as_json=as_json,
        )

    return _run(chosen)


def _run(chosen: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Check the arguments, and run what they choose."""
    try:
        work = chosen()
    except (SecurityError, ValueError) as wrong:
        complain(with_option_names(str(wrong)))
        return BAD_ARGUMENTS
    return asyncio.run(work)
