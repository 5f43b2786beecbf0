"""The map of the code names what is there, and all of it."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.servers.process import ROOT


PAGE: Final = (ROOT / "docs" / "architecture.md").read_text()
LINKS: Final = re.findall(r"\[`([^`\]]+)`\]\(\.\./([^)#]+)\)(?: \(`(\w+)`)?", PAGE)


@pytest.mark.parametrize(("text", "path", "called"), LINKS)
def test_a_link_leads_to_what_it_names(text: str, path: str, called: str) -> None:
    place = ROOT / path
    assert place.exists()
    if text.endswith((".c", ".py", "/")):
        assert text.rstrip("/").rpartition("/")[2] == place.name
        names = [called] if called else []
    else:
        names = [*text.split("."), *([called] if called else [])]
    code = place.read_text() if place.is_file() else ""
    for name in names:
        assert re.search(rf"\b(?:class|def) {name}\b", code), f"{name} in {path}"


def test_every_folder_and_module_at_the_top_is_on_the_map() -> None:
    package = ROOT / "resilient_ws"
    there = {
        f"{one.name}/" if one.is_dir() else one.name
        for one in package.iterdir()
        if one.suffix == ".py" or (one / "__init__.py").exists()
    }
    assert there - {"__init__.py"} <= {text for text, _, _ in LINKS}
