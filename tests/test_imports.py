"""Who imports the package pays for what they use, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import pytest

from tests import unmeasured


#: What costs, and what few programs need: modules, and those below them.
COSTLY: Final = (
    "Crypto",
    "aiohttp.web",
    "aiohttp_socks",
    "aiosmtplib",
    "importlib.metadata",
    "msgspec",
    "opentelemetry",
    "prometheus_client",
    "pydantic",
    "pytest",
    "resilient_ws.adapters",
    "resilient_ws.cli",
    "resilient_ws.codec",
    "resilient_ws.feeds",
    "resilient_ws.instruments",
    "resilient_ws.testing",
    "rich",
    "sqlite3",
    "typer",
    "uvloop",
    "websockets",
)


def loaded(statement: str) -> set[str]:
    """What of the costly ``statement`` loads, in a process of its own."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=unmeasured.environment(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    names = json.loads(done.stdout)
    return {
        costly
        for costly in COSTLY
        if any(name == costly or name.startswith(f"{costly}.") for name in names)
    }


def test_the_package_loads_nothing_costly() -> None:
    assert loaded("import resilient_ws") == set()


def test_a_store_is_what_loads_sqlite() -> None:
    assert loaded("import resilient_ws; resilient_ws.SQLiteStore('x.db')") == set()
    used = "import resilient_ws; print(*resilient_ws.SQLiteStore('x.db').pending())"
    assert loaded(f"try:\n    {used}\nexcept resilient_ws.StoreError: pass") == {
        "sqlite3"
    }


def test_feeds_load_no_chain_and_no_other_extra() -> None:
    # They decode with msgspec where it is installed.
    assert loaded("import resilient_ws.feeds") <= {"resilient_ws.feeds", "msgspec"}


def test_the_test_kit_loads_nothing_of_what_it_tests() -> None:
    # Its parent package comes with it, as with any module.
    assert loaded("import resilient_ws.testing") == {"resilient_ws.testing"}


def test_the_command_loads_the_demo_and_the_chains_when_asked_for() -> None:
    assert "resilient_ws.feeds" not in loaded("import resilient_ws.cli.command")
    code = (
        "import sys, resilient_ws.cli.command\n"
        "assert 'resilient_ws.cli.demo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_version_is_there_when_it_is_read() -> None:
    import resilient_ws  # noqa: PLC0415 - the subject

    assert loaded("import resilient_ws; resilient_ws.__version__") == {
        "importlib.metadata"
    }
    assert resilient_ws.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        resilient_ws.nothing  # type: ignore[attr-defined] # noqa: B018 - as mistyped
