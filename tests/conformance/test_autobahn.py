"""The Autobahn cases, as many as take seconds; ``make conformance`` runs them all."""

from __future__ import annotations

import collections
import contextlib
from typing import TYPE_CHECKING
from unittest import mock

import attrs
import pytest

import resilient_ws
from resilient_ws.protocol.deflate import Offer
from resilient_ws.testing import assert_no_leaks
from tests.conformance.fuzzing import (
    COMPRESSED,
    PLAIN,
    Verdict,
    echo_resilient_ws,
    one_connection,
    verdicts,
)
from tests.conformance.report import grade


if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from resilient_ws.protocol.deflate import DeflateParameters
    from tests.conformance.fuzzing import Echo


#: How many cases there are, so that one that was left out is noticed.
COUNTS = {
    "1": 16,
    "2": 11,
    "3": 7,
    "4": 10,
    "5": 20,
    "6": 145,
    "7": 37,
    "9": 54,
    "10": 1,
}
#: Of each kind, a thousand messages of 1 KiB.
FEW = [f"{kind}.4" for kind in COMPRESSED]


@pytest.mark.wire
async def test_every_case_of_rfc_6455_is_ok(tmp_path: Path) -> None:
    async with assert_no_leaks():
        found = await verdicts("resilient_ws", PLAIN, tmp_path)
    chapters = collections.Counter(verdict.case.split(".")[0] for verdict in found)
    assert chapters == COUNTS
    assert [verdict for verdict in found if not verdict.passed] == []


@pytest.mark.wire
async def test_a_case_of_each_kind_of_compression_is_ok(tmp_path: Path) -> None:
    found = await verdicts("resilient_ws", FEW, tmp_path)
    assert [verdict.case for verdict in found] == FEW
    assert [verdict for verdict in found if not verdict.passed] == []


# --- the judge, whose cases of compression are mended: it must still see a fault -----


async def echo_one_byte_less(url: str) -> None:
    with contextlib.suppress(resilient_ws.ResilientWSError):
        async with one_connection(url) as session:
            async for message in session:
                await session.send(message[:-1], only_if_open=True)


async def echo_with_takeover(url: str) -> None:
    """Keep the window from message to message, whatever was agreed on."""
    accept = Offer.accept

    def break_word(
        offer: Offer, parameters: Mapping[str, str | None]
    ) -> DeflateParameters:
        return attrs.evolve(accept(offer, parameters), own_takeover=True)

    with mock.patch.object(Offer, "accept", break_word):
        await echo_resilient_ws(url)


@pytest.mark.wire
@pytest.mark.parametrize(
    ("case", "echo"),
    [
        pytest.param("12.1.1", echo_one_byte_less, id="plain text"),
        pytest.param("12.2.1", echo_one_byte_less, id="plain binary"),
        pytest.param("12.1.4", echo_one_byte_less, id="compressed"),
        pytest.param("13.2.4", echo_with_takeover, id="takeover"),
    ],
)
async def test_a_client_that_is_wrong_fails(
    case: str, echo: Echo, tmp_path: Path
) -> None:
    [found] = await verdicts("wrong", [case], tmp_path, echo=echo)
    assert not found.passed
    assert grade(found) == "failed"


@pytest.mark.parametrize(
    ("behavior", "close", "expected"),
    [
        ("OK", "OK", "OK"),
        ("INFORMATIONAL", "OK", "informational"),
        ("OK", "INFORMATIONAL", "informational"),
        ("NON-STRICT", "INFORMATIONAL", "non-strict"),
        ("UNIMPLEMENTED", "OK", "not negotiated"),
        ("INFORMATIONAL", "FAILED", "failed"),
        ("OK", "UNCLEAN", "failed"),
        ("OK", "WRONG CODE", "failed"),
        ("ERROR", "OK", "failed"),
    ],
)
def test_a_verdict_is_as_good_as_its_worse_half(
    behavior: str, close: str, expected: str
) -> None:
    verdict = Verdict(case="1.1.1", behavior=behavior, close=close)
    assert grade(verdict) == expected
    assert verdict.passed == (expected in {"OK", "informational"})
