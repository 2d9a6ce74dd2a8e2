"""Moderate's judge: what its words mean, where a text is long, and what is said when it fails."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from auwgent import MiddlewareError
from auwgent.middleware import Moderate
from auwgent.middleware.moderate import OVERLAP, PART, understood
from auwgent.runtime import Runtime
from tests.support.answering import Answer, Provider, provider, texts_of
from tests.support.bench import bench


@pytest.mark.parametrize(
    "words",
    [
        "ALLOW",
        "allow.",
        '"ALLOW"',
        "**ALLOW**",
        "ALLOW\n\nThe text is harmless.",
        "ALLOW - harmless",
        "ALLOWED (greeting)",
        "ALLOW, there is nothing to block here",
        "Verdict: ALLOW",
        '{"verdict": "ALLOW", "reason": ""}',
        "<think>Should I BLOCK it? No.</think>\nALLOW",
    ],
)
def test_a_pass_is_understood_with_some_words_around_it(words: str) -> None:
    assert understood(words) is not None
    assert understood(words)[0] == "ALLOW"  # type: ignore[index]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("BLOCK: hate", "hate"),
        ("BLOCK", "blocked"),
        ("BLOCK - hate", "hate"),
        ("BLOCK\nhate", "hate"),
        ("'BLOCK': hate", "hate"),
        ("Blocked (hate)", "hate"),
        ("Decision: BLOCK. It is hate, do not allow it.", "It is hate, do not allow it"),
    ],
)
def test_a_block_is_understood_with_its_reason(words: str, reason: str) -> None:
    assert understood(words) == ("BLOCK", reason)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "I cannot judge this.",
        "ALLOW or BLOCK",
        "Not ALLOW",
        "ALLOW? No.",
        "ALLOW not",
        "ALLOW/BLOCK",
        "ALLOW: false",
        "ALLOW at first sight, but no: BLOCK",
        "allowance",
        "BLOCK or ALLOW",
        "I would say BLOCK",
        "blockchain",
    ],
)
def test_what_is_not_clear_is_no_verdict(words: str) -> None:
    assert understood(words) is None


@asynccontextmanager
async def judged(verdicts: Callable[[str], Answer | str]) -> AsyncIterator[tuple[Provider, Runtime]]:
    """An agent whose inputs are judged by a model over HTTP, by what it is asked."""

    def reply(body: dict[str, Any]) -> Answer | str:
        said = texts_of(body)
        return verdicts(said[-1]) if of_judge(body) else "fine"

    async with provider(reply) as server:
        config = {
            "middleware": [{"use": Moderate, "where": ["inputs"]}],
            "agent": {"model": "main"},
            "models": {"main": server.model()},
        }
        async with Runtime(config) as agent:
            yield server, agent


def of_judge(body: dict[str, Any]) -> bool:
    return "You are a moderator" in texts_of(body)[0]


async def test_what_is_not_clear_is_asked_once_more() -> None:
    answers = iter(["Well ...", "BLOCK: hate"])
    async with judged(lambda text: next(answers)) as (server, agent):
        assert (await agent.run("Hello")).text == "I cannot help with that."
    assert len(server.bodies) == 2
    assert "begin your answer with one of these two words" in texts_of(server.bodies[1])[0]


async def test_a_judge_that_stays_unclear_lets_nothing_pass_and_is_named() -> None:
    async with judged(lambda text: "Hm.") as (server, agent):
        words = r"the judge answered neither ALLOW nor BLOCK, asked twice, but 'Hm\.'"
        with pytest.raises(MiddlewareError, match=words):
            await agent.run("Hello")
    assert all(map(of_judge, server.bodies))


async def test_a_long_text_is_judged_in_parts_and_one_part_is_enough_to_block_it() -> None:
    text = "word " * (PART // 5) + "FORBIDDEN " + "word " * (PART // 5)
    async with judged(lambda part: "BLOCK: forbidden" if "FORBIDDEN" in part else "ALLOW") as (server, agent):
        assert (await agent.run(text)).text == "I cannot help with that."
    parts = [texts_of(body)[-1] for body in server.bodies]
    assert "FORBIDDEN" in parts[1]
    assert all(len(part) <= PART + 2 * 17 for part in parts)
    assert parts[0][-17 - OVERLAP : -17] in parts[1]


async def test_a_text_that_is_too_long_for_the_judge_is_cut_in_smaller_parts() -> None:
    def verdict(part: str) -> Answer | str:
        too_long = (
            "This model's maximum context length is 1000 tokens. Please reduce the length of the messages."
        )
        return Answer(too_long, status=400, code="context_length_exceeded") if len(part) > 4000 else "ALLOW"

    async with judged(verdict) as (server, agent):
        assert (await agent.run("word " * 2000)).text == "fine"
    parts = [texts_of(body)[-1] for body in server.bodies if of_judge(body)]
    assert sum(len(part) for part in parts if len(part) <= 4000) >= 10_000


async def test_plain_functions_judge_in_threads() -> None:
    threads: list[str] = []

    def judge(text: str) -> None:
        threads.append(threading.current_thread().name)
        time.sleep(0.01)

    agent = bench(["ok"] * 4, middleware=[Moderate(judge=judge)])
    await asyncio.gather(*(agent.ask(f"x{number}") for number in range(2)))
    assert threads
    assert threading.main_thread().name not in threads


async def test_a_judge_that_fails_is_named() -> None:
    def judge(text: str) -> None:
        raise OSError("no route to host")

    agent = bench(["ok"], middleware=[Moderate(judge=judge)])
    with pytest.raises(
        MiddlewareError, match="the judge failed, so nothing passes: OSError: no route to host"
    ):
        await agent.ask("Hello")
