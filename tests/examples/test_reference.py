"""The reference has every public name, and nothing else."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import Final

import pytest

import resilient_ws
from tests.servers.process import ROOT


#: Packages whose ``__all__`` is for the package's own modules.
INTERNAL: Final = {"resilient_ws.inbox"}
#: Modules whose names a package has already.
AGAIN: Final = {
    "resilient_ws.errors": "resilient_ws",
    "resilient_ws.events": "resilient_ws",
    "resilient_ws.feeds.errors": "resilient_ws.feeds",
}
#: Names that are another library's, given on.
GIVEN_ON: Final = {"resilient_ws.adapters.websockets": {"connect", "ClientConnection"}}
DIRECTIVE: Final = re.compile(r"^\.\. (?:auto|py:)\w+:: ([\w.]+)\.(\w+)$", re.MULTILINE)


def public_modules() -> dict[str, set[str]]:
    """The names of each public module, as its ``__all__`` has them."""
    found = {"resilient_ws": set(resilient_ws.__all__)}
    for module in pkgutil.walk_packages(resilient_ws.__path__, "resilient_ws."):
        name = module.name
        if name in INTERNAL | AGAIN.keys() or "._" in name or name.endswith("__main__"):
            continue
        names = getattr(importlib.import_module(name), "__all__", None)
        if names is not None:
            found[name] = GIVEN_ON.get(name, set(names))
    return found


PUBLIC = public_modules()
DOCUMENTED: dict[str, set[str]] = {}
for path in ROOT.glob("docs/reference/*.md"):
    for module, name in DIRECTIVE.findall(path.read_text()):
        assert name not in DOCUMENTED.get(module, set()), (path, name)
        DOCUMENTED.setdefault(module, set()).add(name)


@pytest.mark.parametrize("module", sorted(PUBLIC | DOCUMENTED))
def test_the_reference_has_every_public_name_and_no_other(module: str) -> None:
    here, told = PUBLIC.get(module, set()), DOCUMENTED.get(module, set())
    if module == "resilient_ws.feeds.protocols":
        # One class under two names of a package, documented under the first.
        here = here - PUBLIC["resilient_ws.feeds"]
    assert told == here


@pytest.mark.parametrize("module", sorted(AGAIN))
def test_what_is_left_out_is_in_its_package(module: str) -> None:
    names = importlib.import_module(module).__all__
    assert set(names) <= PUBLIC[AGAIN[module]]
