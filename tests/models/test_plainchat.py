"""How a conversation with tools is told to a model that knows only plain chat."""

from typing import Any

import pytest

from auwgent.models.base import ModelRequest, OutputSpec, ToolSpec
from auwgent.models.local.choosing import fitting_tool
from auwgent.models.local.plainchat import bounded, plain_chat
from auwgent.session import Media, Text, ToolCall, Turn


def tool(name: str, description: str, **properties: str) -> ToolSpec:
    schema = {key: {"type": kind} for key, kind in properties.items()}
    return ToolSpec(name, description, {"type": "object", "properties": schema, "required": list(schema)})


ADD = tool("add", "Add two numbers.", a="integer", b="integer")
WEATHER = tool("get_weather", "The weather in a city.", city="string")
EMAIL = tool("sendEmail", "Send a message to somebody.", to="string", subject="string")
TOOLS = (ADD, WEATHER, EMAIL)


def user(text: str) -> Turn:
    return Turn(role="user", content=text)


def asked(*turns: Turn, **more: Any) -> ModelRequest:
    return ModelRequest("Be kind.", turns, **more)


CALL = Turn(
    role="assistant", content="Wait.", tool_calls=[ToolCall(id="1", name="add", args={"a": 1, "b": 2})]
)
RESULT = Turn(role="tool", content="3", tool_call_id="1", name="add")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's the weather in Paris?", WEATHER),
        ("weather, please", WEATHER),
        ("Which city has cold weather?", WEATHER),
        ("Please add them.", ADD),
        ("Adding is fun", ADD),
        ("What is 17 plus 25?", ADD),
        ("1.5 and 2,000", ADD),
        ("Email Ada about lunch", EMAIL),
        ("Send somebody a message", EMAIL),
        ("Hello!", None),
        ("What is 17?", None),
        ("I live in a big city", None),
        ("Give me three names for a cat.", None),
        ("", None),
    ],
)
def test_the_tool_whose_words_the_user_uses_fits(text: str, expected: ToolSpec | None) -> None:
    assert fitting_tool(asked(user(text), tools=TOOLS)) == expected


def test_no_tool_fits_once_one_has_answered() -> None:
    assert fitting_tool(asked(user("add 1 and 2"), CALL, RESULT, tools=TOOLS)) is None
    assert fitting_tool(asked(user("add 1 and 2"), tools=())) is None
    assert fitting_tool(asked(tools=TOOLS)) is None


def test_a_fitting_tool_is_explained_and_its_arguments_are_the_answer() -> None:
    chat = plain_chat(asked(user("add 1 and 2"), tools=TOOLS, output=OutputSpec("Sum", {"type": "integer"})))
    assert chat.tool == ADD
    assert chat.schema == ADD.parameters
    assert chat.messages == [
        {
            "role": "system",
            "content": "Be kind.\n\n"
            "Answer with JSON only: the arguments of the tool add(a, b): Add two numbers.",
        },
        {"role": "user", "content": "add 1 and 2"},
    ]


def test_without_a_fitting_tool_the_answer_is_text_or_of_the_asked_shape() -> None:
    chat = plain_chat(asked(user("Hello"), tools=TOOLS))
    assert (chat.tool, chat.schema) == (None, None)
    assert chat.messages[0] == {"role": "system", "content": "Be kind."}
    shaped = plain_chat(asked(user("Hello"), tools=TOOLS, output=OutputSpec("Sum", {"type": "integer"})))
    assert (shaped.tool, shaped.schema) == (None, {"type": "integer"})


def test_calls_and_results_become_what_two_people_would_write() -> None:
    chat = plain_chat(asked(user("add 1 and 2"), CALL, RESULT))
    assert chat.messages[1:] == [
        {"role": "user", "content": "add 1 and 2"},
        {"role": "assistant", "content": 'Wait.\nadd({"a": 1, "b": 2})'},
        {"role": "user", "content": "The tool add says: 3. Now say the answer."},
    ]
    broken = Turn(role="assistant", tool_calls=[ToolCall(id="1", name="add", raw_args='{"a"')])
    told = plain_chat(asked(user("x"), broken, RESULT, user("And now?"))).messages
    assert told[2]["content"] == 'add({"a")'
    assert told[3]["content"] == "The tool add says: 3\n\nAnd now?"


def test_user_and_assistant_take_turns_and_empty_messages_are_left_out() -> None:
    turns = (user("a"), user("b"), Turn(role="assistant", content=""), user("c"))
    messages = plain_chat(ModelRequest("", turns)).messages
    assert messages == [{"role": "user", "content": "a\n\nb\n\nc"}]


def test_media_that_was_sent_to_another_model_is_named() -> None:
    image = Media(type="image", url="https://example.com/cat.png", name="cat.png")
    turn = Turn(role="user", content=[Text(text="Look:"), image])
    assert plain_chat(asked(turn)).messages[1]["content"] == "Look:\n(image cat.png)"


def test_strings_and_arrays_get_an_end() -> None:
    schema = {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "kind": {"type": "string", "enum": ["a"]},
            "short": {"type": "string", "maxLength": 5},
            "list": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/X"}]}},
        },
        "$defs": {"X": {"type": "array", "maxItems": 2}},
    }
    found = bounded(schema)
    assert found["properties"] == {
        "type": {"type": "string", "maxLength": 200},
        "kind": {"type": "string", "enum": ["a"]},
        "short": {"type": "string", "maxLength": 5},
        "list": {
            "type": "array",
            "maxItems": 20,
            "items": {"anyOf": [{"type": "string", "maxLength": 200}, {"$ref": "#/$defs/X"}]},
        },
    }
    assert found["$defs"] == schema["$defs"]
    assert schema["properties"]["type"] == {"type": "string"}  # type: ignore[index]
