"""When the pump lets others run.

Rules: the pump reads on as long as there are messages, and would fill every buffer
before a consumer can run once. Whoever holds a buffer that the pump fills says when it
is half full; the pump then lets the loop make one turn, and no more than one: a
consumer that is slow in spite of it does not hold up the others.
"""

from __future__ import annotations


class Turns:
    """Tells the pump that a turn of the loop is due.

    Attributes:
        due: Whether a turn is wanted before the pump reads on.
    """

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = False
