"""A protocol of numbered commands; those of feeds/protocols show how one works."""

from __future__ import annotations

import pytest

from resilient_ws.feeds import NumberedCommands


def test_a_protocol_that_leaves_out_what_it_must_write_is_refused_when_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (NumberedCommands,), {})()
