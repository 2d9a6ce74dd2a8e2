"""Files that vanish, disks that are full, networks under a file."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from auwgent import auwgent
from auwgent.errors import StoreError
from auwgent.middleware import SQLModelSessions
from auwgent.store.disks import SETTLING, Content, network_of, warning_of
from auwgent.testing.runs import StoreRun, talk


def remove(file: Path) -> None:
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()


def remove_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


def move_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


def replace(file: Path) -> None:
    """By a copy, as a restored backup is; of a file in WAL mode without its WAL."""
    copy = file.with_name("copy")
    shutil.copy(file, copy)
    copy.replace(file)


def overwrite(file: Path) -> None:
    """With an older copy, in place, as `cp` does: the file stays the same one, and its WAL has what came since."""
    copy = file.with_name("copy")
    shutil.copyfile(file, copy)
    shutil.copyfile(copy, file)


def empty(file: Path) -> None:
    """In place."""
    file.write_bytes(b"")


def overwrite_with_another(file: Path) -> None:
    """Of another program, in place."""
    other = file.with_name("other.db")
    with contextlib.closing(sqlite3.connect(other)) as made:
        made.execute("CREATE TABLE facts (text)")
        made.executemany("INSERT INTO facts VALUES (?)", [("x" * 900,)] * 500)
        made.commit()
    shutil.copyfile(other, file)


def remove_wal(file: Path) -> None:
    file.with_name(f"{file.name}-wal").unlink()


LOSSES = [remove, remove_folder, move_folder, replace, remove_wal]


@pytest.mark.parametrize("lose", LOSSES)
async def test_what_is_acknowledged_after_a_file_was_lost_is_kept(
    lose: Callable[[Path], None], tmp_path: Path
) -> None:
    file = tmp_path / "data" / "sessions.db"
    store = SQLModelSessions(f"sqlite:///{file}")
    await talk(store, "one", "s1")
    lose(file)
    acknowledged = []
    for text in ("two", "three"):
        await talk(store, text, "s1")
        acknowledged.append(text)
    await store.close()
    again = SQLModelSessions(f"sqlite:///{file}")
    kept = {turn.text for turn in (await again.get("u1", "s1")).turns}
    assert set(acknowledged) <= kept
    await again.close()


@pytest.mark.parametrize("overwritten", [overwrite, empty, overwrite_with_another])
async def test_what_is_acknowledged_after_a_file_was_overwritten_in_place_is_kept(
    overwritten: Callable[[Path], None], tmp_path: Path
) -> None:
    """The WAL has all of it, as long as it was not written back to the file."""
    file = tmp_path / "data" / "sessions.db"
    store = SQLModelSessions(f"sqlite:///{file}")
    await talk(store, "one", "s1")
    overwritten(file)
    acknowledged = []
    for text in ("two", "three"):
        with contextlib.suppress(StoreError):
            await talk(store, text, "s1")
            acknowledged.append(text)
    with contextlib.suppress(StoreError):
        await store.close()
    again = SQLModelSessions(f"sqlite:///{file}")
    kept = {turn.text for turn in (await again.get("u1", "s1")).turns} if acknowledged else set()
    assert set(acknowledged) <= kept
    await again.close()


def test_a_file_that_was_written_over_is_noticed_unless_somebody_committed(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    file.write_bytes(b"one")
    content = Content(file, settling=0.0)
    assert not content.was_replaced(content.stamp(), 1)
    assert not content.was_replaced(content.stamp(), 1)
    file.write_bytes(b"more")
    assert content.was_replaced(content.stamp(), 1)
    file.write_bytes(b"by this one")
    content.note()
    assert not content.was_replaced(content.stamp(), 1)
    busy = Content(file)
    assert not busy.was_replaced(busy.stamp(), 1)
    file.write_bytes(b"a checkpoint of somebody else, behind his commit")
    assert not busy.was_replaced(busy.stamp(), 2)
    file.write_bytes(b"which goes on")
    assert not busy.was_replaced(busy.stamp(), 2)
    before = busy.stamp()
    file.write_bytes(b"by a commit just before the transaction began")
    assert not Content(file, settling=0.0).was_replaced(before, 3)
    assert not busy.was_replaced(before, 3)
    assert not busy.was_replaced(busy.stamp(), 3)


@pytest.mark.clock
@pytest.mark.parametrize("is_damaged", [True, False])
async def test_an_older_copy_put_over_an_open_database_is_an_error_and_no_loss(
    is_damaged: bool, tmp_path: Path
) -> None:
    """Also after all of the WAL was written back, when nothing of it would cover the copy any more."""
    file, copy = tmp_path / "sessions.db", tmp_path / "copy.db"
    store = SQLModelSessions(f"sqlite:///{file}")
    await talk(store, "x" * 3_000_000, "s0")
    shutil.copyfile(file, copy)
    await talk(store, "y" * 3_000_000, "s0")  # each is more than the WAL keeps
    await asyncio.sleep(SETTLING + 0.2)
    if is_damaged:
        copy.write_bytes(copy.read_bytes()[: 2**20])
        shutil.copyfile(copy, file)
    else:
        file.touch()
    with pytest.raises(StoreError, match="something wrote over the database while it was open"):
        await talk(store, "one", "s1")
    if is_damaged:
        for _ in range(2):
            with pytest.raises(StoreError, match=r"damaged|malformed"):
                await talk(store, "two", "s1")
    else:
        await talk(store, "two", "s1")
        assert "two" in [turn.text for turn in (await store.get("u1", "s1")).turns]
    with contextlib.suppress(StoreError):
        await store.close()


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_run_under_way_fails_when_its_file_is_lost_and_touches_no_other(
    lose: Callable[[Path], None], tmp_path: Path
) -> None:
    file = tmp_path / "data" / "sessions.db"
    store = SQLModelSessions(f"sqlite:///{file}")
    run = await StoreRun(store, "s1").start()
    run.say("one")
    await run.save()
    lose(file)
    other = await StoreRun(
        store, "s2"
    ).start()  # on the new file, where it has the numbers that the lost one had
    other.say("mine")
    await other.save()
    run.say("two")
    for attempt in (run.save(), run.end()):
        with pytest.raises(StoreError, match="removed, moved or replaced"):
            await attempt
    await other.end()
    assert [turn.text for turn in (await store.get("u1", "s2")).turns] == ["mine"]
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 900 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("only root can mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)


@pytest.mark.process
async def test_a_full_disk_is_named_and_what_is_stored_can_be_read(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{small_disk / 'sessions.db'}"
    store = SQLModelSessions(url)
    session = await talk(store, "one", "s1")
    await store.close()
    await asyncio.to_thread(fill, small_disk)
    full = SQLModelSessions(url, retention="90d")
    assert await full.get("u1", "s1") == session
    assert [info.id for info in await full.list_sessions("u1")] == ["s1"]
    for attempt in (talk(full, "two", "s1"), full.delete("u1", "s1"), full.fork("u1", "s1", "s2")):
        with pytest.raises(StoreError, match="the disk is full"):
            await attempt
    (small_disk / "fill").unlink()
    assert len((await talk(full, "three", "s1")).turns) == 4
    await full.close()
    assert "never retrieved" not in caplog.text


@pytest.mark.process
async def test_a_disk_that_fills_up_during_a_run_fails_the_run_alone(small_disk: Path) -> None:
    store = SQLModelSessions(f"sqlite:///{small_disk / 'sessions.db'}")
    agent = auwgent({"middleware": [store], "agent": {"model": "scripted/echo"}})
    async with agent:
        await agent.run("one", session_id="s1")
        await asyncio.to_thread(fill, small_disk)
        with pytest.raises(Exception, match="the disk is full"):
            await agent.run("x" * 500_000, session_id="s1")
        assert len((await store.get("", "s1")).turns) == 2
        (small_disk / "fill").unlink()
        assert len((await agent.run("two", session_id="s1")).turns) == 4


MOUNTS = """\
overlay / overlay rw 0 0
server:/home {folder}/net\\040work nfs4 rw 0 0
tmpfs {folder}/net\\040work/local tmpfs rw 0 0
//box/share {folder}/share cifs rw 0 0
host {folder}/ssh fuse.sshfs rw 0 0
disk {folder}/usb fuse.exfat rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("plain", None),
        ("net work", "nfs4"),
        ("net work/deeper", "nfs4"),
        ("net work/local", None),
        ("share", "cifs"),
        ("ssh", "fuse.sshfs"),
        ("usb", None),
    ],
)
def test_a_file_on_a_network_is_warned_of(folder: str, kind: str | None, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir(parents=True)
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(folder=tmp_path))
    file = tmp_path / folder / "sessions.db"
    assert network_of(file, mounts) == kind
    assert (warning_of(file, mounts) is None) is (kind is None)


def test_where_mounts_cannot_be_told_nothing_is_said(tmp_path: Path) -> None:
    assert warning_of(tmp_path / "sessions.db", tmp_path / "nowhere") is None
