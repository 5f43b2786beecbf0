"""Names and dates are read out of certificates that were not accepted."""

from __future__ import annotations

import datetime as dt
import ssl

import pytest
import trustme
from hypothesis import given, strategies as st

from resilient_ws.cli.probe.certificate import lifetime_left, read_certificate


SINCE = dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize("year", [2025, 2055])
def test_reads_names_and_dates(year: int) -> None:
    until = SINCE.replace(year=year)
    leaf = trustme.CA().issue_cert(
        "example.com",
        "*.example.org",
        "10.0.0.1",
        "::1",
        not_before=SINCE,
        not_after=until,
    )
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    found = read_certificate(der)
    assert found.names == ("example.com", "*.example.org", "10.0.0.1", "::1")
    assert found.since == SINCE
    assert found.until == until
    assert found.shown_names() == "example.com, *.example.org, 10.0.0.1 and 1 more"


@given(st.binary(max_size=200).map(lambda b: b"\x06\x03\x55\x1d\x11\x04" + b))
def test_nothing_breaks_it(der: bytes) -> None:
    assert read_certificate(der).until is None


def test_lifetimes() -> None:
    assert lifetime_left(SINCE + dt.timedelta(days=1, hours=2), SINCE) == "1 day"
    assert lifetime_left(SINCE + dt.timedelta(days=30), SINCE) == "30 days"
    assert lifetime_left(SINCE + dt.timedelta(hours=5), SINCE) == "5 hours"
