"""A page of the documentation, and how its Python is run.

Rules, for every page: a block whose first line is ``# NAME`` is a file, as it stands; a
later one of that name takes its place. Such a file, or any other block, is a *program*
if it runs until it is ended (``STARTS``). A block of text right behind a program is what it prints:
each line comes, in this order, and ``…`` stands for anything. All other Python is run
in the order of the page, in one namespace.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import attrs

from tests.servers.process import ROOT


if TYPE_CHECKING:
    from collections.abc import Iterator

_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: The call that runs a program.
STARTS: Final = re.compile(r"\b(asyncio\.run|run_forever)\(")
_NAME: Final = re.compile(r"# (\S+\.\w+)\n")


@attrs.frozen
class Block:
    """A fenced block: its language, its text, and where it stands."""

    language: str
    text: str
    line: int
    #: The lines of the block of text behind it.
    output: tuple[str, ...] = ()

    @property
    def file(self) -> str | None:
        """The name of the file that it is."""
        named = _NAME.match(self.text)
        return None if named is None else named[1]

    @property
    def program(self) -> bool:
        """Whether it runs by itself."""
        return self.language == "python" and STARTS.search(self.text) is not None

    @property
    def expected(self) -> list[re.Pattern[str]]:
        """What the program prints, line by line."""
        return [
            re.compile(".*".join(map(re.escape, line.split("…"))))
            for line in self.output
        ]


class Page:
    """A page by its path in the repository, ``docs/start.md`` say."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.text = (ROOT / path).read_text()
        self.blocks = list(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        found = list(_FENCE.finditer(self.text))
        for match, behind in zip_longest(found, found[1:]):
            language, text = match.groups()
            line = self.text.count("\n", 0, match.start()) + 2
            output: tuple[str, ...] = ()
            if behind is not None and behind[1] == "text":
                output = tuple(behind[2].splitlines())
            yield Block(language, text, line, output)

    @property
    def python(self) -> list[Block]:
        """The blocks of Python."""
        return [block for block in self.blocks if block.language == "python"]

    @property
    def programs(self) -> list[Block]:
        """Those that run by themselves."""
        return [block for block in self.python if block.program]

    @property
    def files(self) -> list[Block]:
        """Those with the name of a file."""
        return [block for block in self.blocks if block.file is not None]

    @property
    def snippets(self) -> list[Block]:
        """The rest of the Python."""
        return [b for b in self.python if not b.program and b.file is None]

    def run(self, **names: Any) -> dict[str, Any]:
        """Run the snippets in one namespace, and return it."""
        namespace: dict[str, Any] = {"__name__": self.path, **names}
        for block in self.snippets:
            # An error then names the line of the page.
            source = "\n" * (block.line - 1) + block.text
            exec(compile(source, str(ROOT / self.path), "exec"), namespace)
        return namespace


def pages() -> list[str]:
    """The paths of all pages."""
    found = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)
