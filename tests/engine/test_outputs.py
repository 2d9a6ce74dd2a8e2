"""Structured answers, on providers that keep to a schema and on those that need a final-answer tool."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from auwgent.errors import MiddlewareError, ProviderError
from tests.support.bench import Bench, Hook, Recorder, asks_helper, bench, calls, check_history, short


class Report(BaseModel):
    title: str
    pages: int = 1


class Refusal(BaseModel):
    reason: str


GOOD = {"title": "Cats", "pages": 3}
BAD = {"pages": "many"}


def get_time() -> str:
    """The time."""
    return "noon"


def as_text(answer: Any) -> Any:
    return json.dumps(answer)


def as_call(answer: Any) -> Any:
    return calls(("final_answer", answer))


WAYS = pytest.mark.parametrize(
    ("says", "native"), [(as_text, True), (as_call, False)], ids=["native", "final answer tool"]
)
STREAMING = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def reporter(*replies: Any, native: bool, **more: Any) -> Bench:
    return bench(list(replies), keeps_schema=native, output=Report, **more)


@WAYS
@STREAMING
async def test_an_answer_is_validated_data(says: Any, native: bool, stream: bool) -> None:
    agent = reporter(says({"title": "Cats"}), native=native)
    session = await agent.ask(stream=stream)
    assert agent.heard == [("response_schema", {"type": "Report", "response": {"title": "Cats", "pages": 1}})]
    assert json.loads(session.text) == {"title": "Cats"}
    assert [turn.role for turn in session.turns] == ["user", "assistant"]


@WAYS
async def test_the_provider_is_told_of_the_schema_in_its_way(says: Any, native: bool) -> None:
    agent = reporter(says(GOOD), native=native, tools=[get_time])
    await agent.ask()
    request = agent.requests()[0]
    assert (request.output is not None) is native
    assert [tool.name for tool in request.tools] == ["get_time", *([] if native else ["final_answer"])]


@WAYS
@STREAMING
async def test_tools_work_beside_a_schema(says: Any, native: bool, stream: bool) -> None:
    agent = reporter(calls("get_time"), says(GOOD), native=native, tools=[get_time])
    session = await agent.ask(stream=stream)
    assert agent.names == ["tool_call", "tool_result", "response_schema"]
    check_history(session.turns)
    assert not [call for turn in session.turns for call in turn.tool_calls or () if "answer" in call.name]


@WAYS
@STREAMING
async def test_an_answer_that_does_not_fit_is_sent_back(says: Any, native: bool, stream: bool) -> None:
    agent = reporter(says(BAD), says({"title": 5}), says(GOOD), native=native)
    await agent.ask(stream=stream)
    assert agent.heard == [("response_schema", {"type": "Report", "response": GOOD})]
    told = [request.turns[-1].text for request in agent.requests()[1:]]
    assert "title" in told[0]
    assert "pages" in told[0]
    assert "title" in told[1]
    assert all(("final_answer" in words) is not native for words in told)


@WAYS
async def test_it_is_sent_back_at_most_twice(says: Any, native: bool) -> None:
    log: list[str] = []
    agent = reporter(says(BAD), says(BAD), says(BAD), says(GOOD), native=native, middleware=[Recorder(log)])
    with pytest.raises(ProviderError, match="no answer that fits the output schema of 'Main'") as caught:
        await agent.ask()
    assert caught.value.fault == "protocol"
    assert len(agent.requests()) == 3
    assert [line for line in log if "onError" in line] == ["onError(ProviderError) Main"]
    assert agent.names == ["error"]
    check_history(agent.session.turns)


@WAYS
async def test_what_is_no_json_is_sent_back(says: Any, native: bool) -> None:
    broken = {"tool_calls": [{"name": "final_answer", "args": '{"title": '}]}
    agent = reporter("I would rather talk." if native else broken, says(GOOD), native=native)
    await agent.ask()
    assert agent.names == ["response_schema"]
    assert "JSON" in agent.requests()[1].turns[-1].text


async def test_plain_text_where_the_final_answer_tool_is_offered_is_sent_back() -> None:
    agent = reporter("Well.", as_call(GOOD), native=False)
    await agent.ask()
    assert agent.names == ["response_schema"]
    assert "final_answer" in agent.requests()[1].turns[-1].text


async def test_text_beside_the_final_answer_is_shown_too() -> None:
    agent = reporter(calls(("final_answer", GOOD), text="Here it is:"), native=False)
    session = await agent.ask()
    assert agent.names == ["response_text", "response_schema"]
    assert json.loads(session.text) == GOOD


async def test_calls_beside_the_final_answer_are_done() -> None:
    agent = reporter(calls("get_time", ("final_answer", GOOD)), native=False, tools=[get_time])
    session = await agent.ask()
    assert agent.names == ["tool_call", "tool_result", "response_schema"]
    assert json.loads(session.text) == GOOD
    check_history(session.turns)


async def test_an_answer_beside_the_end_of_the_turn_is_not_given_as_well() -> None:
    agent = reporter(
        calls(("Bye", {"reason": "x"}), ("final_answer", GOOD)),
        native=False,
        intents={"Bye": {"fields": {"reason": "string"}, "terminal": True}},
    )
    await agent.ask()
    assert agent.names == ["Bye"]


@WAYS
async def test_pieces_of_an_answer_are_shown_as_what_they_will_be(says: Any, native: bool) -> None:
    agent = reporter(says(GOOD), native=native)
    await agent.ask()
    assert {piece.name for piece in agent.partials} == {"response_schema"}
    values = [piece.value for piece in agent.partials]
    assert {value["mode"] for value in values} == {"structured"}
    assert {value["snapshot"]["type"] for value in values} == {"Report"}
    assert values[-1]["snapshot"] == {"type": "Report", "response": GOOD}
    assert json.loads("".join(value["delta"] for value in values)) == GOOD


@WAYS
async def test_a_replaced_answer_is_what_everybody_gets(says: Any, native: bool) -> None:
    def replace(name: str, value: Any, ctx: Any) -> Any:
        return {"result": {"title": "[hidden]"}} if name == "response_schema" else None

    agent = reporter(says({"title": "secret"}), native=native, middleware=[Hook(onIntent=replace)])
    session = await agent.ask()
    assert agent.heard == [("response_schema", {"type": "Report", "response": {"title": "[hidden]"}})]
    assert "secret" not in session.model_dump_json()
    assert json.loads(session.text) == {"title": "[hidden]"}


@WAYS
async def test_the_end_of_the_turn_is_told_with_the_answer(says: Any, native: bool) -> None:
    ended: list[Any] = []
    hook = Hook(onLLMEnd=lambda response, ctx: ended.append(response))
    agent = reporter(says(BAD), says(GOOD), native=native, middleware=[hook])
    await agent.ask()
    assert ended == [{"type": "Report", "response": GOOD}]


@WAYS
async def test_a_guard_that_raises_lets_no_answer_out(says: Any, native: bool) -> None:
    def guard(name: str, value: Any, ctx: Any) -> None:
        if name == "response_schema":
            raise ValueError("leak")

    agent = reporter(says(GOOD), native=native, middleware=[Hook(onIntent=guard)])
    with pytest.raises(MiddlewareError):
        await agent.ask()
    assert "Cats" not in agent.session.model_dump_json()


@WAYS
async def test_the_prompt_hook_sees_the_users_words_also_while_mending(says: Any, native: bool) -> None:
    seen: list[str] = []

    def shout(prompt: str, ctx: Any) -> str:
        seen.append(prompt)
        return prompt.upper()

    agent = reporter(says(BAD), says(GOOD), native=native, middleware=[Hook(onLLMStart=shout)])
    await agent.ask("report")
    assert seen == ["report", "report"]
    last = agent.requests()[1].turns
    assert last[0].text == "REPORT"
    assert "does not fit" in last[-1].text


@WAYS
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"type": "Report", "response": GOOD}, "Report"),
        ({"type": "Refusal", "response": {"reason": "no"}}, "Refusal"),
    ],
)
async def test_an_answer_may_have_one_of_several_shapes(
    says: Any, native: bool, answer: dict[str, Any], kind: str
) -> None:
    agent = bench([says(answer)], keeps_schema=native, output=[Report, Refusal])
    await agent.ask()
    assert agent.heard == [("response_schema", {"type": kind, "response": answer["response"]})]


@WAYS
async def test_a_helpers_answer_reaches_its_caller_as_json(says: Any, native: bool) -> None:
    agent = bench(
        {"main": [asks_helper("Writer"), "Done."], "writer": [says(GOOD)]},
        keeps_schema=native,
        helpers={"Writer": {"description": "Writes", "model": "writer", "prompt": "", "output": Report}},
    )
    session = await agent.ask()
    assert agent.names == ["helper_call", "response_schema", "helper_result", "response_text"]
    assert agent.heard[2][1]["result"] == GOOD
    result = next(turn for turn in session.turns if turn.role == "tool")
    assert json.loads(result.text) == GOOD
    assert session.stack == ["Main"]


@WAYS
async def test_a_helper_that_cannot_keep_to_its_shape_has_failed(says: Any, native: bool) -> None:
    agent = bench(
        {"main": [asks_helper("Writer"), "Pity."], "writer": [says(BAD)] * 3},
        keeps_schema=native,
        helpers={"Writer": {"description": "Writes", "model": "writer", "prompt": "", "output": Report}},
    )
    session = await agent.ask()
    assert agent.names == ["helper_call", "tool_error", "response_text"]
    assert session.text == "Pity."
    check_history(session.turns)


async def test_the_history_is_the_same_whatever_the_provider_could_do() -> None:
    native = await reporter(as_text(GOOD), native=True).ask()
    other = await reporter(as_call(GOOD), native=False).ask()
    assert short(native.turns) == short(other.turns)


@pytest.mark.parametrize("hook", ["onLLMStart", "onError"])
@pytest.mark.parametrize(
    ("keeping", "says"), [(["main"], as_call), (["backup"], as_text)], ids=["it cannot", "it can"]
)
async def test_a_model_that_a_hook_names_is_asked_as_it_can_answer(
    hook: str, keeping: list[str], says: Any
) -> None:
    def change(*arguments: Any) -> Any:
        arguments[-1].model = "backup"
        return {"forceStart": "llm_start"} if hook == "onError" else None

    down = {"error": {"status": 503}}
    replies = {"main": [down], "backup": [says(BAD), says(GOOD)]}
    agent = bench(replies, keeps_schema=keeping, output=Report, middleware=[Hook(**{hook: change})])
    session = await agent.ask()
    assert agent.heard[-1] == ("response_schema", {"type": "Report", "response": GOOD})
    for request in agent.requests("backup"):
        assert (request.output is not None) == (keeping == ["backup"])
        assert [tool.name for tool in request.tools] == ["final_answer"] * (keeping == ["main"])
    assert "final_answer" in session.turns[2].text or keeping == ["backup"]
    check_history(session.turns)


async def test_hooks_see_what_the_configured_model_is_offered() -> None:
    seen: list[list[str]] = []

    def look(prompt: str, ctx: Any) -> None:
        seen.append([tool["name"] for tool in ctx.toolSpecs])
        ctx.model = "backup"

    replies = {"main": ["never asked"], "backup": [as_text(GOOD)]}
    agent = bench(replies, keeps_schema=["backup"], output=Report, middleware=[Hook(onLLMStart=look)])
    await agent.ask()
    assert seen == [["final_answer"]]
    assert agent.requests("backup")[0].tools == ()
