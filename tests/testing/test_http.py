"""The answers to a handshake, to the byte; the requests are judged elsewhere."""

from __future__ import annotations

from resilient_ws.testing.http import Request, rejection, response


def test_the_accept_token_is_that_of_the_rfc() -> None:
    # RFC 6455, section 1.3.
    request = Request.parse(
        b"GET /chat HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    )
    assert request.accept_token() == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_header_that_is_repeated_is_one_list() -> None:
    request = Request.parse(
        b"GET / HTTP/1.1\r\nSec-WebSocket-Protocol: b, a\r\nSEC-WEBSOCKET-PROTOCOL:c"
    )
    assert request.subprotocols == ["b", "a", "c"]
    assert request.tokens("cookie") == []


def test_a_response_has_the_headers_that_are_given_and_no_others() -> None:
    assert response(101, {"A": "b"}) == (
        b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n"
    )
    assert response(599, {}, b"body") == b"HTTP/1.1 599 Unknown\r\n\r\nbody"


def test_a_rejection_announces_its_body_and_the_end() -> None:
    assert rejection(503, 7, {"Connection": "keep-alive"}, b"later") == (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n"
        b"Connection: keep-alive\r\nRetry-After: 7\r\n\r\nlater"
    )
