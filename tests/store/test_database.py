from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text, update

from auwgent import Runtime, auwgent
from auwgent.errors import ConfigError, MiddlewareError, ProviderError, StoreError
from auwgent.middleware import SQLModelSessions
from auwgent.session import MOST, Usage, new_id
from auwgent.store.database import Database
from auwgent.store.dialects import parse_url
from auwgent.store.tables import turns
from auwgent.testing.runs import StoreRun, stored, talk
from tests.support.bench import Hook, short
from tests.support.databases import POSTGRES, database
from tests.support.script_server import script_server


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    with database("postgresql", tmp_path) as url:
        yield url


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        (None, "sqlite+pysqlite"),
        ("sqlite:///x.db", "sqlite+pysqlite"),
        ("postgres://me@host/db", "postgresql+psycopg"),
        ("postgresql://me@host/db", "postgresql+psycopg"),
    ],
)
def test_a_url_names_its_driver(url: str | None, driver: str) -> None:
    assert parse_url(url).drivername == driver


@pytest.mark.parametrize("kind", ["mssql", "mysql", "mysql+pymysql", "mariadb"])
def test_a_url_of_another_database_is_refused_without_its_password(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"the database {re.escape(repr(kind))}; write sqlite:") as raised:
        parse_url(f"{kind}://me:canary@host/db")
    assert "canary" not in str(raised.value)


def test_a_file_of_another_mode_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    path.touch(mode=0o644)
    Database(parse_url(f"sqlite:///{path}"), folder=path.parent).create_file()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_store_in_memory_works_within_one_process() -> None:
    store = SQLModelSessions("sqlite://")
    await talk(store, "Hi", "s1")
    assert len((await talk(store, "again", "s1")).turns) == 4
    await store.close()


async def test_a_lock_of_another_program_is_waited_for(tmp_path: Path) -> None:
    store = SQLModelSessions(f"sqlite:///{tmp_path / 'sessions.db'}")
    await talk(store, "Hi", "s1")
    with contextlib.closing(sqlite3.connect(tmp_path / "sessions.db", check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(6.0, other.rollback).start()  # longer than SQLite itself waits
        await talk(store, "again", "s1")
    assert len((await stored(store, "s1")).turns) == 4
    await store.close()


async def test_a_dropped_connection_is_made_again(postgres: str) -> None:
    store = SQLModelSessions(postgres)
    run = await StoreRun(store, "s1").start()
    for number in range(3):
        run.say(str(number))
        assert end_connections(postgres) > 0
        await run.save()
    await run.end()
    assert len((await stored(store, "s1")).turns) == 3
    await store.close()


async def test_a_connection_that_drops_in_mid_transaction_loses_and_repeats_nothing(postgres: str) -> None:
    store = SQLModelSessions(postgres)
    run = await StoreRun(store, "s1").start()
    stop = threading.Event()
    ended: list[int] = []

    def disturb() -> None:
        while not stop.wait(0.01):
            ended.append(end_connections(postgres))

    nuisance = threading.Thread(target=disturb)
    nuisance.start()
    try:
        for number in range(80):
            run.say(str(number))
            await run.save()
    finally:
        stop.set()
        nuisance.join()
    await run.end()
    assert [turn.text for turn in (await stored(store, "s1")).turns] == [str(n) for n in range(80)]
    assert sum(ended) > 5
    await store.close()


def test_nothing_is_prepared_on_a_connection(postgres: str, tmp_path: Path) -> None:
    """A pooler such as PgBouncer may give each transaction another one."""
    store = Database(parse_url(postgres), folder=tmp_path)
    counting = text("SELECT count(*) FROM pg_prepared_statements")
    counts = [store.read(lambda connection: connection.execute(counting).scalar()) for _ in range(10)]
    assert counts == [0] * 10
    asyncio.run(store.close())


class Relay:
    """Stands before the server, on a port of its own, and can be down."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: list[asyncio.StreamWriter] = []

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = conninfo_to_dict(POSTGRES)
        theirs, ours = await asyncio.open_connection(str(place["host"]), int(place.get("port") or 5432))
        self._open += [writer, ours]
        await asyncio.gather(self._pass_on(reader, ours), self._pass_on(theirs, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()


async def test_a_run_pauses_while_the_server_starts_again(postgres: str) -> None:
    relay = Relay()
    await relay.up()
    store = SQLModelSessions(re.sub(r":5432\b", f":{relay.port}", postgres))
    run = await StoreRun(store, "s1").start()
    run.say("Hi")
    await relay.down()
    save = asyncio.create_task(run.save())
    await asyncio.sleep(1.5)
    assert not save.done()
    await relay.up()
    await save
    await run.end()
    assert len((await stored(store, "s1")).turns) == 1
    await store.close()
    await relay.down()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_of_another_encoding_is_refused_in_a_sentence(postgres: str, encoding: str) -> None:
    name = f"auwgent_{new_id()}"
    address = parse_url(postgres).set(database=name, query={}, drivername="postgresql")
    url = address.render_as_string(hide_password=False)
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        server.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        try:
            for attempt in (SQLModelSessions(url).open(), SQLModelSessions(url).check()):
                with pytest.raises(
                    StoreError, match=f"encoding is {encoding}, Auwgent needs UTF8"
                ) as refused:
                    await attempt
                assert len(str(refused.value).splitlines()) == 1
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_counts_beyond_32_bits_are_kept_and_added_up(url: str) -> None:
    many = Usage(input_tokens=10**14, output_tokens=2**40, cached_tokens=2**31, reasoning_tokens=2**33)
    store = SQLModelSessions(url)
    run = await StoreRun(store, "s1").start()
    for _ in range(2):
        run.say("Hi", "assistant", usage=many, model="a/b")
    await run.end()
    assert [turn.usage for turn in (await store.get("u1", "s1")).turns] == [many, many]
    [row] = await store.usage("model")
    assert row.usage == Usage(
        input_tokens=2 * 10**14, output_tokens=2**41, cached_tokens=2**32, reasoning_tokens=2**34
    )
    await store.close()


async def test_sums_beyond_all_measure_are_told_as_the_most_there_may_be(url: str) -> None:
    store = SQLModelSessions(url)
    run = await StoreRun(store, "s1").start()
    for _ in range(3):
        run.say("Hi", "assistant", usage=Usage(input_tokens=MOST, output_tokens=7, usd=0.5), model="a/b")
    await run.end()
    journal = await store.journal()  # as if there were thousands of such turns
    many = 2**63 - 10
    await journal.database.run(
        journal.database.write,
        lambda connection: connection.execute(update(turns).values(cached_tokens=many)),
    )
    for by in ("model", "agent", "day", "session"):
        [row] = await store.usage(by)
        assert row.usage == Usage(input_tokens=MOST, output_tokens=21, cached_tokens=MOST, usd=1.5)
    await store.close()


async def test_what_a_provider_refused_is_told_in_words_by_a_later_process_as_well(url: str) -> None:
    failing = {"when": "Look", "error": {"status": 400, "message": "Could not process image"}}
    image = {"type": "image", "data": "AAAA", "mime_type": "image/png"}
    async with script_server() as server:
        server.follow("m", [failing, {"when": "Well", "text": "fine"}])
        named = {"use": "openai/m", "via": "direct", "api_key": "x", "base_url": server.url, "retries": 0}
        config = {"agent": {"model": "main"}, "models": {"main": named}}
        async with Runtime({"middleware": [SQLModelSessions(url)], **config}) as agent:
            with pytest.raises(ProviderError, match="Could not process image"):
                await agent.run([{"type": "text", "text": "Look"}, image], session_id="s1")
        async with Runtime({"middleware": [SQLModelSessions(url)], **config}) as agent:
            assert (await agent.run("Well?", session_id="s1")).text == "fine"
        first, second = (json.dumps(body) for _, _, body in server.requests)
    assert "AAAA" in first
    assert "AAAA" not in second
    assert "Could not process image" in second


def end_connections(url: str) -> int:
    """End what is connected to the schema of that URL, as a restart of the server would; how many there were."""
    schema = url.rpartition("%3D")[2]
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        found = server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (schema,)
        )
        return len(found.fetchall())


FILLS_ITS_DISK = """
import asyncio, resource, signal, sys
from auwgent.errors import StoreError
from auwgent.middleware import SQLModelSessions
from auwgent.testing.runs import StoreRun

async def main():
    store = SQLModelSessions(sys.argv[1])
    run = await StoreRun(store, "s1").start()
    run.say("before")
    await run.save()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    run.say("x" * 1_000_000)
    try:
        await run.save()
    except StoreError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await run.end("failed")
    await store.close()

asyncio.run(main())
"""


@pytest.mark.process
async def test_a_full_disk_fails_the_save_and_the_session_can_go_on(tmp_path: Path) -> None:
    """No file may grow past a limit, which SQLite takes for a full disk."""
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FILLS_ITS_DISK, url],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "sessions.db") in done.stdout
    store = SQLModelSessions(url)
    assert [len(turn.text) for turn in (await stored(store, "s1")).turns] == [6, 1_000_000]
    await store.close()


async def test_a_result_that_could_not_be_saved_is_saved_when_the_run_ends(tmp_path: Path) -> None:
    file, paid = tmp_path / "sessions.db", []

    def order(statement: str) -> None:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute(statement)

    def pay() -> str:
        """Pay."""
        paid.append("paid")
        order("CREATE TRIGGER full BEFORE INSERT ON auwgent_turns BEGIN SELECT RAISE(ABORT, 'no room'); END")
        return "paid"

    script = [{"result": True, "text": "Done: {result}"}, {"tool_calls": [{"name": "pay"}]}]
    agent = auwgent(
        {
            "middleware": [
                SQLModelSessions(f"sqlite:///{file}"),
                Hook(onError=lambda *_: order("DROP TRIGGER full")),
            ],
            "agent": {"model": "main", "tools": [pay]},
            "models": {"main": {"use": "scripted/main", "params": {"replies": script}}},
        }
    )
    async with agent:
        with pytest.raises(MiddlewareError, match="no room"):
            await agent.run("Pay", session_id="s1")
        session = await agent.run(None, session_id="s1")
    assert paid == ["paid"]
    assert short(session.turns) == ["user: Pay", "?pay", "pay=paid", "assistant: Done: paid"]


def test_work_that_fails_leaves_nothing(url: str, tmp_path: Path) -> None:
    """Driven without the hooks: the transaction itself."""
    store = Database(parse_url(url), folder=tmp_path)
    store.write(lambda connection: connection.execute(text("CREATE TABLE t (x INTEGER)")))

    def work(connection: object) -> None:
        connection.execute(text("INSERT INTO t VALUES (1)"))  # type: ignore[attr-defined]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store.write(work)
    assert store.read(lambda connection: connection.execute(text("SELECT count(*) FROM t")).scalar()) == 0
    with pytest.raises(StoreError, match="nowhere"):
        store.read(lambda connection: connection.execute(text("SELECT * FROM nowhere")))
    asyncio.run(store.close())
