"""The documentation as a site: ``make site`` writes it to build/site."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any


HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from sphinx.domains.python._object import PyObject  # noqa: E402

from docs.tools import links, llms, states  # noqa: E402 - by the line above


if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "resilient_ws"
author = "the resilient_ws authors"
project_copyright = f"2026, {author}"
release = version = installed("resilient-ws")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["tools"]
root_doc = "index"
nitpicky = True
ELSEWHERE = (
    "aiohttp",
    "asyncio",
    "attrs?",
    "collections",
    "enum",
    "gql",
    "logging",
    "msgspec",
    "os",
    "opentelemetry",
    "pathlib",
    "prometheus_client",
    "random",
    "slack_(bolt|sdk)",
    "socket",
    "ssl(_module)?",
    "tenacity",
    "typing",
    "web",
    "web3",
    "websockets",
)
# What aiohttp, asyncio and others define has no page here, and a build reads no
# network, so it has no inventory of theirs. Our own type aliases are told where they
# are used.
nitpick_ignore_regex = [
    (r"py:.*", rf"({'|'.join(ELSEWHERE)})\..*"),
    # A part of a type that napoleon has taken apart at its brackets.
    (r"py:.*", r".*[\[\]].*"),
    # Aliases and type variables, which autodoc shows by their bare names.
    (r"py:(class|obj|exc|data)", r"[A-Za-z_]+"),
    (r"py:.*", r"resilient_ws\.(.*\.)?[A-Z_]\w*"),
]

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 72
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Cancellation", "Cancellation"), ("Rules", "Rules")]
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
# Furo's own underlines the names of modules, as if they were links.
pygments_dark_style = "github-dark"
html_title = "resilient_ws"
html_favicon = "../resilient_ws/monitor/page/icon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "sidebar_hide_name": False,
    "light_css_variables": {
        "color-brand-primary": "#0b6b58",
        "color-brand-content": "#0b6b58",
    },
    "dark_css_variables": {
        "color-brand-primary": "#4fd1b0",
        "color-brand-content": "#4fd1b0",
    },
}
# `make links` is for a person with a network. A server that is slow is asked again.
linkcheck_timeout = 15
linkcheck_retries = 2

copybutton_exclude = ".linenos, .gp, .go"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the diagram of the states and llms.txt."""
    app.add_directive("mermaid", states.Diagram)
    for field in PyObject.doc_field_types:
        if field.name == "variable":  # what a docstring calls Attributes
            field.label = "Attributes"
    app.connect("build-finished", llms.write)
    app.connect("doctree-read", links.resolve)
    app.connect("autodoc-process-docstring", links.keep_whole, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
