"""The same behaviour (see ``behaviour``) on three libraries of other hands."""

from __future__ import annotations

import pathlib
import sys

from tests.servers.process import ServerProcess, daemon, node_module


def websockets_server() -> ServerProcess:
    """Serve with the websockets library."""
    return ServerProcess(
        [sys.executable, "-m", "tests.servers.serve_websockets", "{port}"]
    )


def aiohttp_server() -> ServerProcess:
    """Serve with aiohttp."""
    return ServerProcess(
        [sys.executable, "-m", "tests.servers.serve_aiohttp", "{port}"]
    )


def node_server() -> ServerProcess:
    """Serve with the npm package ws."""
    node_module("ws/package.json")
    script = pathlib.Path(__file__).parent / "node" / "serve_ws.js"
    return ServerProcess([daemon("node", "nodejs"), str(script), "{port}"])


SERVERS = {
    "websockets": websockets_server,
    "aiohttp": aiohttp_server,
    "node": node_server,
}
