"""Write llms.txt: what each page of the site holds, for programs that read it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes


if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_ABOUT = """\
# resilient_ws

> A WebSocket client session for Python's asyncio that survives its connections: it \
reconnects with backoff, notices dead links, keeps what could not be sent, and reports \
what may have been lost. Python 3.11 or newer, `pip install resilient-ws`.

Rules for code that uses it: subscribe in `on_open`, which runs on each connection; \
read with `async for message in session`, which goes on across reconnects; write no \
reconnect loop of your own; use `session.with_interruptions()` where a hole in the \
stream matters.

The text of every page is also beside it, as Markdown: replace `.html` by `.md`.
"""


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write llms.txt, and the source of each page beside it."""
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    (out / "llms.txt").write_text(_ABOUT + "".join(_sections(app.env)))
    for name in app.env.found_docs:
        source = Path(app.env.doc2path(name))
        (out / name).with_suffix(".md").write_text(source.read_text())


def _sections(env: BuildEnvironment) -> Iterator[str]:
    """Yield the pages by the captions of the table of contents."""
    root = env.get_doctree(env.config.root_doc)
    from sphinx import addnodes  # noqa: PLC0415 - only a build has Sphinx loaded

    for tree in root.findall(addnodes.toctree):
        yield f"\n## {tree.get('caption') or 'Pages'}\n\n"
        for _, name in tree["entries"]:
            yield from _lines(env, name)


def _lines(env: BuildEnvironment, name: str) -> Iterator[str]:
    title = env.titles[name].astext()
    yield f"- [{title}]({name}.md): {_first_sentence(env, name)}\n"
    for below in env.toctree_includes.get(name, ()):
        yield from _lines(env, below)


def _first_sentence(env: BuildEnvironment, name: str) -> str:
    for paragraph in env.get_doctree(name).findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        sentence = re.split(r"(?<=[.?])\s", text)[0]
        return f"{sentence.removesuffix(':')}." if sentence.endswith(":") else sentence
    return ""
