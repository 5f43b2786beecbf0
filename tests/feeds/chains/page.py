"""What the campaign came to, as a page of the documentation."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any, Final

from tests.feeds.chains.lies import BEFORE
from tests.servers.lying import LIMITS, Lie


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Report = dict[str, Any]


_HEAD: Final = """\
# Chains, shown

Written by `make chains` on Python {python}; every figure is of the runs in
`docs/chains-shown.json`. A part can be run by itself, with fewer seeds or blocks
(`ARGS="--part lies --seeds 3"`); the tables say how many there were. The nodes are
real: anvil, each in a process of its own. What a stream told is applied and undone as a
user would, and compared with the node's own chain at the end, block by block and log by
log. A block that is missing, is there twice, is another than the node's or has other
logs, breaks a promise, unless exactly one `Gap` covers it; so does a reorganisation
that is told twice, or was none. Where the node answers from two back ends, one may be
told in parts, because the node looks shorter before it looks different.
"""

_CHAIN: Final = """
## A node that dies and reorganises

{runs} runs of {blocks} blocks and more. Blocks hold up to {most} logs and come up to 80 ms
apart, while the node is killed with `kill -9` and comes back, at times with a shorter
chain; the links are reset and black-holed by `resilient_ws.testing.FaultProxy`; and the
chain is reorganised, 1 to 5 blocks deep. Everybody follows the same node, through a
proxy each that does the same to all.

| done | times |
| --- | ---: |
{done}

| ours | `heads` | `logs` |
| --- | ---: | ---: |
{ours}

In the same runs, bots on other libraries, written as their documentation says, with all
that it offers against drops: web3.py {web3} (`async for w3 in AsyncWeb3(...)`, its
subscription manager, a ping a second), viem {viem} (`reconnect`, `keepAlive` a second;
and again polling, with `emitMissed`) and ethers {ethers}, which has no reconnection, and
so gets a new provider a second after each close. alloy is not here: no registry of
crates was within reach. None of them says that something is missing.

| of {chain_blocks} blocks and {chain_logs} logs | {names} |
| --- | {rule} |
{peers}

"Taken for valid" are logs of blocks that are gone, and that were never taken back.
"""

_LIES: Final = """
## A node that lies

A proxy of ours before two anvils tells one lie at a time. Our stream of logs asks for a
chain of {before} blocks, of which the older ones are final, and follows 40 and more, with
reorganisations and drops. "Lies told" are answers that were wrong; a run is right if the
chain as told is the node's, or a `Gap` covers what is not.

| lie | verified by | runs | right | lies told | gaps | promises broken |
| --- | --- | ---: | ---: | ---: | ---: | ---: |
{rows}

A bloom says that a block has such a log, and not how many. So `"bloom"`, the default,
notices that a log was kept back where nothing else of its block is left, and the runs
that it verifies against dropped logs have one log in a block at most. `"receipts"` asks
for no logs at all, and so is told nothing wrong of them. The refusals of ranges are in
the words of {limits} providers.
"""

_KILLED: Final = """
## A consumer that is killed

A program keeps blocks and logs in SQLite: what an item changes and the cursor behind it
are one transaction. It is killed with `kill -9` at random while the node is treated as
above, and starts again from its cursor. At the end the table is compared with the node's
chain; and so is its history, in which no restart may show.

| | |
| --- | ---: |
{rows}
"""


def markdown(known: dict[str, Any]) -> str:
    """The page, of the parts that were run."""
    about = known["about"]
    parts = [_HEAD.format(python=about["python"])]
    if known.get("chain"):
        parts.append(_chain(known["chain"], about["versions"]))
    if known.get("lies"):
        parts.append(_lies(known["lies"]))
    if known.get("killed"):
        parts.append(_killed(known["killed"]))
    broken = [
        v for p in ("chain", "lies", "killed") for v in _violations(known.get(p, []))
    ]
    if broken:
        parts.append(
            "\n## Promises broken\n\n" + "".join(f"- {what}\n" for what in broken)
        )
    return "".join(parts)


def _chain(reports: Sequence[Report], versions: dict[str, str]) -> str:
    counts = _summed(report["counts"] for report in reports)
    names = list(reports[0]["peers"])
    peers = {name: _summed(r["peers"][name] for r in reports) for name in names}
    rows = {
        "blocks missed": "missed",
        "blocks given twice": "doubled",
        "logs missed": "logs_missed",
        "logs given twice": "logs_doubled",
        "logs taken for valid": "stale_logs",
        "runs at whose end it was deaf": "is_deaf",
    }
    table = [(row, *(peers[name][key] for name in names)) for row, key in rows.items()]
    blocks = sum(report["blocks"] for report in reports)
    return _CHAIN.format(
        runs=len(reports),
        blocks=min(report["blocks"] for report in reports),
        most=6,
        done=_table(sorted(counts.items())),
        ours=_table(_ours(reports)),
        web3=versions["web3.py"],
        viem=versions["viem"],
        ethers=versions["ethers"],
        chain_blocks=blocks,
        chain_logs=sum(report["logs"] for report in reports),
        names=" | ".join(names),
        rule=" | ".join("---:" for _ in names),
        peers=_table(table),
    )


def _ours(reports: Sequence[Report]) -> list[tuple[Any, ...]]:
    def row(title: str, key: str) -> tuple[Any, ...]:
        return title, *(
            sum(report["ours"][name][key] for report in reports)
            for name in ("heads", "logs")
        )

    def counted(title: str, key: str) -> tuple[Any, ...]:
        found = [_summed(r["ours"][n][key] for r in reports) for n in ("heads", "logs")]
        return title, *(_counts(each) for each in found)

    broken = [
        sum(len(report["ours"][name]["violations"]) for report in reports)
        for name in ("heads", "logs")
    ]
    return [
        row("connections", "connections"),
        row("blocks applied", "applied"),
        row("blocks undone", "undone"),
        row("reorganisations told", "reorganisations"),
        counted("gaps", "gaps"),
        ("promises broken", *broken),
    ]


def _lies(reports: Sequence[Report]) -> str:
    groups: dict[tuple[str, str], list[Report]] = {}
    for report in reports:
        groups.setdefault((report["lie"], report["verify"]), []).append(report)
    rows = [
        (
            Lie[lie].value,
            f'`"{verify}"`',
            len(found),
            sum(not report["violations"] for report in found),
            _summed(report["lies"] for report in found).total(),
            _counts(_summed(report["gaps"] for report in found)),
            sum(len(report["violations"]) for report in found),
        )
        for (lie, verify), found in groups.items()
    ]
    return _LIES.format(rows=_table(rows), limits=len(LIMITS), before=BEFORE)


def _killed(reports: Sequence[Report]) -> str:
    counts = _summed(report["counts"] for report in reports)
    rows = [
        ("runs", len(reports)),
        ("blocks, logs", f"{_total(reports, 'blocks')}, {_total(reports, 'logs')}"),
        ("the consumer was killed", _total(reports, "kills")),
        ("it went on from a cursor", _total(reports, "from_cursor")),
        ("the node was killed", counts["kill"] + counts["kill, shorter"]),
        ("reorganisations of the node", counts["reorganisation"]),
        ("reorganisations told", _total(reports, "reorganisations")),
        ("gaps", _counts(_summed(report["gaps"] for report in reports))),
        ("promises broken", sum(len(report["violations"]) for report in reports)),
    ]
    return _KILLED.format(rows=_table(rows))


def _violations(reports: Sequence[Report]) -> list[str]:
    return [
        f"{report.get('lie', '')} seed {report['seed']}: {what}".strip()
        for report in reports
        for what in report["violations"][:20]
    ]


def _total(reports: Sequence[Report], key: str) -> int:
    return sum(report[key] for report in reports)


def _summed(counts: Iterable[dict[str, Any]]) -> collections.Counter[str]:
    found: collections.Counter[str] = collections.Counter()
    for each in counts:
        found.update({k: int(v) for k, v in each.items() if isinstance(v, int)})
    return found


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"


def _table(rows: Iterable[Sequence[Any]]) -> str:
    return "\n".join(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)
