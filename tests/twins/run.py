"""Compares the twins over many drawn chunks, with the one in C built to find faults.

    python -m tests.twins.run --buffers 1000000

The C is compiled once more, into a temporary folder, with the address sanitizer and the
one for undefined behaviour; memory comes from malloc, so that each object is watched.
What differs, what reads past an end, and a count of references that moves, end the run
with an exit code.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from typing import TYPE_CHECKING, Final, cast

from tests.twins import compare, draw


if TYPE_CHECKING:
    from tests.twins.compare import Twin


ROOT: Final = pathlib.Path(__file__).parents[2]
SOURCE: Final = ROOT / "resilient_ws" / "protocol" / "compiled.c"
_NAME: Final = "resilient_ws.protocol.compiled"
#: Messages framed for so many chunks walked over.
_SENT_EACH: Final = 4
#: The seeds begin anew with each part, so that a failure is found again quickly.
_PART: Final = 10_000


def build(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Compile with the sanitizers.

    Raises:
        subprocess.CalledProcessError: It does not compile.
    """
    library = folder / "compiled.abi3.so"
    include = sysconfig.get_path("include")
    words = "-O1 -g -std=c11 -Wall -Wextra -Werror -Wno-unused-parameter"
    words += " -Wno-cast-function-type -fno-omit-frame-pointer -shared -fPIC"
    words += " -fsanitize=address,undefined -fno-sanitize-recover=all"
    subprocess.run(
        ["gcc", *words.split(), f"-I{include}", "-o", library, source], check=True
    )
    return library


def load(library: pathlib.Path) -> Twin:
    """Load a library as the compiled twin."""
    spec = importlib.util.spec_from_file_location(_NAME, library)
    assert spec is not None
    assert spec.loader is not None
    twin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(twin)
    return cast("Twin", twin)


def compare_many(twin: Twin, buffers: int, seed: int) -> int:
    """Compare the twins; return how many messages were taken."""
    taken = 0
    for start in range(0, buffers, _PART):
        randomness = random.Random(f"{seed}-{start}")
        for number in range(min(_PART, buffers - start)):
            taken += len(compare.compare_walks(twin, draw.chunk(randomness)).messages)
            if number % _SENT_EACH == 0:
                compare.compare_frames(twin, draw.messages(randomness))
    return taken


def watched(library: pathlib.Path, buffers: int, seed: int) -> int:
    """Run the comparison in a process that the sanitizers watch; return its code."""
    found = [
        subprocess.run(
            ["gcc", f"-print-file-name={name}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    words = ["--library", library, "--buffers", buffers, "--seed", seed]
    return subprocess.run(
        [sys.executable, "-m", "tests.twins.run", *map(str, words)],
        cwd=ROOT,
        env=os.environ
        | {
            "LD_PRELOAD": ":".join(found),
            "PYTHONMALLOC": "malloc",
            # An interpreter does not give back everything as it ends.
            "ASAN_OPTIONS": "detect_leaks=0",
        },
        check=False,
    ).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--buffers", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--source", type=pathlib.Path, default=SOURCE)
    parser.add_argument("--library", type=pathlib.Path, help="built already")
    options = parser.parse_args()
    if options.library is None:
        if shutil.which("gcc") is None:
            parser.exit(2, "gcc is missing (apt-get install gcc libc6-dev)\n")
        with tempfile.TemporaryDirectory() as folder:
            library = build(options.source, pathlib.Path(folder))
            sys.exit(watched(library, options.buffers, options.seed))
    twin, began = load(options.library), time.monotonic()
    taken = compare_many(twin, options.buffers, options.seed)
    if not taken:
        sys.exit("no message was taken: the chunks that are drawn show nothing")
    print(
        f"{options.buffers:,} chunks, {taken:,} messages: the same from both,"
        f" in {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
