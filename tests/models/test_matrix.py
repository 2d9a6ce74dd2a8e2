"""Every provider over HTTP against a server that is not ours: what works, and the table in the docs."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from auwgent.errors import ProviderError
from auwgent.models.base import CallPiece, ReasoningPiece, Route, TextPiece
from auwgent.models.wire import native_output
from tests.models.asking import REPORT, WEATHER, Heard, answered, asked, hear, model_of, user
from tests.models.peers import (
    ESTIMATED,
    FEATURES,
    OWN_TOOL,
    PEERS,
    SILENT,
    WHOLE_CALLS,
    YES,
    Peer,
    before,
    table,
)
from tests.support.aimock import Aimock
from tests.support.proxy import Proxy

pytestmark = [
    pytest.mark.usefixtures("alone"),
    pytest.mark.asyncio(loop_scope="module"),  # with the HTTP clients, which take long to make
]

DOCS = Path(__file__).parents[2] / "docs" / "providers.md"
PARIS = {"city": "Paris", "days": 2}


async def text(model: Route, proxy: Proxy) -> str:
    heard = await hear(model, asked(user("Say hello"), stream=False))
    assert heard.reply.text == "Hello! What can I do for you today?"
    assert heard.reply.model == model.spec.name
    assert heard.reply.finish_reason == "stop"
    return YES


async def stream(model: Route, proxy: Proxy) -> str:
    heard = await hear(model, asked(user("Say hello")))
    said = [piece.text for piece in heard.of(TextPiece)]
    assert len(said) > 1
    assert "".join(said) == heard.reply.text == "Hello! What can I do for you today?"
    return YES


async def one_tool(model: Route, proxy: Proxy) -> str:
    heard = await hear(model, asked(user("The weather in Paris?"), tools=[WEATHER], stream=False))
    [call] = heard.reply.calls
    assert (call.name, json.loads(call.arguments)) == ("get_weather", PARIS)
    assert heard.reply.finish_reason == "tool_calls"
    return YES


async def parallel_tools(model: Route, proxy: Proxy) -> str:
    heard = await hear(model, asked(user("Compare Paris and Rome"), tools=[WEATHER], stream=False))
    calls = heard.reply.calls
    assert heard.reply.text == "I look at both."
    assert [json.loads(call.arguments)["city"] for call in calls] == ["Paris", "Rome"]
    assert len({call.id for call in calls}) == 2
    return YES


async def streamed_tools(model: Route, proxy: Proxy) -> str:
    heard = await hear(model, asked(user("Compare Paris and Rome"), tools=[WEATHER]))
    pieces = heard.of(CallPiece)
    for index, call in enumerate(heard.reply.calls):
        mine = [piece for piece in pieces if piece.index == index]
        assert "".join(piece.arguments for piece in mine) == call.arguments
        assert mine[0].name == call.name
    assert [json.loads(call.arguments)["city"] for call in heard.reply.calls] == ["Paris", "Rome"]
    return WHOLE_CALLS if len(pieces) == 2 else YES


async def tool_loop(model: Route, proxy: Proxy) -> str:
    question = user("Compare Paris and Rome")
    first = await hear(model, asked(question, tools=[WEATHER]))
    history = [question, *answered(first.reply, "21 degrees", "27 degrees")]
    second = await hear(model, asked(*history, tools=[WEATHER]))
    assert second.reply.text == "Rome is warmer than Paris."
    sent = json.dumps(proxy.requests[-1].body)
    assert sent.index("21 degrees") < sent.index("27 degrees")
    return YES


async def structured_output(model: Route, proxy: Proxy) -> str:
    if not native_output(model.spec, has_tools=False):
        return OWN_TOOL
    return _reported(await hear(model, asked(user("Report as JSON"), output=REPORT)), proxy)


async def output_beside_tools(model: Route, proxy: Proxy) -> str:
    if not native_output(model.spec, has_tools=True):
        return OWN_TOOL
    heard = await hear(model, asked(user("Report as JSON"), output=REPORT, tools=[WEATHER]))
    assert "get_weather" in json.dumps(proxy.requests[-1].body)
    return _reported(heard, proxy)


def _reported(heard: Heard, proxy: Proxy) -> str:
    assert json.loads(heard.reply.text) == {"city": "Paris", "degrees": 21}
    assert heard.reply.calls == ()
    assert '"degrees"' in json.dumps(proxy.requests[-1].body), "the schema was not sent"
    return YES


async def reasoning(model: Route, proxy: Proxy) -> str:
    heard = await hear(model, asked(user("Think it over")))
    assert heard.reply.text == "The answer is 42."
    thought = "".join(piece.text for piece in heard.of(ReasoningPiece))
    assert thought in ("", "Six times seven, so forty-two.")
    return YES if thought else SILENT


async def usage(model: Route, proxy: Proxy) -> str:
    heard = await hear(model, asked(user("Say hello")))
    usage = heard.reply.usage
    assert usage.input_tokens
    assert usage.output_tokens
    if usage.estimated:
        return ESTIMATED
    assert (usage.input_tokens, usage.output_tokens) == (11, 9)
    return YES


async def errors(model: Route, proxy: Proxy) -> str:
    found = []
    for status in (401, 404, 429, 500, 529):
        with pytest.raises(ProviderError) as caught:
            await hear(model, asked(user(f"Fail with {status}")))
        assert caught.value.status == status
        found.append((caught.value.fault, caught.value.retryable, caught.value.retry_after))
    assert found == [
        ("auth", False, None),
        ("not_found", False, None),
        ("rate_limit", True, 7.0),
        ("unavailable", True, None),
        ("unavailable", True, None),
    ]
    return YES


OBSERVED: dict[str, Callable[[Route, Proxy], Awaitable[str]]] = {
    "text": text,
    "stream": stream,
    "one tool": one_tool,
    "parallel tools": parallel_tools,
    "streamed tools": streamed_tools,
    "tool loop": tool_loop,
    "structured output": structured_output,
    "output beside tools": output_beside_tools,
    "reasoning": reasoning,
    "usage": usage,
    "errors": errors,
}


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
async def test_what_the_table_says_is_what_happens(aimock: Aimock, peer: Peer, feature: str) -> None:
    async with before(aimock, peer) as proxy:
        model = model_of(peer.spec(proxy.url, f"matrix-{peer.name}-{feature}"))
        assert await OBSERVED[feature](model, proxy) == peer.cell(feature)


async def test_the_docs_show_this_very_table() -> None:
    assert table() in DOCS.read_text(), f"the table in {DOCS} is not up to date; it should be:\n{table()}"
