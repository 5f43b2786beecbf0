"""The page as an aiohttp application, and a server of its own for it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from aiohttp import web

from resilient_ws.monitor.gate import Gate, is_loopback
from resilient_ws.monitor.viewers import Viewers
from resilient_ws.monitor.watch_list import WatchList


if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

    from aiohttp.typedefs import Handler, Middleware

    from resilient_ws.monitor.watch_list import Sessions


#: Each path of the page, its file and its type.
_FILES: Final = {
    "/": ("index.html", "text/html"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/monitor.css": ("monitor.css", "text/css"),
    "/monitor.js": ("monitor.js", "text/javascript"),
}
#: What a browser must not do with anything that we send.
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
#: Seconds that requests get at the end.
_FAREWELL: Final = 1.0


def app(
    sessions: Sessions,
    *,
    token: str | None = None,
    hosts: Iterable[str] = (),
    title: str | None = None,
) -> web.Application:
    """Return the page as an application, to mount in a server of your own.

    ::

        server.add_subapp("/monitor/", monitor.app(session))

    It watches while the server runs, in the loop of the server, where the sessions must
    run too. It answers requests for ``localhost`` and the addresses of loopback only,
    unless it is given a token.

    Args:
        sessions: A session or a ``Channel``, several, or a callable that returns them
            and is called each second. Sessions are held weakly: one that you drop goes
            from the page. Of a channel the gaps of its feeds are shown too.
        token: What a viewer must know, 16 characters or more; ``None`` (default) where
            this machine alone may look. See docs/monitor.md for how a browser gets in.
        hosts: Names, beside those of loopback, under which the page is reached, such as
            ``["bot.example.com"]``. They need a token.
        title: What the page calls this program; by default the name of its script.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: The token is short, or ``hosts`` needs one.
    """
    watch = WatchList(sessions)
    gate = Gate(token=token, hosts=hosts)
    viewers = Viewers(watch, gate, _own_name() if title is None else title)
    page = web.Application(middlewares=[_guarded_by(gate)])
    for path, (name, kind) in _FILES.items():
        page.router.add_get(path, _file(name, kind))
    page.router.add_get("/live", viewers.handle)
    page.on_response_prepare.append(_forbid)

    async def watching(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(watch.run(), name="resilient_ws monitor")
        yield
        task.cancel()
        await asyncio.wait({task})

    async def farewell(_: web.Application) -> None:
        await viewers.close()

    page.cleanup_ctx.append(watching)
    page.on_shutdown.append(farewell)
    return page


@attrs.frozen
class Served:
    """A monitor that is being served.

    Attributes:
        url: Where a browser finds it; the token is not in it.
        port: The port.
    """

    url: str
    port: int


@contextlib.asynccontextmanager
async def serve(
    sessions: Sessions,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    hosts: Iterable[str] = (),
    title: str | None = None,
    ssl: ssl_module.SSLContext | None = None,
) -> AsyncGenerator[Served]:
    """Serve the page while the block runs: ``async with monitor.serve(session) as at``.

    Args:
        sessions: As for ``app``.
        host: The address to listen at (default ``"127.0.0.1"``). Any but loopback
            needs a token.
        port: The port; 0 (default) takes a free one, and ``at.url`` tells which.
        token: As for ``app``.
        hosts: As for ``app``.
        title: As for ``app``.
        ssl: Serve ``https://`` with this context. Without it, a token that goes over a
            network can be read there.

    Yields:
        Where the page is.

    Raises:
        OSError: The port is in use, or the host is not of this machine.
        TypeError: An argument has the wrong type.
        ValueError: The token is short, or ``host`` or ``hosts`` needs one.

    Cancellation:
        Ends the page at once.
    """
    if not is_loopback(host) and token is None:
        raise ValueError(
            f"host {host!r} is open to others than this machine, so give token too, "
            "such as secrets.token_urlsafe()."
        )
    page = app(sessions, token=token, hosts=hosts, title=title)
    runner = web.AppRunner(
        page, access_log=None, handle_signals=False, shutdown_timeout=_FAREWELL
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=ssl).start()
        taken = int(runner.addresses[0][1])
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if ssl is None else "https"
        yield Served(f"{scheme}://{shown}:{taken}/", taken)
    finally:
        await runner.cleanup()


def _guarded_by(gate: Gate) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        gate.check(request)
        return await handler(request)

    return guarded


async def _forbid(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _file(name: str, kind: str) -> Handler:
    """Return a handler that answers with a file of the package."""
    text = (
        importlib.resources.files("resilient_ws.monitor") / "page" / name
    ).read_text("utf-8")

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type=kind)

    return answer


def _own_name() -> str:
    """Return what this program is called, without its folder."""
    return Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
