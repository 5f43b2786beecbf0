"""Record the demo as a picture of a terminal: ``make picture`` writes docs/demo.svg.

The demo runs in a pseudo-terminal, so that it draws in colours. Of what it left on the
screen, the first outage and the verdict are shown: the whole story is a hundred lines.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text


PICTURE: Final = Path(__file__).parent.parent / "demo.svg"
_COLUMNS: Final = 88
_MARGIN: Final = 2
_CURSOR_UP: Final = re.compile(r"\x1b\[(\d*)A")
_ERASE: Final = re.compile(r"\x1b\[\d*K|\x1b\[\?25[lh]")
_THEME: Final = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [
        (48, 54, 61),
        (248, 113, 113),
        (74, 222, 128),
        (250, 204, 21),
        (96, 165, 250),
        (192, 132, 252),
        (45, 212, 191),
        (230, 237, 243),
    ],
)
#: Rich's own template fetches its font from a server; this one takes what is there.
_FORMAT: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" role="img" \
aria-label="The demo in a terminal" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, \
monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font: bold 18px sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" \
width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" \
clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def recorded() -> str:
    """Run the demo in a pseudo-terminal, and return what it wrote."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "TERM": "xterm-256color",
        "COLUMNS": str(_COLUMNS),
        "LINES": "60",
    }
    written = io.BytesIO()
    with subprocess.Popen(
        [sys.executable, "-m", "resilient_ws.cli", "demo"],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    ) as demo:
        os.close(theirs)
        while True:
            try:
                written.write(os.read(ours, 65536))
            except OSError:  # the other end was closed
                break
        os.close(ours)
    if demo.returncode:
        sys.exit(f"The demo failed: exit code {demo.returncode}.")
    return written.getvalue().decode()


def screen(text: str) -> list[str]:
    """Return the lines as they were left: what was drawn over is gone."""
    lines = [""]
    place = 0
    for piece in re.split(r"(\n|\r|\x1b\[\d*A|\x1b\[\d*K|\x1b\[\?25[lh])", text):
        if piece == "\n":
            place += 1
            if place == len(lines):
                lines.append("")
        elif up := _CURSOR_UP.fullmatch(piece):
            place = max(0, place - int(up[1] or 1))
        elif piece == "\x1b[2K":
            lines[place] = ""
        elif piece and piece != "\r" and not _ERASE.fullmatch(piece):
            lines[place] = piece
    return lines


def excerpt(lines: list[str]) -> list[str]:
    """Return the beginning and the end of the story."""
    plain = [Text.from_ansi(line).plain for line in lines]
    opened = [n for n, line in enumerate(plain) if "open: connection" in line]
    table = next(n for n, line in enumerate(plain) if line.startswith(" messages"))
    end = next(n for n, line in enumerate(plain) if line.startswith("Nothing was lost"))
    # Rich leaves an empty line or two behind each table.
    told = [line for line, bare in zip(lines, plain, strict=True) if bare.strip()]
    table_lines = [line for line in lines[table : end + 1] if line in told]
    first_failed = next(n for n, line in enumerate(plain) if "attempt 2" in line)
    return [
        *lines[:first_failed],
        "   …",
        lines[opened[1]],
        "   …",
        "",
        *table_lines[:-1],
        "",
        table_lines[-1],
    ]


def main() -> None:
    """Write the picture."""
    console = Console(record=True, width=_COLUMNS + _MARGIN, file=io.StringIO())
    for line in excerpt(screen(recorded())):
        text = Text.from_ansi(line)
        text.truncate(_COLUMNS, overflow="ellipsis")
        console.print(Text(" ") + text)
    svg = console.export_svg(
        title="resilient-ws demo", theme=_THEME, code_format=_FORMAT, unique_id="demo"
    )
    PICTURE.write_text(svg)


if __name__ == "__main__":
    main()
