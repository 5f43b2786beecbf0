from __future__ import annotations

import json
import subprocess
import sys

import pytest

from resilient_ws.feeds import json as feeds_json


HUGE = 123456789012345678901234567890123


def test_numbers_of_any_length_are_exact() -> None:
    text = f'{{"a": {HUGE}, "b": [-{HUGE}, {2**64}, {-(2**63) - 1}]}}'
    expected = {"a": HUGE, "b": [-HUGE, 2**64, -(2**63) - 1]}
    assert feeds_json.loads(text) == expected
    assert feeds_json.loads(feeds_json.dumps(expected)) == expected


def test_what_is_written_is_text_without_blanks() -> None:
    assert feeds_json.dumps({"a": [1, None]}) == '{"a":[1,null]}'


def test_without_msgspec_the_standard_library_does_it() -> None:
    program = (
        "import sys; sys.modules['msgspec'] = None\n"
        "from resilient_ws.feeds import json as j\n"
        "import json\n"
        "assert j.loads is json.loads\n"
        f"assert j.loads('{HUGE}') == {HUGE}\n"
        "print(j.dumps(['\\ud800', 'é']))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # Half of a surrogate pair can be sent only escaped.
    assert json.loads(done.stdout) == ["\ud800", "é"]
    assert done.stdout.isascii()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_a_deep_message_raises_and_breaks_nothing(text: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the decoder raises
        feeds_json.loads(text + "1")
    assert feeds_json.loads("[1]") == [1]
