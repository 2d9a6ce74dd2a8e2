"""Sessions in a file that is encrypted: the same as in a plain one, and nothing of them on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest
from sqlcipher3 import dbapi2 as sqlcipher

from auwgent.errors import ConfigError, StoreError
from auwgent.middleware import SQLModelSessions
from auwgent.store.migrations import copy
from auwgent.testing.runs import StoreRun, stored, talk
from auwgent.testing.store_suite import RunStoreSuite
from tests.support.worker import worker

pytestmark = pytest.mark.process

RAW = f"x'{'0123456789abcdef' * 4}'"  # nothing is derived from it, which takes time
KEY = "it's a 'key' – with \" all % of it"
HEADER = b"SQLite format 3"


class TestEncrypted(RunStoreSuite):
    budget = 2.6  # the ids of runs have an index, and each table and index a page, however little is in it

    @staticmethod
    def make(place: str) -> SQLModelSessions:
        return SQLModelSessions(f"sqlite:///{place}", encryption_key=RAW)

    @staticmethod
    def break_storage(place: str) -> None:
        with contextlib.closing(sqlcipher.connect(place, isolation_level=None)) as connection:
            connection.execute(f'PRAGMA key = "{RAW}"')
            connection.execute("DROP TABLE auwgent_turns")

    @staticmethod
    def size(place: str) -> int:
        return Path(place).stat().st_size


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sessions.db"


def of(file: Path, key: str | None = KEY) -> SQLModelSessions:
    return SQLModelSessions(f"sqlite:///{file}", encryption_key=key)


async def fill(file: Path, key: str | None = KEY) -> None:
    """Two sessions, in each of which a canary was heard."""
    store = of(file, key)
    await talk(store, "canary one", "s1")
    await talk(store, "canary two", "canary")
    await store.close()


def content(folder: Path) -> dict[str, bytes]:
    """What the files of a folder hold; nothing where there is none."""
    return {path.name: path.read_bytes() for path in folder.glob("*")}


def in_the_clear(folder: Path) -> list[str]:
    """The files that show something of what they hold."""
    found = content(folder).items()
    return [name for name, data in found if b"canary" in data or data.startswith(HEADER)]


async def test_nothing_in_the_folder_can_be_read(file: Path) -> None:
    store = of(file)
    await talk(store, "canary " * 5000, "canary", "canary")
    await asyncio.to_thread(copy, (await store.journal()).database, 1)
    run = await StoreRun(store, "s2").start()
    run.say("canary")
    await run.save(at="tool_start", call_id="canary", name="canary", idempotent=False)
    names = {path.name for path in file.parent.iterdir()}
    assert names == {"sessions.db", "sessions.db-wal", "sessions.db-shm", "sessions.db.v1"}
    assert in_the_clear(file.parent) == []
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}
    await run.end()
    await store.close()


async def test_it_is_searched_pruned_and_counted_as_any_other(file: Path) -> None:
    await fill(file)
    store = of(file)
    assert {hit.session_id async for hit in store.search("u1", "canary")} == {"s1", "canary"}
    assert await store.usage("session") == []
    assert await store.prune("u1", keep=1) == 1
    assert [info.id for info in await store.list_sessions("u1")] == ["canary"]
    await store.close()
    assert in_the_clear(file.parent) == []


@pytest.mark.parametrize(
    ("made_with", "key", "words"),
    [
        (KEY, "another", "the encryption_key does not fit"),
        (KEY, None, "it is encrypted and there is no encryption_key"),
        (None, KEY, "this file is not encrypted: `auwgent db encrypt` does that"),
    ],
)
async def test_a_key_that_does_not_fit_is_never_a_new_database(
    file: Path, made_with: str | None, key: str | None, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    await fill(file, made_with)
    before = content(file.parent)
    store = of(file, key)
    for attempt in (
        StoreRun(store, "s1").start(),
        store.latest("u1"),
        store.check(),
        store.schema(),
        store.open(),
    ):
        with pytest.raises(StoreError, match=words) as raised:
            await attempt
        assert str(raised.value).startswith(f"{file}: ")
        assert KEY not in f"{raised.value!r} {raised.value.__cause__}"
    await store.close()
    assert content(file.parent) == before
    assert capfd.readouterr() == ("", "")  # SQLCipher would tell it to standard error


async def test_a_check_makes_no_file(file: Path) -> None:
    store = of(file)
    assert (await store.check()).endswith("not there yet, the first run makes it")
    assert (await store.schema()).found is None
    with pytest.raises(StoreError, match="no database yet"):
        await store.encrypt()
    assert not content(file.parent)


# A file that was made without a key


async def test_a_plain_file_is_encrypted_where_it_stands(file: Path) -> None:
    await fill(file, key=None)
    plain = of(file, key=None)
    session = await plain.get("u1", "s1")
    await asyncio.to_thread(copy, (await plain.journal()).database, 1)
    await plain.close()
    assert sorted(in_the_clear(file.parent)) == ["sessions.db", "sessions.db.v1"]
    with file.open("rb") as old:
        store = of(file)
        assert await store.encrypt()
        assert not any(old.read())  # whoever has it open still reads nothing
    assert in_the_clear(file.parent) == []
    assert {path.name for path in file.parent.iterdir()} == {"sessions.db", "sessions.db.v1"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}
    assert not await store.encrypt()
    assert await store.get("u1", "s1") == session
    assert [hit.session_id async for hit in store.search("u1", "two")][:1] == ["canary"]
    assert len((await talk(store, "again", "s1")).turns) == 4
    await store.close()
    with pytest.raises(StoreError, match="does not fit"):
        await of(file, "another").encrypt()


async def test_runs_keep_their_numbers_when_a_file_is_encrypted(file: Path) -> None:
    """A number is never used again, as one of a deleted session would be if the count were lost."""
    await fill(file, key=None)
    plain = of(file, key=None)
    for name in ("s1", "canary"):
        await plain.delete("u1", name)
    await plain.close()
    store = of(file)
    await store.encrypt()
    run = await StoreRun(store, "s3").start()
    with contextlib.closing(sqlcipher.connect(file)) as connection:
        connection.execute("PRAGMA key = '{}'".format(KEY.replace("'", "''")))
        assert connection.execute("SELECT max(no) FROM auwgent_runs").fetchone() == (3,)
    await run.end()
    await store.close()


async def test_a_file_in_use_is_not_encrypted(file: Path) -> None:
    with worker(f"sqlite:///{file}") as owner:
        owner.all_ok("start s1", "say one", "save")
        with pytest.raises(StoreError, match="others have the file open; end them first"):
            await of(file).encrypt()
        owner.all_ok("say two", "save", "end")
    store = of(file, key=None)
    assert len((await stored(store, "s1")).turns) == 2
    await store.close()
    assert [path.name for path in file.parent.iterdir()] == ["sessions.db"]


# Keys


class Keys(keyring.backend.KeyringBackend):
    """A keyring in memory, which may be locked."""

    priority = 1

    def __init__(self, **keys: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.is_locked = keys, False

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("it is locked")
        return self.keys.get(username) if service == "auwgent" else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError


@pytest.fixture
def keys() -> Iterator[Keys]:
    before, ours = keyring.get_keyring(), Keys(talks=KEY)
    keyring.set_keyring(ours)
    yield ours
    keyring.set_keyring(before)


async def test_a_key_may_be_in_the_keyring(file: Path, keys: Keys) -> None:
    await fill(file, "keyring:talks")
    store = of(file, KEY)
    assert await store.latest("u1") == "canary"
    await store.close()


async def test_a_key_that_the_keyring_does_not_give_makes_no_file(file: Path, keys: Keys) -> None:
    with pytest.raises(StoreError, match=r"no key 'other'; `keyring set auwgent other` puts it there"):
        await of(file, "keyring:other").open()
    keys.is_locked = True
    with pytest.raises(StoreError, match="could not be asked for the key 'talks': it is locked"):
        await of(file, "keyring:talks").open()
    assert not content(file.parent)


@pytest.mark.parametrize("key", ["", "keyring:", "canary\0", "canary\ud800"])
def test_what_cannot_be_a_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigError, match="encryption_key must be a text") as raised:
        SQLModelSessions(encryption_key=key)
    assert "canary" not in str(raised.value)


def test_postgresql_takes_no_key() -> None:
    with pytest.raises(ConfigError, match="a PostgreSQL server stores is encrypted by its disk"):
        SQLModelSessions("postgresql://me@host/db", encryption_key=KEY)


@pytest.mark.parametrize("library", ["sqlcipher3", "keyring"])
async def test_a_missing_library_is_named(
    file: Path, library: str, monkeypatch: pytest.MonkeyPatch, keys: Keys
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=r"pip install 'auwgent\[encryption\]'"):
        await of(file, "keyring:talks").open()
    assert not content(file.parent)


async def test_no_key_is_in_what_is_shown_of_the_store_or_logged(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store = of(file)
    await talk(store, "Hi", "s1")
    seen = [vars(thing) for thing in (store, (await store.journal()).database)]
    assert KEY not in f"{seen}"
    assert KEY not in caplog.text
    await store.close()
