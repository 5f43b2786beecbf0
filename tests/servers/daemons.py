"""Daemons of other hands: two brokers, a proxy, an end of TLS and a chain node."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import os
import pathlib
import platform
import signal

from typing_extensions import override

from tests.servers.process import HOST, ServerProcess, daemon, free_port, node_module


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a TLS server shows, and whom it lets in.

    Attributes:
        chain: A file with its key and its certificates.
        client_issuer: A file with who must have issued a client's certificate, or
            ``None`` if none is asked for.
    """

    chain: pathlib.Path
    client_issuer: pathlib.Path | None = None


class Mosquitto(ServerProcess):
    """An MQTT broker with a WebSocket listener (subprotocol ``mqtt``).

    It drops a client that misses its MQTT keepalive without a close frame.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        """Write the configuration into ``folder``."""
        program = daemon("mosquitto", "mosquitto")
        config = folder / "mosquitto.conf"
        super().__init__([program, "-c", str(config)], cwd=folder)
        lines = [
            # 2.0.11 ends when it has WebSocket listeners only. Relative, for the path
            # of such a socket must be short.
            "listener 0 mqtt.sock",
            f"listener {self.port} {HOST}",
            "protocol websockets",
            "allow_anonymous true",
            "persistence false",
            "log_dest stdout",
        ]
        if os.geteuid() == 0:
            # It would become the user mosquitto, who may not look into our folder.
            lines.append("user root")
        config.write_text("\n".join(lines) + "\n")


class Nats(ServerProcess):
    """A NATS server with a WebSocket listener.

    It ends a connection that is stale with the illegal close 1006.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        """Write the configuration into ``folder``."""
        program = daemon("nats-server", "nats-server")
        config = folder / "nats.conf"
        super().__init__([program, "-c", str(config)], cwd=folder)
        config.write_text(f"""
            listen: {HOST}:{free_port()}
            websocket {{ host: {HOST}, port: {self.port}, no_tls: true }}
        """)


class Nginx(ServerProcess):
    """A reverse proxy before a WebSocket server on another port of this machine.

    A reload starts new workers, and ends the connections of the old ones, without
    a close frame, a second later. ``/nginx/STATUS`` is answered by nginx itself.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        upstream_port: int,
        *,
        read_timeout: float = 60.0,
        tls: Identity | None = None,
    ) -> None:
        """Proxy to ``upstream_port``; drop what is idle for ``read_timeout`` s.

        With ``tls`` it is a front that ends TLS there.
        """
        program = daemon("nginx", "nginx")
        self.upstream_port = upstream_port
        self.read_timeout = read_timeout
        self._tls = tls
        self._config = folder / "nginx.conf"
        # nginx opens its compiled-in error log first, unless told with -e.
        super().__init__(
            [program, "-p", str(folder), "-c", str(self._config), "-e", "stderr"],
            scheme="ws" if tls is None else "wss",
        )

    @override
    async def start(self, *, within: float = 15.0) -> None:
        self._write()
        await super().start(within=within)

    async def reload(self, *, within: float = 5.0) -> None:
        """Take ``upstream_port`` and ``read_timeout`` anew; wait for new workers."""
        self._write()
        before = self._workers()
        # To the master alone: a worker would take it for its own.
        os.kill(self.pid, signal.SIGHUP)
        await asyncio.to_thread(
            self._poll, lambda: bool(self._workers() - before), within, "to reload"
        )

    @override
    def _terminate(self, number: signal.Signals) -> None:
        if number is signal.SIGKILL:
            self._signal(number)
        else:
            # The master ends its workers, and reaps them.
            os.kill(self.pid, number)

    def _workers(self) -> set[str]:
        children = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return set(children.read_text().split())

    def _write(self) -> None:
        user = "user root;" if os.geteuid() == 0 else ""
        temporary = "".join(
            f"{kind}_temp_path temp_{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        listen = f"listen {HOST}:{self.port}"
        if self._tls is not None:
            listen += f" ssl; ssl_certificate {self._tls.chain}"
            listen += f"; ssl_certificate_key {self._tls.chain}"
            if self._tls.client_issuer is not None:
                listen += f"; ssl_client_certificate {self._tls.client_issuer}"
                listen += "; ssl_verify_client on"
        # No regular expression with a brace: nginx would take it for a block.
        self._config.write_text(f"""
            {user}
            daemon off;
            pid nginx.pid;
            worker_processes 1;
            worker_shutdown_timeout 1s;
            events {{ worker_connections 256; }}
            http {{
                access_log off;
                {temporary}
                map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
                server {{
                    {listen};
                    location = /nginx/302 {{ return 302 /echo; }}
                    location = /nginx/404 {{ return 404; }}
                    location = /nginx/429 {{
                        add_header Retry-After 1 always;
                        return 429;
                    }}
                    location = /nginx/503 {{ return 503; }}
                    location / {{
                        proxy_pass http://{HOST}:{self.upstream_port};
                        proxy_http_version 1.1;
                        proxy_set_header Host $host;
                        proxy_set_header Upgrade $http_upgrade;
                        proxy_set_header Connection $connection_upgrade;
                        proxy_read_timeout {int(self.read_timeout * 1000)}ms;
                    }}
                }}
            }}
        """)


class Stunnel(ServerProcess):
    """Ends TLS before a WebSocket server on another port of this machine.

    Args:
        folder: Where its files go.
        upstream_port: The server's port.
        tls: What it shows, and whom it lets in.
        version: The one TLS version that it speaks, such as ``TLSv1.2``.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        upstream_port: int,
        *,
        tls: Identity,
        version: str | None = None,
    ) -> None:
        config = folder / "stunnel.conf"
        program = daemon("stunnel4", "stunnel4")
        super().__init__([program, str(config)], cwd=folder, scheme="wss")
        lines = [
            "foreground = yes",
            "pid =",
            "[websocket]",
            f"accept = {HOST}:{self.port}",
            f"connect = {HOST}:{upstream_port}",
            f"cert = {tls.chain}",
            # It would wait for the other side's goodbye.
            "TIMEOUTclose = 0",
        ]
        if version is not None:
            lines += [f"sslVersionMin = {version}", f"sslVersionMax = {version}"]
        if tls.client_issuer is not None:
            lines += [f"CAfile = {tls.client_issuer}", "verifyChain = yes"]
        config.write_text("\n".join(lines) + "\n")


class Anvil(ServerProcess):
    """An Ethereum development chain, which survives a kill in its state file.

    A block younger than the last dump may be gone after a kill. The dump of
    a long chain takes long; ``dump_every`` says after how many seconds there is one.
    """

    def __init__(
        self, folder: pathlib.Path, *arguments: str, dump_every: int = 1
    ) -> None:
        """Keep the chain in ``folder``; ``--block-time 1`` and such may follow."""
        machine = "arm64" if platform.machine() in {"aarch64", "arm64"} else "amd64"
        system = platform.system().lower()
        # The binary, not its launcher: a kill must reach it.
        program = node_module(f"@foundry-rs/anvil-{system}-{machine}/bin/anvil")
        self.state = folder / "chain.json"
        port = free_port()
        super().__init__(
            [
                str(program),
                *("--host", HOST),
                *("--port", str(port)),
                *("--state", str(self.state)),
                *("--state-interval", str(dump_every)),
                *arguments,
            ],
            port=port,
        )

    async def dumped(self, *, within: float = 10.0) -> None:
        """Wait until a dump has begun after now, and ended."""
        for _ in range(2):
            await asyncio.to_thread(self._wait_for_another_dump, within)
        whole = functools.partial(is_whole, self.state)
        await asyncio.to_thread(self._poll, whole, within, "to end a dump")

    def _wait_for_another_dump(self, within: float) -> None:
        before = self._stamp()
        self._poll(lambda: self._stamp() != before, within, "to dump")

    def _stamp(self) -> int:
        return self.state.stat().st_mtime_ns if self.state.exists() else 0


def is_whole(path: pathlib.Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True
