from __future__ import annotations

import pytest

from resilient_ws.policy.failures import CLOSE_VERDICTS, STATUS_VERDICTS, Verdict
from resilient_ws.policy.hints import (
    CERTIFICATE_HINT,
    certificate_hint,
    close_hint,
    stage_hint,
    status_hint,
    tls_hint,
)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (status_hint(200, "server"), "check the path"),
        (status_hint(400, "server"), "check the URL and your headers"),
        (status_hint(401, "server"), "as a callable"),
        (status_hint(403, "server"), "as a callable"),
        (status_hint(404, "server"), "check the URL"),
        (status_hint(405, "server"), "check the URL"),
        (status_hint(410, "server"), "new URL"),
        (status_hint(426, "server"), "TLS"),
        (status_hint(401, "proxy"), "user:password@"),
        (status_hint(403, "proxy"), "does not allow"),
        (status_hint(407, "proxy"), "user:password@"),
        (status_hint(502, "proxy"), "host and port"),
        (CERTIFICATE_HINT, "clock"),
        (certificate_hint(9), "clock"),
        (certificate_hint(10), "renewed"),
        (certificate_hint(20), "cafile="),
        (certificate_hint(62), "check the host"),
        (certificate_hint(23), "context"),
        (tls_hint("WRONG_VERSION_NUMBER"), "start with ws://"),
        (tls_hint(""), "start with ws://"),
        (tls_hint("TLSV1_ALERT_PROTOCOL_VERSION"), "minimum_version"),
        (tls_hint("UNSUPPORTED_PROTOCOL"), "minimum_version"),
        (tls_hint("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "load_cert_chain()"),
        (tls_hint("SSLV3_ALERT_HANDSHAKE_FAILURE"), "load_cert_chain()"),
        (tls_hint("TLSV1_ALERT_UNKNOWN_CA"), "your client certificate"),
        (tls_hint("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "your client certificate"),
        (stage_hint("handshake", "ws://example.com/"), "use wss://"),
        (stage_hint("handshake", "wss://example.com/"), "client certificate"),
        (close_hint(1002), "RFC 6455"),
        (close_hint(1003), "bytes"),
        (close_hint(1007), "UTF-8"),
        (close_hint(1008), "as a callable"),
        (close_hint(1009), "your max_message_size"),
        (close_hint(1010), "compression"),
        (close_hint(3000), "as a callable"),
        (close_hint(4403), "as a callable"),
    ],
)
def test_what_waiting_does_not_heal_has_a_remedy(told: str | None, words: str) -> None:
    assert told is not None
    assert words in told
    assert told.endswith(".")


@pytest.mark.parametrize(
    "told",
    [status_hint(503, "server"), status_hint(404, "proxy"), close_hint(1001)],
)
def test_what_time_heals_needs_no_hint(told: str | None) -> None:
    assert told is None


def test_every_verdict_but_retry_in_a_table_has_a_hint() -> None:
    for status, verdict in STATUS_VERDICTS.items():
        assert (status_hint(status, "server") is None) is (verdict is Verdict.RETRY)
    for code, verdict in CLOSE_VERDICTS.items():
        assert (close_hint(code) is None) is (verdict is Verdict.RETRY)
