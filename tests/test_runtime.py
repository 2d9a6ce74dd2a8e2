"""The agent as its users hold it, on the scripted model."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from auwgent import AuwgentError, ConfigError, MiddlewareError, ProviderError, Runtime, Session, auwgent
from auwgent.middleware import SQLModelSessions
from auwgent.middleware.kept import InFolder


def config(replies: Sequence[Any] = ("Hello.",), **more: Any) -> dict[str, Any]:
    """A config on the scripted model, with no middleware."""
    agent = {"model": "main", **more.pop("agent", {})}
    model = {"use": "scripted/main", "retries": 0, "params": {"replies": list(replies), "repeat": True}}
    return {"middleware": [], "agent": agent, "models": {"main": model}, **more}


class Memory:
    """A store as a user would write it: two hooks and a dict."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}

    async def onRunStart(self, session: Session, ctx: Any) -> Any:
        return self.rows.get((ctx.userId, ctx.sessionId))

    async def onRunComplete(self, session: Session, ctx: Any) -> None:
        self.rows[ctx.userId, ctx.sessionId] = session.model_dump(mode="json")


class Gate:
    """Holds each run at its start until it is let through."""

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.open_for: dict[str, asyncio.Event] = {}

    async def onRunStart(self, session: Session, ctx: Any) -> None:
        self.arrived.append(ctx.input)
        await self.open_for.setdefault(ctx.input, asyncio.Event()).wait()

    async def onRunComplete(self, session: Session, ctx: Any) -> None:
        self.arrived.append(f"{ctx.input} {ctx.status}")


async def until(condition: Any) -> None:
    """Let other tasks go on until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0)


async def test_a_run_returns_the_session() -> None:
    session = await Runtime(config()).run("Hi", session_id="s1", user_id="ada")
    assert (session.id, session.user_id, session.stack, session.version) == ("s1", "ada", ["Main"], 1)
    assert [(turn.role, turn.text, turn.agent) for turn in session.turns] == [
        ("user", "Hi", "Main"),
        ("assistant", "Hello.", "Main"),
    ]
    assert session.text == "Hello."


async def test_the_documented_two_hooks_remember() -> None:
    store = Memory()
    agent = Runtime(config(["You said: {user}"]) | {"middleware": [store]})
    await agent.run("one", session_id="s", user_id="ada")
    session = await agent.run("two", session_id="s", user_id="ada")
    assert [turn.text for turn in session.turns] == ["one", "You said: one", "two", "You said: two"]
    stranger = await agent.run("three", session_id="s", user_id="eve")
    assert len(stranger.turns) == 2


async def test_a_session_goes_on_with_an_agent_of_another_name() -> None:
    call = {"id": "c1", "name": "Joker", "args": {"input": "A joke"}}
    turns = [
        {"role": "user", "content": "I am Ada", "agent": "Before"},
        {"role": "assistant", "agent": "Before", "tool_calls": [call]},
        {"role": "user", "content": "A joke", "agent": "Joker"},
        {"role": "assistant", "content": "Knock knock.", "agent": "Joker"},
        {"role": "tool", "content": "Knock knock.", "agent": "Before", "tool_call_id": "c1"},
        {"role": "assistant", "content": "Ha.", "agent": "Before"},
    ]
    seen: list[str] = []

    class Look:
        def onLLMStart(self, prompt: str, ctx: Any) -> None:
            seen.extend(turn.text for turn in ctx.messages)

    agent = Runtime(config(agent={"name": "After"}) | {"middleware": [Look]})
    imported = Session.model_validate({"stack": ["Before"], "turns": turns})
    session = await agent.run("Who am I?", session=imported)
    assert seen == ["I am Ada", "", "Knock knock.", "Ha.", "Who am I?"]
    assert session.stack == ["After"]


async def test_a_middleware_of_a_dict_may_be_a_class() -> None:
    agent = Runtime(config() | {"middleware": [Memory]})
    await agent.run("Hi", session_id="s")
    assert isinstance(agent.middleware[0], Memory)
    assert ("", "s") in agent.middleware[0].rows


async def test_the_user_of_a_run_may_stand_in_its_context() -> None:
    session = await Runtime(config()).run("Hi", context={"userId": "u1"})
    assert session.user_id == "u1"


@pytest.mark.process
async def test_what_a_store_keeps_is_not_changed_by_later_runs() -> None:
    kept: dict[str, Session] = {}

    class ByReference:
        def onRunStart(self, session: Session, ctx: Any) -> Session | None:
            return kept.get("it")

        def onRunComplete(self, session: Session, ctx: Any) -> None:
            kept.setdefault("it", session)

    agent = Runtime(config() | {"middleware": [ByReference]})
    await agent.run("one", session_id="s")
    second = await agent.run("two", session_id="s")
    assert (len(kept["it"].turns), len(second.turns)) == (2, 4)


async def test_runs_of_one_session_follow_one_another() -> None:
    gate = Gate()
    agent = Runtime(config() | {"middleware": [gate]})
    first = asyncio.create_task(agent.run("first", session_id="s"))
    await until(lambda: gate.arrived == ["first"])
    second = asyncio.create_task(agent.run("second", session_id="s"))
    other = asyncio.create_task(agent.run("other", session_id="s", user_id="eve"))
    await until(lambda: "other" in gate.arrived)
    assert "second" not in gate.arrived
    for name in ("first", "second", "other"):
        gate.open_for.setdefault(name, asyncio.Event()).set()
    await asyncio.gather(first, second, other)
    assert gate.arrived.index("first completed") < gate.arrived.index("second")


async def test_a_waiting_run_that_is_cancelled_lets_the_next_one_wait_on() -> None:
    gate = Gate()
    agent = Runtime(config() | {"middleware": [gate]})
    runs = []
    for name in ("first", "second", "third"):
        runs.append(asyncio.create_task(agent.run(name, session_id="s")))
        await asyncio.sleep(0)
    await until(lambda: gate.arrived == ["first"])
    runs[1].cancel()
    await asyncio.sleep(0)
    assert gate.arrived == ["first"]
    for name in ("first", "third"):
        gate.open_for.setdefault(name, asyncio.Event()).set()
    await asyncio.gather(*runs, return_exceptions=True)
    assert gate.arrived == ["first", "first completed", "third", "third completed"]


async def test_a_stream_gives_pieces_then_the_whole_and_the_session() -> None:
    stream = Runtime(config(["One two three."])).stream("Count")
    seen = [intent async for intent in stream]
    pieces = [intent.value["delta"] for intent in seen if intent.partial]
    assert "".join(pieces) == "One two three."
    assert len(pieces) > 1
    assert [intent.seq for intent in seen] == list(range(1, len(seen) + 1))
    assert (seen[-1].name, seen[-1].value, seen[-1].partial) == (
        "response_text",
        {"text": "One two three."},
        False,
    )
    assert {intent.run_id for intent in seen} == {stream.run_id}
    assert stream.session is not None
    assert stream.session.text == "One two three."


async def test_leaving_a_stream_cancels_the_run_and_keeps_what_was_said() -> None:
    store = Memory()
    agent = Runtime(config(["One two three four."]) | {"middleware": [store]})
    async with aclosing(aiter(agent.stream("Count", session_id="s"))) as intents:  # type: ignore[type-var]
        async for intent in intents:
            if intent.value["raw"].count(" ") >= 1:
                break
    turns = store.rows["", "s"]["turns"]
    assert turns[0]["content"] == "Count"
    assert turns[1]["content"] in ("One two", "One two three", "One two three four.")


async def test_a_failed_stream_raises_and_keeps_the_session() -> None:
    stream = Runtime(config([{"error": {"status": 401, "message": "wrong key"}}])).stream("Hi")
    with pytest.raises(ProviderError) as failure:
        async for _ in stream:
            pass
    assert stream.session is failure.value.session is not None
    assert [turn.text for turn in stream.session.turns] == ["Hi"]


def test_run_sync_needs_no_loop_and_may_be_called_again() -> None:
    agent = Runtime(config())
    assert agent.run_sync("Hi").text == agent.run_sync("Hi").text == "Hello."


async def test_run_sync_inside_a_loop_takes_a_thread_of_its_own() -> None:
    door = Door()
    agent = Runtime(config(["You said: {user}"]) | {"middleware": [door]})
    assert agent.run_sync("0").text == "You said: 0"
    assert door.calls == ["open", "close"]
    with pytest.raises(ProviderError):
        Runtime(config([{"error": {"status": 401, "message": "wrong key"}}])).run_sync("Hi")
    async with agent:
        assert agent.run_sync("0").text == "You said: 0"
        assert door.calls == ["open", "close", "open"]


def test_one_agent_serves_threads_with_their_own_loops() -> None:
    agent = Runtime(config(["You said: {user}"]))
    answers: dict[int, str] = {}

    def work(number: int) -> None:
        answers[number] = asyncio.run(agent.run(str(number), session_id="same")).text

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == {number: f"You said: {number}" for number in range(4)}


class Door:
    """A middleware that takes its time to open, and must be open while a run goes on."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def open(self) -> None:
        await asyncio.sleep(0.05)
        self.calls.append("open")

    async def onLLMStart(self, prompt: str, ctx: Any) -> None:
        await asyncio.sleep(float(prompt))
        assert self.calls[-1] == "open"

    async def close(self) -> None:
        self.calls.append("close")


def in_threads(*work: Callable[[], Any]) -> list[Any]:
    """Do each in a thread of its own, all at once; their results."""
    with ThreadPoolExecutor(len(work)) as pool:
        return [future.result(10) for future in [pool.submit(one) for one in work]]


def test_a_profile_is_built_once_however_many_threads_want_it_first() -> None:
    made: list[Any] = []

    class Slow:
        def __init__(self, word: str) -> None:
            made.append(word)
            time.sleep(0.02)  # so that the other threads come while it is being made

        def onRunStart(self, session: Session, ctx: Any) -> None:
            pass

    strict = {"middleware": [{"use": Slow, "word": "strict"}]}
    agent = Runtime(config(profiles={"strict": strict}))
    in_threads(*[partial(agent.run_sync, "Hi", profile="strict")] * 4)
    assert made == ["strict"]


def test_run_sync_from_threads_shares_an_agent_and_the_last_one_closes_it() -> None:
    door = Door()
    agent = Runtime(config() | {"middleware": [door]})
    seconds = ["0", "0.1", "0.2", "0"]
    sessions = in_threads(*(partial(agent.run_sync, one) for one in seconds))
    assert [session.turns[0].text for session in sessions] == seconds
    assert door.calls == ["open", "close"]


async def test_run_sync_in_a_thread_leaves_an_agent_open_that_others_use() -> None:
    door = Door()
    agent = Runtime(config() | {"middleware": [door]})
    async with agent:
        await asyncio.gather(agent.run("0.3"), asyncio.to_thread(agent.run_sync, "0"))
        assert door.calls == ["open"]
    assert door.calls == ["open", "close"]
    await asyncio.gather(agent.run("0.3"), asyncio.to_thread(agent.run_sync, "0"))
    await agent.close()
    assert door.calls == ["open", "close"] * 2


async def test_a_run_that_is_cancelled_while_the_agent_opens_leaves_it_to_the_next_to_open() -> None:
    door = Door()
    agent = Runtime(config() | {"middleware": [door]})
    first = asyncio.create_task(agent.run("0"))
    second = asyncio.create_task(agent.run("0"))
    await asyncio.sleep(0.01)
    first.cancel()
    assert (await second).text == "Hello."
    assert first.cancelled()


async def test_opening_and_closing_reach_every_middleware_once() -> None:
    calls: list[str] = []

    class Opens:
        def __init__(self, name: str) -> None:
            self.name = name

        async def open(self) -> None:
            calls.append(f"open {self.name}")

        def close(self) -> None:
            calls.append(f"close {self.name}")

    agent = Runtime(config() | {"middleware": [Opens("a"), Opens("b")]})
    async with agent:
        await asyncio.gather(agent.run("x"), agent.run("y"))
    assert calls == ["open a", "open b", "close b", "close a"]


async def test_a_middleware_that_does_not_open_stops_the_run_and_closes_the_others() -> None:
    closed: list[str] = []

    class Fine:
        def close(self) -> None:
            closed.append("fine")

    class Broken:
        def open(self) -> None:
            raise OSError("no disk")

    agent = Runtime(config() | {"middleware": [Fine, Broken]})
    with pytest.raises(MiddlewareError, match=r"'Broken'.*open.*no disk"):
        await agent.run("Hi")
    assert closed == ["fine"]


async def test_handlers_hear_by_function_and_by_method() -> None:
    heard: list[Any] = []

    class ByMethod:
        async def response_text(self, value: dict[str, Any], agent_name: str) -> None:
            heard.append((value["text"], agent_name))

    agent = Runtime(config(["One two."]))
    agent.on_intent(
        lambda name, value, agent_name: heard.extend([(name, agent_name)] * (name != "model_call"))
    )
    agent.on_intent(ByMethod)
    agent.on_intent_partial(lambda name, value, agent_name: heard.append(value["delta"]))
    await agent.run("Hi")
    assert heard == ["One", " two.", ("response_text", "Main"), ("One two.", "Main")]


def test_every_problem_of_a_config_is_told_at_once() -> None:
    class NotAHook:
        pass

    broken = config(agent={"tools": [len, 3]}, middleware=[NotAHook, Memory, {"use": Memory, "path": 1}])
    with pytest.raises(ConfigError) as failure:
        Runtime(broken)
    text = str(failure.value)
    assert "tools" in text or "tool" in text
    del broken["agent"]["tools"][1]
    with pytest.raises(ConfigError) as failure:
        Runtime(broken)
    text = str(failure.value)
    assert "NotAHook" in text
    assert "not a middleware" in text
    assert "path" in text


def test_a_misspelt_hook_is_a_problem_of_its_entry() -> None:
    class Guard:
        def onIntents(self, name: str, value: Any, ctx: Any) -> Any:
            return {"skip": True}

    with pytest.raises(ConfigError, match="'Guard' has a method 'onIntents', which is not a hook") as failure:
        Runtime(config() | {"middleware": [Memory, Guard]})
    [problem] = failure.value.problems
    assert (problem.key, problem.hint.split("?")[0]) == ("middleware[1]", "did you mean 'onIntent'")
    with pytest.raises(ConfigError, match="onIntents"):
        Runtime(config(), middleware=[Guard()])


def test_context_may_not_take_the_names_of_ctx() -> None:
    with pytest.raises(ConfigError, match="'session'"):
        Runtime(config(context={"session": 1, "userId": "fine"}))


async def test_a_profile_is_laid_over_one_run() -> None:
    both = config(["{user}"], profiles={"loud": {"models": {"main": {"params": {"replies": ["LOUD"]}}}}})
    agent = Runtime(both)
    assert (await agent.run("quiet")).text == "quiet"
    assert (await agent.run("quiet", profile="loud")).text == "LOUD"
    with pytest.raises(ConfigError, match="laud"):
        await agent.run("quiet", profile="laud")


async def test_errors_of_the_package_share_a_base() -> None:
    with pytest.raises(AuwgentError):
        await Runtime(config([{"error": {"status": 500}}])).run("Hi")


def test_a_helper_inherits_only_what_a_caller_has() -> None:
    def search() -> str:
        """Search."""
        return ""

    helper = {"description": "Helps", "model": "main", "inherit_tools": ["serch"]}
    with pytest.raises(ConfigError, match="did you mean `search`"):
        Runtime(config(agent={"tools": [search], "helpers": ["Aide"]}, helpers={"Aide": helper}))


def test_a_tool_may_not_be_called_like_the_answer() -> None:
    def final_answer() -> str:
        """Answer."""
        return ""

    with pytest.raises(ConfigError, match="final_answer"):
        Runtime(config(agent={"tools": [final_answer], "output": {"type": "object"}}))


def test_what_a_dict_gives_a_middleware_is_the_very_object() -> None:
    class Recorder:
        def __init__(self, log: list[str], counts: dict[str, int], home: str) -> None:
            self.log, self.counts, self.home = log, counts, home

        def onRunComplete(self, session: Session, ctx: Any) -> None:
            self.log.append(ctx.status)
            self.counts["runs"] = 1

    log: list[str] = []
    counts: dict[str, int] = {}
    recorder = {"use": Recorder, "log": log, "counts": counts, "home": "${HOME:-none}"}
    auwgent({"middleware": [recorder], "agent": {"model": "scripted/echo"}}).run_sync("Hello")
    assert (log, counts) == (["completed"], {"runs": 1})


class Uploads:
    """A middleware with a `folder` for a reason of its own."""

    folder = None
    target: Any = None

    def onRunStart(self, session: Session, ctx: Any) -> None:
        pass


class InPlace(InFolder):
    """One that asks for the config's folder."""

    def onRunStart(self, session: Session, ctx: Any) -> None:
        pass


def test_only_what_asks_for_the_folder_of_the_config_is_given_it(tmp_path: Path) -> None:
    (tmp_path / "auwgent.toml").write_text(
        'middleware = ["test_runtime_uploads.Uploads", "test_runtime_uploads.InPlace"]\n'
        '[agent]\nmodel = "scripted/m"\n'
    )
    (tmp_path / "test_runtime_uploads.py").write_text(f"from {__name__} import InPlace, Uploads\n")
    own, kept = auwgent(tmp_path / "auwgent.toml").middleware
    assert own.folder is None
    assert kept.folder == tmp_path
    assert kept.beside("a.db") == tmp_path / "a.db"


@pytest.mark.parametrize(
    ("target", "problem"),
    [(5, "`target` that is int"), (["Main", None], "`target` that is list"), ("Joker", "not an agent")],
)
def test_a_target_that_cannot_be_is_a_problem_of_its_entry(target: Any, problem: str) -> None:
    aimed = Uploads()
    aimed.target = target
    with pytest.raises(ConfigError, match=problem) as failure:
        Runtime(config() | {"middleware": [Memory, aimed]})
    assert [one.key for one in failure.value.problems] == ["middleware[1]"]
    with pytest.raises(ConfigError, match=problem):
        Runtime(config(), middleware=[aimed])


async def test_a_class_is_taken_as_live_middleware_too() -> None:
    agent = Runtime(config(), middleware=[Memory])
    await agent.run("Hi", session_id="s1")
    assert list(agent.middleware[0].rows) == [("", "s1")]


def test_the_store_is_the_middleware_that_has_its_verbs() -> None:
    assert Runtime(config()).store is None
    assert Runtime(config(), middleware=[Memory(), MagicMock()]).store is None
    kept = Runtime(config() | {"middleware": [Memory, {"use": SQLModelSessions, "url": "sqlite://"}]})
    assert kept.store is kept.middleware[1]


async def test_an_option_that_no_run_has_is_named() -> None:
    with pytest.raises(TypeError, match="a run has no option 'sesion_id'; it has session_id, user_id"):
        await Runtime(config()).run("Hi", sesion_id="s1")  # type: ignore[call-arg]


@pytest.mark.parametrize("by", ["aclose", "cancel"])
async def test_another_task_can_end_a_stream_and_its_reader_comes_to_the_end(by: str) -> None:
    ended: list[str] = []
    agent = Runtime(
        config([{"text": "One two three.", "pause": 60}]),
        middleware=[type("End", (), {"onRunComplete": lambda self, s, ctx: ended.append(ctx.status)})()],
    )
    stream = agent.stream("Hi", session_id="s1")
    begun = asyncio.Event()

    async def read() -> list[str]:
        said = []
        async for intent in stream:
            said.append(intent.name)
            begun.set()
        return said

    reader = asyncio.create_task(read())
    await begun.wait()
    await getattr(stream, by)()
    async with asyncio.timeout(5):
        said = await reader
    assert ended == ["cancelled"]
    assert said == ["response_text"]  # its first piece
    assert stream.session is not None
    assert stream.session.turns[0].text == "Hi"


async def test_cancel_need_not_be_waited_for_and_may_come_before_the_first_intent() -> None:
    agent = Runtime(config())
    stream = agent.stream("Hi")
    stream.cancel()
    assert [intent async for intent in stream] == []
    stream = agent.stream("Hi")

    async def read() -> list[str]:
        return [intent.name async for intent in stream]

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    stream.cancel()
    assert await reader == []
