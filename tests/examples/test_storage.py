"""The stores in examples/storage pass what ours passes."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from auwgent.testing.store_suite import StoreSuite
from tests.support.databases import database

pytestmark = pytest.mark.process

EXAMPLE = Path(__file__).parents[2] / "examples" / "storage"


def example(module: str, name: str) -> Any:
    """A class of the example, which lies on no import path."""
    if str(EXAMPLE) not in sys.path:
        sys.path.append(str(EXAMPLE))
    return getattr(__import__(module), name)


class TestJsonFiles(StoreSuite):
    @staticmethod
    def make(place: str) -> Any:
        return example("json_files", "JsonFiles")(place)

    @staticmethod
    def break_storage(place: str) -> None:
        shutil.rmtree(place)
        Path(place).write_text("no folder")

    @staticmethod
    def size(place: str) -> int:
        return sum(path.stat().st_size for path in Path(place).iterdir())


class TestDocuments(StoreSuite):
    @staticmethod
    def make(place: str) -> Any:
        return example("documents", "Documents")(place)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[str]:
        with database("postgresql", tmp_path) as url:
            yield url

    @staticmethod
    def break_storage(place: str) -> None:
        with psycopg.connect(place, autocommit=True) as server:
            server.execute("ALTER TABLE documents RENAME COLUMN session TO lost")

    @staticmethod
    def size(place: str) -> int:
        with psycopg.connect(place, autocommit=True) as server:
            row = server.execute("SELECT sum(pg_column_size(session)) FROM documents").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(port=port) as client:
                wait_for(client)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.terminate()


class TestRedis(StoreSuite):
    @staticmethod
    def make(place: str) -> Any:
        return example("redis_store", "RedisSessions")(place)

    @pytest.fixture
    def place(self, server: str) -> str:
        with redis.Redis.from_url(server) as client:
            client.flushall()
        return server

    @staticmethod
    def break_storage(place: str) -> None:
        """Its values are of another type then."""
        with redis.Redis.from_url(place) as client:
            client.delete('auwgent:["u1", "s1"]')
            client.rpush('auwgent:["u1", "s1"]', "no text")

    @staticmethod
    def size(place: str) -> int:
        with redis.Redis.from_url(place) as client:
            return sum(int(client.strlen(key)) for key in client.scan_iter("*"))


def wait_for(client: redis.Redis) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
