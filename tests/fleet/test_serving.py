"""A server with a queue answers for runs that workers carry out, and commands put runs back into it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fleet import Fleet

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


@contextlib.contextmanager
def served(fleet: Fleet, *args: str) -> Iterator[str]:
    """`auwgent serve` with the fleet's config; its address."""
    line = [sys.executable, "-m", "auwgent", "serve", "-q", "-c", str(fleet.path), "--port", "0", *args]
    with subprocess.Popen(
        line, cwd=fleet.folder, env=fleet.env, stderr=subprocess.PIPE, encoding="utf-8"
    ) as server:
        assert server.stderr is not None
        try:
            said = server.stderr.readline()
            assert "http://" in said, said + server.stderr.read()
            yield said.split()[-1]
        finally:
            server.terminate()
            server.communicate(timeout=60)


def asked(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read().decode()
    return json.loads(text) if answer.headers["Content-Type"].startswith("application/json") else text


def test_a_server_queues_and_workers_answer(fleet: Fleet) -> None:
    with served(fleet) as url:
        response = asked(f"{url}/v1/responses", {"input": "buy", "background": True, "conversation": "s"})
        run_id = response["id"].removeprefix("resp_")
        assert fleet.runs() == {run_id: "queued"}
        metrics = asked(f"{url}/metrics")
        assert "auwgent_queue_depth 1" in metrics
        assert "auwgent_queue_oldest_seconds 0\n" not in metrics
        fleet.start()
        chat = {
            "model": "Main",
            "messages": [{"role": "user", "content": "hello"}],
            "metadata": {"session_id": "t"},
        }
        answer = asked(f"{url}/v1/chat/completions", chat)
        assert answer["choices"][0]["message"]["content"] == "You said hello"
        fleet.until(lambda: fleet.runs()[run_id] == "completed")
        told = asked(f"{url}/v1/responses/{response['id']}")
        assert told["output"][-1]["content"][0]["text"] == "All done: charged"
        assert "auwgent_queue_depth 0" in asked(f"{url}/metrics")


def test_answers_over_http_go_on_at_a_worker(fleet: Fleet) -> None:
    with served(fleet, "--worker") as url:
        response = asked(f"{url}/v1/responses", {"input": "refund", "background": True, "conversation": "s"})
        run_id = response["id"].removeprefix("resp_")
        fleet.until(lambda: fleet.runs()[run_id] == "paused")
        (call,) = asked(f"{url}/v1/runs/{run_id}")["calls"]
        asked(f"{url}/v1/runs/{run_id}/answers", {"answers": {call["id"]: True}})
        fleet.until(lambda: fleet.runs()[run_id] == "completed")
        # Who speaks chat cannot be asked: that is a no, also where a worker carries the run out.
        chat = {
            "model": "Main",
            "messages": [{"role": "user", "content": "refund"}],
            "metadata": {"session_id": "t"},
        }
        answer = asked(f"{url}/v1/chat/completions", chat)
        assert "denied" in answer["choices"][0]["message"]["content"]
    assert fleet.starts("refund") == {run_id: 1}


def test_too_many_that_wait_are_told_to_come_back(fleet: Fleet) -> None:
    with served(fleet, "--set", "queue.max_waiting=1") as url:
        asked(f"{url}/v1/responses", {"input": "buy", "background": True})
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked(f"{url}/v1/responses", {"input": "buy", "background": True})
        with refused.value as answer:
            assert (answer.code, answer.headers["Retry-After"]) == (503, "5")
            assert json.loads(answer.read())["error"]["code"] == "overloaded"
        assert list(fleet.runs().values()) == ["queued"]


def command(fleet: Fleet, *args: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "auwgent", *args, "-c", str(fleet.path)]
    return subprocess.run(
        line, cwd=fleet.folder, env=fleet.env, capture_output=True, encoding="utf-8", timeout=120, check=False
    )


def test_commands_submit_answer_and_retry(fleet: Fleet) -> None:
    done = command(fleet, "submit", "hello", "-s", "s", "--run-id", "r1", "--at", "1h")
    assert (done.returncode, done.stdout) == (0, "r1\n"), done.stderr
    assert command(fleet, "submit", "hello", "-s", "s", "--run-id", "r1").stdout == "r1\n"
    done = command(fleet, "submit", "other", "-s", "s", "--run-id", "r1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "another input" in done.stderr
    fleet.start()
    done = command(fleet, "submit", "hello", "-s", "s", "--wait", "--priority", "5")
    assert (done.returncode, done.stdout) == (0, "You said hello\n"), done.stderr
    assert fleet.runs()["r1"] == "queued"
    done = command(fleet, "submit", "refund", "-s", "t", "--run-id", "r2", "--wait")
    assert done.returncode == 3, done.stderr
    (call,) = json.loads(command(fleet, "runs", "show", "r2", "--json").stdout)["calls"]
    assert command(fleet, "runs", "answer", "r2", call["id"], "yes", "--no-run").returncode == 0
    fleet.until(lambda: fleet.runs()["r2"] == "completed")
    assert command(fleet, "runs", "cancel", "r1").returncode == 0
    fleet.query("UPDATE auwgent_runs SET status = 'dead' WHERE id = 'r2' RETURNING no")
    done = command(fleet, "runs", "retry", "r2")
    assert (done.returncode, done.stderr) == (
        0,
        "run r2 is queued again; `auwgent runs follow r2` prints it\n",
    )
    fleet.until(lambda: fleet.runs()["r2"] == "completed")


SCHEDULE = """
[[schedules]]
name = "yearly"
cron = "0 0 1 1 *"
user = "ops"
session = "at-{time}"
input = "It is {date}"
"""


async def test_a_schedule_fires_once_however_many_workers_there_are(fleet: Fleet) -> None:
    fleet.path.write_text(fleet.path.read_text() + SCHEDULE)
    async with fleet.agent() as agent:
        await agent.queue.figures()
    long_ago = "(extract(epoch FROM now() - interval '800 days') * 1e6)::bigint"
    fleet.query(f"INSERT INTO auwgent_schedules VALUES ('yearly', {long_ago}) RETURNING name")
    for _ in range(3):
        fleet.start()
    fleet.until(lambda: "completed" in fleet.runs().values())
    await asyncio.sleep(2.5)
    ((run_id, user, said),) = fleet.query("SELECT id, user_id, input FROM auwgent_runs")
    assert (run_id.partition("@")[0], user) == ("yearly", "ops")
    assert json.loads(said) == f"It is {run_id.partition('@')[2][:10]}"
