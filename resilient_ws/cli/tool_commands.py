"""The commands that look at servers and links: probe, chaos, top and replay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resilient_ws.cli import options, tool_options
from resilient_ws.cli.addresses import read_listen, read_upstream
from resilient_ws.cli.app import app
from resilient_ws.cli.arguments import (
    read_headers,
    read_messages,
    read_token,
    read_url,
)
from resilient_ws.cli.chaos.command import ChaosOptions, chaos as run_chaos
from resilient_ws.cli.chaos.script import read_script
from resilient_ws.cli.error_text import with_option_names
from resilient_ws.cli.exit_codes import BAD_ARGUMENTS
from resilient_ws.cli.probe.command import probe as run_probe
from resilient_ws.cli.probe.walk import ProbeOptions
from resilient_ws.cli.replay import ReplayOptions, replay as run_replay
from resilient_ws.cli.server_options import ServerOptions
from resilient_ws.cli.stdio import complain
from resilient_ws.cli.top.command import TopOptions, live_url, top as run_top
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


@app.command()
def chaos(
    listen: tool_options.Listen,
    upstream: tool_options.Upstream,
    *,
    script: tool_options.Script = None,
) -> int:
    """Break connections: a TCP proxy with keys to press, and a script to run.

    Point a client at LISTEN in place of the server. Keys impose a black hole, a freeze,
    latency, a throttle, resets, drops, a closed port or a 503, and heal it all; ? lists
    them. A script does the same by itself: see docs/command.md. TLS passes through.
    Exits with 0 on q or Ctrl-C, with 1 when the port is in use or the host is unknown,
    with 2 when an argument is wrong.
    """

    def chosen() -> Coroutine[Any, Any, int]:
        return run_chaos(
            ChaosOptions(
                listen=read_listen(listen, "LISTEN"),
                upstream=read_upstream(upstream, "UPSTREAM"),
                script=() if script is None else read_script(script),
            )
        )

    return _run(chosen)


@app.command()
def replay(
    file: tool_options.RecordingFile,
    *,
    listen: tool_options.ListenAt = "0",
    speed: tool_options.Speed = 1.0,
    repeat: tool_options.Repeat = False,
) -> int:
    """Serve a recording as a server: the same messages, at the same pace or faster.

    The first client gets what came on the first recorded connection, and so on. Pings,
    pauses and endings are as they were, and an answer waits for its question. Exits
    with 0 when all was played or on Ctrl-C, with 1 when the file is no recording or the
    port is in use, with 2 when an argument is wrong.
    """

    def chosen() -> Coroutine[Any, Any, int]:
        if not speed > 0:
            raise ValueError(f"--speed must be above 0, not {speed:g}")
        return run_replay(
            ReplayOptions(
                file=file,
                listen=read_listen(listen, "--listen"),
                speed=speed,
                repeat=repeat,
            )
        )

    return _run(chosen)


@app.command()
def top(
    url: tool_options.MonitorUrl,
    *,
    token_file: tool_options.TokenFile = None,
    once: tool_options.Once = False,
    header: options.Header = None,
    cafile: options.CaFile = None,
    allow_insecure: options.AllowInsecure = False,
) -> int:
    """Show the sessions of a program in the terminal, as its monitor page does.

    The program serves the page with resilient_ws.monitor. Sessions with something wrong
    come first; q ends it. Without a terminal the table is printed once. Exits with 0,
    with 1 when the page is not reached or the token is wrong, with 2 when an argument
    is wrong.
    """

    def chosen() -> Coroutine[Any, Any, int]:
        server = ServerOptions(
            url=live_url(url),
            headers=read_headers(header or []),
            cafile=cafile,
            allow_insecure=allow_insecure,
        )
        # Checks the arguments.
        server.connect()
        token = None if token_file is None else read_token(token_file)
        return run_top(TopOptions(server=server, token=token, once=once))

    return _run(chosen)


def _run(chosen: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Check the arguments, and run what they choose."""
    try:
        work = chosen()
    except (SecurityError, ValueError) as wrong:
        complain(with_option_names(str(wrong)))
        return BAD_ARGUMENTS
    return asyncio.run(work)
