"""What hooks may change of a model call: its messages, its answer; and what they may ask beside it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from auwgent.errors import LimitExceeded, MiddlewareError
from auwgent.session import Turn
from tests.support.bench import Bench, Hook, asks_helper, bench, calls, check_history, short

HELPER = {"Clerk": {"description": "Looks things up", "model": "main", "prompt": "You look."}}


def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


def before_call(function: Any) -> Hook:
    return Hook(onLLMStart=function)


def setting(name: str, value: Any) -> Hook:
    return before_call(lambda prompt, ctx: setattr(ctx, name, value))


# ctx.messages


async def test_messages_change_what_is_sent_and_not_what_is_kept() -> None:
    agent = bench(["One.", "Two."], middleware=[before_call(keep_last)])
    session = await agent.ask("Again", session=await agent.ask("Hi"))
    assert short(agent.requests()[-1].turns) == ["user: Again"]
    assert short(session.turns) == ["user: Hi", "assistant: One.", "user: Again", "assistant: One."]


def keep_last(prompt: str, ctx: Any) -> None:
    ctx.messages = ctx.messages[-1:]


async def test_messages_may_be_dicts_and_a_returned_prompt_holds_as_well() -> None:
    def change(prompt: str, ctx: Any) -> str:
        ctx.messages = [{"role": "user", "content": "Before"}, *ctx.messages]
        return f"{prompt}!"

    agent = bench(middleware=[before_call(change)])
    await agent.ask("Hi")
    assert short(agent.requests()[-1].turns) == ["user: Before", "user: Hi!"]


async def test_however_messages_are_cut_each_call_has_its_result() -> None:
    for cut in range(4):
        agent = bench(
            [calls(("add", {"a": 1, "b": 2})), "Three."],
            tools=[add],
            middleware=[
                before_call(lambda prompt, ctx, cut=cut: setattr(ctx, "messages", ctx.messages[cut:]))
            ],
        )
        agent.limit(llm_calls=2)
        with suppress(LimitExceeded):  # without its own call before it, the script begins again
            await agent.ask("Add")
        for request in agent.requests():
            check_history(request.turns)


async def test_messages_that_are_none_and_messages_set_elsewhere_are_refused() -> None:
    with pytest.raises(MiddlewareError, match="onLLMStart"):
        await bench(middleware=[setting("messages", [{"role": "nobody"}])]).ask()
    late = Hook(onLLMEnd=lambda response, ctx: setattr(ctx, "messages", []))
    with pytest.raises(MiddlewareError, match=r"ctx\.messages may be set in onLLMStart only"):
        await bench(middleware=[late]).ask()


# ctx.modelReply


@pytest.mark.parametrize("stream", [True, False])
async def test_a_given_reply_is_the_answer_and_costs_nothing(stream: bool) -> None:
    agent = bench(middleware=[setting("modelReply", "Given.")])
    session = await agent.ask("Hi", stream=stream)
    turn = session.turns[-1]
    assert (turn.text, turn.model) == ("Given.", "scripted/main")
    assert turn.usage is not None
    assert (turn.usage.input_tokens, turn.usage.usd) == (0, 0.0)
    assert agent.requests() == []
    assert agent.heard == [("response_text", {"text": "Given."})]
    assert [one.value["delta"] for one in agent.partials] == (["Given."] if stream else [])


async def test_a_given_reply_may_call_tools() -> None:
    given = {
        "text": "",
        "calls": [{"id": "c1", "name": "add", "arguments": '{"a": 1, "b": 2}'}],
    }

    def first_call(prompt: str, ctx: Any) -> None:
        if ctx.messages[-1].role == "user":
            ctx.modelReply = given

    agent = bench(
        [{"when": "", "result": True, "text": "It is {result}."}],
        tools=[add],
        middleware=[before_call(first_call)],
    )
    session = await agent.ask("Add")
    assert short(session.turns) == ["user: Add", "?add", "add=3", "assistant: It is 3."]


async def test_hooks_behind_see_the_given_reply_and_may_take_it_back() -> None:
    seen: list[Any] = []

    def take_back(prompt: str, ctx: Any) -> None:
        seen.append(ctx.modelReply["text"])
        ctx.modelReply = None

    agent = bench(["Asked."], middleware=[setting("modelReply", "Given."), before_call(take_back)])
    session = await agent.ask("Hi")
    assert (session.text, seen) == ("Asked.", ["Given."])


@pytest.mark.process
async def test_after_a_call_the_reply_can_be_read() -> None:
    seen: list[Any] = []
    agent = bench(
        [calls(("add", {"a": 1, "b": 2})), "Three."],
        tools=[add],
        middleware=[Hook(onIntent=lambda name, value, ctx: seen.append(ctx.modelReply))],
    )
    await agent.ask("Add")
    assert seen[0]["calls"][0] | {"id": ""} == {
        "id": "",
        "name": "add",
        "arguments": '{"a": 1, "b": 2}',
        "cut": False,
    }
    assert (seen[-1]["text"], seen[-1]["finish_reason"], seen[-1]["model"]) == (
        "Three.",
        "stop",
        "scripted/main",
    )


async def test_a_reply_of_another_form_is_refused() -> None:
    with pytest.raises(MiddlewareError, match=r"ctx\.modelReply has no 'tool_calls'"):
        await bench(middleware=[setting("modelReply", {"text": "", "tool_calls": []})]).ask()
    with pytest.raises(MiddlewareError):
        await bench(middleware=[setting("modelReply", {"text": 1})]).ask()


# ctx.ask


def asking(**options: Any) -> tuple[Hook, list[str]]:
    heard: list[str] = []

    async def ask(prompt: str, ctx: Any) -> None:
        heard.append(await ctx.ask("What is this about?", **options))

    return before_call(ask), heard


async def test_a_call_aside_counts_and_nobody_is_shown_it() -> None:
    hook, heard = asking(model="small", system="You are brief.")
    agent = bench({"main": ["Hello."], "small": ["Cats."]}, middleware=[hook])
    session = await agent.ask("Hi")
    assert heard == ["Cats."]
    assert agent.requests("small")[0].system == "You are brief."
    assert agent.names == ["response_text"]
    assert {one.value["raw"] for one in agent.partials} == {"Hello."}
    assert short(session.turns) == ["user: Hi", "assistant: Hello."]
    assert agent.run is not None
    assert session.turns[-1].usage is not None
    assert agent.run.usage.output_tokens > session.turns[-1].usage.output_tokens


async def test_a_call_aside_asks_the_model_of_the_agent_at_work() -> None:
    hook, heard = asking()
    helper = {"Clerk": {**HELPER["Clerk"], "model": "clerk"}}
    replies: dict[str, list[Any]] = {
        "main": [
            {"when": "What is this", "text": "Main's."},
            {"when": "", **asks_helper("Clerk")},
            {"when": "", "result": True, "text": "Done."},
        ],
        "clerk": [{"when": "What is this", "text": "Clerk's."}, "Found."],
    }
    await bench(replies, middleware=[hook], helpers=helper).ask("Hi")
    assert heard == ["Main's.", "Clerk's.", "Main's."]


async def test_limits_hold_for_calls_aside() -> None:
    agent = bench(middleware=[asking()[0]])
    agent.limit(llm_calls=1)
    with pytest.raises(LimitExceeded, match="llm_calls"):
        await agent.ask("Hi")


async def test_a_model_that_is_not_there_is_the_middlewares_failure() -> None:
    with pytest.raises(MiddlewareError, match="there is no model 'nowhere'"):
        await bench(middleware=[asking(model="nowhere")[0]]).ask("Hi")


# What a call is told of


async def test_tools_and_schema_of_a_call_are_known() -> None:
    seen: list[Any] = []
    hook = before_call(lambda prompt, ctx: seen.append((ctx.toolSpecs, ctx.outputSchema)))
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    agent: Bench = bench(['{"a": 1}'], tools=[add], output=schema, middleware=[hook])
    await agent.ask("Hi")
    tools, output = seen[0]
    assert [(tool["name"], tool["description"]) for tool in tools] == [("add", "The sum.")]
    assert set(tools[0]["parameters"]["properties"]) == {"a", "b"}
    assert output["properties"] == schema["properties"]


async def test_turns_given_as_messages_are_not_those_of_the_session() -> None:
    def shout(prompt: str, ctx: Any) -> None:
        ctx.messages = [turn.model_copy(update={"content": turn.text.upper()}) for turn in ctx.messages]

    agent = bench(middleware=[before_call(shout)])
    session = await agent.ask("Hi")
    assert session.turns[0] == Turn.model_validate({**session.turns[0].model_dump(), "content": "Hi"})
    assert agent.requests()[-1].turns[0].text == "HI"
