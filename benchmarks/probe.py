"""What ``resilient-ws probe`` says of servers with something wrong.

    python -m benchmarks.probe [--write docs/probe.md] [--only idle]

Each server is started for real, probed by the command, and ended. The cases are those
of the tests, which check that each finding is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pathlib
import re
import sys
import tempfile
from typing import Any, Final

from tests.cli.probe.servers import CASES, Case


#: Shown whole in the page.
SHOWN: Final = "idle"
ROOT: Final = pathlib.Path(__file__).parent.parent


async def _output(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "resilient_ws.cli",
        "probe",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    output, _ = await process.communicate()
    return output.decode()


async def reported(case: Case) -> dict[str, Any]:
    """Start a server, probe it, and return the report."""
    with tempfile.TemporaryDirectory() as folder:
        async with case.start(pathlib.Path(folder)) as arguments:
            report: dict[str, Any] = json.loads(await _output(*arguments, "--json"))
            return report


async def printed(case: Case) -> str:
    """Start a server, probe it, and return what people see."""
    with tempfile.TemporaryDirectory() as folder:
        async with case.start(pathlib.Path(folder)) as arguments:
            return await _output(*arguments)


def row(case: Case, report: dict[str, Any]) -> str:
    """Return the line of the table for a server, from its report."""
    found = next(
        one
        for one in report["findings"]
        if one["step"] == case.step and case.says in one["text"]
    )
    # Ports differ from run to run.
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", found["text"])
    options = f"`{report['options']}`" if report["options"] else ""
    works = "yes" if report["works"] else "no"
    cells = (case.title, found["step"], text, found["remedy"], options, works)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def page(rows: list[str], sample: str) -> str:
    table = "\n".join(rows)
    sample = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8080", sample)
    return f"""# What is wrong with a server: `resilient-ws probe`

```sh
resilient-ws probe wss://stream.example.com/feed
```

The probe walks from the name over TCP, TLS and the handshake to the server's habits,
and stops where it cannot go on. It looks at whether the server answers pings, also
many at once and behind messages (`--message TEXT`), when it pings by itself, and when
it closes an idle link. If silence ends the link, the probe tries whether pings keep
another one open. At the end it says which settings suit the server, as options of
`listen` and as arguments of `connect`.

It makes a few connections, one after the other, and sends nothing but pings unless
`--on-open` or `--message` say so. Where no `--subprotocol` is given, one connection
offers well-known ones, to see whether the server knows one. Watching takes `--watch`
seconds (65, because many servers close an idle link after 60); Ctrl-C ends it early
and keeps what was found. `--json` prints one object. The exit code is 0 if a session
works with the server, 1 if it does not, 2 for wrong arguments, 130 after Ctrl-C.

```text
$ resilient-ws probe ws://127.0.0.1:8080/echo --watch 6
{sample.rstrip()}
```

## What it says of servers with something wrong

Written by `make probe`: each server was started, probed and ended, on one machine.

| server | step | what it finds | what it advises | options | works |
| --- | --- | --- | --- | --- | --- |
{table}

"While busy" means: a ping behind 50 messages. A server that takes long for each
message answers late, and `--ping` has to allow for it; see [when servers answer
pings](pongs.md).
"""


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--write", type=pathlib.Path, help="a file for the page")
    parser.add_argument("--only", default="", help="cases with this in their name")
    options = parser.parse_args()
    rows: list[str] = []
    for name, case in CASES.items():
        if options.only in name:
            rows.append(row(case, await reported(case)))
            print(rows[-1], flush=True)
    if options.write is not None:
        options.write.write_text(page(rows, await printed(CASES[SHOWN])))


if __name__ == "__main__":
    asyncio.run(main())
