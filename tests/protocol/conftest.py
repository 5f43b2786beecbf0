"""What compresses: each zlib that there is, for the tests that ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resilient_ws.protocol import deflate, inflate, zlibs
from tests.protocol.compressed import needs_zlib_ng


if TYPE_CHECKING:
    from resilient_ws.protocol.zlibs import Zlib


@pytest.fixture(
    params=[
        pytest.param(zlibs.PYTHONS, id="zlib"),
        pytest.param(zlibs.NEXT_GENERATION, id="zlib-ng", marks=needs_zlib_ng),
    ]
)
def each_zlib(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Zlib:
    """Python's zlib, and zlib-ng."""
    chosen: Zlib = request.param
    monkeypatch.setattr(inflate, "ZLIB", chosen)
    monkeypatch.setattr(deflate, "ZLIB", chosen)
    return chosen
