"""The wheel in clean environments: each Python, lowest and newest dependencies.

``make installed`` runs ``first_steps``, ``pure`` and ``quick``, ``make everywhere`` the
whole suite on each Python. The tests run in the source, with the dependencies that came
with the wheel: ``release.contents`` has shown that both are the same bytes. ``twins``
is the exception: its tests run beside the wheel, for what is compiled is in it alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import nox

from release.lowest import constraints


if TYPE_CHECKING:
    from collections.abc import Sequence


ROOT: Final = Path(__file__).parent
#: 3.14 belongs here as soon as it was tried.
PYTHONS: Final = os.environ.get("PYTHONS", "3.11 3.12 3.13").split()
VERSIONS: Final = ("lowest", "newest")
#: Most of what the interpreter and the dependencies can change, and no server's doing.
QUICK: Final = (
    "tests/codec",
    "tests/inbox",
    "tests/policy",
    "tests/protocol",
    "tests/session",
    "tests/test_errors.py",
    "tests/test_imports.py",
    "tests/test_settings.py",
)

#: The tests of what is compiled, and what they need without the package.
TWINS: Final = ("tests/protocol", "tests/twins/test_twins.py")
BESIDE: Final = ("pyproject.toml", "tests")

_WHICH: Final = (
    "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)"
)

nox.options.envdir = ".cache/nox"
nox.options.sessions = ["first_steps", "pure", "twins", "quick"]
nox.needs_version = ">=2025.2.9"


def interpreter(version: str) -> str:
    """Return the path of a Python, in PATH or of pyenv, or the name for nox to miss."""
    found = (
        shutil.which(f"python{version}"),
        *map(
            str,
            sorted(
                Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python")
            ),
        ),
    )
    for path in found:
        if path is None:
            continue
        asked = subprocess.run(
            [path, "-c", _WHICH], capture_output=True, text=True, check=False
        )
        if asked.stdout.startswith(f"{version}\n"):
            return asked.stdout.split("\n")[1]
    return f"python{version}"


INTERPRETERS: Final = {interpreter(version): version for version in PYTHONS}
everywhere = nox.session(python=list(INTERPRETERS), reuse_venv=False)


def _extras() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return sorted(project["optional-dependencies"])


def _wheel(tag: str = "abi3") -> Path:
    """Return the wheel for this platform, or that of Python alone (tag ``none``)."""
    found = [*(ROOT / "dist").glob(f"*-{tag}-*.whl")]
    if not found and tag == "abi3" and os.environ.get("CI") != "true":
        found = [_wheel("none")]  # there is no compiler
    (wheel,) = found
    return wheel


def _install(
    session: nox.Session,
    versions: str,
    *extras: str,
    groups: Sequence[str] = (),
    wheel: Path | None = None,
) -> None:
    """Install the wheel, and say which versions came with it."""
    wanted = str(wheel or _wheel()) + (f"[{','.join(extras)}]" if extras else "")
    words = [wanted, "--upgrade", "--upgrade-strategy=eager"]
    if groups:
        session.install("--quiet", "pip>=25.1")
        words += [f"--group={group}" for group in groups]
    else:  # what users install has wheels, some of what the tests need has none
        words.append("--only-binary=:all:")
    python = INTERPRETERS[str(session.python)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        if versions == "lowest":
            file.write(constraints(python, *groups))
            file.flush()
            words += ["--constraint", file.name]
        session.install("--quiet", *words)
    session.run("python", "-m", "pip", "freeze")


@everywhere
@nox.parametrize("versions", VERSIONS)
def first_steps(session: nox.Session, versions: str) -> None:
    """Import, run the README's program and the command; without and with extras."""
    _install(session, versions)
    session.run("python", "-I", "release/first_steps.py")
    _install(session, versions, *_extras())
    session.run("python", "-I", "release/first_steps.py", *_extras())


@nox.session(python=list(INTERPRETERS)[-1], reuse_venv=False)
def pure(session: nox.Session) -> None:
    """Do the same with the wheel of Python alone, on the last of the Pythons."""
    _install(session, "newest", "cli", wheel=_wheel("none"))
    session.run("python", "-I", "release/first_steps.py", "cli")


@everywhere
def twins(session: nox.Session) -> None:
    """Run the tests of the protocol and of both twins on what is in the wheel."""
    _install(session, "newest", *_extras(), groups=["quick"])
    with tempfile.TemporaryDirectory() as beside:
        for name in BESIDE:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(beside) / name)
        session.chdir(beside)
        session.run("python", "-m", "pytest", "-q", "-p", "no:anyio", *TWINS)


@everywhere
@nox.parametrize("versions", VERSIONS)
def quick(session: nox.Session, versions: str) -> None:
    """Run the tests that need nothing but Python, or those that are named after --."""
    _install(session, versions, *_extras(), groups=["quick"])
    # gql brings anyio, whose older plug-ins the newest pytest refuses.
    words = ("-q", "-p", "no:anyio", *(session.posargs or QUICK))
    session.run("python", "-m", "pytest", *words)


@everywhere
def suite(session: nox.Session) -> None:
    """Run all tests, with the newest dependencies."""
    _install(session, "newest", *_extras(), groups=["tests", "release"])
    session.run("python", "-m", "pytest", "-q", "-n", "auto", *session.posargs)
