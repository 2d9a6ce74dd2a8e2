"""Shortening: any cut leaves a conversation that every provider takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auwgent.middleware.compaction.shortening import (
    EVERYTHING,
    KEY,
    LEFT_OUT,
    Conversation,
    Shortened,
    Size,
    estimate,
)
from auwgent.models import wire
from auwgent.models.base import ModelRequest, ModelSpec
from auwgent.pairing import paired
from auwgent.session import Media, Text, ToolCall, Turn
from tests.support.bench import check_history

MODELS = [
    "openai/gpt-5-mini",
    "anthropic/claude-sonnet-4-5",
    "gemini/gemini-2.5-flash",
    "mistral/mistral-large-latest",
    "ollama_chat/llama3",
    "bedrock/anthropic.claude-3-haiku",
    "openrouter/anything",
]
THOUGHTS = {"thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "abc"}]}

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@st.composite
def messages(draw: st.DrawFn) -> list[Turn]:
    """What a model may be shown: user, answers, calls with results, thoughts, media, in any order."""
    turns: list[Turn] = []
    for number in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(["user", "media", "answer", "thought", "calls", "thoughtful calls"]))
        model = draw(st.sampled_from([None, *MODELS]))
        match kind:
            case "user":
                turns.append(Turn(role="user", content=draw(words)))
            case "media":
                image = Media(type="image", url="https://a.example/a.png")
                turns.append(Turn(role="user", content=[Text(text=draw(words)), image]))
            case "answer" | "thought":
                data = THOUGHTS if kind == "thought" else None
                turns.append(Turn(role="assistant", content=draw(words), model=model, provider_data=data))
            case _:
                data = THOUGHTS if kind == "thoughtful calls" else None
                calls = [
                    ToolCall(id=draw(st.sampled_from([f"c{number}-{index}", "same"])), name="look", args={})
                    for index in range(draw(st.integers(1, 3)))
                ]
                asked = Turn(
                    role="assistant", content=draw(words), model=model, tool_calls=calls, provider_data=data
                )
                results = [
                    Turn(
                        role="tool",
                        content=draw(words) * draw(st.integers(1, 30)),
                        tool_call_id=call.id,
                        name="look",
                    )
                    for call in calls
                ]
                turns += [asked, *results]
    return paired(turns)


def question_of(turns: Sequence[Turn]) -> str:
    return next((turn.id for turn in reversed(turns) if turn.role == "user"), "")


def conversation(turns: Sequence[Turn]) -> Conversation:
    return Conversation(turns, pinned={turns[0].id}, question=question_of(turns), chars=50)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[list[Turn], Shortened]:
    turns = draw(messages())
    ids = [turn.id for turn in turns]
    places = st.sampled_from(["", "gone", *ids])
    mark = Shortened(
        cut=draw(places),
        short=draw(places | st.just(EVERYTHING)),
        summary=draw(st.sampled_from(["", "Sum."])),
    )
    return turns, mark


@settings(max_examples=300)
@given(cuts(), st.sampled_from(MODELS))
def test_any_cut_is_a_valid_history_on_every_wire(made: tuple[list[Turn], Shortened], model: str) -> None:
    turns, mark = made
    sent = conversation(turns).shortened(mark)
    check_pairs(sent)
    wired = wire.messages(ModelSpec(model), ModelRequest(system="You help.", turns=sent))
    assert wired[0]["role"] == "system"
    assert all(one["role"] == "user" for one in wired[1:2])
    open_calls: list[str] = []
    for before, message in pairwise(wired):
        if message["role"] == "tool":
            assert message["tool_call_id"] == open_calls.pop(0)
            continue
        assert not open_calls, "a result is missing, or not right behind its call"
        assert message["role"] != before["role"] or model.startswith("openai/")  # who takes turns in a row
        open_calls = [call["id"] for call in message.get("tool_calls", ())]
    assert not open_calls


def check_pairs(sent: Sequence[Turn]) -> None:
    """Each call is followed by its results, in order; nothing is answered that was not asked."""
    waiting: list[str] = []
    for turn in sent:
        if turn.role == "tool":
            assert turn.tool_call_id == waiting.pop(0)
        else:
            assert waiting == []
            waiting = [call.id for call in turn.tool_calls or ()]
    assert waiting == []


@settings(max_examples=300)
@given(cuts())
def test_what_must_stay_stays(made: tuple[list[Turn], Shortened]) -> None:
    turns, mark = made
    sent = conversation(turns).shortened(mark)
    ids = [turn.id for turn in sent]
    question = question_of(turns)
    active = turns[[turn.id for turn in turns].index(question) :] if question else []
    assert turns[0].id in ids, "what is pinned"
    assert not question or question in ids, "the user's last words"
    for turn in active:
        if turn.provider_data:
            assert turn in sent, "what the model thought since"
    kept = [turn for turn in turns if turn.id in ids]
    assert [turn.id for turn in kept] == [one for one in ids if one != "compaction"], "the order"


@settings(max_examples=300)
@given(messages(), st.integers(0, 400), st.sampled_from(["truncated", "cut"]))
def test_it_goes_as_far_as_it_must_and_stays_there(turns: list[Turn], tokens: int, how: str) -> None:
    one = conversation(turns)

    def fits(size: Size) -> bool:
        return size.tokens <= tokens

    before = one.size(Shortened())
    mark = one.truncated(Shortened(), fits) if how == "truncated" else one.cut(Shortened(), fits)
    if fits(before):
        assert mark == Shortened()
    again = one.truncated(mark, fits) if how == "truncated" else one.cut(mark, fits)
    assert again == mark
    last = one.shortened(mark)[-1]
    assert last == turns[-1], "what is to be answered is there, and whole"


@given(messages())
def test_sizes_are_sums(turns: list[Turn]) -> None:
    one = conversation(turns)
    assert one.size(Shortened()).turns == len(turns)
    assert one.shortened(Shortened()) == turns
    assert one.size(Shortened(short=EVERYTHING)).tokens <= one.size(Shortened()).tokens + 20 * len(turns)


def test_only_beginning_and_end_of_a_long_result_are_left() -> None:
    call = ToolCall(id="c", name="read")
    turns = [
        Turn(role="user", content="Read"),
        Turn(role="assistant", tool_calls=[call]),
        Turn(role="tool", tool_call_id="c", name="read", content="begin " + "x" * 1000 + " end"),
        Turn(role="assistant", content="Done"),
    ]
    sent = conversation(turns).shortened(Shortened(short=turns[-1].id))
    assert sent[2].text.startswith("begin x")
    assert sent[2].text.endswith("x end")
    assert "[… 961 characters left out …]" in sent[2].text
    assert turns[2].text.endswith("x end")
    assert len(turns[2].text) > 1000
    check_history(sent)


def test_what_was_left_out_is_said_once() -> None:
    turns = [Turn(role=role, content=f"{n}") for n in range(4) for role in ("user", "assistant")]
    sent = conversation(turns).shortened(Shortened(cut=turns[4].id))
    assert [turn.text for turn in sent] == ["0", LEFT_OUT, "2", "2", "3", "3"]
    summed = conversation(turns).shortened(Shortened(cut=turns[4].id, summary="They counted."))
    assert summed[1].text.endswith("They counted.")


def test_a_note_of_ours_is_no_thought() -> None:
    turns = [
        Turn(role="user", content="Go"),
        *(Turn(role="assistant", content=f"{n}", provider_data={KEY: {}}) for n in range(4)),
    ]
    one = Conversation(turns, pinned=(), question=turns[0].id, chars=50)
    assert [turn.text for turn in one.shortened(Shortened(cut=turns[4].id))] == ["Go", LEFT_OUT, "3"]


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abcd", 1), ("abcde", 2), ("日本語の文章", 5)])
def test_estimates(text: str, tokens: int) -> None:
    assert estimate(text) == tokens
