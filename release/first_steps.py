"""What a user does first, with nothing but the installed wheel.

The command: ``python -I release/first_steps.py [EXTRA ...]``, in an environment into
which the wheel was installed with these extras. It imports every module that the extras
allow, and checks that the compiled part runs where the wheel has one. It runs the first
example of the README on a server that drops it, and starts the command. Only the
standard library and the wheel are used.
"""

import asyncio
import contextlib
import importlib
import importlib.metadata
import os
import pathlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import resilient_ws
from resilient_ws.testing import Peer, ScriptedServer


DISTRIBUTION: Final = "resilient-ws"
#: What modules need beyond the dependencies, by the beginning of their names.
NEEDED: Final = {
    "resilient_ws.adapters.bolt": {"bolt"},
    "resilient_ws.adapters.gql": {"gql"},
    "resilient_ws.adapters.slack": {"slack", "bolt"},
    "resilient_ws.adapters.web3": {"web3"},
    "resilient_ws.adapters.websockets": {"websockets", "web3"},
    "resilient_ws.cli.chain": {"evm"},
    "resilient_ws.cli": {"cli"},
    "resilient_ws.feeds.evm": {"evm"},
    "resilient_ws.instruments.attempt_spans": {"otel"},
    "resilient_ws.instruments.otel": {"otel"},
    "resilient_ws.instruments.prometheus": {"prometheus"},
    "resilient_ws.transport.socks": {"socks"},
}
PATIENCE: Final = 60


def modules() -> Iterator[str]:
    """Yield the name of every module of the package."""
    found = pkgutil.walk_packages(
        resilient_ws.__path__, "resilient_ws.", onerror=lambda _: None
    )
    yield from (module.name for module in found if not module.name.endswith("__main__"))


def allowed(module: str, extras: set[str]) -> bool:
    """Return whether the extras have what the module needs."""
    return all(
        not extras.isdisjoint(any_of)
        for beginning, any_of in NEEDED.items()
        if module.startswith(beginning)
    )


def import_everything(extras: set[str]) -> int:
    """Import what can be imported, and return how many modules that is."""
    names = [name for name in modules() if allowed(name, extras)]
    for name in names:
        importlib.import_module(name)
    return len(names)


def first_example() -> str:
    """Return the first program of the README, as an index shows it."""
    readme = importlib.metadata.metadata(DISTRIBUTION).json["description"]
    assert isinstance(readme, str)
    block = re.search(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert block is not None, "the README has no program"
    return block[1]


async def run_example() -> None:
    """Run the README's program: it must hear from a second connection, and end."""
    ordinals = iter(("one", "two", "three"))

    async def tick(peer: Peer) -> None:
        await peer.accept()
        await peer.receive()  # it subscribes on each connection
        await peer.send(f"tick {next(ordinals)}")
        await peer.ended()

    async with ScriptedServer(tick) as server:
        url = server.url("/feed")
        program, count = re.subn(r'"wss://[^"]*"', f'"{url}"', first_example())
        assert count, "the README's program has no URL"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-u", "-c", program, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                assert (await process.stdout.readline()).rstrip() == b"tick one"
                await server.peers[0].reset()
                assert (await process.stdout.readline()).rstrip() == b"tick two"
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def run_command(extras: set[str]) -> None:
    """Start the command: it tells its version, or what to install."""
    command = pathlib.Path(sys.executable).parent / DISTRIBUTION
    done = subprocess.run(
        [command, "--version"], capture_output=True, text=True, check=False
    )
    if "cli" in extras:
        runs = "compiled" if resilient_ws.__compiled__ else "pure Python"
        right = f"{DISTRIBUTION} {resilient_ws.__version__} ({runs})\n"
        assert done.stdout == right, done
    else:
        assert done.returncode != 0
        assert f"pip install '{DISTRIBUTION}[cli]'" in done.stderr, done


def check_which_runs() -> str:
    """Return which twin runs: it must be what the name of the wheel promises."""
    wheel = importlib.metadata.distribution(DISTRIBUTION).read_text("WHEEL")
    assert wheel is not None
    promised = "-abi3-" in wheel
    assert resilient_ws.__compiled__ is promised, wheel
    environment = os.environ | {"RESILIENT_WS_PURE": "1"}
    program = "import resilient_ws; assert not resilient_ws.__compiled__"
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    return "compiled" if promised else "pure Python"


def main() -> None:
    extras = set(sys.argv[1:])
    origin = pathlib.Path(resilient_ws.__file__)
    assert origin.is_relative_to(sys.prefix), f"{origin} is not what was installed"
    assert (origin.parent / "py.typed").exists()
    runs = check_which_runs()
    imported = import_everything(extras)
    asyncio.run(run_example())
    run_command(extras)
    python, names = sys.version.split()[0], ", ".join(sorted(extras)) or "none"
    did = f"{runs}, {imported} modules, the README's program"
    print(f"Python {python}, extras {names}: {did}")


if __name__ == "__main__":
    main()
