"""Proxies of other hands: HTTP CONNECT, SOCKS, and plain TCP."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from tests.servers.process import HOST, ServerProcess, daemon


if TYPE_CHECKING:
    import signal
    from pathlib import Path


#: What a proxy with ``password=True`` wants to be told.
USER: Final = "plantedProxyUser"
PASSWORD: Final = "plantedProxyPassword"


class Proxy(ServerProcess):
    """A proxy on this machine; ``proxy_url`` is what ``connect(proxy=...)`` takes."""

    def __init__(self, command: list[str], *, folder: Path, scheme: str) -> None:
        super().__init__(command, cwd=folder, scheme=scheme)

    def proxy_url(self, userinfo: str = "", scheme: str | None = None) -> str:
        """How to name it, with ``user:password@`` if there is any."""
        return f"{scheme or self.scheme}://{userinfo}{HOST}:{self.port}"


class Squid(Proxy):
    """Squid: HTTP CONNECT.

    Args:
        folder: Where its files go.
        password: Whether it wants to be told ``USER`` and ``PASSWORD``.
        deny: Whether it refuses every CONNECT with 403.
        idle: Seconds after which it drops a silent tunnel.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: bool = False,
        deny: bool = False,
        idle: int = 60,
    ) -> None:
        config = folder / "squid.conf"
        program = daemon("squid", "squid")
        super().__init__(
            [program, "-N", "-d", "1", "-n", "test{port}", "-f", str(config)],
            folder=folder,
            scheme="http",
        )
        lines = [
            f"http_port {HOST}:{self.port}",
            # Started by root it becomes the user proxy, who may not look into our
            # folder: it gets by without a file.
            "pid_filename none",
            "cache_log /dev/null",
            "access_log none",
            "netdb_filename none",
            "coredump_dir none",
            "cache deny all",
            "shutdown_lifetime 0 seconds",
            "connect_timeout 2 seconds",
            f"read_timeout {idle} seconds",
            # Otherwise it makes room for as many as the system allows.
            "max_filedescriptors 1024",
        ]
        if password:
            # A helper is asked "user password" in a line, and answers OK or ERR.
            checks = f"-e s/^{USER}.{PASSWORD}$/OK/ -e t -e s/.*/ERR/"
            lines += [
                f"auth_param basic program /bin/sed -u {checks}",
                "auth_param basic children 1",
                "auth_param basic casesensitive on",
                "acl known proxy_auth REQUIRED",
                "http_access deny !known",
            ]
        lines.append(f"http_access {'deny' if deny else 'allow'} all")
        config.write_text("\n".join(lines) + "\n")

    @override
    def _end(self, number: signal.Signals, within: float) -> int:
        status = super()._end(number, within)
        # Killed, it leaves shared memory behind, and would not start a second time.
        for left in pathlib.Path("/dev/shm").glob(f"test{self.port}-*"):
            left.unlink(missing_ok=True)
        return status


class Tinyproxy(Proxy):
    """tinyproxy: HTTP CONNECT; the arguments are those of ``Squid``."""

    def __init__(
        self,
        folder: Path,
        *,
        password: bool = False,
        deny: bool = False,
        idle: int = 60,
    ) -> None:
        config = folder / "tinyproxy.conf"
        program = daemon("tinyproxy", "tinyproxy")
        super().__init__(
            [program, "-d", "-c", str(config)], folder=folder, scheme="http"
        )
        lines = [f"Listen {HOST}", f"Port {self.port}", f"Timeout {idle}"]
        if password:
            lines.append(f"BasicAuth {USER} {PASSWORD}")
        if deny:
            # A list of ports forbids all others with 403.
            lines.append("ConnectPort 1")
        config.write_text("\n".join(lines) + "\n")


class Dante(Proxy):
    """Dante: SOCKS 4 and 5, without credentials.

    Args:
        folder: Where its files go.
        deny: Whether it refuses every destination.
    """

    def __init__(self, folder: Path, *, deny: bool = False) -> None:
        config = folder / "danted.conf"
        program = daemon("danted", "dante-server")
        super().__init__(
            [program, "-f", str(config), "-p", str(folder / "danted.pid")],
            folder=folder,
            scheme="socks5",
        )
        config.write_text(
            f"logoutput: stdout\n"
            f"internal: {HOST} port = {self.port}\n"
            f"external: {HOST}\n"
            "clientmethod: none\n"
            "socksmethod: none\n"
            "user.privileged: root\n"
            "client pass { from: 0/0 to: 0/0 }\n"
            f"socks {'block' if deny else 'pass'} {{ from: 0/0 to: 0/0 }}\n"
        )


class Microsocks(Proxy):
    """microsocks: SOCKS 5, with or without credentials."""

    def __init__(self, folder: Path, *, password: bool = False) -> None:
        program = daemon("microsocks", "microsocks")
        super().__init__(
            [program, "-i", HOST, "-p", "{port}"]
            + (["-u", USER, "-P", PASSWORD] if password else []),
            folder=folder,
            scheme="socks5",
        )


class Haproxy(Proxy):
    """haproxy as a plain TCP proxy before one server: TLS passes through.

    Args:
        folder: Where its files go.
        upstream_port: The server's port on this machine.
        idle: Seconds after which it drops a silent connection.
    """

    def __init__(self, folder: Path, upstream_port: int, *, idle: float = 60) -> None:
        config = folder / "haproxy.cfg"
        program = daemon("haproxy", "haproxy")
        super().__init__(
            [program, "-db", "-f", str(config)], folder=folder, scheme="ws"
        )
        milliseconds = int(idle * 1000)
        config.write_text(
            "defaults\n"
            " mode tcp\n"
            " timeout connect 2s\n"
            f" timeout client {milliseconds}ms\n"
            f" timeout server {milliseconds}ms\n"
            "listen front\n"
            f" bind {HOST}:{self.port}\n"
            f" server back {HOST}:{upstream_port}\n"
        )
