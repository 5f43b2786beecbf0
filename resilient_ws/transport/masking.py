"""Masking by the compiled routine of aiohttp, where it was built with one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from resilient_ws.protocol.frames import mask


if TYPE_CHECKING:
    from resilient_ws.protocol.frames import Mask


def _found() -> Mask:
    """Return aiohttp's way, or ours where aiohttp's is Python as well."""
    try:
        compiled = import_module("aiohttp._websocket.mask")
        in_place: Mask = compiled._websocket_mask_cython  # noqa: SLF001 - it has no other name
    except (ImportError, AttributeError):
        return mask
    return in_place


#: Masks a payload in place with a key.
MASK: Final = _found()
