"""What the wheel and the sdist contain: all that belongs there, and nothing else.

The command: ``python -m release.contents dist/*``. The modules in a wheel are those
of the source, byte for byte, so that what is tested in the source is what is installed.
A wheel for a platform has one file more, the compiled library; what is in its
name is what is in it.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from readme_renderer.markdown import render

from release import ROOT


if TYPE_CHECKING:
    from collections.abc import Iterator


#: Of ``*.dist-info``, below it.
METADATA: Final = frozenset(
    {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        "sboms/resilient-ws.cdx.json",
    }
)
PACKED: Final = ("pytest_resilient_ws.py", "resilient_ws")
#: What the sdist has beside the files that are packed into the wheel.
SOURCE: Final = (
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "benchmarks",
    "docs",
    "examples",
    "hatch_build.py",
    "noxfile.py",
    "pyproject.toml",
    "release",
    "tests",
)
#: The tag of a wheel for every platform, and how those of the others begin.
_PURE: Final = "py3-none-any"
_COMPILED: Final = "cp311-abi3-"
#: What is compiled has one of these names, which every Python from 3.11 on imports.
_LIBRARIES: Final = frozenset(
    f"resilient_ws/protocol/compiled.{end}" for end in ("abi3.so", "pyd")
)
#: The sdist has the source of it, a wheel only what was made of that.
_COMPILED_FROM: Final = "resilient_ws/protocol/compiled.c"
#: A target of a link or a picture, as the index would show it.
_TARGET: Final = re.compile(r'(?:href|src)="([^"]*)"')


def tracked(*paths: str) -> dict[str, bytes]:
    """Return the files of the source that git knows or would add, by name."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *paths],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return {
        name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()
    }


def wheel_problems(wheel: Path) -> Iterator[str]:
    """Say what the wheel lacks, and what it should not have."""
    with zipfile.ZipFile(wheel) as archive:
        # auditwheel adds entries for the folders.
        names = [name for name in archive.namelist() if not name.endswith("/")]
        found = {name: archive.read(name) for name in names}
    root = "-".join(wheel.name.split("-")[:2]) + ".dist-info/"
    metadata = {
        name.removeprefix(root): content
        for name, content in found.items()
        if name.startswith(root)
    }
    modules = {name: found[name] for name in found if not name.startswith(root)}
    libraries = [modules.pop(name) for name in _LIBRARIES & modules.keys()]
    source = tracked(*PACKED)
    del source[_COMPILED_FROM]
    yield from _compared(modules, source)
    yield from _tag_problems(wheel.stem, metadata.get("WHEEL", b"").decode(), libraries)
    yield from _compared(dict.fromkeys(metadata), dict.fromkeys(METADATA))
    if "resilient_ws/py.typed" not in modules:
        yield "py.typed is missing: type checkers would not read the types"
    for name, content in metadata.items():
        if name.startswith("sboms/"):
            yield from bill_problems(content.decode())
        if name == "METADATA":
            yield from readme_problems(content)


def _tag_problems(name: str, metadata: str, libraries: list[bytes]) -> Iterator[str]:
    """Say where the name, the tags and the library of a wheel disagree."""
    interpreter, abi, platforms = name.split("-")[2:]
    tags = {f"{interpreter}-{abi}-{platform}" for platform in platforms.split(".")}
    for tag in tags:
        if tag != _PURE and not tag.startswith(_COMPILED):
            yield f"{tag} is no tag of ours: {_PURE}, or one that begins {_COMPILED}"
        if f"Tag: {tag}\n" not in metadata:
            yield f"WHEEL does not say Tag: {tag}"
    right = 0 if tags == {_PURE} else 1
    if len(libraries) != right:
        yield f"{name} has {len(libraries)} compiled libraries instead of {right}"
    pure = "true" if right == 0 else "false"
    if f"Root-Is-Purelib: {pure}\n" not in metadata:
        yield f"WHEEL does not say Root-Is-Purelib: {pure}"


def sdist_problems(sdist: Path) -> Iterator[str]:
    """Say what the sdist lacks, and what it should not have."""
    with tarfile.open(sdist) as archive:
        found = {
            member.name.partition("/")[2]: member
            for member in archive.getmembers()
            if not member.isdir()
        }
        links = [name for name, member in found.items() if not member.isfile()]
        contents = {
            name: extracted.read()
            for name, member in found.items()
            if (extracted := archive.extractfile(member)) is not None
        }
    yield from (f"{name} is a link" for name in links)
    contents.pop("PKG-INFO", None)
    yield from _compared(contents, tracked(*SOURCE, *PACKED))


def _compared(
    found: dict[str, bytes] | dict[str, None], right: dict[str, bytes] | dict[str, None]
) -> Iterator[str]:
    yield from (f"{name} is missing" for name in sorted(right.keys() - found.keys()))
    yield from (f"{name} is too much" for name in sorted(found.keys() - right.keys()))
    yield from (
        f"{name} is not that of the source"
        for name in sorted(found.keys() & right.keys())
        if found[name] != right[name]
    )


def bill_problems(bill: str) -> Iterator[str]:
    """Say why a bill of materials is not CycloneDX."""
    error = JsonStrictValidator(SchemaVersion.V1_7).validate_str(bill)
    if error is not None:
        yield f"the bill of materials is no CycloneDX: {error.data}"


def readme_problems(metadata: bytes) -> Iterator[str]:
    """Say what an index could not show of the README."""
    message = email.message_from_bytes(metadata, policy=email.policy.compat32)
    if message["Description-Content-Type"] != "text/markdown":
        yield "the README is not said to be Markdown"
    payload = message.get_payload(decode=True)
    text = payload.decode() if isinstance(payload, bytes) else ""
    page = render(text)
    if not page:
        yield "the README cannot be rendered"
        return
    if "mermaid" in text:
        yield "the README has a Mermaid diagram, which an index shows as its source"
    for target in _TARGET.findall(page):
        if not target.startswith(("https://", "#")):
            yield f"the README leads to {target}, which an index does not have"


def problems(path: Path) -> list[str]:
    """Return what is wrong with a wheel or an sdist."""
    of = wheel_problems if path.suffix == ".whl" else sdist_problems
    return [f"{path.name}: {problem}" for problem in of(path)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="release.contents")
    parser.add_argument("packages", nargs="+", type=Path)
    found = [
        problem for path in parser.parse_args().packages for problem in problems(path)
    ]
    print("\n".join(found) or "The packages contain what they must, and nothing else.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
