"""Thoughts and calls in the text of an answer, however it is cut into pieces."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auwgent.models.answer import Answer
from auwgent.models.base import CallPiece, Piece, ReasoningPiece, TextPiece
from auwgent.models.received import Json
from auwgent.session import Usage

TOOLS: dict[str, dict[str, Any]] = {
    "add": {"properties": {"a": {"type": "integer"}}},
    "note": {
        "properties": {
            "text": {"type": "string"},
            "tags": {"type": "array"},
            "deep": {"type": "object"},
            "loud": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "by": {"type": ["string", "null"]},
        }
    },
}


def heard(*pieces: str, reads_calls: bool = False) -> tuple[str, str, list[tuple[str, Any]], str]:
    """The text, the thoughts and the calls; the text of the reply is that of the pieces."""
    answer = Answer(reads_calls=reads_calls, tools=TOOLS)
    shown: list[Piece] = []
    for piece in pieces:
        shown += answer.take(Json(choices=[Json(delta=Json(content=piece))]))
    shown += answer.take(Json(choices=[Json(delta=Json(), finish_reason="stop")]))
    reply = answer.reply("p/m", Usage())
    text = "".join(one.text for one in shown if isinstance(one, TextPiece))
    thoughts = "".join(one.text for one in shown if isinstance(one, ReasoningPiece))
    assert text == reply.text
    assert len([one for one in shown if isinstance(one, CallPiece)]) == len(reply.calls)
    calls = [(call.name, json.loads(call.arguments)) for call in reply.calls]
    return text, thoughts, calls, reply.finish_reason


@pytest.mark.parametrize("tag", ["think", "thinking"])
@given(cut=st.integers(0, 60), size=st.integers(1, 60))
def test_a_thought_at_the_beginning_is_none_of_the_answer(tag: str, cut: int, size: int) -> None:
    whole = f"\n<{tag}>Is 1 < 2? Yes.</{tag}>\n\nYes <b>, it is."
    pieces = [whole[:cut], *(whole[at : at + size] for at in range(cut, len(whole), size))]
    assert heard(*pieces)[:2] == ("Yes <b>, it is.", "Is 1 < 2? Yes.")


def test_a_thought_without_an_end_is_all_thought() -> None:
    assert heard("<th", "ink>", "Hmm </thin")[:2] == ("", "Hmm </thin")


@pytest.mark.parametrize(
    "words",
    ["Use <think> for that.", "<thi", "<thought>x", " a", "<", "{}", "<tool_call>{}</tool_call>", "\n x"],
)
def test_all_else_is_the_answer(words: str) -> None:
    assert heard(words)[:2] == (words, "")
    assert heard(*words)[:2] == (words, "")


CALL = '{"name": "add", "arguments": {"a": 1}}'


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        (f"<tool_call>\n{CALL}\n</tool_call>", "", 1),
        (f"I add.\n<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>", "I add.\n", 2),
        (f"<think>Add?</think><tool_call>{CALL}", "", 1),
        ('<function=add>{"a": 1}</function>', "", 1),
        ('<|python_tag|>{"name": "add", "parameters": {"a": 1}}', "", 1),
        (f"[TOOL_CALLS] [{CALL}, {CALL}]", "", 2),
        ('{"name": "add", "parameters": {"a": 1}}', "", 1),
        (f"[{CALL}]", "", 1),
    ],
)
def test_calls_that_are_written_as_text_are_calls_where_they_are_read(
    text: str, said: str, calls: int
) -> None:
    for pieces in ([text], list(text)):
        heard_text, _, made, end = heard(*pieces, reads_calls=True)
        assert (heard_text, made, end) == (said, [("add", {"a": 1})] * calls, "tool_calls")
        assert heard(*pieces)[2] == []


@pytest.mark.parametrize(
    "text", ['{"name": "Ada", "age": 3}', "[1, 2]", "{", "a < b", "<tool_call>nonsense</tool_call>", "[TOOL"]
)
def test_what_is_no_call_is_shown_in_the_end(text: str) -> None:
    assert heard(*text, reads_calls=True) == (text, "", [], "stop")


WRITTEN = """<tool_call>
<function=note>
<parameter=text>
12
<b>
</parameter>
<parameter=tags>
["a", "b"]
</parameter>
<parameter=deep>
{"x": 1}
</parameter>
<parameter=loud>
True
</parameter>
<parameter=by>
null
</parameter>
</function>
</tool_call>"""


def test_arguments_in_tags_are_what_the_schema_wants() -> None:
    wanted = {"text": "12\n<b>", "tags": ["a", "b"], "deep": {"x": 1}, "loud": True, "by": None}
    for pieces in ([WRITTEN], list(WRITTEN)):
        assert heard(*pieces, reads_calls=True) == ("", "", [("note", wanted)], "tool_calls")
        assert heard("So:\n", *pieces, reads_calls=True)[0] == "So:\n"


def test_arguments_in_tags_that_were_cut_off_are_none() -> None:
    answer = Answer(reads_calls=True, tools=TOOLS)
    cut = WRITTEN[: WRITTEN.index("</parameter>")]
    list(answer.take(Json(choices=[Json(delta=Json(content=cut), finish_reason="length")])))
    [call] = answer.reply("p/m", Usage()).calls
    assert call.cut


LONE = "I should add.\n\nOr not?"


@pytest.mark.parametrize("end", ["\n</think>\n\n", "</think>\n"])
def test_a_thought_whose_beginning_the_chat_template_wrote_is_none_of_the_answer(end: str) -> None:
    assert heard(f"{LONE}{end}It is 3.")[:2] == ("It is 3.", LONE + end.partition("<")[0])
    answer = Answer()
    for piece in f"{LONE}{end}It is 3.":
        list(answer.take(Json(choices=[Json(delta=Json(content=piece))])))
    assert answer.reply("p/m", Usage()).text == "It is 3."
    made = heard(f"{LONE}{end}<tool_call>{CALL}</tool_call>", reads_calls=True)
    assert (made[0], made[2]) == ("", [("add", {"a": 1})])


def test_an_end_of_a_thought_that_is_talked_about_is_text() -> None:
    for words in (
        "It ends with `</think>`\nand so on",
        "```\nx</think>\n```\n",
        "Write <think> and\n</think>\n",
        "a </think> b",
    ):
        assert heard(words)[:2] == (words, "")
        assert heard(*words)[:2] == (words, "")


def test_a_thought_without_an_answer_leaves_none() -> None:
    answer = Answer()
    list(answer.take(Json(choices=[Json(delta=Json(content="Hmm.\n</think>"), finish_reason="stop")])))
    assert answer.reply("p/m", Usage()).text == ""
    assert heard("</think>\n\nIt is 3.")[:2] == ("It is 3.", "")
