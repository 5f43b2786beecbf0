"""Links of a page that lead out of docs/, as they do in the repository.

A file becomes a download by MyST itself. A folder is shown as text. The pages at the
top of the repository have a page of the site each.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sphinx import addnodes


if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

_ROOT: Final = Path(__file__).parent.parent.parent
_PAGES: Final = {
    "CHANGELOG": "project/changelog",
    "CONTRIBUTING": "project/contributing",
    "SECURITY": "project/security-policy",
    "README": "index",
}


def resolve(app: Sphinx, doctree: nodes.document) -> None:
    """Resolve them, before MyST looks for pages of that name."""
    here = Path(app.env.doc2path(app.env.docname)).parent
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node["reftype"] not in {"myst", "doc"}:
            continue
        file, _, anchor = node["reftarget"].partition("#")
        target = (here / file).resolve()
        if target.parent == _ROOT and target.stem in _PAGES:
            # MyST resolves it from here, and warns of an anchor that is not there.
            node["refdomain"], node["reftype"] = "doc", "myst"
            node["reftarget"] = _PAGES[target.stem]
            # MyST has set it already where it took the path for one of a page.
            node["reftargetid"] = node.get("reftargetid") or anchor
            node["refexplicit"] = True
        elif target.is_dir() and target.is_relative_to(_ROOT):
            node.replace_self(node.children)


def keep_whole(
    _: Sphinx, what: str, __: str, ___: object, ____: object, lines: list[str]
) -> None:
    """Keep napoleon from reading "TYPE: text" into the docstring of an attribute.

    A sentence with a colon would have its beginning for a type.
    """
    if what in {"attribute", "data", "property"} and lines and ": " in lines[0]:
        lines.insert(0, "\\ ")  # is shown as nothing
