"""A session begun on one provider goes on with any other and comes back: what each is sent, and what not."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from auwgent.models.base import Route
from auwgent.session import Media, Text, Turn
from tests.models.asking import WEATHER, answered, asked, hear, model_of, user
from tests.models.peers import PEERS, Peer, before
from tests.support.aimock import Aimock
from tests.support.proxy import Proxy

pytestmark = [
    pytest.mark.usefixtures("alone"),
    pytest.mark.asyncio(loop_scope="module"),  # with the HTTP clients, which take long to make
]

SIGNATURE = "c2lnbmVkLWJ5LXRoZS1wcm92aWRlcg=="  # as in tests/aimock/fixtures
THOUGHT = "Six times seven"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # a red one
FAILED = "ConnectionError: the weather station does not answer"


@dataclass(frozen=True, slots=True)
class Wire:
    """How to read a provider's request: the roles in order, the ids of calls and of their results."""

    roles: Callable[[Any], list[str]]
    calls: Callable[[Any], list[str]]
    results: Callable[[Any], list[str]]
    ids: str | None = r"[A-Za-z0-9_-]{1,40}"  # their form; None where the wire has no ids


def every(value: Any, key: str) -> Iterator[Any]:
    """All values that stand under `key`, in order."""
    if isinstance(value, list):
        for one in value:
            yield from every(one, key)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name == key:
                yield one
            yield from every(one, key)


def of_type(body: Any, kind: str) -> Iterator[dict[str, Any]]:
    """All objects with that `type`, in order."""
    if isinstance(body, list):
        for one in body:
            yield from of_type(one, kind)
    elif isinstance(body, dict):
        if body.get("type") == kind:
            yield body
        for one in body.values():
            yield from of_type(one, kind)


def chat(ids: str | None = r"[A-Za-z0-9_-]{1,40}") -> Wire:
    return Wire(
        roles=lambda body: [message["role"] for message in body["messages"] if message["role"] != "system"],
        calls=lambda body: [
            call["id"] for message in body["messages"] for call in message.get("tool_calls") or ()
        ],
        results=lambda body: list(every(body["messages"], "tool_call_id")),
        ids=ids,
    )


ANTHROPIC = Wire(
    roles=lambda body: [message["role"] for message in body["messages"]],
    calls=lambda body: [block["id"] for block in of_type(body["messages"], "tool_use")],
    results=lambda body: [block["tool_use_id"] for block in of_type(body["messages"], "tool_result")],
)
WIRES = {
    "openai": chat(),
    "openai direct": chat(),
    "openai/responses": Wire(
        roles=lambda body: [item["role"] for item in body["input"] if "role" in item],
        calls=lambda body: [item["call_id"] for item in of_type(body["input"], "function_call")],
        results=lambda body: [item["call_id"] for item in of_type(body["input"], "function_call_output")],
    ),
    "anthropic": ANTHROPIC,
    "gemini": Wire(
        roles=lambda body: [content["role"] for content in body["contents"]],
        calls=lambda body: [call["name"] for call in every(body["contents"], "function_call")],
        results=lambda body: [result["name"] for result in every(body["contents"], "function_response")],
        ids=None,
    ),
    "mistral": chat(r"[A-Za-z0-9]{9}"),
    "ollama_chat": Wire(
        roles=chat().roles,
        calls=lambda body: [call["name"] for call in every(body["messages"], "function")],
        results=lambda body: [message["role"] for message in body["messages"] if message["role"] == "tool"],
        ids=None,
    ),
    "deepseek": chat(),
    "deepseek direct": chat(),
    "bedrock/converse": Wire(
        roles=lambda body: [message["role"] for message in body["messages"]],
        calls=lambda body: [use["toolUseId"] for use in every(body["messages"], "toolUse")],
        results=lambda body: [result["toolUseId"] for result in every(body["messages"], "toolResult")],
    ),
}
ALTERNATING = ("anthropic", "gemini", "bedrock/converse")
SIGNED = ("anthropic",)  # whose thoughts come with a signature, from aimock
BLIND = ("deepseek", "deepseek direct")  # which read text alone
BY_NAME = {peer.name: peer for peer in PEERS}
PAIRS = [(one, other) for one in WIRES for other in WIRES if one != other]


async def begun(model: Route) -> list[Turn]:
    """A picture, two calls of which one failed, and a thought."""
    picture = Media(type="image", data=PIXEL, mime_type="image/png")
    turns = [Turn(role="user", content=[Text(text="Look at the picture"), picture])]
    turns += answered((await hear(model, asked(*turns, tools=[WEATHER]))).reply)
    turns.append(user("Compare Paris and Rome"))
    calls = (await hear(model, asked(*turns, tools=[WEATHER]))).reply
    turns += answered(calls, "21 degrees", FAILED)
    turns[-1].outcome = "error"
    turns += answered((await hear(model, asked(*turns, tools=[WEATHER]))).reply)
    return await said(model, turns, "Think it over")


async def said(model: Route, turns: list[Turn], text: str) -> list[Turn]:
    turns = [*turns, user(text)]
    return [*turns, *answered((await hear(model, asked(*turns, tools=[WEATHER]))).reply)]


async def called(model: Route, turns: list[Turn]) -> list[Turn]:
    turns = [*turns, user("The weather in Paris?")]
    turns += answered((await hear(model, asked(*turns, tools=[WEATHER]))).reply, "sunny")
    return [*turns, *answered((await hear(model, asked(*turns, tools=[WEATHER]))).reply)]


def check(peer: Peer, proxy: Proxy, *, calls: int) -> str:
    """The last request is valid for the peer. Returns it as text."""
    body, wire = proxy.requests[-1].body, WIRES[peer.name]
    assert len(wire.calls(body)) == len(wire.results(body)) == calls
    if wire.ids is not None:
        assert wire.calls(body) == wire.results(body)
        assert len(set(wire.calls(body))) == calls
        assert all(re.fullmatch(wire.ids, one) for one in wire.calls(body))
    roles = wire.roles(body)
    # LiteLLM 1.110 sends the system prompt to the Responses API as a message.
    assert next(role for role in roles if role != "system") == "user"
    if peer.name in ALTERNATING:
        assert all(one != other for one, other in pairwise(roles))
    text = json.dumps(body)
    assert (PIXEL in text) == (peer.name not in BLIND)
    assert FAILED in text
    assert "I look at both." in text
    return text


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=[f"{one} to {other}" for one, other in PAIRS])
async def test_a_session_goes_on_with_another_provider_and_back(
    aimock: Aimock, first: str, second: str
) -> None:
    one, other = BY_NAME[first], BY_NAME[second]
    async with before(aimock, one) as of_one, before(aimock, other) as of_other:
        model, stranger = model_of(one.spec(of_one.url)), model_of(other.spec(of_other.url))
        turns = await begun(model)
        signed = any(SIGNATURE in json.dumps(turn.provider_data) for turn in turns if turn.provider_data)
        assert signed == (first in SIGNED)

        turns = await called(stranger, turns)
        assert turns[-1].content == "It is sunny in Paris."
        sent = check(other, of_other, calls=3)
        assert SIGNATURE not in sent
        assert THOUGHT not in sent

        turns = await said(model, turns, "Say hello")
        assert turns[-1].text.startswith("Hello!")
        sent = check(one, of_one, calls=3)
        assert (SIGNATURE in sent) == signed
