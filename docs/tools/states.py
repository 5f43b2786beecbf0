"""Draw the states of a session from its transition table.

A page has the diagram as a mermaid block, which forges draw and a test compares with
the table. On the site the same block becomes an SVG, made from the table itself: the
site then needs no script for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from docutils import nodes
from docutils.parsers.rst import Directive

from resilient_ws.state import TRANSITIONS, State


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WIDTH, _HEIGHT = 760, 330
_BOX_WIDTH, _BOX_HEIGHT = 130, 40
#: The middle of each box. A state without a place here fails the build.
_PLACES: Final[Mapping[State, tuple[int, int]]] = {
    State.IDLE: (80, 60),
    State.CONNECTING: (270, 60),
    State.RESTORING: (475, 60),
    State.OPEN: (680, 60),
    State.BACKOFF: (475, 175),
    State.CLOSING: (270, 290),
    State.CLOSED: (80, 290),
}
#: Which way an arrow bends, where a straight one would cross a box or another arrow.
_BENDS: Final[Mapping[tuple[State, State], tuple[int, int]]] = {
    (State.OPEN, State.CLOSING): (690, 300),
    (State.RESTORING, State.CLOSING): (345, 150),
    (State.IDLE, State.CLOSING): (150, 200),
    (State.BACKOFF, State.CONNECTING): (330, 165),
    (State.BACKOFF, State.CLOSING): (420, 265),
}
_HEAD: Final = f"""\
<figure class="states">
<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" \
aria-label="The states of a session, and every move between two of them." \
xmlns="http://www.w3.org/2000/svg">
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" \
markerHeight="7" orient="auto"><path d="M0 0 10 5 0 10z"/></marker></defs>"""


class Diagram(Directive):
    """A mermaid block: the diagram of the states, whatever the block says."""

    has_content = True
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the SVG."""
        return [nodes.raw("", svg(), format="html")]


def svg() -> str:
    """Return the diagram as an SVG that takes its colours from the page."""
    return "\n".join((_HEAD, *_arrows(), *_boxes(), "</svg></figure>"))


def _arrows() -> Iterator[str]:
    for state, following in TRANSITIONS.items():
        for other in sorted(following, key=lambda one: one.value):
            start, end = _PLACES[state], _PLACES[other]
            bend = _BENDS.get((state, other))
            x1, y1 = _edge(start, bend or end)
            x2, y2 = _edge(end, bend or start)
            way = f"Q{bend[0]} {bend[1]} " if bend else "L"
            path = f"M{x1:.0f} {y1:.0f} {way}{x2:.0f} {y2:.0f}"
            title = f"<title>{state.name} to {other.name}</title>"
            yield f'<path d="{path}" marker-end="url(#tip)">{title}</path>'


def _edge(of: tuple[int, int], towards: tuple[int, int]) -> tuple[float, float]:
    """Return where a line from the middle of a box leaves it."""
    dx, dy = towards[0] - of[0], towards[1] - of[1]
    share = min(
        (_BOX_WIDTH / 2 + 3) / abs(dx) if dx else 9e9,
        (_BOX_HEIGHT / 2 + 3) / abs(dy) if dy else 9e9,
    )
    return of[0] + dx * share, of[1] + dy * share


def _boxes() -> Iterator[str]:
    for state in TRANSITIONS:
        x, y = _PLACES[state]
        kind = " end" if state.terminal else " open" if state is State.OPEN else ""
        yield (
            f'<g class="state{kind}"><rect x="{x - _BOX_WIDTH // 2}" '
            f'y="{y - _BOX_HEIGHT // 2}" width="{_BOX_WIDTH}" '
            f'height="{_BOX_HEIGHT}" rx="8"/>'
            f'<text x="{x}" y="{y + 5}">{state.name}</text></g>'
        )
