"""What hooks can change of a call and of a run, and that runs never meet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from auwgent.errors import ConfigError, MiddlewareError
from auwgent.session import Media, Session, Text, Turn
from tests.support.bench import Hook, Recorder, asks_helper, bench, calls, short


async def ping() -> str:
    """Ping."""
    return "pong"


class OnFirstCall:
    """A middleware that does something before the first model call only."""

    def __init__(self, does: Any) -> None:
        self.does = does

    def onLLMStart(self, prompt: str, ctx: Any) -> Any:
        if "called" not in ctx:
            ctx["called"] = True
            return self.does(prompt, ctx)
        return None


# The order of the hooks


async def test_the_hooks_over_two_model_calls() -> None:
    log: list[str] = []
    agent = bench(
        [calls("ping"), "Bye."], tools=[ping], middleware=[Recorder(log, "a "), Recorder(log, "b ")]
    )
    await agent.ask()

    def listed(*hooks: str) -> list[str]:
        return [f"{mark} {hook} Main" for hook in hooks for mark in "ab"]

    def backwards(hook: str) -> list[str]:
        return [f"{mark} {hook} Main" for mark in "ba"]

    assert log == [
        *listed("onRunStart", "onLLMStart(Hello)", "onCheckpoint(llm_start)"),
        *listed("onIntent(tool_call)", "onCheckpoint(tool_start)"),
        *listed("onIntent(tool_result)", "onCheckpoint(tool_end)"),
        *listed("onLLMStart(Hello)", "onCheckpoint(llm_start)", "onIntent(response_text)"),
        *backwards("onLLMEnd({'text': 'Bye.'})"),
        *backwards("onRunComplete(completed)"),
    ]


async def test_hooks_have_seen_an_intent_before_anybody_else() -> None:
    seen: list[str] = []
    agent = bench(
        ["Hi."],
        handler=lambda name, value, agent_name: seen.append("handler"),
        middleware=[
            Hook(
                onIntent=lambda name, value, ctx: seen.append(f"hook {len(ctx.session.turns)}"),
                onLLMEnd=lambda response, ctx: seen.append(f"end {len(ctx.session.turns)}"),
            )
        ],
    )
    await agent.ask()
    of_the_call = ["hook 1", "handler"]
    assert seen == [*of_the_call, "hook 1", "handler", "end 2"]


async def test_the_raw_answer_is_on_ctx() -> None:
    seen: list[Any] = []
    agent = bench(["Hi."], middleware=[Hook(onIntent=lambda name, value, ctx: seen.append(ctx.rawBlock))])
    await agent.ask()
    assert seen == ["Hi.", "Hi."]  # of the model's call, and of the text


async def test_the_input_is_on_ctx_and_not_yet_in_turns_when_the_run_starts() -> None:
    seen: list[Any] = []

    def onRunStart(session: Session, ctx: Any) -> None:
        seen.extend([ctx.input, list(session.turns), ctx.status])

    await bench(["Hi."], middleware=[Hook(onRunStart=onRunStart)]).ask("Hello")
    assert seen == ["Hello", [], "running"]


# One call


async def test_a_prompt_is_replaced_in_one_call_and_the_history_stays_clean() -> None:
    agent = bench(
        [calls("ping"), "Bye."],
        tools=[ping],
        middleware=[OnFirstCall(lambda prompt, ctx: f"{prompt}, with notes")],
    )
    session = await agent.ask("Hello")
    assert short(agent.requests()[0].turns) == ["user: Hello, with notes"]
    assert short(agent.requests()[1].turns)[0] == "user: Hello"
    assert session.turns[0].text == "Hello"


async def test_a_replaced_prompt_keeps_images() -> None:
    image = Media(type="image", data="aGk=")
    agent = bench(["Hi."], middleware=[Hook(onLLMStart=lambda prompt, ctx: prompt.upper())])
    session = await agent.ask([Text(text="look"), image])
    assert agent.requests()[0].turns[0].content == [Text(text="LOOK"), image]
    assert session.turns[0].content == [Text(text="look"), image]


async def test_settings_count_for_one_call_and_are_gone_in_the_next() -> None:
    def change(prompt: str, ctx: Any) -> None:
        ctx.headers["X-Trace"] = "t1"
        ctx.config = {**ctx.config, "temperature": 0}
        ctx.url = "https://other.example"
        ctx.apiKey = "other"
        ctx.systemPrompt = "You whisper."

    agent = bench([calls("ping"), "Bye."], tools=[ping], middleware=[OnFirstCall(change)])
    session = await agent.ask()
    first, second = agent.models.settings
    assert first["headers"] == {"X-Trace": "t1"}
    assert first["config"]["temperature"] == 0
    assert (first["url"], first["apiKey"]) == ("https://other.example", "other")
    assert first.keys() == {"headers", "config", "url", "apiKey"}
    assert second == {}
    assert [request.system for request in agent.requests()] == ["You whisper.", "You help."]
    assert session.system_prompt == "You help."


async def test_settings_can_be_read_before_they_are_changed() -> None:
    seen: list[Any] = []

    def look(prompt: str, ctx: Any) -> None:
        seen.append((ctx.model, ctx.provider, ctx.url, ctx.headers, ctx.apiKey))

    await bench(["Hi."], middleware=[Hook(onLLMStart=look)]).ask()
    assert seen == [("scripted/main", "scripted", None, {}, None)]


async def test_another_model_answers_one_call() -> None:
    def change(prompt: str, ctx: Any) -> None:
        ctx.model = "other"

    agent = bench(
        {"main": ["Main."], "other": [calls("ping")]}, tools=[ping], middleware=[OnFirstCall(change)]
    )
    session = await agent.ask()
    assert [turn.model for turn in session.turns if turn.role == "assistant"] == [
        "scripted/other",
        "scripted/main",
    ]


async def test_what_is_set_where_it_does_not_count_is_an_error() -> None:
    def change(name: str, value: Any, ctx: Any) -> None:
        ctx.model = "other"

    with pytest.raises(MiddlewareError, match=r"ctx\.model may be set in onLLMStart and onError only"):
        await bench(["Hi."], middleware=[Hook(onIntent=change)]).ask()


async def test_the_messages_of_the_call_are_on_ctx() -> None:
    seen: list[list[str]] = []
    agent = bench(
        [calls("ping"), "Bye."],
        tools=[ping],
        middleware=[Hook(onLLMStart=lambda prompt, ctx: seen.append(short(ctx.messages)))],
    )
    await agent.ask()
    assert seen == [["user: Hello"], ["user: Hello", "?ping", "ping=pong"]]


# The run's context


async def test_prompts_are_rendered_with_the_runs_context() -> None:
    agent = bench(
        ["Hi."], prompt="You help {{ ctx.name }} in {{ ctx.city }}.", context={"name": "you", "city": "Bonn"}
    )
    session = await agent.ask(context={"name": "Ada"})
    assert agent.requests()[0].system == session.system_prompt == "You help Ada in Bonn."


async def test_missing_values_are_named_before_any_call_those_of_helpers_included() -> None:
    agent = bench(
        {"main": ["Hi."], "joker": ["Ha."]},
        prompt="{{ ctx.name }} {{ ctx.city }}",
        helpers={"Joker": {"description": "x", "model": "joker", "prompt": "{{ ctx.mood }}"}},
    )
    with pytest.raises(ConfigError) as caught:
        await agent.ask()
    assert all(name in str(caught.value) for name in ("ctx.name", "ctx.city", "ctx.mood"))
    assert agent.requests() == []


async def test_context_can_be_set_when_the_run_starts() -> None:
    agent = bench(
        ["Hi."],
        prompt="You help {{ ctx.name }}.",
        middleware=[Hook(onRunStart=lambda session, ctx: ctx.setContext({"name": "Ada"}))],
    )
    await agent.ask()
    assert agent.requests()[0].system == "You help Ada."


async def test_context_set_before_a_call_is_in_its_prompt() -> None:
    agent = bench(
        ["Hi."],
        prompt="You help {{ ctx.name }}.",
        context={"name": "nobody"},
        middleware=[Hook(onLLMStart=lambda prompt, ctx: ctx.setContext({"name": "Ada"}))],
    )
    await agent.ask()
    assert agent.requests()[0].system == "You help Ada."


async def test_only_what_a_prompt_names_reaches_the_model() -> None:
    agent = bench(["Hi."], context={"secret": "s3cret"})
    await agent.ask()
    assert "s3cret" not in repr(agent.requests())


# The session of the run


async def test_a_turn_put_in_at_the_start_is_sent_and_kept() -> None:
    def in_place(session: Session, ctx: Any) -> None:
        session.turns.append(Turn(role="user", content="Remember: tea."))

    def returned(session: Session, ctx: Any) -> Session:
        return session.model_copy(update={"turns": [Turn(role="user", content="Remember: tea.")]})

    for hook in (in_place, returned):
        agent = bench(["Tea."], middleware=[Hook(onRunStart=hook)])
        session = await agent.ask("What do I like?")
        expected = ["user: Remember: tea.", "user: What do I like?"]
        assert short(agent.requests()[0].turns) == expected
        assert short(session.turns) == [*expected, "assistant: Tea."]


async def test_a_broken_history_is_mended_when_the_run_starts() -> None:
    def load(session: Session, ctx: Any) -> dict[str, Any]:
        return {
            "turns": [
                {"role": "tool", "tool_call_id": "stray", "content": "x"},
                {"role": "assistant", "tool_calls": [{"id": "c1", "name": "pay"}]},
            ]
        }

    agent = bench(["Hi."], middleware=[Hook(onRunStart=load)])
    session = await agent.ask()
    assert [turn.outcome for turn in session.turns] == [None, "unknown", None, None]
    assert [turn.role for turn in agent.requests()[0].turns] == ["assistant", "tool", "user"]


async def test_what_a_hook_returned_stays_its_own() -> None:
    stored = Session(turns=[Turn(role="user", content="before")])
    agent = bench(["Hi."], middleware=[Hook(onRunStart=lambda session, ctx: stored)])
    await agent.ask()
    assert short(stored.turns) == ["user: before"]


async def test_a_run_may_go_on_without_input() -> None:
    agent = bench(["Going on."])
    session = await agent.ask(None, session=Session(turns=[Turn(role="user", content="Hello")]))
    assert short(session.turns) == ["user: Hello", "assistant: Going on."]


# Many runs


async def test_state_is_shared_across_hooks_and_apart_between_runs() -> None:
    seen: list[Any] = []

    def onRunStart(session: Session, ctx: Any) -> None:
        assert "trace" not in ctx
        ctx.trace = ctx.input

    def onLLMEnd(response: Any, ctx: Any) -> None:
        seen.append((ctx.trace, ctx["trace"], ctx.get("trace")))

    agent = bench(["Hi."] * 2, middleware=[Hook(onRunStart=onRunStart, onLLMEnd=onLLMEnd)])
    await agent.ask("1")
    await agent.ask("2")
    assert seen == [("1", "1", "1"), ("2", "2", "2")]


async def test_a_hundred_runs_at_once_never_meet() -> None:
    runs = 100
    meet = asyncio.Barrier(runs)

    async def whoami(ctx: Any) -> str:
        """Who is asking."""
        await meet.wait()
        return f"{ctx.userId}/{ctx.sessionId}/{ctx.name}"

    async def onLLMStart(prompt: str, ctx: Any) -> str:
        ctx.count = ctx.get("count", 0) + 1
        await asyncio.sleep(0)
        return f"{prompt} ({ctx.count})"

    agent = bench(
        [calls("whoami"), "{user}: {result}"],
        tools=[whoami],
        prompt="You are with {{ ctx.name }}.",
        middleware=[Hook(onLLMStart=onLLMStart)],
    )

    async def one(number: int) -> None:
        session = await agent.ask(
            f"I am {number}", user_id=f"u{number}", session_id=f"s{number}", context={"name": f"n{number}"}
        )
        assert session.text == f"I am {number} (2): u{number}/s{number}/n{number}"
        assert (session.id, session.user_id) == (f"s{number}", f"u{number}")
        assert session.system_prompt == f"You are with n{number}."
        assert len(session.turns) == 4

    async with asyncio.timeout(30):
        await asyncio.gather(*map(one, range(runs)))


async def test_hooks_of_helpers_share_the_notes_of_the_run() -> None:
    seen: list[Any] = []

    def onLLMStart(prompt: str, ctx: Any) -> None:
        seen.append((ctx.activeAgent, ctx.get("mark")))
        ctx.mark = "made in Main"

    agent = bench(
        {"main": [asks_helper("Joker"), "Done."], "joker": ["Ha."]},
        helpers={"Joker": {"description": "x", "model": "joker", "prompt": ""}},
        middleware=[Hook(onLLMStart=onLLMStart)],
    )
    await agent.ask()
    assert seen[:2] == [("Main", None), ("Joker", "made in Main")]
