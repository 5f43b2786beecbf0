"""Looks for input that breaks a target, guided by the code that it reaches.

    python -m tests.fuzz.run engine --seconds 60

What it finds worth keeping stays in ``.cache/fuzz``, so that the next run begins where
this one ended. An input that raises, hangs or takes too much memory ends the run with
an exit code, and is kept beside it.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys

import atheris


# The fuzzer sees what code it reaches only where that is Python.
os.environ["RESILIENT_WS_PURE"] = "1"
with atheris.instrument_imports(include=["resilient_ws.protocol"]):
    from tests.fuzz.targets import TARGETS

ROOT = pathlib.Path(__file__).parents[2]
MAX_SIZE = 16 * 1024
#: Seconds for one input, and megabytes for the process.
HANG = 5
MEMORY = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    check, seeds = TARGETS[options.target]
    corpus = ROOT / ".cache" / "fuzz" / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    arguments = [
        sys.argv[0],
        str(corpus),
        f"-artifact_prefix={corpus.parent}/{options.target}-",
        f"-max_total_time={options.seconds}",
        f"-max_len={MAX_SIZE}",
        f"-timeout={HANG}",
        f"-rss_limit_mb={MEMORY}",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup(arguments, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
