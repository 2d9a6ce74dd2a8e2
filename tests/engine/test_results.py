"""Results that are too long to be sent: cut for the model, stored whole, read on by `read_result`."""

from __future__ import annotations

import re
from typing import Any

import pytest

from auwgent.errors import ConfigError, ProviderError
from auwgent.models.base import ModelRequest
from auwgent.session import Media, Text
from tests.support.bench import asks_helper, bench, calls, check_history

LONG = "".join(f"{number:08d}" for number in range(375_000))  # 3 MB


def dump() -> str:
    "Dump."
    return LONG


def short() -> str:
    "Say little."
    return "little"


def results(request: ModelRequest) -> list[str]:
    return [turn.text for turn in request.turns if turn.role == "tool"]


def reads(call_id: str, start: int, end: int) -> dict[str, Any]:
    return calls(("read_result", {"id": call_id, "start": start, "end": end}))


async def test_a_long_result_is_sent_as_its_head_and_tail_and_stored_whole() -> None:
    agent = bench([calls("dump"), "done"], tools=[dump])
    session = await agent.ask()
    first, second = agent.requests()
    [sent] = results(second)
    assert 50_000 <= len(sent) < 50_300
    assert sent.startswith(LONG[:33_000])
    assert sent.endswith(LONG[-16_000:])
    assert session.turns[2].text == LONG
    assert "read_result" not in [tool.name for tool in first.tools]
    assert "read_result" in [tool.name for tool in second.tools]


async def test_the_model_reads_on_by_the_note_that_stands_where_it_was_cut() -> None:
    first = {"tool_calls": [{"name": "dump", "args": {}, "id": "c1"}]}
    agent = bench([first, reads("c1", 40_000, 40_016), "done", "again"], tools=[dump])
    session = await agent.ask()
    note = re.search(r"read_result\(id='(\w+)', start=(\d+), end=(\d+)\)", results(agent.requests()[1])[0])
    assert note is not None
    assert note[1] == "c1"
    assert results(agent.requests()[2])[1] == f"[characters 40000 to 40016 of 3000000]\n{LONG[40_000:40_016]}"
    later = await agent.ask("Again", session=session)
    check_history(later.turns)
    assert "read_result" in [tool.name for tool in agent.requests()[-1].tools]


async def test_what_is_read_is_no_longer_than_a_result_may_be() -> None:
    agent = bench(
        [{"tool_calls": [{"name": "dump", "args": {}, "id": "c1"}]}, reads("c1", 0, 3_000_000), "done"],
        tools=[dump],
        limits={"result_chars": 1_000},
    )
    await agent.ask()
    assert [len(one) < 1_300 for one in results(agent.requests()[2])] == [True, True]


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"id": "nowhere", "start": 0, "end": 5}, "there is no result 'nowhere'"),
        ({"id": "c1", "start": 5, "end": 5}, "`end` more than `start`"),
        ({"id": "c1", "start": -1, "end": 5}, "`start` must be 0 or more"),
        ({"id": "c1", "start": 4_000_000, "end": 4_000_001}, "beyond"),
        ({"id": "c1", "start": "0", "end": 5}, "whole numbers"),
        ({"id": "c1", "start": 0}, "whole numbers"),
    ],
)
async def test_what_cannot_be_read_is_told_to_the_model(args: dict[str, Any], problem: str) -> None:
    first = {"tool_calls": [{"name": "dump", "args": {}, "id": "c1"}]}
    agent = bench([first, calls(("read_result", args)), "done"], tools=[dump])
    await agent.ask()
    assert problem in results(agent.requests()[2])[1]


async def test_the_entry_of_a_tool_has_a_limit_of_its_own() -> None:
    tools = [{"use": dump, "result_chars": 90}, short]
    agent = bench([calls("dump", "short"), "done"], tools=tools)
    await agent.ask()
    cut, whole = results(agent.requests()[1])
    assert cut.startswith(LONG[:60] + "\n[")
    assert whole == "little"


async def test_another_agent_does_not_read_what_it_was_not_shown() -> None:
    helper = {
        "Joker": {"description": "Jokes", "model": "joker", "tools": [{"use": dump, "result_chars": 90}]}
    }
    first = {"tool_calls": [{"name": "dump", "args": {}, "id": "c1"}]}
    agent = bench(
        {"main": [first, asks_helper("Joker"), "done"], "joker": [calls("dump"), reads("c1", 0, 9), "ha"]},
        tools=[dump],
        helpers=helper,
    )
    await agent.ask()
    assert "there is no result 'c1'" in results(agent.requests("joker")[2])[1]


@pytest.mark.parametrize("where", ["tools", "intents", "helpers"])
def test_nothing_of_the_users_may_have_its_name(where: str) -> None:
    configs: dict[str, dict[str, Any]] = {
        "tools": {"tools": [{"use": short, "name": "read_result"}]},
        "intents": {"intents": {"read_result": {"fields": {}}}},
        "helpers": {"helpers": {"read_result": {"description": "x", "model": "main"}}},
    }
    with pytest.raises(ConfigError, match="'read_result' is ours"):
        bench(**configs[where])


async def test_a_conversation_that_is_too_long_is_shortened_once_and_sent_again() -> None:
    refused = {"result": "characters 33334 to", "error": {"status": 400, "fault": "context"}}
    taken = {"result": "characters 6667 to", "text": "done"}
    agent = bench([calls("dump"), refused, taken], tools=[dump])
    session = await agent.ask()
    assert session.text == "done"
    _, whole, shorter = agent.requests()
    assert len(results(shorter)[0]) < len(results(whole)[0]) / 2
    assert session.turns[2].text == LONG


async def test_one_that_stays_too_long_fails_and_names_the_cure() -> None:
    failing = {"error": {"status": 400, "fault": "context"}, "text": "never"}
    agent = bench([calls("dump"), failing], tools=[dump])
    with pytest.raises(ProviderError) as failure:
        await agent.ask()
    assert failure.value.fault == "context"
    assert len(agent.requests()) == 3
    check_history(agent.session.turns)


class TestInputThatWasRefused:
    """It is told in words from then on, and the session goes on."""

    IMAGE = Media(type="image", data="AAAA", mime_type="image/png", name="broken.png")

    @staticmethod
    def media(request: ModelRequest) -> list[Media]:
        return [part for turn in request.turns for part in turn.content if isinstance(part, Media)]

    async def test_is_not_sent_again(self) -> None:
        failing = {"when": "Look", "error": {"status": 400, "message": "Could not process image"}}
        agent = bench([failing, {"when": "Well", "text": "fine"}])
        with pytest.raises(ProviderError) as failure:
            await agent.ask([Text(text="Look"), self.IMAGE])
        assert [part.refused for part in self.media(agent.requests()[0])] == [None]
        session = await agent.ask("Well?", session=failure.value.session)
        assert session.text == "fine"
        [part] = self.media(agent.requests()[-1])
        assert part.refused is not None
        assert "Could not process image" in part.refused
        assert isinstance(session.turns[0].content, list)
        assert session.turns[0].content[1] == self.IMAGE

    async def test_other_failures_leave_it(self) -> None:
        failing = {"when": "Look", "error": {"status": 503}}
        agent = bench([failing, {"when": "Well", "text": "fine"}])
        with pytest.raises(ProviderError) as failure:
            await agent.ask([Text(text="Look"), self.IMAGE])
        await agent.ask("Well?", session=failure.value.session)
        assert [part.refused for part in self.media(agent.requests()[-1])] == [None]
