"""How an answer ended is looked at before it is called an answer: what is cut or refused is never passed over."""

from __future__ import annotations

from typing import Any

import pytest

from auwgent.errors import ProviderError
from tests.support.bench import Bench, bench, calls, check_history

CITY = {
    "type": "object",
    "title": "City",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
}
made: list[dict[str, Any]] = []


def pay(x: int = 0) -> str:
    "Pay."
    made.append({"x": x})
    return "paid"


async def failing(agent: Bench, *, stream: bool = True) -> ProviderError:
    with pytest.raises(ProviderError) as failure:
        await agent.ask(stream=stream)
    assert failure.value.session is agent.session
    check_history(agent.session.turns)
    return failure.value


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("end", ["filtered", "refused"])
async def test_a_refusal_without_a_word_fails_the_run(end: str, stream: bool) -> None:
    agent = bench([{"text": "", "finish_reason": end}, "fine"])
    error = await failing(agent, stream=stream)
    assert error.fault == "filtered"
    assert ("error", {"message": str(error), "kind": "filtered"}) in agent.heard
    assert len(agent.requests()) == 1


@pytest.mark.parametrize("end", ["filtered", "refused", "length"])
async def test_with_text_it_is_shown_and_the_turn_says_how_it_ended(end: str) -> None:
    agent = bench([{"text": "I would rather", "finish_reason": end}])
    session = await agent.ask()
    assert session.text == "I would rather"
    reason = "length" if end == "length" else "filtered"
    assert session.turns[-1].finish_reason == reason
    assert agent.model_calls[0].value["finish_reason"] == reason


@pytest.mark.parametrize("stream", [True, False])
async def test_cut_off_before_the_first_word_fails_and_names_the_limit(stream: bool) -> None:
    error = await failing(bench([{"reasoning": "hmm " * 50, "finish_reason": "length"}]), stream=stream)
    assert "max_tokens" in str(error)


@pytest.mark.parametrize("keeps_schema", [True, False], ids=["as text", "by a tool"])
@pytest.mark.parametrize(
    ("end", "words"), [("length", "max_tokens"), ("filtered", "content filter"), ("refused", "refused")]
)
async def test_a_structured_answer_is_not_asked_for_again_where_that_cannot_help(
    end: str, words: str, keeps_schema: bool
) -> None:
    agent = bench(
        [{"text": '{"name": "Osl', "finish_reason": end}, "x"], output=CITY, keeps_schema=keeps_schema
    )
    error = await failing(agent)
    assert words in str(error)
    assert len(agent.requests()) == 1
    assert agent.session.turns[-1].text == '{"name": "Osl'


async def test_a_structured_answer_that_is_whole_counts_although_the_limit_was_reached() -> None:
    agent = bench([{"text": '{"name": "Oslo"}', "finish_reason": "length"}], output=CITY)
    await agent.ask()
    assert agent.names[-1] == "response_schema"


async def test_the_words_of_a_refusal_are_in_the_error_where_data_was_wanted() -> None:
    agent = bench([{"text": "I cannot help with that.", "finish_reason": "refused"}], output=CITY)
    assert "I cannot help with that." in str(await failing(agent))


async def test_what_was_said_before_a_call_that_nobody_could_read_is_kept() -> None:
    agent = bench([{"text": "Let me see.", "finish_reason": "malformed"}], limits={"llm_calls": 1})
    error = await failing(agent)
    assert error.retryable
    assert agent.session.turns[-1].text == "Let me see."


@pytest.mark.parametrize("end", ["filtered", "refused"])
async def test_calls_of_a_refusal_are_not_made(end: str) -> None:
    made.clear()
    agent = bench([calls("pay") | {"finish_reason": end}, "ok"], tools=[pay])
    await failing(agent)
    assert made == []


async def test_an_empty_answer_is_told() -> None:
    agent = bench([""])
    session = await agent.ask()
    assert session.text == ""
    assert ("error", {"message": "scripted/main gave an empty answer", "kind": "empty"}) in agent.heard


async def test_after_each_such_end_the_next_run_works() -> None:
    for end in ("filtered", "refused", "length", "malformed"):
        agent = bench(
            [{"when": "Hello", "text": "", "finish_reason": end}, {"when": "Again", "text": "fine"}]
        )
        error = await failing(agent)
        session = await agent.ask("Again", session=error.session)
        assert session.text == "fine"


@pytest.mark.parametrize("deep", [99, 100, 101, 102, 260, 900, 100_000])
async def test_deep_arguments_never_lose_the_run(deep: int) -> None:
    def note(x: Any) -> str:
        "Note."
        return "noted"

    args = '{"x": ' + "[" * deep + "]" * deep + "}"
    agent = bench([{"tool_calls": [{"name": "note", "args": args}]}, "done"], tools=[note])
    session = await agent.ask()
    session.model_dump_json()
    outcome = session.turns[2].outcome
    assert outcome == ("ok" if deep <= 100 else "error")
    assert session.text == "done"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_without_a_name_is_told_to_the_model(stream: bool) -> None:
    made.clear()
    agent = bench([calls(""), "Oh."], tools=[pay])
    session = await agent.ask(stream=stream)
    check_history(session.turns)
    [call] = session.turns[1].tool_calls or []
    result = session.turns[2]
    assert (call.name, result.outcome, session.text) == ("unknown", "error", "Oh.")
    assert "there is no tool 'unknown'" in result.text
    assert made == []
