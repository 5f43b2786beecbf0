"""The two encodings of the execution API: quantities and data, decoded exactly.

A quantity becomes an ``int`` of any size. Data stays text, ``0x`` and digits in lower
case: so it can be compared, printed, and given back to the node as it is, which bytes
cannot. What is neither is a ``ValueError``; nothing is guessed.
"""

from __future__ import annotations

import re
from typing import Any, Final


_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)

#: Characters of a malformed value that an error shows.
_SHOWN: Final = 40


def quantity(value: Any) -> int:
    """Return the number that a quantity is.

    Leading zeros, which the specification forbids and some nodes send, are allowed:
    the number is the same.

    Raises:
        ValueError: It is not a quantity.
    """
    if type(value) is str and _QUANTITY.fullmatch(value):
        return int(value, 16)
    raise ValueError(f"not a quantity (0x and hexadecimal digits): {_shown(value)}")


def data(value: Any) -> str:
    """Return data in lower case.

    Raises:
        ValueError: It is not data.
    """
    if type(value) is str and _DATA.fullmatch(value):
        return value.lower()
    raise ValueError(f"not data (0x and pairs of digits): {_shown(value)}")


def block_hash(value: Any) -> str:
    """Return a hash of 32 bytes in lower case.

    Raises:
        ValueError: It is not one.
    """
    if type(value) is str and _HASH.fullmatch(value):
        return value.lower()
    raise ValueError(f"not a hash of 32 bytes: {_shown(value)}")


def _shown(value: Any) -> str:
    text = value if type(value) is str else type(value).__name__
    return repr(text[:_SHOWN])
