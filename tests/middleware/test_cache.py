"""Cache: the same request, the same answer, and no second call."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from auwgent import LimitExceeded, Runtime
from auwgent.middleware import Cache, SQLModelSessions
from auwgent.session import Media, Session, Text, Usage, now
from auwgent.store.side import answers
from tests.middleware.conformance import Conformance, add, at_work, closing, over_http
from tests.support.aimock import Aimock
from tests.support.bench import Hook, bench, calls, short

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def in_file(folder: Path, **options: Any) -> Cache:
    return Cache(url=f"sqlite:///{folder / 'cache.db'}", **options)


class TestConformance(Conformance):
    path = "auwgent.middleware.Cache"
    wrong = (
        ({"keep": "for ever"}, "`keep`: must be a length of time"),
        ({"keep": 0}, "`keep` must be longer"),
        ({"tools": "yes"}, "tools"),
        ({"ttl": "1d"}, "its options: keep, tools, shared, url, max_size"),
    )

    def make(self, folder: Path) -> Cache:
        return Cache(url="sqlite://", tools=True)

    def make_failing(self, folder: Path) -> Cache:
        return Cache(url=f"sqlite:///{folder}")

    async def test_helpers_are_included(self, tmp_path: Path) -> None:
        cache = Cache(url="sqlite://", tools=True)
        async with closing(cache):
            agent = at_work(cache)
            first = await agent.ask("Please ask the clerk")
            second = await agent.ask("Please ask the clerk")
        assert short(second.turns, "Clerk") == short(first.turns, "Clerk")
        assert short(second.turns, "Main") == short(first.turns, "Main")
        assert (len(agent.requests()), len(agent.requests("clerk"))) == (2, 1)


async def test_the_second_time_the_model_is_not_asked(url: str) -> None:
    cache = Cache(url=url)
    async with closing(cache):
        agent = at_work(cache)
        first = await agent.ask("Hi")
        second = await agent.ask("Hi")
        other = await agent.ask("Hi there")
    assert [one.text for one in (first, second, other)] == ["You said: Hi"] * 2 + ["You said: Hi there"]
    assert len(agent.requests()) == 2
    assert first.turns[-1].usage is not None
    assert first.turns[-1].usage.output_tokens > 0
    assert second.turns[-1].usage is not None
    assert (second.turns[-1].usage.output_tokens, second.turns[-1].usage.usd) == (0, 0.0)
    assert second.turns[-1].model == first.turns[-1].model
    assert second.turns[-1].id != first.turns[-1].id


async def test_it_outlives_the_process_that_kept_it(tmp_path: Path) -> None:
    for _ in range(2):
        cache = in_file(tmp_path)
        async with closing(cache):
            agent = at_work(cache)
            await agent.ask("Hi")
    assert agent.requests() == []


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "You hinder."},
        {"tools": [add]},
        {"output": {"type": "object"}},
        {"examples": [{"user": "Hi", "assistant": "Ho"}]},
    ],
    ids=lambda change: str(*change),
)
async def test_whatever_the_model_can_see_makes_another_request(change: dict[str, Any]) -> None:
    cache = Cache(url="sqlite://")
    async with closing(cache):
        await bench(['{"a": 1}'], middleware=[cache]).ask("Hi")
        again, changed = (
            bench(['{"a": 1}'], middleware=[cache]),
            bench(['{"a": 1}'], middleware=[cache], **change),
        )
        await again.ask("Hi")
        await changed.ask("Hi")
    assert (len(again.requests()), len(changed.requests())) == (0, 1)


@pytest.mark.parametrize("setting", [{"config": {"temperature": 1}}, {"url": "https://b.example"}])
async def test_settings_make_another_request(setting: dict[str, Any]) -> None:
    def change(prompt: str, ctx: Any) -> None:
        if prompt == "Hi":
            for name, value in setting.items():
                ctx[name] = value

    cache = Cache(url="sqlite://")
    async with closing(cache):
        await bench(middleware=[cache]).ask("Hi")
        changed = bench(middleware=[Hook(onLLMStart=change), cache])
        await changed.ask("Hi")
    assert len(changed.requests()) == 1


async def test_earlier_turns_and_media_are_part_of_the_request() -> None:
    image = Media(type="image", url="https://a.example/a.png")
    cache = Cache(url="sqlite://")
    async with closing(cache):
        agent = bench([{"when": "", "text": "Yes."}], middleware=[cache])
        session = await agent.ask("Hi")
        await agent.ask("Hi", session=session)
        await agent.ask([Text(text="Hi"), image])
        assert len(agent.requests()) == 3
        await agent.ask("Hi", session=Session(turns=[one.model_copy() for one in session.turns]))
        await agent.ask([Text(text="Hi"), image.model_copy()])
        assert len(agent.requests()) == 3


async def test_a_prompt_that_hooks_have_changed_is_what_counts() -> None:
    cache = Cache(url="sqlite://")
    async with closing(cache):
        add_fact = Hook(onLLMStart=lambda prompt, ctx: f"{prompt} (it is noon)")
        agent = at_work(add_fact, cache)
        first, second = await agent.ask("Hi"), await agent.ask("Hi")
        plain = at_work(cache)
        await plain.ask("Hi")
    assert first.text == second.text == "You said: Hi (it is noon)"
    assert (len(agent.requests()), len(plain.requests())) == (1, 1)


async def test_users_do_not_share_unless_told_to() -> None:
    for shared, requests in ((False, 2), (True, 1)):
        cache = Cache(url="sqlite://", shared=shared)
        async with closing(cache):
            agent = at_work(cache)
            await agent.ask("Hi", user_id="ada")
            await agent.ask("Hi", user_id="eve")
        assert len(agent.requests()) == requests


async def test_an_answer_is_kept_for_so_long_and_no_longer(url: str) -> None:
    cache = Cache(url=url, keep="1h")
    async with closing(cache):
        agent = at_work(cache)

        async def requests_at(minutes: int) -> int:
            cache.clock = lambda: NOON + timedelta(minutes=minutes)
            await agent.ask("Hi")
            return len(agent.requests())

        assert [await requests_at(one) for one in (0, 59, 61, 120, 122)] == [1, 1, 2, 2, 3]


async def test_old_answers_are_deleted_when_it_opens(tmp_path: Path) -> None:
    for day in (1, 9):
        cache = in_file(tmp_path, keep="7d")
        cache.clock = lambda day=day: datetime(2030, 1, day, tzinfo=UTC)  # type: ignore[misc]
        await cache.open()
        async with closing(cache):
            await at_work(cache).ask(f"Day {day}")
    database = sqlite3.connect(tmp_path / "cache.db")
    assert database.execute("SELECT count(*) FROM auwgent_answers").fetchone() == (1,)
    database.close()


async def test_turns_with_tools_are_left_alone_unless_asked_for() -> None:
    for tools, requests in ((False, 4), (True, 2)):
        cache = Cache(url="sqlite://", tools=tools)
        async with closing(cache):
            agent = bench(
                [{"when": "", **calls("add")}, {"when": "", "result": True, "text": "It is {result}."}],
                tools=[add],
                middleware=[cache],
            )
            first, second = await agent.ask("Add"), await agent.ask("Add")
        assert (
            short(first.turns)
            == short(second.turns)
            == ["user: Add", "?add", "add=42", "assistant: It is 42."]
        )
        assert len(agent.requests()) == requests


async def test_a_structured_answer_is_kept_only_when_it_fits() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    for keeps_schema in (True, False):
        cache = Cache(url="sqlite://")
        wrong, right = ("{}", '{"a": 1}')
        if not keeps_schema:
            wrong, right = (calls(("final_answer", {})), calls(("final_answer", {"a": 1})))  # type: ignore[assignment]
        async with closing(cache):
            agent = bench([wrong, right], middleware=[cache], output=schema, keeps_schema=keeps_schema)
            await agent.ask("Hi")
            again = bench([right], middleware=[cache], output=schema, keeps_schema=keeps_schema)
            await again.ask("Hi")
            once = await again.ask("Hi")
        assert len(again.requests()) == 1
        assert once.text == '{"a": 1}'


@pytest.mark.parametrize(
    "reply",
    [
        {"text": "Cut of", "finish_reason": "length"},
        {"text": "I can't", "finish_reason": "filtered"},
        {"text": ""},
    ],
)
async def test_what_is_no_whole_answer_is_not_kept(reply: dict[str, Any]) -> None:
    cache = Cache(url="sqlite://")
    async with closing(cache):
        agent = bench([{"when": "", **reply}], middleware=[cache])
        await agent.ask("Hi")
        await agent.ask("Hi")
    assert len(agent.requests()) == 2


async def test_the_answer_of_a_fallback_is_not_kept() -> None:
    cache = Cache(url="sqlite://")
    down = {"use": "scripted/main", "retries": 0, "fallbacks": ["spare"], "cooldown": 0}
    models = {
        "main": {
            **down,
            "params": {"replies": [{"when": "", "error": {"status": 503, "times": 1}, "text": "Main."}]},
        },
        "spare": {"use": "scripted/spare", "params": {"replies": ["Spare."]}},
    }
    async with Runtime({"middleware": [cache], "agent": {"model": "main"}, "models": models}) as agent:
        session = await agent.run("Hi")
    assert session.text == "Spare."


@pytest.mark.process
async def test_other_middleware_sees_a_kept_answer_as_any_other() -> None:
    cache, seen = Cache(url="sqlite://"), []

    def listen(name: str, value: Any, ctx: Any) -> None:
        if name == "response_text":
            seen.append((name, value["text"], ctx["cache"]))

    async with closing(cache):
        agent = at_work(cache, Hook(onIntent=listen))
        await agent.ask("Hi")
        await agent.ask("Hi")
    assert seen == [("response_text", "You said: Hi", "miss"), ("response_text", "You said: Hi", "hit")]


@pytest.mark.parametrize("order", [1, -1])
async def test_an_answer_that_other_middleware_changes_is_changed_once_each_time(order: int) -> None:
    cache = Cache(url="sqlite://")

    def sign(name: str, value: Any, ctx: Any) -> Any:
        return {"result": f"{value['text']} -- the bot"} if name == "response_text" else None

    async with closing(cache):
        agent = at_work(*[cache, Hook(onIntent=sign)][::order])
        for _ in range(2):
            session = await agent.ask("Hi")
            assert session.text == "You said: Hi -- the bot"


async def test_what_is_too_old_goes_while_the_process_is_open_and_the_oldest_where_there_is_too_much(
    url: str,
) -> None:
    cache, moment = Cache(keep="1h", url=url, max_size=1000), now()
    async with closing(cache):
        agent = at_work(cache)
        for number in range(20):
            cache.clock = lambda: moment + timedelta(minutes=number)  # noqa: B023 - called at once
            await agent.ask(f"question {number}")
        kept = await cache.carry_out(sizes)
        assert 0 < sum(kept) <= 1000
        usage = (await agent.ask("question 19")).turns[-1].usage
        assert usage is not None
        assert usage.output_tokens == 0
        cache.clock = lambda: moment + timedelta(hours=3)
        await agent.ask("later")
        assert len(await cache.carry_out(sizes)) == 1


def sizes(database: Any) -> list[int]:
    wanted = select(func.length(answers.answers.c.answer))
    found: list[int] = database.read(lambda connection: list(connection.execute(wanted).scalars()))
    return found


async def test_what_was_asked_is_not_in_the_file(tmp_path: Path) -> None:
    cache = in_file(tmp_path)
    async with closing(cache):
        await bench(["Aye."], middleware=[cache]).ask("canary", user_id="ada")
    data = b"".join(file.read_bytes() for file in files_in(tmp_path))
    assert b"canary" not in data
    assert b"Aye." in data
    assert {file.stat().st_mode & 0o777 for file in files_in(tmp_path)} == {0o600}


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_the_same_question_many_times_at_once(url: str) -> None:
    cache = Cache(url=url)
    async with closing(cache):
        agent = at_work(cache)
        sessions = await asyncio.gather(*(agent.ask("Hi") for _ in range(20)))
        assert {one.text for one in sessions} == {"You said: Hi"}
        before = len(agent.requests())
        await agent.ask("Hi")
    assert len(agent.requests()) == before


async def test_over_http(aimock: Aimock) -> None:
    cache = Cache(url="sqlite://")
    async with over_http(aimock, "cache", cache) as agent:
        texts = []
        for _ in range(2):
            intents = [intent async for intent in agent.stream("Say hello")]
            texts += [
                intent.value["text"]
                for intent in intents
                if not intent.partial and intent.name == "response_text"
            ]
    assert texts == ["Hello! What can I do for you today?"] * 2
    assert len(aimock.journal("cache")) == 1


async def test_over_http_a_turn_with_tools_comes_from_the_cache(aimock: Aimock) -> None:
    def get_weather(city: str, days: int = 1) -> str:
        """The weather."""
        return "sunny"

    cache = Cache(url="sqlite://", tools=True)
    async with over_http(aimock, "cache tools", cache, tools=[get_weather]) as agent:
        first: Session = await agent.run("What is the weather in Paris?")
        second: Session = await agent.run("What is the weather in Paris?")
    assert short(first.turns) == short(second.turns)
    assert len(aimock.journal("cache tools")) == 2


async def test_a_kept_answer_counts_as_a_call_and_outlives_its_session(tmp_path: Path) -> None:
    cache = in_file(tmp_path)
    async with closing(cache):
        store = SQLModelSessions(f"sqlite:///{tmp_path / 'x.db'}")
        async with closing(store):
            agent = at_work(store, cache)
            agent.limit(llm_calls=2)
            with pytest.raises(LimitExceeded, match="llm_calls"):
                await agent.ask("Please ask the clerk", session_id="s")  # three calls, none of them kept
            await agent.ask("Hi", session_id="t")
            await store.delete("", "t")
            agent.limit(llm_calls=1)
            session = await agent.ask("Hi", session_id="u")
        assert session.turns[-1].usage == Usage(usd=0.0)
        assert len([request for request in agent.requests() if request.turns[-1].text == "Hi"]) == 1
