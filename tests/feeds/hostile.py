"""What a server may send and should not."""

from __future__ import annotations

import json
from typing import Any


def _answer(number: Any, **what: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, **what})


#: Messages that are of no use to a JSON-RPC client, or of little.
MESSAGES = [
    "",
    "{",
    "nonsense",
    "null",
    "true",
    "1e400",
    '"\\ud800"',
    "[]",
    "[[]]",
    "[1, null, {}]",
    "{}",
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 100_000 + "1" + "}" * 100_000,
    "9" * 5_000,
    _answer(10**30, result=1),
    _answer(0, result=1),
    _answer(-1, result=1),
    _answer([1], result=1),
    _answer({"a": 1}, result=1),
    _answer(True, result=1),
    _answer(False, error={"code": 1, "message": "x"}),
    _answer(1.0, result=1),
    _answer("1", result=1),
    _answer(None, result=1),
    _answer(None, error={"code": -32700, "message": "Parse error"}),
    _answer(999_999, result=1, error={"code": 1, "message": "both"}),
    _answer(999_999),
    _answer(999_999, error="text"),
    _answer(999_999, error=None),
    _answer(999_999, error={"code": "x", "message": 5}),
    json.dumps({"jsonrpc": "2.0", "method": 5}),
    json.dumps({"jsonrpc": "2.0", "method": "__class__", "params": []}),
    json.dumps({"jsonrpc": "2.0", "method": "m", "params": {"subscription": []}}),
    json.dumps({"jsonrpc": "2.0", "method": "m", "params": {"subscription": {}}}),
    json.dumps({"jsonrpc": "2.0", "method": "m", "params": {"subscription": None}}),
    json.dumps({"jsonrpc": "2.0", "method": "m", "params": "text"}),
    json.dumps({"jsonrpc": "2.0", "method": "__init__", "params": [], "id": 1}),
    json.dumps({"jsonrpc": "2.0", "method": "call", "params": 5, "id": "a"}),
    json.dumps({"jsonrpc": "2.0", "method": "call", "id": [1]}),
    '{"jsonrpc": "2.0", "method": "call", "id": "\\ud800"}',
    "\ud800",
]
