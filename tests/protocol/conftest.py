"""What compresses: each zlib that there is, for the tests that ask for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from resilient_ws.protocol import deflate, inflate, zlibs


if TYPE_CHECKING:
    from resilient_ws.protocol.zlibs import Zlib


@pytest.fixture(params=[zlibs.PYTHONS, zlibs.NEXT_GENERATION], ids=["zlib", "zlib-ng"])
def each_zlib(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Zlib:
    """Python's zlib, and zlib-ng."""
    if request.param is None and os.environ.get("CI") != "true":
        pytest.skip("zlib-ng is not installed")
    chosen: Zlib = request.param
    monkeypatch.setattr(inflate, "ZLIB", chosen)
    monkeypatch.setattr(deflate, "ZLIB", chosen)
    return chosen
