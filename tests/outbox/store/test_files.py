"""What lies at the path of a store, or beside it, and is no store's, stays untouched."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import resilient_ws
from resilient_ws import SQLiteStore, StoreError
from resilient_ws.outbox.store.files import FileLock
from tests.outbox.refusals import filled, offline, refused
from tests.outbox.stores import crashed, inside
from tests.record import of, recorded


if TYPE_CHECKING:
    from collections.abc import Callable

    from resilient_ws.testing import ScriptedServer

#: A user who is neither root nor anybody on this machine.
STRANGER = 54321
root = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("CI") != "true",
    reason="needs root, to make devices and files of others: run the tests as root",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def device(path: Path) -> None:
    """A node of our own that is what /dev/null is."""
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def disk(path: Path) -> None:
    """A block device that nothing stands behind."""
    os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 4095))


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def into_the_void(path: Path) -> None:
    path.symlink_to(path.with_name("victim"))


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a folder": os.mkdir,
    "a socket": unix_socket,
}
NODES: dict[str, Callable[[Path], object]] = {
    "a character device": device,
    "a block device": disk,
}
ALL = [*SPECIAL, *[pytest.param(kind, marks=root) for kind in NODES]]


@pytest.mark.parametrize("kind", ALL)
async def test_only_a_regular_file_is_touched(
    server: ScriptedServer, path: Path, kind: str
) -> None:
    (SPECIAL | NODES)[kind](path)
    await refused(server, path, f"{kind.rsplit(maxsplit=1)[-1]}, not a regular file")
    with pytest.raises(StoreError, match="not a regular file"):
        inside(SQLiteStore(path))


@pytest.mark.parametrize("kind", [*ALL, "a dangling link", "a link to a file"])
@pytest.mark.parametrize("ending", ["-wal", "-shm", ".lock", "-reserve"])
async def test_only_regular_files_are_touched_beside_it(
    server: ScriptedServer, path: Path, ending: str, kind: str
) -> None:
    await filled(server, path, 3)
    companion = path.with_name(path.name + ending)
    companion.unlink(missing_ok=True)
    victim = path.with_name("victim")
    if kind == "a link to a file":
        victim.touch()
    making = into_the_void if "link" in kind else (SPECIAL | NODES)[kind]
    making(companion)
    await refused(server, path, "not a regular file", names=companion)
    assert victim.exists() is (kind == "a link to a file")
    if ending in ("-wal", "-shm"):
        with pytest.raises(StoreError, match="not a regular file"):
            inside(SQLiteStore(path))


@pytest.mark.parametrize("ending", [".lock", "-reserve"])
@pytest.mark.parametrize("new", [True, False])
async def test_a_file_of_another_program_beside_it(
    server: ScriptedServer, path: Path, ending: str, new: bool
) -> None:
    if not new:
        await filled(server, path, 3)
    companion = path.with_name(path.name + ending)
    companion.write_text("pid 4711\n")
    companion.chmod(0o600)
    await refused(server, path, "left as it is|left as it was", names=companion)


async def test_a_file_with_the_name_of_an_unfinished_store(
    server: ScriptedServer, path: Path
) -> None:
    other = path.with_name("outbox.db.new")
    other.write_text("mine")
    await filled(server, path, 3)
    assert other.read_text() == "mine"


async def test_a_journal_that_sqlite_would_undo_the_file_by(
    server: ScriptedServer, path: Path
) -> None:
    await filled(server, path, 3)
    journal = path.with_name("outbox.db-journal")
    journal.write_bytes(bytes(512))
    await refused(server, path, "Repair the store", names=journal)
    with pytest.raises(StoreError, match="Repair"):
        inside(SQLiteStore(path))


@pytest.mark.parametrize("empty", [True, False])
async def test_a_log_without_its_file(
    server: ScriptedServer, path: Path, empty: bool
) -> None:
    async with offline(server, SQLiteStore(path)) as session:
        await session.send("in the log")
        left = crashed(path, path.parent / "left" / "outbox.db").path
    left.with_name("outbox.db-wal").chmod(0o600)
    left.unlink()
    if empty:
        left.touch()
    await refused(server, left, "Put the file back")


LOOSE = [0o620, 0o602, 0o666, 0o777]


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("mode", LOOSE, ids=oct)
async def test_a_file_that_others_may_write_to(
    server: ScriptedServer, path: Path, mode: int
) -> None:
    await filled(server, path, 3)
    path.chmod(mode)
    await refused(server, path, f"mode {mode:o}.*chmod go-w")
    # To look is no risk.
    assert len(inside(SQLiteStore(path))) == 3
    path.chmod(0o644)
    await filled(server, path, 1)


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("ending", ["-wal", "-shm", ".lock", "-reserve"])
async def test_a_companion_that_others_may_write_to(
    server: ScriptedServer, path: Path, ending: str
) -> None:
    await filled(server, path, 3)
    companion = path.with_name(path.name + ending)
    companion.touch()
    companion.chmod(0o666)
    await refused(server, path, "chmod go-w", names=companion)


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
async def test_a_folder_that_everybody_may_write_to(
    server: ScriptedServer, tmp_path: Path
) -> None:
    path = tmp_path / "open" / "outbox.db"
    path.parent.mkdir()
    path.parent.chmod(0o777)
    await refused(server, path, "chmod o-w")
    # As /tmp is: nobody can remove there what is not his own.
    path.parent.chmod(0o1777)
    await filled(server, path, 1)
    assert len(inside(SQLiteStore(path))) == 1


@root
@pytest.mark.parametrize("ending", ["", "-wal", "-shm", ".lock", "-reserve"])
async def test_a_file_of_another_user(
    server: ScriptedServer, path: Path, ending: str
) -> None:
    await filled(server, path, 3)
    file = path.with_name(path.name + ending)
    file.touch(0o600)
    file.chmod(0o600)
    os.chown(file, STRANGER, STRANGER)
    await refused(server, path, f"uid {STRANGER}.*chown", names=file)


@root
async def test_a_link_of_another_user(server: ScriptedServer, path: Path) -> None:
    into_the_void(path)
    os.lchown(path, STRANGER, STRANGER)
    await refused(server, path, "link owned by another user")
    with pytest.raises(StoreError, match="link owned by another user"):
        inside(SQLiteStore(path))


async def test_a_link_of_ones_own_leads_to_the_file(
    server: ScriptedServer, path: Path
) -> None:
    path.symlink_to(path.with_name("elsewhere.db"))
    await filled(server, path, 3)
    assert path.is_symlink()
    assert len(inside(SQLiteStore(path.with_name("elsewhere.db")))) == 3


async def test_a_link_to_itself(server: ScriptedServer, path: Path) -> None:
    path.symlink_to(path)
    await refused(server, path, "link|symbolic")
    with pytest.raises(StoreError):
        inside(SQLiteStore(path))


async def test_a_file_of_two_names(server: ScriptedServer, path: Path) -> None:
    await filled(server, path, 3)
    path.with_name("other.db").hardlink_to(path)
    await refused(server, path, "2 names")


async def test_the_lock_is_taken_again_when_its_file_was_removed(
    server: ScriptedServer, path: Path
) -> None:
    async with offline(server, SQLiteStore(path)) as session:
        lock = path.with_name("outbox.db.lock")
        lock.unlink()
        await session.send("kept")
        assert lock.exists()
        with pytest.raises(StoreError, match="in use"):
            async with offline(server, SQLiteStore(path)):
                pass
        lock.unlink()
        lock.write_text("another program's")
        lock.chmod(0o600)
        with pytest.raises(StoreError, match="not the lock"):
            await session.send("never")
    assert lock.read_text() == "another program's"
    assert inside(SQLiteStore(path)) == ["kept"]


async def test_what_was_removed_or_replaced_takes_no_more(
    server: ScriptedServer, path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    await filled(server, other / "outbox.db", 1)
    (other / "outbox.db-reserve").unlink()
    for ending in ("", "-wal"):
        for replaced in (False, True):
            store = SQLiteStore(tmp_path / f"{ending}{replaced}.db")
            file = store.path.with_name(store.path.name + ending)
            async with offline(server, store) as session:
                await session.send("accepted")
                file.rename(other / "moved")
                if replaced:
                    shutil.copy(other / "outbox.db", file)
                for _ in range(3):
                    with pytest.raises(StoreError, match="deleted or replaced"):
                        await session.send("never")
                (other / "moved").rename(file)
                await session.send("again")
            assert inside(store) == ["accepted", "again"]


@pytest.mark.parametrize("waits", [True, False])
async def test_a_store_that_was_removed_is_told_of_at_the_end(
    server: ScriptedServer, path: Path, waits: bool
) -> None:
    session = offline(server, SQLiteStore(path))
    events = recorded(session)
    async with session:
        if waits:
            await session.send("accepted")
        path.unlink()
    assert len(of(events, resilient_ws.StoreFailed)) == waits


async def test_a_lock_that_comes_and_goes_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = FileLock(tmp_path / "outbox.db")
    monkeypatch.setattr(lock, "_open", lambda: None)
    with pytest.raises(StoreError, match="in use"):
        lock.acquire()


NO_FILES = {
    ":memory:": r"MemoryStore\(\)",
    "/somewhere/:memory:": r"MemoryStore\(\)",
    "": "not a folder",
    ".": "not a folder",
    "..": "not a folder",
    "/": "not a folder",
    "folder/": "not a folder",
    "folder/.": "not a folder",
    "file:outbox.db": "not a URL",
    "FILE:outbox.db?mode=memory": "not a URL",
    "file:///var/outbox.db": "not a URL",
    "sqlite:///outbox.db": "not a URL",
    "out\0box.db": "NUL",
    "out\ud800box.db": "surrogate",
}


@pytest.mark.parametrize("path", NO_FILES, ids=ascii)
def test_a_path_that_names_no_file(path: str) -> None:
    with pytest.raises(ValueError, match=r"SQLiteStore\.path.*" + NO_FILES[path]):
        SQLiteStore(path)


def test_a_path_object_that_names_no_file() -> None:
    with pytest.raises(ValueError, match=r"MemoryStore\(\)"):
        SQLiteStore(Path(":memory:"))
    with pytest.raises(ValueError, match="not a URL"):
        SQLiteStore(Path("file:outbox.db"))


async def test_a_name_of_odd_characters(server: ScriptedServer, tmp_path: Path) -> None:
    for name in ("a?b#c%20.db", "ö ü.db", os.fsdecode(b"\xff\xfe.db"), "-x.db", "~"):
        path = tmp_path / name
        await filled(server, path, 1)
        assert len(inside(SQLiteStore(path))) == 1
        assert path.is_file()


async def test_a_name_that_is_too_long(server: ScriptedServer, tmp_path: Path) -> None:
    await refused(server, tmp_path / ("x" * 300), "too long")
    await refused(server, tmp_path / ("x" * 252), "too long")
    assert list(tmp_path.iterdir()) == []
