"""Every change of the public interface has a line in CHANGELOG.md.

The command: ``python -m release.interface [--against REF]``. It compares the source as
it lies here with a commit: that of the newest tag ``v*``, or, as long as nothing was
released, the one before the last on this branch. Public is what an ``__all__`` names in
a module that users import. A change is what griffe takes for one that may break a
program; a new name is none.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import griffe

from release import ROOT


if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


PACKAGE: Final = "resilient_ws"
#: The modules whose ``__all__`` is public; others use it to name what they pass on.
INTERNAL: Final = frozenset({"resilient_ws.inbox"})

Names: TypeAlias = dict[str, griffe.Object]


@attrs.frozen
class Change:
    """What changed, and the word that its line in the changelog must have."""

    word: str
    told: str


def names(package: griffe.Object) -> Names:
    """Return what each public name stands for, by the path that users import."""
    found: Names = {}
    for module in _modules(package):
        if module.path in INTERNAL:
            continue
        for export in module.exports or ():
            member = module.members.get(str(export))
            if member is None:
                continue  # of an __all__ that is put together when it is imported
            stands_for = (
                member.final_target if isinstance(member, griffe.Alias) else member
            )
            if isinstance(stands_for, griffe.Object):
                found[f"{module.path}.{export}"] = stands_for
    return found


def _modules(module: griffe.Object) -> Iterator[griffe.Object]:
    yield module
    for member in module.members.values():
        if isinstance(member, griffe.Module) and not member.name.startswith("_"):
            yield from _modules(member)


def changes(old: Names, new: Names) -> Iterator[Change]:
    """Yield what went, and what may break a program."""
    for path in sorted(old.keys() - new.keys()):
        yield Change(path.rpartition(".")[2], f"{path} is gone")
    for path in sorted(old.keys() & new.keys()):
        name = path.rpartition(".")[2]
        if old[path].kind is not new[path].kind:
            yield Change(name, f"{path} is no longer a {old[path].kind.value}")
            continue
        for breakage in _breakages(old[path], new[path]):
            yield Change(breakage.obj.name, f"{path}: {_words(breakage)}")


def _breakages(old: griffe.Object, new: griffe.Object) -> Iterator[griffe.Breakage]:
    # griffe compares the members of two objects: these are the two in a case.
    yield from griffe.find_breaking_changes(_cased(old), _cased(new))


def _cased(member: griffe.Object) -> griffe.Module:
    case = griffe.Module("case")
    case.members["it"] = member
    return case


def _words(breakage: griffe.Breakage) -> str:
    what = f"{breakage.obj.name}: {breakage.kind.value}"
    return f"{what} ({breakage.old_value} -> {breakage.new_value})"


def untold(found: Iterator[Change], lines: str) -> list[str]:
    """Return the changes whose word is in none of the lines."""
    words = set(re.findall(r"\w+", lines))
    return [change.told for change in found if change.word not in words]


def git(root: Path, *command: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *command], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def baseline(root: Path) -> str:
    """Return the newest release, or the commit before the last."""
    tags = git(root, "tag", "--list", "v*", "--sort=-version:refname").split()
    return tags[0] if tags else "HEAD^"


def compared(root: Path, against: str) -> list[str]:
    """Return the changes since a commit that no line added to the changelog tells."""
    commit = git(root, "rev-parse", "--verify", f"{against}^{{commit}}")
    old = griffe.load_git(
        PACKAGE, ref=commit, repo=root, search_paths=["."], resolve_aliases=True
    )
    new = griffe.load(
        PACKAGE, search_paths=[root], try_relative_path=False, resolve_aliases=True
    )
    if not isinstance(old, griffe.Object) or not isinstance(new, griffe.Object):
        raise TypeError(f"{PACKAGE} is no package")
    diff = git(root, "diff", "--unified=0", commit, "--", "CHANGELOG.md")
    added = [line for line in diff.splitlines() if line.startswith("+")]
    return untold(changes(names(old), names(new)), "\n".join(added))


def main() -> None:
    parser = argparse.ArgumentParser(prog="release.interface")
    parser.add_argument("--against", help="a commit, a branch or a tag")
    against = parser.parse_args().against or baseline(ROOT)
    missing = compared(ROOT, against)
    for told in missing:
        print(f"{told}: CHANGELOG.md has no new line that names it", file=sys.stderr)
    if missing:
        sys.exit(1)
    print(f"CHANGELOG.md tells every change of the interface since {against}.")


if __name__ == "__main__":
    main()
