"""The lock of a store, while other sessions create and remove its file."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from resilient_ws import StoreError
from resilient_ws.outbox.store import files
from resilient_ws.outbox.store.files import FileLock


if TYPE_CHECKING:
    import os
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def held(lock: FileLock) -> bool:
    try:
        lock.acquire()
    except StoreError:
        return False
    return True


@pytest.mark.parametrize("there", [True, False])
def test_another_session_is_quicker(
    store: Path, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    """The file goes, or comes, between the look at it and the open."""
    path = files.beside(store, files.LOCK)
    if there:
        path.touch()
    regular, looks = files.regular, 0

    def look(path: Path) -> os.stat_result | None:
        nonlocal looks
        found = regular(path)
        looks += 1
        if looks == 1:
            path.unlink() if there else path.touch()
        return found

    monkeypatch.setattr(files, "regular", look)
    lock = FileLock(store)
    lock.acquire()
    assert looks == 2
    assert not held(FileLock(store))
    lock.release()
    assert not path.exists()


def test_a_missing_folder_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "nowhere" / "store").acquire()


def test_one_at_a_time_however_many_try(store: Path) -> None:
    holders, most = 0, 0
    taken: list[int] = []
    failures: list[Exception] = []
    count = threading.Lock()

    def work() -> None:
        nonlocal holders, most
        lock, mine = FileLock(store), 0
        try:
            while mine < 100:
                if held(lock):
                    with count:
                        holders += 1
                        most = max(most, holders)
                    with count:
                        holders -= 1
                    lock.release()
                    mine += 1
        except Exception as failure:  # noqa: BLE001 - told below, by the test itself
            failures.append(failure)
        taken.append(mine)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    assert taken == [100] * 4
    assert most == 1
