"""What an index would refuse, or a reader miss, of this version.

The command: ``python -m release.publishable``. Before the first release it fails, and
names what only a person can decide: where the project lives, and when it comes out.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

from release import ROOT


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def problems(
    project: Mapping[str, Any], changelog: str, tags: list[str]
) -> Iterator[str]:
    """Say what stands in the way of publishing."""
    version = project["version"]
    for name, url in project["urls"].items():
        if not url.startswith("https://"):
            yield f"[project.urls] {name} is {url!r}: an index takes https only"
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    if re.search(heading, changelog, re.MULTILINE) is None:
        yield f"CHANGELOG.md has no line '## [{version}] - YYYY-MM-DD'"
    if f"v{version}" not in tags:
        yield f"this commit has no tag v{version}"


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tags = subprocess.run(
        ["git", "tag", "--points-at", "HEAD"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = list(
        problems(project, (ROOT / "CHANGELOG.md").read_text(), tags.stdout.split())
    )
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"Version {project['version']} can be published.")


if __name__ == "__main__":
    main()
