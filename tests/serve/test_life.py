"""A server under load and at its end: many streams, slow readers, signals, a changed config."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.databases import database
from tests.support.served import process
from tests.support.sse import events

pytestmark = pytest.mark.process

CONFIG = """
middleware = [{{ use = "auwgent.middleware.SQLModelSessions", url = "{url}" }}]

[agent]
model = "main"

[models.main]
use = "scripted/main"
params = {{ restart = true, repeat = true, replies = [
  {{ when = "slow", text = "one two three four five six seven eight nine ten", pause = 0.2 }},
  {{ when = "endless", text = "{endless}" }},
  {{ text = "one two three four five six seven eight nine ten", pause = 0.05 }},
] }}

[serve]
max_runs = 2000
drain = {drain}
{more}
"""


def write(folder: Path, url: str = "", *, drain: float = 30, more: str = "", endless: str = "x") -> None:
    url = url or f"sqlite:///{folder / 's.db'}"
    text = CONFIG.format(url=url, drain=drain, more=more, endless=endless)
    (folder / "auwgent.toml").write_text(text, encoding="utf-8")


def asking(words: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": words}], **more}


async def streamed(client: aiohttp.ClientSession, url: str, words: str, session_id: str = "") -> str:
    """The text of a streamed chat."""
    headers = {"X-Session-Id": session_id} if session_id else {}
    body = asking(words, stream=True)
    async with client.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        found = events(await answer.read())
    assert found[-1].data == "[DONE]", found[-1]
    return "".join(one.data["choices"][0]["delta"].get("content", "") for one in found[:-1])


@pytest.mark.clock  # it needs the machine for itself
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_thousand_streams_at_once_are_whole(tmp_path: Path, kind: str) -> None:
    count = 1000
    with database(kind, tmp_path) as url:
        write(tmp_path, url)
        with process(tmp_path, "-q") as (address, _):
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(240)
            ) as client:
                texts = await asyncio.gather(
                    *(streamed(client, address, "go", f"s{number}") for number in range(count))
                )
                assert set(texts) == {"one two three four five six seven eight nine ten"}
                async with client.get(f"{address}/v1/sessions?limit=1000") as answer:
                    rows = (await answer.json())["data"]
                assert len(rows) == count
                assert {(row["turns"], row["status"]) for row in rows} == {(2, "completed")}
                async with client.get(f"{address}/metrics") as answer:
                    text = await answer.text()
                assert f'auwgent_runs_total{{agent="Main",status="completed"}} {count}' in text
                assert "auwgent_runs_active 0" in text
                assert "auwgent_streams_active 0" in text


async def status_of(client: aiohttp.ClientSession, address: str, session_id: str, seconds: float = 30) -> Any:
    """How the run of a session ended."""
    end = time.monotonic() + seconds
    while True:
        async with client.get(f"{address}/v1/runs?session_id={session_id}") as answer:
            rows = (await answer.json())["data"]
        if (rows and rows[0]["status"] != "running") or time.monotonic() > end:
            return rows[0]
        await asyncio.sleep(0.1)


async def test_a_reader_that_never_reads_is_cut_and_others_go_on(tmp_path: Path) -> None:
    words = "word-of-this-text " * 15_000
    write(tmp_path, more='disconnect = "continue"', endless=words)
    with process(tmp_path, "-q") as (address, _):
        host, port = address.removeprefix("http://").split(":")
        never = socket.create_connection((host, int(port)))
        never.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps(asking("endless", stream=True)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nX-Session-Id: never\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        never.sendall(head.encode() + body)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(120)) as client:
            began = time.monotonic()
            assert await streamed(client, address, "go") == "one two three four five six seven eight nine ten"
            assert time.monotonic() - began < 10
            run = await status_of(client, address, "never", 60)
            assert run["status"] == "completed"
            async with client.get(f"{address}/v1/runs/{run['id']}/events") as answer:
                found = events(await answer.read())
            assert found[-1].data["text"] == words  # who was cut may come back
        never.close()


async def test_sigterm_lets_runs_end_and_takes_no_more(tmp_path: Path) -> None:
    write(tmp_path)
    with process(tmp_path, "-q") as (address, running):
        async with aiohttp.ClientSession() as client:
            slow = asyncio.create_task(streamed(client, address, "slow", "kept"))
            await asyncio.sleep(0.6)
            running.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            async with client.get(f"{address}/ready") as answer:
                assert answer.status == 503
            async with client.post(f"{address}/v1/chat/completions", json=asking("go")) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (503, "draining")
                assert "Retry-After" in answer.headers
            assert await slow == "one two three four five six seven eight nine ten"
        assert await asyncio.to_thread(running.wait, 30) == 0


async def test_what_sigterm_does_not_wait_for_is_cancelled_and_saved(tmp_path: Path) -> None:
    write(tmp_path, drain=0.2)
    with process(tmp_path, "-q") as (address, running):
        async with aiohttp.ClientSession() as client:
            slow = asyncio.create_task(streamed(client, address, "slow", "cut"))
            await asyncio.sleep(0.8)
            running.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(running.wait, 30) == 0
            with pytest.raises((AssertionError, aiohttp.ClientError)):
                await slow
    with process(tmp_path, "-q") as (address, _):
        async with aiohttp.ClientSession() as client:
            assert (await status_of(client, address, "cut"))["status"] == "cancelled"
            async with client.get(f"{address}/v1/sessions/cut") as answer:
                turns = (await answer.json())["turns"]
            assert turns[1]["content"].startswith("one two")


async def test_sighup_reads_the_config_again_and_keeps_it_where_the_new_is_wrong(tmp_path: Path) -> None:
    write(tmp_path)
    log = tmp_path / "serve.log"

    async def until(words: str) -> None:
        for _ in range(200):
            if words in log.read_text():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(log.read_text())

    with process(tmp_path) as (address, running):
        async with aiohttp.ClientSession() as client:
            slow = asyncio.create_task(streamed(client, address, "slow", "old"))
            await asyncio.sleep(0.5)
            good = (tmp_path / "auwgent.toml").read_text()
            (tmp_path / "auwgent.toml").write_text(good.replace("[serve]", "[serve]\nprotocls = []"))
            running.send_signal(signal.SIGHUP)
            await until("the old one stays")
            assert "did you mean `protocols`?" in log.read_text()
            async with client.get(f"{address}/v1/models") as answer:
                assert answer.status == 200
            tokens = '\n[[serve.tokens]]\ntoken = "a-new-token"\nuser = "ada"\n'
            (tmp_path / "auwgent.toml").write_text(good.replace("[agent]", '[agent]\nname = "New"') + tokens)
            running.send_signal(signal.SIGHUP)
            await until("the config was read again")
            async with client.get(f"{address}/v1/models") as answer:
                assert answer.status == 401
            async with client.get(
                f"{address}/v1/models", headers={"Authorization": "Bearer a-new-token"}
            ) as answer:
                assert [one["id"] for one in (await answer.json())["data"]] == ["New"]
            assert await slow == "one two three four five six seven eight nine ten"
        assert "a-new-token" not in log.read_text()


async def test_ctrl_c_ends_it_at_once_the_second_time(tmp_path: Path) -> None:
    write(tmp_path)
    with process(tmp_path, "-q", code=None) as (address, running):
        async with aiohttp.ClientSession() as client:
            slow = asyncio.create_task(streamed(client, address, "slow"))
            await asyncio.sleep(0.6)
            running.send_signal(signal.SIGINT)
            await asyncio.sleep(0.2)
            began = time.monotonic()
            running.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(running.wait, 30) == 130
            assert time.monotonic() - began < 5
            with pytest.raises((AssertionError, aiohttp.ClientError)):
                await slow


def test_a_wrong_config_serves_nothing(tmp_path: Path) -> None:
    write(tmp_path, more='host = "0.0.0.0"')
    with pytest.raises(AssertionError, match="which others can reach"), process(tmp_path):
        pass
