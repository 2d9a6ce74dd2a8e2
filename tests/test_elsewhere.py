"""Conversations of other programs come in by their form, and go out to them; no call in them is ever made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from auwgent.elsewhere import form_of, read, written
from auwgent.session import Media, Session, Turn

CHAT = [
    {"role": "system", "content": "You help."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}},
            {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{"}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
    {"role": "assistant", "content": "A cat."},
]
RESPONSES = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look"}]},
    {"type": "reasoning", "summary": []},
    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at": 1}'},
    {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A cat."}]},
]
ANTHROPIC = {
    "system": "You help.",
    "messages": [
        {"role": "user", "content": "Look"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "…", "signature": "s"},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "a cat"}]}
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
    ],
}


def plain(session: Session) -> list[Any]:
    return [
        (turn.role, turn.text, [(one.name, one.args) for one in turn.tool_calls or ()])
        for turn in session.turns
    ]


@pytest.mark.parametrize(
    ("value", "form", "notes"),
    [
        (RESPONSES, "responses", ["1 items of type 'reasoning'"]),
        (ANTHROPIC, "anthropic", ["1 blocks of type 'thinking'"]),
    ],
)
def test_a_list_is_told_by_its_form(value: Any, form: Any, notes: list[str]) -> None:
    assert form_of(value) == form
    session, lost = read(value, form)
    assert plain(session) == [
        ("user", "Look", []),
        ("assistant", "", [("look", {"at": 1})]),
        ("tool", "a cat", []),
        ("assistant", "A cat.", []),
    ]
    assert lost == notes


def test_chat_messages_keep_media_and_close_open_calls() -> None:
    assert form_of(CHAT) == "chat"
    session, lost = read(CHAT, "chat")
    assert session.system_prompt == "You help."
    assert isinstance(session.turns[0].content[1], Media)
    assert [turn.outcome for turn in session.turns if turn.role == "tool"] == ["ok", "skipped"]
    assert session.turns[1].tool_calls is not None
    assert session.turns[1].tool_calls[1].raw_args == "{"
    assert lost == []


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_what_is_written_is_read_again(form: Any) -> None:
    session, _ = read(CHAT, "chat")
    again = json.loads(json.dumps(written(session, form)))
    found = form_of(again)
    assert found == ("chat" if form == "openai" else "anthropic")
    back, _ = read(again, found)
    assert [one[:2] for one in plain(back)] == [one[:2] for one in plain(session)]
    assert back.system_prompt == "You help."


def test_a_session_of_ours_and_other_json_are_no_messages() -> None:
    assert form_of(Session(turns=[Turn(role="user", content="x")]).model_dump(mode="json")) is None
    assert form_of([1, 2]) is None
    assert form_of({"hello": 1}) is None
