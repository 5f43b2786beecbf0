"""Which zlib inflates and deflates: zlib-ng where it is installed, else Python's.

Both read and write the same format. zlib-ng is faster and takes more memory, and comes
with the extra ``zlib-ng``; where the environment has ``RESILIENT_WS_ZLIB_NG=0``, it is
left alone. isal inflates large messages faster still, but its streams
cannot be copied, as ``Inflater`` does at the limit of a message.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs


if TYPE_CHECKING:
    # typeshed has no public names for them.
    Decompress: TypeAlias = zlib._Decompress  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    Compress: TypeAlias = zlib._Compress  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


@attrs.frozen(kw_only=True)
class Zlib:
    """One implementation.

    Attributes:
        name: What it is called, with its version.
        level: How hard it tries to compress.
        compressobj: Opens a stream that compresses, as ``zlib.compressobj`` does.
        decompressobj: Opens a stream that inflates.
        error: Raised for what is not compressed data.
    """

    name: str
    level: int
    compressobj: Callable[..., Compress]
    decompressobj: Callable[..., Decompress]
    error: type[Exception]


def _implementation(module: Any, name: str, level: int) -> Zlib:  # noqa: ANN401 - they have no common type
    return Zlib(
        name=name,
        level=level,
        compressobj=module.compressobj,
        decompressobj=module.decompressobj,
        error=module.error,
    )


#: The oldest zlib-ng that is used; an older one is left alone.
_OLDEST: Final = (0, 5)

#: On 16 KiB of JSON the default level takes twice the time of the lowest for a result
#: an eighth smaller; both are about a quarter of the message.
PYTHONS: Final = _implementation(zlib, f"zlib {zlib.ZLIB_RUNTIME_VERSION}", 1)


def _next_generation() -> Zlib | None:
    """Return zlib-ng, or ``None`` if it is not installed, or too old."""
    try:
        version: str = import_module("zlib_ng").__version__
        module = import_module("zlib_ng.zlib_ng")
    except ImportError:
        return None
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        return None
    # Its lowest level makes messages a third larger than zlib's does; the next one
    # makes them smaller, and still takes less time.
    return _implementation(module, f"zlib-ng {module.ZLIBNG_RUNTIME_VERSION}", 2)


NEXT_GENERATION: Final = _next_generation()


def _chosen() -> Zlib:
    if NEXT_GENERATION is None or os.environ.get("RESILIENT_WS_ZLIB_NG") == "0":
        return PYTHONS
    return NEXT_GENERATION


#: The one that is used.
ZLIB: Final = _chosen()
