"""Whether a block's ``logsBloom`` allows that it has logs of a filter.

A bloom works one way only. What it does not allow is not in the block; what it allows
may be. So an empty answer for a block whose bloom allows some is suspect, and nothing
more. No block is left out because of its bloom, for some chains leave it zero.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resilient_ws.feeds.evm.log_filter import LogFilter

#: Bits in a bloom (the yellow paper, section 4.3.1).
BITS: Final = 2048
_MASK: Final = BITS - 1


@lru_cache(maxsize=1)
def _hasher() -> Callable[[bytes], bytes]:
    """Return keccak-256, which ``hashlib`` lacks: its SHA-3 pads differently."""
    try:
        from Crypto.Hash import keccak  # noqa: PLC0415 - an extra
    except ImportError:
        raise ImportError(
            'verify="bloom" and verify="receipts" need keccak-256: '
            "pip install 'resilient-ws[evm]', or choose verify=\"hash\"."
        ) from None
    return lambda data: keccak.new(digest_bits=256, data=data).digest()


def bits_of(value: str) -> int:
    """Return the three bits of an address or a topic, as one number.

    Args:
        value: 20 or 32 bytes as hex, with 0x.

    Raises:
        ImportError: The extra ``evm`` is not installed.
    """
    digest = _hasher()(bytes.fromhex(value[2:]))
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & _MASK)
    return bits


def bloom_of(values: Iterable[str]) -> int:
    """Return the bloom of some addresses and topics, as a number.

    Raises:
        ImportError: The extra ``evm`` is not installed.
    """
    bloom = 0
    for value in values:
        bloom |= bits_of(value)
    return bloom


class BloomTest:
    """Tests blooms for the logs of one filter.

    What is hashed is hashed once, when this is made.

    Args:
        wanted: The filter.

    Raises:
        ImportError: The extra ``evm`` is not installed.
    """

    __slots__ = ("_positions",)

    def __init__(self, wanted: LogFilter) -> None:
        # For each position that is not free, the bits of each value that fits.
        self._positions = tuple(
            tuple(bits_of(value) for value in values)
            for values in (wanted.addresses, *wanted.topics)
            if values
        )

    def allows(self, bloom: str | None) -> bool:
        """Return whether a block with this bloom may have logs of the filter.

        A bloom that is missing or cannot be read allows nothing: it proves nothing, and
        neither does a bloom of zeros. A filter that takes every log fits any bloom that
        is not zero.

        Args:
            bloom: The ``logsBloom`` of a header.
        """
        bits = number_of(bloom)
        if not bits:
            return False
        return all(
            any(bits & value == value for value in values) for values in self._positions
        )

    def chance(self, bloom: str | None) -> float:
        """Return how probably a bloom allows the filter though no log fits.

        Args:
            bloom: The ``logsBloom`` of a header.
        """
        each = (number_of(bloom).bit_count() / BITS) ** 3
        chance = 1.0
        for values in self._positions:
            chance *= 1 - (1 - each) ** len(values)
        # A bloom with a bit in it is that of a block with logs, and all of them fit.
        return chance if self._positions else 0.0


def number_of(bloom: str | None) -> int:
    """Return a ``logsBloom`` as a number, and 0 for what is none."""
    if bloom is None or len(bloom) != 2 + BITS // 4 or not bloom.startswith("0x"):
        return 0
    try:
        return int(bloom, 16)
    except ValueError:
        return 0
