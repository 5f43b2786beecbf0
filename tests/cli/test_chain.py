"""``resilient-ws heads`` and ``resilient-ws logs`` on a real anvil."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.command import COMMAND, Command, run
from tests.feeds.evm.emitter import EMITTED, Emitter
from tests.feeds.evm.told import Node


if TYPE_CHECKING:
    import pathlib

    from tests.servers.daemons import Anvil


URL = "ws://127.0.0.1:1"


async def lines(command: Command, count: int) -> list[Any]:
    return [json.loads(await command.line()) for _ in range(count)]


@pytest.mark.wire
async def test_heads_prints_each_block(anvil: Anvil) -> None:
    async with Node(anvil.url) as node:
        await node.mine(5)
        arguments = ("heads", anvil.url, "--after", "2", "--count", "3")
        async with Command(*arguments) as command:
            told = await lines(command, 3)
            assert await command.ended() == (0, "")
        chain = await node.chain(3)
        assert [head["type"] for head in told] == 3 * ["head"]
        assert {head["number"]: head["hash"] for head in told} == chain
        block = await node.call("eth_getBlockByNumber", "0x3", False)
        assert told[0]["timestamp"] == int(block["timestamp"], 16)
        assert told[0]["parentHash"] == block["parentHash"]
        assert "cursor" not in told[0]


@pytest.mark.wire
async def test_a_cursor_file_tells_what_was_reorganised_meanwhile(
    anvil: Anvil, tmp_path: pathlib.Path
) -> None:
    file = str(tmp_path / "cursor")
    arguments = ("heads", anvil.url, "--cursor-file", file)
    async with Node(anvil.url) as node:
        await node.mine(5)
        async with Command(*arguments) as command:
            await lines(command, 1)
            await node.mine(2)
            old = await lines(command, 2)
            command.signal(signal.SIGTERM)
            assert await command.ended() == (0, "")
        await node.call("anvil_reorg", 2, [])
        await node.mine()
        async with Command(*arguments, "--cursors", "--count", "4") as command:
            reorg, *new = await lines(command, 4)
            assert await command.ended() == (0, "")
        chain = await node.chain(6)
    assert reorg["type"] == "reorg"
    assert reorg["depth"] == 2
    assert [one["hash"] for one in reorg["removed"]] == [
        one["hash"] for one in reversed(old)
    ]
    assert {head["number"]: head["hash"] for head in new} == chain
    # What a line says with --cursors is what --after takes.
    async with Node(anvil.url) as node:
        await node.mine()
        after = ("--after", new[0]["cursor"], "--count", "3")
        async with Command("heads", anvil.url, *after) as command:
            assert [head["number"] for head in await lines(command, 3)] == [7, 8, 9]


@pytest.mark.wire
async def test_logs_prints_the_blocks_that_have_any(anvil: Anvil) -> None:
    async with Emitter(anvil.url) as node:
        await node.emit(1, 0, 2)
        wanted = ("--address", node.address, "--topic", f"{EMITTED},0x{7:064x}")
        more = ("--topic", "any", "--after", "0", "--count", "2")
        async with Command("logs", anvil.url, *wanted, *more) as command:
            told = await lines(command, 2)
            assert await command.ended() == (0, "")
        of_the_node = await node.logs()
    assert [block["type"] for block in told] == ["logs", "logs"]
    assert len(told[0]["logs"]) == 1
    assert [
        (log["blockNumber"], log["blockHash"], log["logIndex"])
        for block in told
        for log in block["logs"]
    ] == of_the_node


@pytest.mark.wire
async def test_a_cursor_file_that_cannot_be_written_ends_it(
    anvil: Anvil, tmp_path: pathlib.Path
) -> None:
    file = str(tmp_path / "cursor")
    (tmp_path / "cursor.new").mkdir()  # where it would be written first
    async with Command("heads", anvil.url, "--cursor-file", file) as command:
        code, _ = await command.ended()
    assert code == 1
    assert "--cursor-file cannot be written: Is a directory" in command.errors[-1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("heads", "URL is missing"),
        (f"heads {URL} --after nowhere", "--after: this is neither a position"),
        (f"heads {URL} --confirmations few", "--confirmations must be a number"),
        (
            f"heads {URL} --cursor-file /dev/null",
            "--cursor-file: /dev/null: this is neither",
        ),
        (f"heads {URL} --cursor-file /nowhere/x", "there is no folder /nowhere"),
        (f"logs {URL} --topic 0x --topic 0x --topic 0x --topic 0x --topic 0x", "comma"),
        (f"heads {URL} --cursor-file /", "--cursor-file: /: Is a directory"),
        ("heads ws://example.com", "--allow-insecure"),
        (f"logs {URL} --address 0x12", "--address must be an address of 20 bytes"),
        (f"logs {URL} --topic 0x12", "--topic must be a topic of 32 bytes"),
        (f"logs {URL} --verify much", "--verify"),
    ],
)
def test_a_wrong_argument_is_named(arguments: str, problem: str) -> None:
    done = run(f"env -u RESILIENT_WS_URL {COMMAND} {arguments}")
    assert done.returncode == 2
    assert done.stdout == ""
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("without_collection")
@pytest.mark.parametrize("text", ["", "-1", "1.5", "true", '"12', "[" * 100_000])
def test_a_cursor_file_that_holds_something_else_is_said_so(
    tmp_path: pathlib.Path, text: str
) -> None:
    file = tmp_path / "cursor"
    file.write_text(text)
    done = run(f"{COMMAND} heads {URL} --cursor-file {file}")
    assert done.returncode == 2
    assert "this is neither a position" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.wire
async def test_a_cursor_file_may_hold_a_number(
    anvil: Anvil, tmp_path: pathlib.Path
) -> None:
    async with Node(anvil.url) as node:
        await node.mine(5)
        file = tmp_path / "cursor"
        file.write_text("3\n")
        arguments = ("heads", anvil.url, "--cursor-file", str(file), "--count", "1")
        async with Command(*arguments) as command:
            told = await lines(command, 1)
            assert await command.ended() == (0, "")
    assert told[0]["number"] == 4


def test_a_position_and_a_file_that_has_one_are_not_given_together(
    tmp_path: pathlib.Path,
) -> None:
    file = tmp_path / "cursor"
    file.write_text("12")
    done = run(f"{COMMAND} heads {URL} --after 3 --cursor-file {file}")
    assert done.returncode == 2
    assert "holds a position already" in done.stderr
    assert file.read_text() == "12"


def test_the_extra_that_is_missing_is_named() -> None:
    code = (
        "import sys; sys.modules['msgspec'] = None; "
        f"sys.argv = ['resilient-ws', 'heads', '{URL}']; "
        "from resilient_ws.cli import main; main()"
    )
    done = run(f'{sys.executable} -c "{code}"')
    assert done.returncode == 2
    assert done.stderr == (
        "resilient-ws: This command needs more: pip install 'resilient-ws[cli,evm]'\n"
    )
