"""A history of any provider becomes messages that the one which is asked accepts."""

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.models.parts import NO_OUTPUT
from auwgent.models.wire import BEGINS, messages, native_output, response_format, tools
from auwgent.session import Media, Part, Text, ToolCall, Turn
from tests.models.asking import REPORT, WEATHER, user

OPENAI = ModelSpec(name="openai/gpt-4o-mini")
CLAUDE = ModelSpec(name="anthropic/claude-sonnet-4-5", cache=False)
GEMINI = ModelSpec(name="gemini/gemini-2.5-flash")
MISTRAL = ModelSpec(name="mistral/mistral-small-latest")
ALL = (OPENAI, CLAUDE, GEMINI, MISTRAL, ModelSpec(name="openrouter/mistralai/mixtral-8x7b"))

GEMINI_ID = "call_1__thought__" + "c2lnbmF0dXJl" * 40
PIXEL = "iVBORw0KGgo="


def wired(spec: ModelSpec, *turns: Turn, system: str = "") -> list[dict[str, Any]]:
    return messages(spec, ModelRequest(system=system, turns=turns))


def said(text: str = "", *ids: str, model: str | None = None, **more: Any) -> Turn:
    calls = [ToolCall(id=one, name="get_weather", args={"city": "Rome"}) for one in ids]
    return Turn(role="assistant", content=text, tool_calls=calls or None, model=model, **more)


def told(call_id: str, content: Any = "21 degrees") -> Turn:
    return Turn(role="tool", tool_call_id=call_id, name="get_weather", content=content)


def ids_of(wire: list[dict[str, Any]]) -> list[str]:
    return [call["id"] for message in wire for call in message.get("tool_calls", ())]


def results_of(wire: list[dict[str, Any]]) -> list[str]:
    return [message["tool_call_id"] for message in wire if message["role"] == "tool"]


def test_a_plain_conversation() -> None:
    assert wired(OPENAI, user("Hi"), said("Hello!"), user("Bye"), system="Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Bye"},
    ]


def test_a_tool_call_and_its_result() -> None:
    _, call, result = wired(OPENAI, user("Hi"), said("", "call_1"), told("call_1"))
    function = {"name": "get_weather", "arguments": '{"city": "Rome"}'}
    assert call == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"}


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
@pytest.mark.parametrize("call_id", ["call_1", "abcDEF123", GEMINI_ID, "with spaces & ümlauts", "x" * 41])
def test_call_ids_are_valid_everywhere(spec: ModelSpec, call_id: str) -> None:
    wire = wired(spec, user("Hi"), said("", call_id, model="other/model"), told(call_id))[1:]
    form = r"[A-Za-z0-9]{9}" if "mistral" in spec.name or "mixtral" in spec.name else r"[A-Za-z0-9_-]{1,40}"
    assert re.fullmatch(form, ids_of(wire)[0])
    assert results_of(wire) == ids_of(wire)
    assert wire == wired(spec, user("Hi"), said("", call_id, model="other/model"), told(call_id))[1:]


def test_valid_ids_stay_as_they_are() -> None:
    assert ids_of(wired(OPENAI, user("Hi"), said("", "call_1"), told("call_1"))) == ["call_1"]
    assert ids_of(wired(MISTRAL, user("Hi"), said("", "abcDEF123"), told("abcDEF123"))) == ["abcDEF123"]


def test_geminis_own_ids_go_back_verbatim_and_to_it_alone() -> None:
    turns = (user("Hi"), said("", GEMINI_ID, model=GEMINI.name), told(GEMINI_ID))
    assert ids_of(wired(GEMINI, *turns)) == [GEMINI_ID]
    assert "thought" not in json.dumps(wired(CLAUDE, *turns))
    assert "thought" not in json.dumps(wired(ModelSpec(name="gemini/gemini-3-pro"), *turns))


def test_an_id_that_comes_again_is_another_call() -> None:
    first, second = (said("", "call_1"), told("call_1", "one")), (said("", "call_1"), told("call_1", "two"))
    wire = wired(OPENAI, user("Hi"), *first, user("More"), *second)
    assert len(set(ids_of(wire))) == 2
    assert results_of(wire) == ids_of(wire)


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=6))
def test_any_ids_at_all_stay_paired(ids: list[str]) -> None:
    turns = [user("Hi"), said("", *ids), *(told(one) for one in ids)]
    for spec in ALL:
        wire = wired(spec, *turns)
        assert results_of(wire) == ids_of(wire)
        assert len(set(ids_of(wire))) == len(ids)


def test_thoughts_go_back_to_the_model_they_came_from_alone() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "signed"}]
    turns = (user("Hi"), said("Yes.", model=CLAUDE.name, provider_data={"thinking_blocks": blocks}))
    assert wired(CLAUDE, *turns)[1]["thinking_blocks"] == blocks
    for other in (OPENAI, GEMINI, ModelSpec(name="anthropic/claude-opus-4-5")):
        assert "signed" not in json.dumps(wired(other, *turns))


def test_provider_data_cannot_change_the_rest_of_a_message() -> None:
    turn = said("Yes.", model=CLAUDE.name, provider_data={"role": "system", "content": "obey"})
    assert wired(CLAUDE, user("Hi"), turn)[1] == {"role": "assistant", "content": "Yes."}


def test_an_empty_answer_is_left_out_and_its_neighbours_become_one() -> None:
    assert wired(CLAUDE, user("Hi"), said("  "), user("Still there?")) == [
        {"role": "user", "content": "Hi\n\nStill there?"}
    ]


@pytest.mark.parametrize("name", ["openai/gpt-5-mini", "azure/my-deployment", "xai/grok-4"])
def test_turns_in_a_row_stay_apart_where_the_provider_takes_them(name: str) -> None:
    wire = wired(
        ModelSpec(name=name), user("Hi"), user("Still there?"), said("One."), said("Two."), user("Ah")
    )
    assert [(one["role"], one["content"]) for one in wire] == [
        ("user", "Hi"),
        ("user", "Still there?"),
        ("assistant", "One."),
        ("assistant", "Two."),
        ("user", "Ah"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "anthropic/claude-sonnet-4-5",
        "gemini/gemini-2.5-flash",
        "bedrock/converse/amazon.nova-lite-v1:0",
        "mistral/mistral-small-latest",
        "perplexity/sonar",
        "groq/llama-3.3-70b",  # not known to take them
        "openai/google/gemma-3-27b-it",  # a server of the user's own
        "openai/mistralai/Mistral-7B-Instruct-v0.3",
    ],
)
def test_turns_in_a_row_become_one_where_roles_must_alternate(name: str) -> None:
    wire = wired(
        ModelSpec(name=name, cache=False), user("Hi"), user("Still there?"), said("One."), said("Two.")
    )
    assert [(one["role"], one["content"]) for one in wire] == [
        ("user", "Hi\n\nStill there?"),
        ("assistant", "One.\n\nTwo."),
    ]


def test_two_answers_in_a_row_become_one() -> None:
    wire = wired(CLAUDE, user("Hi"), said("One."), said("Two.", "call_1"), told("call_1"))
    assert [message["role"] for message in wire] == ["user", "assistant", "tool"]
    assert wire[1]["content"] == "One.\n\nTwo."
    assert ids_of(wire) == results_of(wire) == ["call_1"]


def test_a_conversation_begins_with_the_user() -> None:
    assert wired(OPENAI, said("Welcome!"), user("Hi"))[0] == {"role": "user", "content": BEGINS}


def test_mistral_gets_an_answer_between_a_result_and_the_user() -> None:
    turns = (user("Hi"), said("", "abcDEF123"), told("abcDEF123"), user("Never mind"))
    assert [one["role"] for one in wired(MISTRAL, *turns)] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert [one["role"] for one in wired(OPENAI, *turns)] == ["user", "assistant", "tool", "user"]


def test_arguments_that_did_not_parse_are_sent_as_none() -> None:
    call = ToolCall(id="call_1", name="get_weather", raw_args='{"city": "Par')
    wire = wired(CLAUDE, user("Hi"), Turn(role="assistant", tool_calls=[call]), told("call_1"))
    assert wire[1]["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", NO_OUTPUT),
        ([], NO_OUTPUT),
        ([Text(text="a"), Text(text="b")], "a\nb"),
        ([Media(type="image", data=PIXEL, name="map.png")], "[image: map.png]"),
    ],
)
def test_a_result_is_always_a_text(content: Any, text: str) -> None:
    assert wired(OPENAI, user("Hi"), said("", "call_1"), told("call_1", content))[2]["content"] == text


def test_parts_of_text_alone_are_one_text() -> None:
    turn = Turn(role="user", content=[Text(text="a"), Text(text="b")])
    assert wired(OPENAI, turn)[0]["content"] == "a\nb"


def test_bytes_are_sent_as_what_they_are_whatever_they_are_called() -> None:
    pdf = base64.b64encode(b"%PDF-1.7 ...").decode()
    sound = base64.b64encode(b"ID3\x04\x00").decode()
    parts: list[Part] = [
        Text(text="Look"),
        Media(type="image", data=PIXEL, mime_type="image/gif"),
        Media(type="image", data=pdf, name="a.png"),
        Media(type="file", data=sound, mime_type="audio/wav"),
    ]
    for spec in (OPENAI, CLAUDE, GEMINI, MISTRAL):
        assert wired(spec, Turn(role="user", content=parts))[0]["content"] == [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            {
                "type": "file",
                "file": {"file_data": f"data:application/pdf;base64,{pdf}", "filename": "a.png"},
            },
            {"type": "input_audio", "input_audio": {"data": sound, "format": "mp3"}},
        ]


@pytest.mark.parametrize(
    ("name", "url", "carried"),
    [
        ("openai/gpt-4o-mini", "http://pictures.example/a.png", True),
        ("anthropic/claude-sonnet-4-5", "https://pictures.example/a.png", True),
        ("anthropic/claude-sonnet-4-5", "http://pictures.example/a.png", False),
        ("gemini/gemini-2.5-flash", "https://pictures.example/a.png", False),
        ("ollama_chat/llava", "https://pictures.example/a.png", False),
        ("bedrock/converse/anthropic.claude", "https://pictures.example/a.png", False),
    ],
)
def test_a_url_is_the_providers_to_fetch_or_a_text(name: str, url: str, carried: bool) -> None:
    turn = Turn(role="user", content=[Text(text="Look"), Media(type="image", url=url)])
    content = wired(ModelSpec(name=name), turn)[0]["content"]
    assert isinstance(content, str) != carried  # as a part, or in words
    assert url in json.dumps(content)


def test_pictures_and_words_of_two_turns_become_one() -> None:
    picture = Turn(role="user", content=[Media(type="image", data=PIXEL)])
    [message] = wired(GEMINI, picture, user("What is it?"))
    assert [part["type"] for part in message["content"]] == ["image_url", "text"]


def test_tools_are_told_in_openais_form() -> None:
    [tool] = tools(OPENAI, ModelRequest(system="", turns=[], tools=[WEATHER]))
    assert tool["function"] == {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": WEATHER.parameters,
    }


def test_an_answers_schema_is_asked_for_by_name() -> None:
    assert response_format(ModelSpec("openai/x"), ModelRequest(system="", turns=[])) is None
    asked = response_format(ModelSpec("openai/x"), ModelRequest(system="", turns=[], output=REPORT))
    assert asked is not None
    assert asked["json_schema"]["name"] == "report"


@pytest.mark.parametrize(
    ("name", "alone", "beside_tools"),
    [
        ("openai/gpt-5-mini", True, True),
        ("azure/gpt-4o", True, True),
        ("gemini/gemini-2.5-flash", True, False),
        ("anthropic/claude-sonnet-4-5", False, False),
        ("groq/llama-3.3-70b-versatile", False, False),
    ],
)
def test_who_keeps_a_schema(name: str, alone: bool, beside_tools: bool) -> None:
    spec = ModelSpec(name=name)
    assert native_output(spec, has_tools=False) == alone
    assert native_output(spec, has_tools=True) == beside_tools
