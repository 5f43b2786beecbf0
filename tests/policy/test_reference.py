"""References, resolved by the RFC's own examples."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from resilient_ws.policy.reference import resolved


BASE = "http://a/b/c/d;p?q"

#: RFC 3986, sections 5.4.1 and 5.4.2, without what leads out of HTTP.
EXAMPLES = {
    "g": "/b/c/g", "./g": "/b/c/g", "g/": "/b/c/g/", "/g": "/g", "?y": "/b/c/d;p?y",
    "g?y": "/b/c/g?y", "#s": "/b/c/d;p?q", "g#s": "/b/c/g", "g?y#s": "/b/c/g?y",
    ";x": "/b/c/;x", "g;x": "/b/c/g;x", "g;x?y#s": "/b/c/g;x?y", "": "/b/c/d;p?q",
    ".": "/b/c/", "./": "/b/c/", "..": "/b/", "../": "/b/", "../g": "/b/g",
    "../..": "/", "../../": "/", "../../g": "/g", "../../../g": "/g",
    "../../../../g": "/g", "/./g": "/g", "/../g": "/g", "g.": "/b/c/g.",
    ".g": "/b/c/.g", "g..": "/b/c/g..", "..g": "/b/c/..g", "./../g": "/b/g",
    "./g/.": "/b/c/g/", "g/./h": "/b/c/g/h", "g/../h": "/b/c/h",
    "g;x=1/./y": "/b/c/g;x=1/y", "g;x=1/../y": "/b/c/y", "g?y/./x": "/b/c/g?y/./x",
    "g?y/../x": "/b/c/g?y/../x", "g#s/./x": "/b/c/g",
}  # fmt: skip


@pytest.mark.parametrize(("reference", "target"), EXAMPLES.items())
def test_the_examples_of_the_rfc(reference: str, target: str) -> None:
    assert resolved(BASE, reference) == f"http://a{target}"


@pytest.mark.parametrize(
    ("reference", "whole"),
    [
        ("//g", "http://g"),
        ("//g?y", "http://g?y"),
        ("//g/a/../b", "http://g/b"),
        ("https://g/a/./b?", "https://g/a/b?"),
        ("https://g", "https://g"),
        ("g:h", "g:h"),
        ("http:g", "http:g"),  # "for strict parsers"
        ("mailto:a@b", "mailto:a@b"),
        ("", "http://a/b/c/d;p?q"),
        ("?", "http://a/b/c/d;p?"),
        ("g?", "http://a/b/c/g?"),
        ("g;", "http://a/b/c/g;"),
        ("%2e%2e/%zz?a=%2F#", "http://a/b/c/%2e%2e/%zz?a=%2F"),
        ("//g//..//", "http://g//"),
        ("/a//../b", "http://a/a/b"),
    ],
)
def test_nothing_else_is_changed(reference: str, whole: str) -> None:
    assert resolved(BASE, reference) == whole


def test_an_inherited_path_keeps_its_dots() -> None:
    assert resolved("http://a/x/../y?z", "?w") == "http://a/x/../y?w"
    assert resolved("http://a/x/../y?z", "") == "http://a/x/../y?z"
    assert resolved("http://a/x/../y/z", "w") == "http://a/y/w"


@given(st.text())
def test_any_reference_is_resolved_within_the_base_or_to_an_absolute_url(
    reference: str,
) -> None:
    whole = resolved(BASE, reference)
    assert ":" in whole
    assert "#" not in whole
    if whole.startswith("http://a/"):
        path = whole.partition("?")[0].removeprefix("http://a")
        assert not {".", ".."} & set(path.split("/"))
