"""web3.py on a session, against a real node that is cut off, killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tenacity import wait_fixed
from web3 import AsyncWeb3
from web3.exceptions import ProviderConnectionError, TimeExhausted, Web3RPCError
from web3.utils.subscriptions import LogsSubscription, NewHeadsSubscription

from resilient_ws import ConnectionLost, Reconnect, Timeouts, connect
from resilient_ws.adapters.web3 import ResilientProvider, reads
from resilient_ws.feeds import (
    CallLost,
    Gap,
    NotBackfillable,
    SubscribeRefused,
    Undecodable,
    evm,
)
from resilient_ws.feeds.jsonrpc import Client
from resilient_ws.testing import FaultProxy, Reset, ScriptedServer, assert_no_leaks
from tests.servers.process import free_port


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resilient_ws.testing import Peer
    from tests.servers.daemons import Anvil


NOBODY: Any = "0x" + "00" * 20
QUICKLY = Reconnect(wait=wait_fixed(0.05))


def provider(url: str, **options: Any) -> ResilientProvider:
    session = connect(url, reconnect=QUICKLY, timeouts=Timeouts(close=0.2))
    return ResilientProvider(Client(session), **options)


async def mine(w3: AsyncWeb3[Any], blocks: int = 1) -> None:
    for _ in range(blocks):
        await w3.provider.make_request("evm_mine", [])


@contextlib.asynccontextmanager
async def handling(w3: AsyncWeb3[Any]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(
        w3.subscription_manager.handle_subscriptions(run_forever=True)
    )
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Any, within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - what it looks at tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.wire
async def test_fifty_heads_over_four_connections(anvil: Anvil) -> None:
    heads: list[int] = []

    async def on_head(context: Any) -> None:
        heads.append(context.result["number"])

    async with (
        FaultProxy("127.0.0.1", anvil.port) as proxy,
        AsyncWeb3(provider(proxy.url())) as w3,
        AsyncWeb3(provider(anvil.url)) as miner,
    ):
        first = await w3.eth.block_number + 1
        name = await w3.eth.subscribe("newHeads", handler=on_head)
        async with handling(w3):
            for cuts in range(4):
                await mine(miner, 8)
                await until(lambda seen=13 * cuts + 8: len(heads) == seen)
                if cuts < 3:
                    proxy.connections[-1].apply(Reset())
                    await mine(miner, 5)
                    await proxy.arrivals(cuts + 2)
            await mine(miner, 3)
            await until(lambda: len(heads) == 50)
        assert [sub.id for sub in w3.subscription_manager.subscriptions] == [name]
    assert heads == [*range(first, first + 50)]
    assert proxy.accepted == 4


@pytest.mark.wire
async def test_a_node_that_is_killed_and_started_again(anvil: Anvil) -> None:
    heads: list[int] = []

    async def on_head(context: Any) -> None:
        heads.append(context.result["number"])

    async with AsyncWeb3(provider(anvil.url)) as w3:
        await w3.eth.subscribe("newHeads", handler=on_head)
        async with handling(w3):
            await mine(w3, 5)
            await until(lambda: len(heads) == 5)
            await anvil.stop()  # in order, so that it writes its state
            asked = asyncio.create_task(w3.eth.get_block("latest"))
            await anvil.start()
            assert (await asked)["number"] == 5  # it waited for the node
            await mine(w3, 5)
            await until(lambda: len(heads) == 10)
            assert await w3.eth.block_number == 10
    assert heads == [*range(1, 11)]


@pytest.mark.wire
async def test_heads_of_evm_follow_a_reorganisation_in_a_drop(anvil: Anvil) -> None:
    heads: list[Any] = []

    async def on_head(context: Any) -> None:
        heads.append(context.result)

    async with (
        FaultProxy("127.0.0.1", anvil.port) as proxy,
        AsyncWeb3(provider(proxy.url(), heads=evm.heads)) as w3,
        AsyncWeb3(provider(anvil.url)) as miner,
    ):
        await mine(miner, 5)
        await w3.eth.subscribe("newHeads", handler=on_head)
        async with handling(w3):
            await until(lambda: len(heads) == 1)  # the newest comes first
            await mine(miner, 3)
            await until(lambda: len(heads) == 4)
            before = heads[-1]["hash"]
            proxy.connections[-1].apply(Reset())
            request: Any = miner.provider.make_request
            await request("anvil_reorg", [2, []])
            await mine(miner, 2)
            await until(lambda: len(heads) == 8)
    numbers = [head["number"] for head in heads]
    assert numbers == [5, 6, 7, 8, 7, 8, 9, 10]
    assert heads[5]["hash"] != before
    for parent, child in itertools.pairwise(heads[4:]):
        assert child["parentHash"] == parent["hash"]


# A contract that emits one log without topics, whoever calls it: LOG0(0, 0), STOP.
EMITTER = "0x" + "60088060093d393df3" + "60006000a0" + "000000"


@pytest.mark.wire
async def test_logs_that_were_missed_come_in_their_place(anvil: Anvil) -> None:
    places: list[tuple[int, int]] = []

    async def on_log(context: Any) -> None:
        places.append((context.result["blockNumber"], context.result["logIndex"]))

    async with (
        FaultProxy("127.0.0.1", anvil.port) as proxy,
        AsyncWeb3(provider(proxy.url())) as w3,
        AsyncWeb3(provider(anvil.url)) as other,
    ):
        account = (await other.eth.accounts)[0]

        async def send(**transaction: Any) -> Any:
            sent = await other.eth.send_transaction({"from": account, **transaction})
            await mine(other)
            return await other.eth.get_transaction_receipt(sent)

        contract = (await send(data=EMITTER))["contractAddress"]
        await w3.subscription_manager.subscribe(
            LogsSubscription(address=contract, handler=on_log)
        )
        async with handling(w3):
            found = [await send(to=contract)]
            await until(lambda: len(places) == 1)
            proxy.connections[-1].apply(Reset())
            found += [await send(to=contract) for _ in range(3)]
            await proxy.arrivals(2)
            await until(lambda: len(places) == 4)
            found.append(await send(to=contract))
            await until(lambda: len(places) == 5)
    assert places == [(receipt["blockNumber"], 0) for receipt in found]


@pytest.mark.wire
async def test_a_stream_without_history_tells_its_gap(anvil: Anvil) -> None:
    gaps: list[tuple[str, Gap]] = []
    hashes: list[Any] = []
    async with (
        FaultProxy("127.0.0.1", anvil.port) as proxy,
        AsyncWeb3(provider(proxy.url(), on_gap=lambda *told: gaps.append(told))) as w3,
        AsyncWeb3(provider(anvil.url)) as other,
    ):
        accounts = await other.eth.accounts
        name = await w3.eth.subscribe("newPendingTransactions")

        async def read() -> None:
            async for item in w3.socket.process_subscriptions():
                assert item["subscription"] == name
                hashes.append(item["result"])

        async with asyncio.TaskGroup() as group:
            reader = group.create_task(read())
            sent = [
                await other.eth.send_transaction(
                    {"from": accounts[0], "to": accounts[1]}
                )
            ]
            await until(lambda: len(hashes) == 1)
            proxy.connections[-1].apply(Reset())
            await until(lambda: len(gaps) == 1)
            sent.append(
                await other.eth.send_transaction(
                    {"from": accounts[0], "to": accounts[1]}
                )
            )
            await until(lambda: len(hashes) == 2)
            reader.cancel()
        assert hashes == sent
        (told,) = gaps
        assert told[0] == name
        assert isinstance(told[1].because, NotBackfillable)
        # It is left, and the node is told.
        assert await w3.eth.unsubscribe(name)
        assert w3.subscription_manager.subscriptions == []


@pytest.mark.wire
async def test_calls_and_batches(anvil: Anvil) -> None:
    async with AsyncWeb3(provider(anvil.url)) as w3:
        assert await w3.is_connected()
        await mine(w3, 3)
        blocks = await asyncio.gather(*[w3.eth.get_block(n % 4) for n in range(200)])
        assert [block["number"] for block in blocks] == [n % 4 for n in range(200)]

        async def batch(numbers: list[int]) -> list[int]:
            async with w3.batch_requests() as requests:
                for number in numbers:
                    requests.add(w3.eth.get_block(number))
                found: list[Any] = await requests.async_execute()
            return [block["number"] for block in found]

        # Two at once: web3 itself has one place for both answers.
        found = await asyncio.gather(batch([1, 2]), batch([3, 0, 1]))
        assert [*found] == [
            [1, 2],
            [3, 0, 1],
        ]
        with pytest.raises(Web3RPCError, match="-3260"):
            await w3.manager.coro_request("nothing_known", [])
        with pytest.raises(Web3RPCError):
            await w3.eth._subscribe("nothing")
        await w3.socket.send("eth_chainId", [])
        answer: Any = await w3.socket.recv()
        assert answer["result"] == hex(31337) or answer == 31337


@pytest.mark.wire
async def test_waiting_costs_nothing(anvil: Anvil) -> None:
    async with AsyncWeb3(provider(anvil.url)) as w3:
        await w3.eth.block_number
        await anvil.freeze()
        before = time.process_time()
        asked = asyncio.create_task(w3.eth.get_block("latest"))
        await asyncio.sleep(1)
        used = time.process_time() - before
        await anvil.thaw()
        await asked
    # A loop that looks again and again uses all of the second.
    assert used < 0.5


# What no node does when it is asked to.


@contextlib.asynccontextmanager
async def node(**options: Any) -> AsyncIterator[tuple[ScriptedServer, AsyncWeb3[Any]]]:
    async with assert_no_leaks(), ScriptedServer() as server:
        session = connect(server.url(), wait_open=False)
        async with AsyncWeb3(ResilientProvider(Client(session), **options)) as w3:
            yield server, w3


async def asked(peer: Peer) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(await peer.receive())
    return request


async def answer(peer: Peer, request: dict[str, Any], **what: Any) -> None:
    await peer.send(json.dumps({"jsonrpc": "2.0", "id": request["id"], **what}))


async def test_a_call_that_reads_goes_out_again() -> None:
    async with node() as (server, w3):
        peer = await server.accept()
        call = asyncio.create_task(w3.eth.get_balance(NOBODY))
        await asked(peer)
        await peer.reset()
        peer = await server.accept()
        await answer(peer, await asked(peer), result="0x7")
        assert await call == 7


async def test_a_transaction_is_not_sent_twice() -> None:
    async with node() as (server, w3):
        peer = await server.accept()
        call = asyncio.create_task(w3.eth.send_raw_transaction(b"\0"))
        await asked(peer)
        await peer.reset()
        with pytest.raises(ProviderConnectionError) as lost:
            await call
        assert isinstance(lost.value.__cause__, CallLost)
        assert lost.value.__cause__.maybe_executed
        assert w3.provider._request_processor._request_information_cache.items() == []


async def test_a_batch_that_reads_goes_out_again() -> None:
    async with node() as (server, w3):
        peer = await server.accept()
        async with w3.batch_requests() as batch:
            batch.add(w3.eth.get_balance(NOBODY))
            batch.add(w3.eth.get_balance(NOBODY))
            call: asyncio.Task[Any] = asyncio.create_task(batch.async_execute())
            await peer.receive()
            await peer.reset()
            peer = await server.accept()
            requests = json.loads(await peer.receive())
            responses = [
                {"jsonrpc": "2.0", "id": request["id"], "result": hex(n)}
                for n, request in enumerate(requests)
            ]
            await peer.send(json.dumps(responses[::-1]))
            assert await call == [0, 1]


async def test_time_runs_out() -> None:
    async with node(request_timeout=5.0) as (server, w3):
        await server.accept()
        with pytest.raises(TimeExhausted, match="5 s"):
            await w3.eth.get_balance(NOBODY)
        assert not await w3.is_connected()
        with pytest.raises(ProviderConnectionError):
            await w3.is_connected(show_traceback=True)


async def test_a_thousand_lost_calls_do_not_cost_a_subscription() -> None:
    heads: list[Any] = []

    async def on_head(context: Any) -> None:
        heads.append(context.result)

    async with node(request_timeout=1.0) as (server, w3):
        peer = await server.accept()
        task = asyncio.create_task(w3.eth.subscribe("newHeads", handler=on_head))
        await answer(peer, await asked(peer), result="0x1")
        await answer(peer, await asked(peer), result="0xa")
        await task
        for _ in range(6):
            calls = [w3.eth.get_balance(NOBODY) for _ in range(200)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(one) for one in found} == {TimeExhausted}
        async with handling(w3):
            head = {"number": "0x2", "hash": "0x" + "11" * 32}
            params = {"subscription": "0xa", "result": head}
            note = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
            await peer.send(json.dumps(note))
            await until(lambda: heads)
        assert heads[0]["number"] == 2  # web3 still knows how to read it


async def test_an_item_that_overtakes_web3_itself_is_not_lost() -> None:
    heads: list[Any] = []

    async def on_head(context: Any) -> None:
        heads.append(context.result["number"])

    async with node() as (server, w3):
        peer = await server.accept()
        task = asyncio.create_task(w3.eth.subscribe("newHeads", handler=on_head))
        await answer(peer, await asked(peer), result="0x1")
        request = await asked(peer)
        notes = [
            {
                "jsonrpc": "2.0",
                "method": "eth_subscription",
                "params": {
                    "subscription": "0xa",
                    "result": {"number": hex(n), "hash": "0x" + f"{n:064x}"},
                },
            }
            for n in (2, 3)
        ]
        granted = {"jsonrpc": "2.0", "id": request["id"], "result": "0xa"}
        # Before the answer, and in one write with it.
        await peer.send(*map(json.dumps, (notes[0], granted, notes[1])))
        await task
        async with handling(w3):
            await until(lambda: len(heads) == 2)
    assert heads == [2, 3]


async def test_a_node_that_refuses_a_subscription_later_is_told_to_the_reader() -> None:
    async with node() as (server, w3):
        peer = await server.accept()
        subscription = NewHeadsSubscription(handler=_never)
        task = asyncio.create_task(w3.subscription_manager.subscribe(subscription))
        await answer(peer, await asked(peer), result="0x1")
        await answer(peer, await asked(peer), result="0xa")
        await task
        async with handling(w3) as handler:
            await peer.reset()
            peer = await server.accept()
            request = await asked(peer)
            error = {"code": -32000, "message": "no more"}
            await answer(peer, request, error=error)
            with pytest.raises(SubscribeRefused):
                await handler


@contextlib.asynccontextmanager
async def subscribed(
    **options: Any,
) -> AsyncIterator[tuple[ScriptedServer, Peer, list[Any], asyncio.Task[None]]]:
    """A node whose newest block is 1, and a program that follows its heads."""
    heads: list[Any] = []

    async def on_head(context: Any) -> None:
        heads.append(context.result["number"])

    async with node(**options) as (server, w3):
        peer = await server.accept()
        task = asyncio.create_task(w3.eth.subscribe("newHeads", handler=on_head))
        await answer(peer, await asked(peer), result="0x1")
        await answer(peer, await asked(peer), result="0xa")
        # What came between the two is asked for.
        await answer(peer, await asked(peer), result="0x1")
        await task
        async with handling(w3) as handler:
            yield server, peer, heads, handler


def announced(number: int, key: str = "0xa") -> str:
    head = {"number": hex(number), "hash": f"0x{number:064x}"}
    params = {"subscription": key, "result": head}
    note = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
    return json.dumps(note)


async def test_a_node_that_lags_is_asked_again() -> None:
    async with subscribed() as (_, peer, heads, _):
        await peer.send(announced(2), announced(5))
        lags = 2
        while len(heads) < 4:
            request = await asked(peer)
            number = int(request["params"][0], 16)
            lags -= number == 3
            block = json.loads(announced(number))["params"]["result"]
            late = number == 3 and lags >= 0
            await answer(peer, request, result=None if late else block)
            if number == 3 and not late:
                await until(lambda: len(heads) == 4)
        assert heads == [2, 3, 4, 5]


async def test_a_block_that_cannot_be_had_is_a_gap() -> None:
    gaps: list[Gap] = []

    def told(_: str, gap: Gap) -> None:
        gaps.append(gap)
        raise KeyError("on_gap")

    async with subscribed(on_gap=told) as (_, peer, heads, _):
        await peer.send(announced(2), announced(4))
        asks = 0
        while asks < 6:  # within three seconds
            request = await asked(peer)
            number = int(request["params"][0], 16)
            asks += number == 3
            block = json.loads(announced(number))["params"]["result"]
            await answer(peer, request, result=None if number == 3 else block)
        await until(lambda: heads == [2, 4])
    assert (gaps[0].first_missing, gaps[0].until) == (3, 3)


async def test_a_head_that_cannot_be_read_is_a_gap() -> None:
    gaps: list[Gap] = []
    options: Any = {"on_gap": lambda _, gap: gaps.append(gap)}
    async with subscribed(**options) as (_, peer, heads, _):
        malformed: list[Any] = [{}, 7, None, [], {"number": 7}, {"number": "x"}]
        for head in malformed:
            params = {"subscription": "0xa", "result": head}
            note = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
            await peer.send(json.dumps(note))
        await peer.send(announced(2))
        await until(lambda: heads == [2])
    assert len(gaps) == 6
    assert {type(gap.because) for gap in gaps} == {Undecodable}


async def test_an_old_height_is_a_reorganisation() -> None:
    async with subscribed() as (_, peer, heads, _):
        again = announced(2).replace("0" * 63 + "2", "0" * 62 + "ff")
        await peer.send(announced(2), announced(3), again, announced(2))
        await until(lambda: heads == [2, 3, 2])


async def test_a_stream_that_fails_is_raised_where_it_is_read() -> None:
    async def broken(_: Client) -> AsyncIterator[Any]:
        yield Header(7, f"0x{7:064x}", f"0x{6:064x}")
        raise KeyError("broken")

    options: Any = {"heads": broken}
    async with node(**options) as (server, w3):
        await server.accept()
        await w3.eth.subscribe("newHeads", handler=_nothing)
        with pytest.raises(KeyError, match="broken"):
            await w3.subscription_manager.handle_subscriptions()


async def _nothing(_: Any) -> None:
    """Take an item."""


class Header(msgspec.Struct):
    """As a head of ``resilient_ws.feeds.evm``."""

    number: int
    hash: str
    parentHash: str  # noqa: N815 - the name that nodes send
    miner: str | None = None
    transactions: tuple[str, ...] = ()
    extra: dict[str, Any] = {}


async def test_heads_of_another_stream() -> None:
    gaps: list[tuple[str, Gap]] = []
    heads: list[Any] = []
    closed: list[Client] = []
    gap = Gap(key="heads", because=NotBackfillable("no more"))

    async def other(client: Client) -> AsyncIterator[Any]:
        try:
            yield Header(7, f"0x{7:064x}", f"0x{6:064x}", extra={"mixHash": "0x1"})
            yield gap
            yield object()  # blocks that are gone
            yield Header(7, f"0x{8:064x}", f"0x{6:064x}")
            await asyncio.sleep(3600)
        finally:
            closed.append(client)

    async def on_head(context: Any) -> None:
        heads.append(context.result)
        if len(heads) == 2:
            await context.subscription.unsubscribe()

    options: Any = {"heads": other, "on_gap": lambda *told: gaps.append(told)}
    async with node(**options) as (server, w3):
        await server.accept()
        name = await w3.eth.subscribe("newHeads", handler=on_head)
        await w3.subscription_manager.handle_subscriptions()
        assert len(closed) == 1
    assert [(head["number"], head["hash"][-1]) for head in heads] == [(7, 7), (7, 8)]
    assert "transactions" not in heads[0]
    assert heads[0]["mixHash"] == b"\x01"
    assert gaps == [(name, gap)]


async def _never(_: Any) -> None:
    raise AssertionError


async def test_the_end_of_the_session_reaches_those_who_wait() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        once = connect(server.url(), reconnect=Reconnect.once(), wait_open=False)
        async with AsyncWeb3(ResilientProvider(Client(once))) as w3:
            peer = await server.accept()
            call = asyncio.create_task(w3.eth.get_balance(NOBODY))
            async with handling(w3) as handler:
                await asked(peer)
                await peer.reset()
                with pytest.raises(ProviderConnectionError):
                    await call
                with pytest.raises(ProviderConnectionError) as ended:
                    await handler
        assert isinstance(ended.value.__cause__, ConnectionLost)


async def test_it_connects_again_with_a_function_that_makes_a_client() -> None:
    async with assert_no_leaks(), ScriptedServer() as server:
        made = ResilientProvider(lambda: Client(connect(server.url(), wait_open=False)))
        with pytest.raises(ProviderConnectionError, match="not connected"):
            await AsyncWeb3(made).eth.block_number
        for number in (1, 2):
            async with AsyncWeb3(made) as w3:
                peer = await server.accept()
                call = asyncio.create_task(w3.eth.get_balance(NOBODY))
                await answer(peer, await asked(peer), result=hex(number))
                assert await call == number


async def test_a_client_is_used_once() -> None:
    async with node() as (_, w3):
        with pytest.raises(ProviderConnectionError, match="connected already"):
            await w3.provider.connect()
        await w3.provider.disconnect()
        with pytest.raises(ProviderConnectionError, match="lambda: Client"):
            await w3.provider.connect()


@pytest.mark.parametrize("wrong", ["ws://127.0.0.1:8545", None])
def test_what_is_no_client_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"ResilientProvider\(Client"):
        ResilientProvider(wrong)


async def test_a_node_that_cannot_be_reached() -> None:
    session = connect(f"ws://127.0.0.1:{free_port()}", wait_open=0.5)
    with pytest.raises(ProviderConnectionError):
        await ResilientProvider(Client(session)).connect()


def test_no_secret_of_the_url_is_told() -> None:
    made = ResilientProvider(Client(connect("wss://node.example.com/v3/secret")))
    told = f"{made} {made.get_endpoint_uri_or_ipc_path()}"
    assert "secret" not in told


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("eth_call", True),
        ("eth_getLogs", True),
        ("net_version", True),
        ("eth_getFilterChanges", False),
        ("eth_sendRawTransaction", False),
        ("eth_newFilter", False),
        ("evm_mine", False),
        ("personal_sign", False),
    ],
)
def test_which_methods_only_read(method: str, expected: bool) -> None:
    assert reads(method) is expected
