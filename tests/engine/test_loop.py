"""The loop: text, tools side by side, and what becomes of calls that cannot be made."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from auwgent.errors import ToolError
from tests.support.bench import Hook, Recorder, bench, calls, check_history, short


async def get_time() -> str:
    """The time."""
    return "noon"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_a_text_is_shown_and_recorded() -> None:
    agent = bench(["Hi there."])
    session = await agent.ask("Hello")
    assert agent.heard == [("response_text", {"text": "Hi there."})]
    assert short(session.turns) == ["user: Hello", "assistant: Hi there."]
    assert session.text == "Hi there."
    assert session.stack == ["Main"]
    assert session.system_prompt == "You help."


async def test_turns_say_whose_they_are_and_of_which_run() -> None:
    agent = bench(["Hi."])
    session = await agent.ask()
    assert agent.run is not None
    assert {turn.run_id for turn in session.turns} == {agent.run.run_id}
    assert [turn.agent for turn in session.turns] == ["Main", "Main"]
    assert session.turns[1].model == "scripted/main"
    assert session.turns[1].usage is not None


async def test_a_tool_without_arguments_is_called_and_its_result_read() -> None:
    agent = bench([calls("get_time"), "It is {result}."], tools=[get_time])
    session = await agent.ask("What time is it?")
    call = session.turns[1].tool_calls
    assert call is not None
    assert agent.heard == [
        ("tool_call", {"type": "get_time", "args": {}, "id": call[0].id}),
        ("tool_result", {"name": "get_time", "args": {}, "result": "noon", "id": call[0].id}),
        ("response_text", {"text": "It is noon."}),
    ]
    assert short(session.turns) == [
        "user: What time is it?",
        "?get_time",
        "get_time=noon",
        "assistant: It is noon.",
    ]
    assert session.turns[2].outcome == "ok"


async def test_results_keep_their_type_in_the_intent_and_are_json_to_the_model() -> None:
    agent = bench([calls(("add", {"a": 1, "b": 2})), "done"], tools=[add])
    session = await agent.ask()
    assert agent.heard[1][1]["result"] == 3
    assert session.turns[2].content == "3"


async def test_text_beside_calls_is_shown_first() -> None:
    agent = bench([calls("get_time", text="Let me see."), "Noon."], tools=[get_time])
    session = await agent.ask()
    assert agent.names == ["response_text", "tool_call", "tool_result", "response_text"]
    assert short(session.turns)[1:3] == ["assistant: Let me see.", "?get_time"]


async def test_calls_of_one_message_run_side_by_side_and_results_keep_their_order() -> None:
    first_began, second_done = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        """Ends only after `quick` has ended."""
        first_began.set()
        await second_done.wait()
        return "slow"

    async def quick() -> str:
        """Ends first."""
        await first_began.wait()
        second_done.set()
        return "quick"

    saved: list[list[str]] = []
    save = Hook(onCheckpoint=lambda session, ctx: saved.append(short(session.turns)))
    agent = bench([calls("slow", "quick"), "done"], tools=[slow, quick], middleware=[save])
    async with asyncio.timeout(5):
        session = await agent.ask()
    assert saved[-2:] == [["user: Hello", "?slow", "?quick", "slow=slow", "quick=quick"]] * 2
    assert agent.names == ["tool_call", "tool_call", "tool_result", "tool_result", "response_text"]
    assert [value.get("name") for name, value in agent.heard if name == "tool_result"] == ["slow", "quick"]
    assert short(session.turns)[1:5] == ["?slow", "?quick", "slow=slow", "quick=quick"]
    assert short(agent.requests()[1].turns) == short(session.turns[:-1])


async def test_plain_functions_run_in_threads_side_by_side() -> None:
    meet = threading.Barrier(2, timeout=5)

    def one() -> str:
        """Waits for the other."""
        meet.wait()
        return threading.current_thread().name

    def two() -> str:
        """Waits for the first."""
        meet.wait()
        return threading.current_thread().name

    agent = bench([calls("one", "two"), "done"], tools=[one, two])
    session = await agent.ask()
    names = {turn.text for turn in session.turns if turn.role == "tool"}
    assert len(names) == 2
    assert threading.current_thread().name not in names


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"name": "get_tim", "args": {}}, "there is no tool 'get_tim'; did you mean `get_time`?"),
        ({"name": "add", "args": {"a": "x", "b": 1}}, "a"),
        ({"name": "add", "args": {"a": 1}}, "b"),
        ({"name": "add", "args": {"a": 1, "b": 2, "c": 3}}, "c"),
        ({"name": "add", "args": '{"a": 1, "b"'}, "not a JSON object"),
        ({"name": "add", "args": "[1, 2]"}, "not a JSON object"),
        ({"name": "add", "args": "null"}, "`a` is missing"),
        ({"name": "add", "args": '{{"a": 1}}'}, "not a JSON object"),
        ({"name": "add", "args": '{"a": NaN, "b": 1}'}, "not a JSON object"),
        ({"name": "add", "args": "[" * 100_000}, "not a JSON object"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_that_does_not_fit_is_told_to_the_model_alone(
    call: dict[str, Any], message: str, stream: bool
) -> None:
    log: list[str] = []
    agent = bench([{"tool_calls": [call]}, "Sorry."], tools=[get_time, add], middleware=[Recorder(log)])
    session = await agent.ask(stream=stream)
    assert agent.names == ["tool_error", "response_text"]
    _, value = agent.heard[0]
    assert value.keys() == {"tool", "message", "id"}
    assert message in value["message"]
    result = agent.requests()[1].turns[-1]
    assert (result.text, result.outcome) == (f"Error: {value['message']}", "error")
    assert "onCheckpoint(tool_start) Main" not in log
    check_history(session.turns)


async def test_arguments_that_do_not_parse_are_kept_as_they_were() -> None:
    agent = bench([{"tool_calls": [{"name": "add", "args": "{oops"}]}, "Sorry."], tools=[add])
    session = await agent.ask()
    assert session.turns[1].tool_calls is not None
    call = session.turns[1].tool_calls[0]
    assert (call.args, call.raw_args) == ({}, "{oops")


async def test_empty_arguments_are_none() -> None:
    agent = bench([{"tool_calls": [{"name": "get_time", "args": ""}]}, "ok"], tools=[get_time])
    await agent.ask()
    assert agent.names == ["tool_call", "tool_result", "response_text"]


async def test_half_a_character_from_the_model_never_reaches_the_session() -> None:
    replies: list[Any] = [{"tool_calls": [{"name": "echo", "args": '{"text": "\\ud800"}'}]}, "a\ud800b"]

    def echo(text: str) -> str:
        """Say it."""
        raise AssertionError(text)

    session = await bench(replies, tools=[echo]).ask()
    session.model_dump_json().encode()


async def test_what_a_tool_raises_is_read_by_the_model() -> None:
    def fails() -> None:
        """Fails."""
        raise KeyError("no such city")

    def explains() -> None:
        """Fails with words."""
        raise ToolError("ask for a city in Europe")

    agent = bench([calls("fails", "explains"), "Sorry."], tools=[fails, explains])
    session = await agent.ask()
    assert agent.names == ["tool_call", "tool_call", "tool_error", "tool_error", "response_text"]
    results = [turn.text for turn in session.turns if turn.role == "tool"]
    assert results == ["Error: KeyError: 'no such city'", "Error: ask for a city in Europe"]
    assert {turn.outcome for turn in session.turns if turn.role == "tool"} == {"error"}


async def test_ids_are_unique_whatever_the_model_says() -> None:
    twice = {"tool_calls": [{"name": "get_time", "id": "call_1"}, {"name": "get_time", "id": "call_1"}]}
    agent = bench([twice, {"tool_calls": [{"name": "get_time", "id": "call_1"}]}, "done"], tools=[get_time])
    session = await agent.ask()
    check_history(session.turns)
    assert session.turns[1].tool_calls is not None
    assert session.turns[1].tool_calls[0].id == "call_1"
    ids = [value["id"] for name, value in agent.heard if name == "tool_result"]
    assert len(set(ids)) == 3


async def test_a_session_goes_on_where_it_was() -> None:
    agent = bench(["One.", "Two."])
    first = await agent.ask("1")
    second = await agent.ask("2", session=first)
    assert short(agent.requests()[1].turns) == ["user: 1", "assistant: One.", "user: 2"]
    assert short(second.turns) == ["user: 1", "assistant: One.", "user: 2", "assistant: Two."]
    assert short(first.turns) == ["user: 1", "assistant: One."]


async def test_usage_is_added_up() -> None:
    used = {"input_tokens": 10, "output_tokens": 5, "usd": 0.5}
    agent = bench([{"usage": used, **calls("get_time")}, {"usage": used, "text": "Noon."}], tools=[get_time])
    await agent.ask()
    assert agent.run is not None
    usage = agent.run.usage
    assert (usage.input_tokens, usage.output_tokens, usage.usd) == (20, 10, 1.0)


async def test_examples_are_shown_to_the_model_and_kept_out_of_the_session() -> None:
    agent = bench(["Hi!"], examples=[{"user": "2+2?", "assistant": "4"}])
    session = await agent.ask("Hello")
    assert short(agent.requests()[0].turns) == ["user: 2+2?", "assistant: 4", "user: Hello"]
    assert short(session.turns) == ["user: Hello", "assistant: Hi!"]
