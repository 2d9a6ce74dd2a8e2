"""Chunks become pieces, and pieces a reply."""

import json
import time
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from auwgent.models.answer import Answer, reported
from auwgent.models.base import CallPiece, Piece, ReasoningPiece, Reply, TextPiece
from auwgent.session import Usage


def chunk(finish_reason: str | None = None, **delta: Any) -> Any:
    message = SimpleNamespace(**{"content": None, "tool_calls": None, **delta})
    return SimpleNamespace(choices=[SimpleNamespace(delta=message, finish_reason=finish_reason)], usage=None)


def call(index: int | None, call_id: str | None, name: str | None, arguments: str | None) -> Any:
    function = SimpleNamespace(name=name, arguments=arguments)
    return chunk(tool_calls=[SimpleNamespace(index=index, id=call_id, function=function)])


def take(*chunks: Any) -> tuple[list[Piece], Reply]:
    answer = Answer()
    pieces = [piece for one in chunks for piece in answer.take(one)]
    return pieces, answer.reply("p/m", Usage())


def test_text_comes_in_pieces() -> None:
    pieces, reply = take(chunk(content="Hel"), chunk(content=""), chunk(content="lo"), chunk("stop"))
    assert pieces == [TextPiece("Hel"), TextPiece("lo")]
    assert (reply.text, reply.finish_reason, reply.model) == ("Hello", "stop", "p/m")


def test_a_long_answer_is_not_copied_with_each_piece() -> None:
    piece = "x" * 4096
    began = time.process_time()
    _, reply = take(*(chunk(content=piece) for _ in range(2560)))
    assert len(reply.text) == 10 * 1024 * 1024
    assert (
        time.process_time() - began < 3
    )  # seconds; it takes 0.05, and took 12 when each piece copied all before


def test_a_chunk_may_have_no_choices() -> None:
    assert take(SimpleNamespace(choices=[], usage=None))[0] == []


def test_a_call_in_fragments() -> None:
    pieces, reply = take(call(0, "c1", "add", ""), call(0, None, None, '{"a":'), call(0, None, None, "1}"))
    assert pieces == [
        CallPiece(0, "c1", "add"),
        CallPiece(0, "c1", None, '{"a":'),
        CallPiece(0, "c1", None, "1}"),
    ]
    assert [(one.id, one.name, one.arguments) for one in reply.calls] == [("c1", "add", '{"a":1}')]
    assert reply.finish_reason == "tool_calls"


def test_calls_that_all_have_the_number_nought() -> None:
    _, reply = take(call(0, "c1", "add", '{"a": 1}'), call(0, "c2", "add", '{"a": 2}'))
    assert [(one.id, one.arguments) for one in reply.calls] == [("c1", '{"a": 1}'), ("c2", '{"a": 2}')]
    _, reply = take(call(0, None, "add", '{"a": 1}'), call(0, None, "add", '{"a": 2}'))
    assert [one.arguments for one in reply.calls] == ['{"a": 1}', '{"a": 2}']


def test_a_name_that_is_repeated_with_each_fragment_is_one_call() -> None:
    _, reply = take(call(0, "c1", "add", '{"a"'), call(0, "c1", "add", ": 1}"))
    assert [(one.name, one.arguments) for one in reply.calls] == [("add", '{"a": 1}')]


def test_calls_without_a_number_are_whole() -> None:
    _, reply = take(call(None, "c1", "add", "{}"), call(None, "c2", "sub", "{}"))
    assert [one.name for one in reply.calls] == ["add", "sub"]


def test_an_id_that_comes_twice_is_given_once() -> None:
    _, reply = take(call(0, "same", "add", "{}"), call(1, "same", "add", "{}"))
    assert [one.id for one in reply.calls] == ["same", ""]


def test_a_thought_and_its_signature_come_apart() -> None:
    thinking = [{"type": "thinking", "thinking": "Hm", "signature": None}]
    more = [{"type": "thinking", "thinking": ", yes."}]
    signed = [{"type": "thinking", "thinking": "", "signature": "signed"}]
    hidden = [{"type": "redacted_thinking", "data": "secret"}]
    pieces, reply = take(
        chunk(reasoning_content="Hm", thinking_blocks=thinking),
        chunk(reasoning_content=", yes.", thinking_blocks=more),
        chunk(thinking_blocks=signed),
        chunk(thinking_blocks=hidden),
        chunk(thinking_blocks=thinking),
    )
    assert pieces == [ReasoningPiece("Hm"), ReasoningPiece(", yes.")]
    assert reply.provider_data == {
        "thinking_blocks": [
            {"type": "thinking", "thinking": "Hm, yes.", "signature": "signed"},
            {"type": "redacted_thinking", "data": "secret"},
            {"type": "thinking", "thinking": "Hm"},
        ]
    }


def test_nothing_to_give_back_is_none() -> None:
    assert take(chunk(content="Hi"))[1].provider_data is None


def test_a_whole_message_is_read_like_a_chunk() -> None:
    whole = chunk("stop", content="Hi")
    [choice] = whole.choices
    choice.message = choice.__dict__.pop("delta")
    assert take(whole)[1].text == "Hi"


def test_an_answer_has_begun_with_its_first_word_or_call() -> None:
    answer = Answer()
    assert list(answer.take(chunk(reasoning_content="Hm"))) == [ReasoningPiece("Hm")]
    assert not answer.begun
    list(answer.take(call(0, "c1", "add", "")))
    assert answer.begun


@given(st.dictionaries(st.text(), st.integers()), st.integers(1, 7))
def test_arguments_may_be_cut_anywhere(arguments: dict[str, int], size: int) -> None:
    text = json.dumps(arguments)
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    _, reply = take(call(0, "c1", "add", ""), *(call(0, None, None, part) for part in parts))
    assert [one.arguments for one in reply.calls] == [text]


def test_usage_is_read_in_either_form() -> None:
    details = SimpleNamespace(cached_tokens=3)
    usage = SimpleNamespace(
        prompt_tokens=10,
        completion_tokens=5,
        prompt_tokens_details=details,
        completion_tokens_details={"reasoning_tokens": 2},
    )
    assert reported(usage) == Usage(input_tokens=10, output_tokens=5, cached_tokens=3, reasoning_tokens=2)
    assert reported(SimpleNamespace(prompt_tokens=None, completion_tokens=None)) == Usage()
