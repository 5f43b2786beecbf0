"""The adapters' tests with the lowest and the newest versions of their libraries.

``python -m tests.adapters.versions [--write docs/adapters/versions.md]``: the packages go
into folders of their own, which come before those of this environment.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pathlib
import platform
import re
import sys
import tempfile
import tomllib
from typing import Final, Literal, TypeAlias

from tests.servers.process import ROOT


#: The extras with a module of ``adapters``, and the tests of each.
SUITES: Final = {
    "bolt": ("test_slack.py",),
    "gql": ("test_gql.py",),
    "web3": ("test_web3.py",),
    "websockets": ("test_websockets.py",),
}
Which: TypeAlias = Literal["lowest", "newest"]

_PAGE: Final = """# Versions of the libraries that adapters were tried with

Written by `make adapter-versions`. Do not edit: it is overwritten.

All tests of an adapter, with the lowest versions that its extra allows and with the
newest. Python {python}, {system}.

| extra | lowest | | newest | |
| --- | --- | --- | --- | --- |
{rows}
"""


def wanted(extra: str, which: Which) -> list[str]:
    """Return what to install, as pip takes it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = project["optional-dependencies"][extra]
    if which == "newest":
        return list(requirements)
    return [_lowest(requirement) for requirement in requirements]


def _lowest(requirement: str) -> str:
    name, version = requirement.split(">=")
    return f"{name}=={version}.*"


async def run(*command: str, path: str = "") -> tuple[int | None, str]:
    """Run a program; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{ROOT}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode(errors="replace")


async def tried(extra: str, which: Which) -> tuple[str, str]:
    """Return the versions, and what became of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
        packages = wanted(extra, which)
        code, output = await run(*pip, "--quiet", "--target", folder, *packages)
        if code:
            return ", ".join(packages), f"not installed: {output.splitlines()[-1]}"
        names = [re.split(r"[><=~]", package)[0] for package in packages]
        show = "import sys; from importlib.metadata import version as v; "
        show += "print(', '.join(f'{n} {v(n)}' for n in sys.argv[1:]))"
        _, versions = await run(sys.executable, "-c", show, *names, path=folder)
        tests = [str(pathlib.Path("tests/adapters") / name) for name in SUITES[extra]]
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        # web3 7 imports what websockets leaves behind.
        pytest += ["-W", "ignore:websockets.legacy is deprecated:DeprecationWarning"]
        code, output = await run(*pytest, *tests, path=folder)
        print(output[-5000:] if code else "", end="", flush=True)
        return versions.strip(), output.strip().splitlines()[-1].split(" in ")[0]


async def main() -> None:
    """Try all, and write the page."""
    parser = argparse.ArgumentParser(prog="tests.adapters.versions")
    parser.add_argument("--write", type=pathlib.Path, help="the page to write")
    parser.add_argument("--only", action="append", choices=SUITES)
    arguments = parser.parse_args()
    rows = []
    for extra in arguments.only or SUITES:
        lowest = await tried(extra, "lowest")
        newest = await tried(extra, "newest")
        rows.append(f"| `{extra}` | {' | '.join((*lowest, *newest))} |")
        print(rows[-1], flush=True)
    if arguments.write is not None:
        python, system = platform.python_version(), platform.system()
        page = _PAGE.format(python=python, system=system, rows="\n".join(rows))
        arguments.write.write_text(page)


if __name__ == "__main__":
    asyncio.run(main())
