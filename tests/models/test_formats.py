"""The formats of the direct route beside LiteLLM's: the same is sent, and what comes back is read the same."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from auwgent.errors import ProviderError
from auwgent.models.base import ModelRequest, ModelSpec, ReasoningPiece, Route, ToolSpec
from auwgent.models.direct import DirectModel
from auwgent.models.formats.openapi import as_openapi
from auwgent.models.litellm import LiteLLMModel
from auwgent.session import Media, Part, Text, ToolCall, Turn
from tests.models.asking import REPORT, WEATHER, asked, hear, user
from tests.models.formats import ANTHROPIC, GEMINI
from tests.support.raw_server import Received, Step, raw_server, whole

pytestmark = [
    pytest.mark.process,
    pytest.mark.usefixtures("alone"),
    pytest.mark.asyncio(loop_scope="module"),  # with the HTTP clients, which take long to make
]

CLAUDE = "anthropic/claude-sonnet-4-5"
FLASH, GEMINI_3 = "gemini/gemini-2.5-flash", "gemini/gemini-3-pro-preview"
KEY = "k-test-canary-key"


Way = Callable[[ModelSpec], Route]


async def sent(model: Way, spec: ModelSpec, request: ModelRequest) -> Received:
    """What the provider gets."""
    refusal: list[Step] = [whole(json.dumps({"error": {"message": "no", "type": "t"}}), status=400)]
    async with raw_server(refusal) as server:
        with pytest.raises(ProviderError):
            await hear(model(spec.changed(base_url=server.url)), request)
        [received] = server.requests
        return received


def said(text: str = "", *ids: str, data: Any = None, model: str = "") -> Turn:
    """An answer with a call for each id."""
    calls = [
        ToolCall(id=one, name="get_weather", args={"city": "Oslo", "days": place})
        for place, one in enumerate(ids)
    ]
    return Turn(
        role="assistant", content=text, tool_calls=calls or None, model=model or None, provider_data=data
    )


def result(of: str, *parts: Part, text: str = "21 degrees") -> Turn:
    return Turn(role="tool", tool_call_id=of, name="get_weather", content=list(parts) or text, outcome="ok")


def shown(*parts: Part) -> Turn:
    return Turn(role="user", content=[Text(text="Look"), *parts])


def media(kind: Any, mime_type: str, begins: bytes, name: str | None = None) -> Media:
    data = base64.b64encode(begins + b"0" * 40).decode()
    return Media(type=kind, mime_type=mime_type, data=data, name=name)


PNG = media("image", "image/png", b"\x89PNG\r\n\x1a\n")
PDF = media("file", "application/pdf", b"%PDF-1.4", "a.pdf")
SOUND = media("audio", "audio/mpeg", b"ID3")
FULL = ToolSpec(
    "full",
    "Takes much",
    {
        "type": "object",
        "title": "Full",
        "properties": {
            "where": {"$ref": "#/$defs/Place"},
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
            "more": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "title": "More"},
            "many": {"type": "array", "items": {"$ref": "#/$defs/Place"}, "maxItems": 3},
        },
        "$defs": {"Place": {"type": "object", "properties": {"name": {"type": "string", "minLength": 1}}}},
        "additionalProperties": False,
    },
)
BRANCHED = ToolSpec("branched", "One or the other", {"type": "object", "anyOf": [{"required": ["a"]}]})
NOTHING = ToolSpec("now", "The time", {"type": "object", "properties": {}})


def conversations(model: str, data: dict[str, Any]) -> dict[str, ModelRequest]:
    """Requests of all kinds; `data` is what a format wants back with its answers, by a word for it."""
    hi, tools = user("Hi"), [WEATHER]
    loop = [hi, said("", "call_1", "call_2", model=model), result("call_1"), result("call_2", text="27")]
    made = {
        "a question": asked(hi),
        "a question, whole": asked(hi, stream=False),
        "no system prompt": ModelRequest(system="", turns=[hi]),
        "tools": asked(hi, tools=[WEATHER, FULL, NOTHING]),
        "a tool of alternatives": asked(hi, tools=[BRANCHED]),
        "two results": asked(*loop, tools=tools),
        "results, then words": asked(*loop, user("And?"), tools=tools),
        "text before a call": asked(
            hi, said("I look ", "call_1", model=model), result("call_1"), tools=tools
        ),
        "tools no more": asked(*loop, user("And?")),
        "odd ids twice": asked(
            hi, said("", "ä|ö", "ä|ö", model="openai/x"), result("ä|ö"), result("ä|ö"), tools=tools
        ),
        "an empty result": asked(hi, said("", "call_1", model=model), result("call_1", text=""), tools=tools),
        "an answer first": asked(said("Hello"), hi),
        "an answer last": asked(hi, said("Hello  ")),
        "turns in a row": asked(hi, user("there"), said("One."), said("Two."), user("And?")),
        "an image": asked(shown(PNG)),
        "an image's address": asked(shown(Media(type="image", url="https://x.example/a.png"))),
        "an image's plain address": asked(shown(Media(type="image", url="http://x.example/a.png"))),
        "a document": asked(shown(PDF)),
        "a document's address": asked(shown(Media(type="file", url="https://x.example/a.pdf"))),
        "a sound": asked(shown(SOUND)),
        "an image as a result": asked(
            hi, said("", "call_1"), result("call_1", Text(text="a"), PNG), tools=tools
        ),
        "a document as a result": asked(
            hi, said("", "call_1"), result("call_1", Text(text="a"), PDF), tools=tools
        ),
        "a limit of what is paid for": asked(hi, most=100),
    }
    for name, kept in data.items():
        call = said("Text", "call_1", data=kept, model=model)
        made[name] = asked(hi, call, result("call_1"), tools=tools)
        made[f"{name}, without a call"] = asked(hi, said("Text", data=kept, model=model), user("And?"))
        other = said("Text", "call_1", data=kept, model=f"{model}-other")
        made[f"{name}, of another model"] = asked(hi, other, result("call_1"), tools=tools)
    return made


THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "sig=="}
SECOND = {**THOUGHT, "thinking": "So.", "signature": "sig2=="}  # newer LiteLLM leaves out what it has had
SEARCHED = {
    "server_calls": [{"id": "srvtoolu_1", "name": "web_search", "arguments": '{"query": "x"}'}],
    "server_results": {
        "web_search_results": [{"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}]
    },
}
DATA = {
    "thoughts": {"thinking_blocks": [THOUGHT, {"type": "redacted_thinking", "data": "abc"}]},
    "thoughts without a signature": {"thinking_blocks": [{"type": "thinking", "thinking": "Hm."}]},
    "a search": SEARCHED,
    "a search and thoughts": {**SEARCHED, "thinking_blocks": [THOUGHT, SECOND]},
}


@dataclass(frozen=True)
class Case:
    """A request to one model."""

    model: str
    request: ModelRequest
    params: dict[str, Any]
    cache: Any = "auto"


def cases(model: str, data: dict[str, Any], params: dict[str, dict[str, Any]]) -> Iterator[Any]:
    for name, request in conversations(model, data).items():
        yield pytest.param(Case(model, request, {}), name, id=f"{model}-{name}")
        if model == CLAUDE:
            yield pytest.param(Case(model, request, {}, True), name, id=f"{model}-{name}, marked")
    for name, more in params.items():
        yield pytest.param(Case(model, asked(user("Hi")), more), name, id=f"{model}-{name}")


CLAUDES_PARAMS: dict[str, dict[str, Any]] = {
    "sampling": {"temperature": 0.5, "top_p": 0.9, "top_k": 5},
    "a stop": {"stop": "END"},
    "two stops": {"stop": ["A", "B"], "max_tokens": 5},
    "stops by Anthropic's name": {"stop_sequences": ["A"]},
    "the limit by its new name": {"max_completion_tokens": 77},
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    "what nobody knows": {"foo": {"bar": 1}},
    "more of the body": {"extra_body": {"foo": 2}},
    "more headers": {"extra_headers": {"anthropic-beta": "interleaved-thinking-2025-05-14"}},
}

GEMINIS_PARAMS: dict[str, dict[str, Any]] = {
    "sampling": {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 3},
    "a stop": {"stop": "END"},
    "two stops": {"stop": ["A", "B"], "max_tokens": 5},
    "the limit by its new name": {"max_completion_tokens": 77},
    "the limit by Gemini's name": {"max_output_tokens": 77},
    "thinking by Gemini's name": {"thinkingConfig": {"includeThoughts": True}},
    "safety": {"safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]},
    "what nobody knows": {"foo": {"bar": 1}},
    "more of the body": {"extra_body": {"foo": 2}},
}
GEMINIS_DATA = {
    "thoughts": {"reasoning_content": "Hm."},
    "blocks of thoughts": {"thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]},
}


def geminis(model: str) -> Iterator[Any]:
    yield from cases(model, GEMINIS_DATA, GEMINIS_PARAMS)
    call = said("", "call_1__thought__sig==", "call_2", model=model)
    results = [result("call_1__thought__sig==", text='{"degrees": 21}'), result("call_2", text="[1]")]
    signed = asked(user("Hi"), call, *results, tools=[WEATHER])
    yield pytest.param(Case(model, signed, {}), "a signature", id=f"{model}-a signature")
    shape = asked(user("Hi"), output=REPORT)
    yield pytest.param(Case(model, shape, {}), "a shape", id=f"{model}-a shape")


# Where the routes differ, and why it shall stay so: the places in the body, `only` where one alone has them.
DIFFERENCES: dict[tuple[str, str], tuple[str, list[str]]] = {
    (CLAUDE, "a tool of alternatives"): (
        "LiteLLM leaves out what says in words what the form of parameters cannot hold",
        ["tools.0.input_schema.description"],
    ),
    (CLAUDE, "a sound"): ("LiteLLM leaves it out without a word", ["messages.0.content.1"]),
    **{
        (model, "what nobody knows"): ("LiteLLM leaves out what it does not know", ["foo"])
        for model in (FLASH, GEMINI_3)
    },
    (CLAUDE, "more of the body"): ("LiteLLM sends it under this name", ["extra_body", "foo"]),
    (CLAUDE, "a document's address"): (
        "LiteLLM takes an address for an id of a file",
        ["header anthropic-beta"],
    ),
}
OF_THE_CLIENT = {"host", "user-agent", "connection", "content-length"}


@pytest.mark.parametrize(
    ("case", "name"), [*cases(CLAUDE, DATA, CLAUDES_PARAMS), *geminis(FLASH), *geminis(GEMINI_3)]
)
async def test_what_is_sent_is_what_litellm_would_send(case: Case, name: str) -> None:
    spec = ModelSpec(
        case.model, api_key=KEY, headers={"X-Team": "blue"}, params=case.params, cache=case.cache
    )
    theirs, ours = await sent(LiteLLMModel, spec, case.request), await sent(DirectModel, spec, case.request)
    if case.model == GEMINI_3 and theirs.body.get("generationConfig", {}).get("temperature") == 1.0:
        theirs.body["generationConfig"].pop("temperature")  # LiteLLM 1.106 sends what is the default
        if not theirs.body["generationConfig"]:
            del theirs.body["generationConfig"]
    if [tool.get("name") for tool in theirs.body.get("tools", ())] == ["dummy_tool"]:
        del theirs.body["tools"]  # newer LiteLLM makes one up where Anthropic's own tools alone did something
    found = [*different(theirs.body, ours.body)]
    found += [
        f"header {name}" for name in different(theirs.headers, ours.headers) if name not in OF_THE_CLIENT
    ]
    found += ["path"] if theirs.path != ours.path else []
    assert found == DIFFERENCES.get((case.model, name), ("", []))[1]
    assert ours.headers["x-team"] == "blue"


async def test_several_types_are_alternatives_and_null_is_a_property_of_the_others() -> None:
    alternatives = {"anyOf": [{"type": "string", "nullable": True}]}
    assert as_openapi({"type": ["string", "null"]}) == alternatives
    assert as_openapi({"anyOf": [{"type": "string"}, {"type": "null"}]}) == alternatives
    either = as_openapi({"type": ["array", "integer"], "items": {"type": "string"}})
    assert either == {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "integer"}]}


def different(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """The places where two JSON values are not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            inner = f"{place}.{key}".lstrip(".")
            if key in one and key in other:
                yield from different(one[key], other[key], inner)
            else:
                yield inner
    elif isinstance(one, list) and isinstance(other, list):
        for index in range(max(len(one), len(other))):
            inner = f"{place}.{index}"
            if index < min(len(one), len(other)):
                yield from different(one[index], other[index], inner)
            else:
                yield inner
    elif one != other:
        yield place


ANSWERS = {(CLAUDE, name): answer for name, answer in ANTHROPIC.items()}
ANSWERS |= {(FLASH, name): answer for name, answer in GEMINI.items()}
UNREAD = "LiteLLM cannot read events where a whole was asked for"
# What LiteLLM makes of an answer where it is another thing than the direct route does.
ANOTHER: dict[tuple[str, str], tuple[str, Any]] = {
    (CLAUDE, "a call of nothing"): (
        "LiteLLM writes nothing in place of {}",
        ("", [""], (11, 7), "tool_calls"),
    ),
    (FLASH, "broken behind the end"): ("LiteLLM waits for more behind the end", "broken_stream"),
}
ANOTHER_WHOLE: dict[tuple[str, str], tuple[str, Any]] = {
    (FLASH, "a list of events"): ("LiteLLM reads one event alone where a whole was asked for", "protocol"),
}


async def heard(model: Way, name: str, steps: list[Step], *, streams: bool) -> tuple[Any, Any]:
    """What an answer is by its form, and all else that is kept of it; of a failure its kind."""
    async with raw_server(steps) as server:
        spec = ModelSpec(name, api_key=KEY, base_url=server.url, timeout=20)
        try:
            found = await hear(model(spec), asked(user("Hi"), tools=[WEATHER], stream=streams))
        except ProviderError as error:
            assert "canary" not in str(error)  # noqa: PT017
            return error.fault, (error.status, error.retryable, error.retry_after)
    reply, usage = found.reply, found.reply.usage
    counts = None if usage.estimated else (usage.input_tokens, usage.output_tokens)
    thought = "".join(piece.text for piece in found.of(ReasoningPiece)) if streams else ""
    calls = [("call" if len(call.id) == 33 else call.id, call.name, call.cut) for call in reply.calls]
    usd = None if usage.estimated else usage.usd
    for block in (reply.provider_data or {}).get("thinking_blocks", ()):
        block.pop("index", None)  # LiteLLM 1.110 numbers them
    # Of Gemini's, LiteLLM keeps more of a whole, for nobody.
    kept = reply.provider_data if name == CLAUDE else None
    more = calls, usage.cached_tokens, usage.written_tokens, usd, kept, thought
    return (reply.text, [call.arguments for call in reply.calls], counts, reply.finish_reason), more


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("name", "about"), ANSWERS)
async def test_what_comes_is_read_as_litellm_reads_it(name: str, about: str, streams: bool) -> None:
    steps, expected = ANSWERS[name, about]
    ours, more = await heard(DirectModel, name, steps, streams=streams)
    assert ours == expected
    theirs, as_well = await heard(LiteLLMModel, name, steps, streams=streams)
    if streams or is_whole(steps):
        another = ANOTHER if streams else ANOTHER_WHOLE
        assert theirs == another.get((name, about), ("", expected))[1]
        if theirs == ours:
            assert as_well == more
    else:
        assert isinstance(theirs, str), UNREAD


def is_whole(steps: list[Step]) -> bool:
    """Whether it came as one JSON value."""
    return isinstance(steps[0], bytes) and any(head in steps[0] for head in (b"\r\n\r\n{", b"\r\n\r\n["))
