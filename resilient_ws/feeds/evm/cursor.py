"""The position of a consumer in a chain: text that it stores with what it did.

A cursor holds the hashes of the last blocks, and older ones further and further apart,
so that a restart finds the block up to which the chain is still the same.
"""

from __future__ import annotations

import itertools
import re
from typing import Final

import attrs


#: Hashes of the last blocks that a cursor holds, one after the other.
DENSE: Final = 64
#: Of the blocks before, those are kept whose number is a multiple of it, and the older
#: they are, of a higher power of two.
STEP: Final = 32

_TEXT: Final = re.compile(
    r"evm1\.(\d{1,78})\.(\d{1,20})\.([0-9a-f]{64}(?:,[0-9a-f]{64})*)\.(.*)", re.ASCII
)
_OLDER: Final = re.compile(r"(\d{1,20})-([0-9a-f]{64})", re.ASCII)


@attrs.frozen(kw_only=True, repr=False)
class Cursor:
    """A position in a chain.

    ``str`` makes the text to store, about 5 kB, and ``Cursor.parse`` reads it. Made by
    ``heads`` and ``logs``: each block has one.

    Attributes:
        chain_id: The chain, as ``eth_chainId`` names it.
        number: The height of the last block.
        dense: The hashes of at most 64 blocks in sequence, the last one of them at
            ``number``.
        sparse: Numbers and hashes of older blocks, the oldest first: at distances from
            the last block between each power of two and the next.
    """

    chain_id: int
    number: int
    dense: tuple[str, ...]
    sparse: tuple[tuple[int, str], ...] = ()

    @property
    def hash(self) -> str:
        """The hash of the last block."""
        return self.dense[-1]

    @property
    def first(self) -> int:
        """The height of the first block of ``dense``."""
        return self.number - len(self.dense) + 1

    def __repr__(self) -> str:
        """Show the chain and the last block."""
        return f"<Cursor chain {self.chain_id}, block {self.number} {self.hash}>"

    def __str__(self) -> str:
        """Return the text to store."""
        dense = ",".join(one[2:] for one in self.dense)
        sparse = ",".join(f"{number}-{one[2:]}" for number, one in self.sparse)
        return f"evm1.{self.chain_id}.{self.number}.{dense}.{sparse}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read what ``str`` has made.

        Raises:
            ValueError: It is something else.
        """
        found = _TEXT.fullmatch(text)
        older = [] if found is None else _older(found[4])
        if found is None or older is None:
            raise ValueError(_WRONG)
        cursor = cls(
            chain_id=int(found[1]),
            number=int(found[2]),
            dense=tuple(f"0x{one}" for one in found[3].split(",")),
            sparse=tuple(older),
        )
        numbers = [number for number, _ in older]
        rising = [*numbers, cursor.first]
        if (
            len(cursor.dense) > DENSE
            or cursor.first < 0
            or any(b <= a for a, b in itertools.pairwise(rising))
            or str(cursor) != text
        ):
            raise ValueError(_WRONG)
        return cursor

    def then(self, number: int, hash: str) -> Cursor:
        """Return the position of a block told after this one.

        It need not be the next: after a gap it comes later, or, where the chain goes on
        before what was told, earlier.
        """
        if number == self.number + 1:
            return self._next(number, hash)
        older = [(self.first + i, one) for i, one in enumerate(self.dense)]
        known = (*self.sparse, *older)
        sparse = tuple(one for one in known if one[0] < number)
        return attrs.evolve(
            self, number=number, dense=(hash,), sparse=_thinned(sparse, number)
        )

    def back_to(self, number: int) -> Cursor:
        """Return the position of a block that is one of ``dense``."""
        return attrs.evolve(
            self, number=number, dense=self.dense[: number - self.first + 1]
        )

    def _next(self, number: int, hash: str) -> Cursor:
        dense, sparse = (*self.dense, hash), self.sparse
        if len(dense) > DENSE:
            gone = self.first
            if gone % STEP == 0:
                sparse = _thinned((*sparse, (gone, dense[0])), number)
            dense = dense[1:]
        return Cursor(chain_id=self.chain_id, number=number, dense=dense, sparse=sparse)


_WRONG: Final = "This is not the text of a cursor: give it as str(item.cursor) made it."


def _older(text: str) -> list[tuple[int, str]] | None:
    found = [_OLDER.fullmatch(part) for part in text.split(",")] if text else []
    return (
        [(int(one[1]), f"0x{one[2]}") for one in found if one] if all(found) else None
    )


def _thinned(
    sparse: tuple[tuple[int, str], ...], number: int
) -> tuple[tuple[int, str], ...]:
    """Keep of the older blocks as many as are needed.

    Multiples of a power of two are kept up to twice that distance, so that there is one
    between each power of two and the next. The newest stays in any case: behind a gap,
    nothing else may be known.
    """
    return tuple(
        one
        for one in sparse
        if one is sparse[-1] or one[0] == 0 or number - one[0] <= 2 * _power(one[0])
    )


def _power(number: int) -> int:
    """Return the highest power of two that divides a number."""
    return number & -number
