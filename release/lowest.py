"""The lowest versions that pyproject.toml allows, as constraints for pip.

The command: ``python -m release.lowest --python 3.12 [tests]``. With dependency groups,
they are the lowest of what users install that these allow too.
"""

from __future__ import annotations

import argparse
import tomllib
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.version import Version

from release import ROOT


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def requirements(pyproject: Mapping[str, Any]) -> Iterator[Requirement]:
    """Yield what users install: the dependencies, and those of the extras."""
    project = pyproject["project"]
    for words in (project["dependencies"], *project["optional-dependencies"].values()):
        yield from map(Requirement, words)


def required_by(group: str, pyproject: Mapping[str, Any]) -> Iterator[Requirement]:
    """Yield what a dependency group requires by itself."""
    words = pyproject["dependency-groups"][group]
    yield from (Requirement(word) for word in words if isinstance(word, str))


def lowest(found: Iterable[Requirement], python: str) -> dict[str, Version]:
    """Return the highest of the lower bounds of each package on this Python.

    Raises:
        ValueError: A requirement has no lower bound.
    """
    bounds: dict[str, Version] = {}
    for requirement in found:
        marker = requirement.marker
        environment = {"python_version": python, "python_full_version": f"{python}.0"}
        if marker is not None and not marker.evaluate(environment):
            continue
        bound = next(
            (part.version for part in requirement.specifier if part.operator == ">="),
            None,
        )
        if bound is None:
            raise ValueError(f"{requirement} has no lower bound: write >=.")
        known = bounds.get(requirement.name, Version("0"))
        bounds[requirement.name] = max(known, Version(bound))
    return bounds


def constraints(python: str, *groups: str) -> str:
    """Return a line ``name==version`` for each package that users install."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = list(requirements(pyproject))
    users = {requirement.name for requirement in found}
    for group in groups:
        grouped = required_by(group, pyproject)
        found += (requirement for requirement in grouped if requirement.name in users)
    bounds = lowest(found, python)
    return "".join(f"{name}=={bounds[name]}\n" for name in sorted(bounds))


def main() -> None:
    parser = argparse.ArgumentParser(prog="release.lowest")
    parser.add_argument("--python", required=True, help="such as 3.12")
    parser.add_argument("groups", nargs="*", help="dependency groups installed too")
    options = parser.parse_args()
    print(constraints(options.python, *options.groups), end="")


if __name__ == "__main__":
    main()
