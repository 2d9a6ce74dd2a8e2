"""Two processes on one database at the same time: what they keep, count and let pass is as of one."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from auwgent.middleware import Cache, Remember, Retrieve
from tests.middleware.conformance import closing
from tests.support.answering import Answer, Provider, provider

WORKER = """
import asyncio, json, sys
from auwgent import LimitExceeded, auwgent
from auwgent.middleware import Cache, RateLimit, Remember, Retrieve
url, server, name = sys.argv[1:]
model = {"use": "openai/test", "base_url": server, "api_key": "k", "retries": 0, "via": "direct"}
rate, memory = RateLimit(calls=15, per="1d", url=url), Remember(url=url, limit=20)
cache, index = Cache(url=url, shared=True, max_size=2000), Retrieve(url=url, size=50, overlap=0)
made = {"middleware": [rate, memory, cache], "agent": {"model": "main"}, "models": {"main": model}}

async def embed(texts):
    return [[float(len(text)), 1.0] for text in texts]

async def run(agent, number):
    try:
        return (await agent.run(f"question {number}", user_id="u")).text
    except LimitExceeded as error:
        return error.key

async def put(number):
    text = f"{name}{number} " * 20
    await index.add("one.md", text, embed)
    found = await index.search("x", embed)
    return [one.text.split()[0] for one in found]

async def main():
    async with auwgent(made) as agent:
        print("ready", flush=True)
        sys.stdin.readline()
        noted = await asyncio.gather(*(memory.add("ada", f"fact {number} of {name}") for number in range(15)))
        same = await asyncio.gather(*(memory.add("bob", "the same") for _ in range(5)))
        seen = [await put(number) for number in range(10)]
        answers = await asyncio.gather(*(run(agent, number % 3) for number in range(10)))
        answers += [await run(agent, f"{number} of {name}") for number in range(10)]
    await index.close()
    print(json.dumps({"noted": noted, "same": same, "seen": seen, "answers": answers}))

asyncio.run(main())
"""


@pytest.mark.process
async def test_two_at_once(url: str) -> None:
    async with provider(lambda body: Answer("word " * 100)) as server:
        first, second = await outcomes(url, server)
    memory, index, cache = Remember(url=url), Retrieve(url=url), Cache(url=url)
    async with closing(memory, index, cache):
        facts = await memory.facts("ada")
        numbers = [number for number in first["noted"] + second["noted"] if number is not None]
        assert len(facts) == 20  # and no more
        assert sorted(numbers) == [fact.number for fact in facts]
        assert [fact.text for fact in await memory.facts("bob")] == ["the same"]
        assert len({*first["same"], *second["same"]}) == 1
        # Of a text that both put in again and again, all passages are of one time.
        assert [len(set(seen)) for seen in first["seen"] + second["seen"]] == [1] * 20
        (source,) = await index.sources()
        found = await index.search("x", embed)
        assert (len({one.text.split()[0] for one in found}), len(found)) == (1, source.passages)
    answers = first["answers"] + second["answers"]
    assert set(answers) == {"word " * 100, "RateLimit.calls"}
    assert len(server.bodies) <= 15


async def outcomes(url: str, server: Provider) -> list[Any]:
    """What each of two processes tells, which begin at once."""
    pipe = asyncio.subprocess.PIPE
    commands = [(sys.executable, "-c", WORKER, url, server.url, name) for name in "AB"]
    working = [await asyncio.create_subprocess_exec(*one, stdin=pipe, stdout=pipe) for one in commands]
    for one in working:
        assert one.stdout is not None
        assert await one.stdout.readline() == b"ready\n"
    told = await asyncio.gather(*(one.communicate(b"go\n") for one in working))
    return [json.loads(out) for out, _ in told]


async def embed(texts: Any) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]
