"""What a server's error says, and that it travels."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from resilient_ws.feeds import RequestRefused, RPCError
from resilient_ws.feeds.protocols import (
    CentrifugoError,
    GraphQLError,
    HomeAssistantError,
    MQTTError,
    PhoenixError,
)


@pytest.mark.parametrize(
    ("error", "code", "temporary", "text"),
    [
        ({"code": 7, "message": "no"}, 7, False, "error 7: 'no'."),
        ({"code": "busy", "temporary": True}, "busy", True, "error busy."),
        ({"message": "x" * 10_000}, None, False, "error: 'xxx"),
        ({"code": [1], "message": {"a": 1}}, None, False, "error"),
        ({"code": 1, "temporary": "yes"}, 1, False, "error 1."),
        (*(None, None, False), "error."),
        ([1], None, False, "error."),
    ],
)
def test_whatever_a_server_sends_is_an_error(
    error: Any, code: Any, text: str, *, temporary: bool
) -> None:
    refused = RequestRefused(error)
    assert (refused.error, refused.code, refused.temporary) == (error, code, temporary)
    assert text in str(refused)
    assert len(str(refused)) < 300


def test_a_protocol_names_the_codes_that_pass() -> None:
    assert CentrifugoError({"code": 109}).temporary
    assert not CentrifugoError({"code": 103}).temporary


@pytest.mark.parametrize(
    "error",
    [
        RequestRefused({"code": 1}),
        RPCError(-32000, "no", [1]),
        CentrifugoError({"code": 109, "message": "expired"}),
        GraphQLError([{"message": "no"}]),
        HomeAssistantError({"code": "unauthorized", "message": "m"}),
        MQTTError(0x87, temporary=True),
        PhoenixError({"reason": "no"}),
    ],
)
def test_errors_of_servers_can_be_copied_and_pickled(error: RequestRefused) -> None:
    for travelled in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(travelled) is type(error)
        assert (str(travelled), vars(travelled)) == (str(error), vars(error))
