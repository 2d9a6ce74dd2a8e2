import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auwgent.pairing import paired
from auwgent.session import MOST, UNKNOWN, Media, Session, Text, ToolCall, Turn, Usage, misfits, spoken_by

IDS = st.sampled_from("abc")


def asks(*ids: str, agent: str | None = None) -> Turn:
    return Turn(
        role="assistant", agent=agent, tool_calls=[ToolCall(id=one, name=f"tool_{one}") for one in ids]
    )


def answers(call_id: str, text: str = "done") -> Turn:
    return Turn(role="tool", tool_call_id=call_id, content=text)


def says(text: str, agent: str | None = None) -> Turn:
    return Turn(role="user", content=text, agent=agent)


def shape(turns: list[Turn]) -> list[str]:
    """Turns in short: `?ab` asks, `a` answers, `a!` is an unknown result, anything else is its text."""
    return [
        "?" + "".join(call.id for call in turn.tool_calls)
        if turn.tool_calls
        else (turn.tool_call_id or "") + "!" * (turn.outcome == "unknown")
        if turn.role == "tool"
        else turn.text
        for turn in turns
    ]


garbage = st.lists(
    st.one_of(
        st.builds(lambda ids: asks(*ids), st.lists(IDS, min_size=1, max_size=3)),
        st.builds(answers, IDS),
        st.builds(says, st.just("hi")),
        st.builds(lambda: Turn(role="assistant", content="well")),
    ),
    max_size=12,
)


def test_a_history_that_is_in_order_comes_back_as_it_is() -> None:
    turns = [says("hi"), asks("a", "b"), answers("a"), answers("b"), says("on")]
    assert paired(turns) == turns
    assert paired(turns, where_said=True) == turns


def test_a_call_without_a_result_gets_an_unknown_one() -> None:
    whole = paired([says("hi"), asks("a"), says("on")])
    assert shape(whole) == ["hi", "?a", "a!", "on"]
    assert whole[2].content == UNKNOWN
    assert whole[2].name == "tool_a"


def test_a_result_without_a_call_is_left_out() -> None:
    assert shape(paired([answers("a"), says("hi")])) == ["hi"]
    assert shape(paired([answers("a"), says("hi")], where_said=True)) == ["hi"]


def test_a_second_result_of_one_call_is_left_out() -> None:
    turns = [asks("a"), answers("a", "first"), answers("a", "second")]
    assert [turn.text for turn in paired(turns)] == ["", "first"]
    assert [turn.text for turn in paired(turns, where_said=True)] == ["", "first"]


def test_results_stand_in_the_order_of_their_calls() -> None:
    turns = [asks("a", "b"), answers("b"), answers("a")]
    assert shape(paired(turns)) == ["?ab", "a", "b"]
    assert shape(paired(turns, where_said=True)) == ["?ab", "a", "b"]


def test_a_reused_id_belongs_to_the_latest_call() -> None:
    turns = [asks("a"), answers("a", "old"), asks("a"), answers("a", "new")]
    assert [turn.text for turn in paired(turns)] == ["", "old", "", "new"]


def test_calls_of_one_message_with_the_same_id_are_answered_in_order() -> None:
    turns = [asks("a", "a"), answers("a", "first"), answers("a", "second")]
    assert [turn.text for turn in paired(turns)] == ["", "first", "second"]


def test_paired_brings_results_to_their_call_and_mended_leaves_them_where_they_were_said() -> None:
    turns = [asks("a", agent="Main"), says("task", "Helper"), answers("a")]
    assert shape(paired(turns)) == ["?a", "a", "task"]
    assert shape(paired(turns, where_said=True)) == ["?a", "task", "a"]


def test_results_with_a_gap_are_brought_to_their_call() -> None:
    turns = [asks("a", "b", "c"), answers("a"), says("task"), answers("c")]
    assert shape(paired(turns, where_said=True)) == ["?abc", "a", "b!", "c", "task"]


def test_a_result_that_is_put_in_is_not_taken_for_that_of_a_later_call_with_its_id() -> None:
    turns = [asks("a", "b"), asks("b"), answers("a"), answers("b", "of the second")]
    whole = paired(paired(turns, where_said=True))
    assert shape(whole) == ["?ab", "a", "b!", "?b", "b"]
    assert whole[4].text == "of the second"


@pytest.mark.process
@given(garbage)
def test_paired_makes_any_history_valid(turns: list[Turn]) -> None:
    whole = paired(turns)
    expected = list[str]()
    for turn in whole:
        if turn.role == "tool":
            assert turn.tool_call_id == expected.pop(0)
        else:
            assert expected == []
            expected = [call.id for call in turn.tool_calls or ()]
    assert expected == []


@given(garbage)
def test_paired_loses_nothing_but_stray_results(turns: list[Turn]) -> None:
    whole = paired(turns)
    assert [one for one in whole if one.role != "tool"] == [one for one in turns if one.role != "tool"]
    real = [one for one in whole if one.role == "tool" and one.outcome != "unknown"]
    assert all(any(one is given for given in turns) for one in real)
    assert len({one.id for one in real}) == len(real)


@given(garbage)
def test_mended_is_paired_but_for_the_places(turns: list[Turn]) -> None:
    whole = paired(turns, where_said=True)
    assert shape(paired(whole)) == shape(paired(turns))
    by_message = [turn for turn in whole if turn.role != "tool"]
    assert by_message == [turn for turn in turns if turn.role != "tool"]
    assert len(whole) == len(paired(turns))


@given(garbage)
def test_what_is_in_order_stays_as_it_is(turns: list[Turn]) -> None:
    whole, kept = paired(turns), paired(turns, where_said=True)
    assert paired(whole) == whole
    assert paired(whole, where_said=True) == whole
    assert paired(kept, where_said=True) == kept


def test_an_agent_is_shown_its_own_turns_and_those_of_nobody() -> None:
    turns = [says("1", "Main"), says("2", "Helper"), says("3")]
    assert [turn.text for turn in spoken_by(turns, "Helper")] == ["2", "3"]


def test_a_session_survives_its_stored_form() -> None:
    session = Session(
        id="s1",
        user_id="u1",
        system_prompt="You help.",
        stack=["Main", "Joker"],
        turns=[
            Turn(
                role="user",
                content=[
                    Text(text="Look"),
                    Media(type="image", data=base64.b64encode(b"png").decode(), mime_type="image/png"),
                ],
                agent="Main",
            ),
            Turn(
                role="assistant",
                tool_calls=[ToolCall(id="c1", name="add", raw_args="{oops")],
                model="openai/gpt-5-mini",
                usage=Usage(input_tokens=3, output_tokens=2, usd=None),
                provider_data={"thinking_blocks": [{"signature": "x"}]},
                run_id="r1",
            ),
            Turn(role="tool", tool_call_id="c1", name="add", content="Error: no", outcome="error"),
        ],
    )
    stored = json.loads(json.dumps(session.model_dump(mode="json")))
    assert Session.model_validate(stored) == session
    assert Session.model_validate(stored).model_dump(mode="json") == stored


def test_the_stored_form_leaves_out_what_does_not_apply() -> None:
    stored = Session(id="s1", turns=[Turn(role="user", content="Hi")]).model_dump(mode="json")
    assert stored["version"] == 1
    assert stored["user_id"] == ""
    assert stored["turns"][0].keys() == {"id", "role", "content", "created_at"}


def test_unknown_money_is_written_as_null() -> None:
    turn = Turn(role="assistant", content="Hi", usage=Usage(input_tokens=1))
    assert turn.model_dump(mode="json")["usage"]["usd"] is None


def test_times_are_kept_in_utc() -> None:
    noon = datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert Turn(role="user", created_at=noon).created_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert Turn(role="user", created_at=noon).model_dump(mode="json")["created_at"] == "2026-01-01T12:00:00Z"


@pytest.mark.parametrize(("fold", "hour"), [(0, 0), (1, 1)])
def test_the_hour_that_comes_twice_is_told_apart(fold: int, hour: int) -> None:
    clocks_go_back = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)
    turn = Turn(role="user", created_at=clocks_go_back)
    assert turn.created_at == datetime(2026, 10, 25, hour, 30, tzinfo=UTC)
    assert Turn.model_validate_json(turn.model_dump_json()) == turn


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        Turn.model_validate({"role": "user", "created_at": "2026-01-01T12:00:00"})


def test_half_a_character_never_enters_a_session() -> None:
    turn = Turn(role="user", content="a\ud800b")
    turn.text.encode()
    assert Turn(role="user", content="\ud83d\ude00").text == "😀"
    part = Turn(role="user", content=[Text(text="\udc00")])
    part.text.encode()


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ({"type": "image", "path": "/etc/passwd"}, "path"),
        ({"type": "image"}, "either data or url"),
        ({"type": "image", "data": "aGk=", "url": "https://x.example/a.png"}, "either data or url"),
        ({"type": "image", "url": "/etc/passwd"}, "url must begin"),
        ({"type": "image", "url": "file:///etc/passwd"}, "url must begin"),
        ({"type": "file", "url": "data:text/plain;base64,aGk="}, "url must begin"),
        ({"type": "file", "url": "https://me:secret@x.example/a.pdf"}, "password"),
        ({"type": "image", "data": "not base64!"}, "base64"),
        ({"type": "video", "data": "aGk="}, "video"),
        ({"type": "text", "text": "hi", "path": "/etc/passwd"}, "path"),
    ],
)
def test_a_part_holds_bytes_or_a_web_address_and_nothing_else(part: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Turn.model_validate({"role": "user", "content": [part]})


@pytest.mark.parametrize(
    ("turn", "problem"),
    [
        ({"role": "system"}, "role"),
        ({"role": "tool"}, "tool_call_id"),
        ({"role": "user", "tool_calls": [{"id": "a", "name": "x"}]}, "assistant turn"),
        ({"role": "user", "outcome": "fine"}, "outcome"),
        ({"role": "user", "note": "x"}, "note"),
    ],
)
def test_a_turn_that_makes_no_sense_is_refused(turn: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Turn.model_validate(turn)


def test_content_that_is_none_is_an_empty_text() -> None:
    call = {"id": "c1", "name": "add"}
    turn = Turn.model_validate({"role": "assistant", "content": None, "tool_calls": [call]})
    assert turn.content == ""


@pytest.mark.parametrize(
    ("session", "words"),
    [
        (
            {"messages": []},
            "`messages` is unknown; known here: id, user_id, version, system_prompt, stack, turns",
        ),
        ({"turns": "none"}, "`turns` should be a list, not 'none'"),
        ({"turns": [5]}, "`turns[0]` should be a table, not 5"),
        ({"turns": [{"content": "Hi"}]}, "`turns[0].role` is missing"),
        (
            {"turns": [{"role": "user"}, {"role": "system"}]},
            "`turns[1].role` should be 'user', 'assistant' or 'tool', not 'system'",
        ),
        (
            {"turns": [{"role": "user", "content": 5}]},
            "`turns[0].content` should be a text or a list of parts, not 5",
        ),
        (
            {"turns": [{"role": "user", "content": [{"type": "text"}]}]},
            "`turns[0].content[0].text` is missing",
        ),
        (
            {"turns": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "`turns[0].content[0]` should have one of these types: 'text', 'image', 'file', 'audio'",
        ),
        (
            {"turns": [{"role": "assistant", "tool_calls": [{"id": "c1", "function": {}, "name": "add"}]}]},
            "`turns[0].tool_calls[0].function` is unknown; known here: id, name, args, raw_args",
        ),
        ({"turns": [{"role": "tool"}]}, "`turns[0]`: a tool turn needs tool_call_id"),
    ],
)
def test_what_is_wrong_is_told_by_turn_and_field(session: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Session.model_validate(session)
    assert misfits(refused.value) == words


def test_of_much_that_is_wrong_a_part_is_told() -> None:
    with pytest.raises(ValidationError) as refused:
        Session.model_validate({"turns": [5] * 10})
    assert misfits(refused.value).endswith("`turns[2]` should be a table, not 5; and 7 more")


def test_a_session_of_another_version_is_refused() -> None:
    with pytest.raises(ValidationError, match="version"):
        Session.model_validate({"version": 2})


def test_turns_have_ids_of_their_own() -> None:
    assert len({Turn(role="user").id for _ in range(100)}) == 100


def test_the_text_of_a_session_is_the_answer_since_the_newest_words_of_the_user() -> None:
    answered = [says("Hi"), Turn(role="assistant", content="one"), asks("a"), answers("a")]
    assert Session(turns=answered).text == "one"
    assert Session(turns=[*answered, says("hm")]).text == ""
    assert Session().text == ""


def test_the_text_of_a_session_is_of_the_agent_that_has_the_word() -> None:
    turns = [
        Turn(role="user", content="Hi", agent="Main"),
        Turn(role="assistant", tool_calls=[ToolCall(id="c1", name="Joker")], agent="Main"),
        Turn(role="user", content="A joke", agent="Joker"),
        Turn(role="assistant", content="Knock knock", agent="Joker"),
        Turn(role="tool", tool_call_id="c1", name="Joker", agent="Main"),
    ]
    assert Session(stack=["Main"], turns=turns).text == ""
    assert Session(stack=["Main", "Joker"], turns=turns).text == "Knock knock"


def test_what_is_told_of_a_session_is_no_part_of_its_data() -> None:
    told = Session(id="s").tell("paused", [{"id": "c1"}], output=5)
    assert (told.status, told.pending, told.output) == ("paused", [{"id": "c1"}], 5)
    plain = Session.model_validate(told.model_dump())
    assert (plain.status, plain.pending, plain.output) == ("", [], None)
    assert plain == told != Session(id="t")
    assert told.model_dump_json() == plain.model_dump_json()
    assert repr(told) == "<Session 's': 0 turns, paused>"
    assert str(Session(id="s", user_id="ada")) == "<Session 's', user 'ada': 0 turns>"


def test_a_session_adds_up_what_its_turns_used() -> None:
    used = [Usage(input_tokens=1, usd=0.5), Usage(output_tokens=2, usd=0.25)]
    turns = [Turn(role="assistant", run_id=f"r{number}", usage=one) for number, one in enumerate(used)]
    session = Session(turns=turns)
    assert session.usage == Usage(input_tokens=1, output_tokens=2, usd=0.75)
    assert session.usage_of("r1") == used[1]
    assert session.usage_of("none") == Session().usage == Usage(usd=0.0)


def test_the_text_of_a_turn_leaves_media_out() -> None:
    turn = Turn(role="user", content=[Text(text="a"), Media(type="file", data=""), Text(text="b")])
    assert turn.text == "a\nb"


def test_usage_adds_up() -> None:
    one = Usage(input_tokens=1, output_tokens=2, cached_tokens=3, reasoning_tokens=4, usd=0.5)
    both = one + Usage(input_tokens=10, output_tokens=20, usd=0.25, estimated=True)
    assert both == Usage(
        input_tokens=11, output_tokens=22, cached_tokens=3, reasoning_tokens=4, usd=0.75, estimated=True
    )


def test_an_unknown_price_makes_the_sum_unknown() -> None:
    assert (Usage(usd=0.5) + Usage()).usd is None


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


CALL = {"id": "c", "name": "f"}


@pytest.mark.parametrize(
    ("turn", "where"),
    [
        ({"usage": {"input_tokens": -(10**20)}}, "turns[0].usage.input_tokens"),
        ({"usage": {"output_tokens": -1}}, "turns[0].usage.output_tokens"),
        ({"usage": {"cached_tokens": 1.5}}, "turns[0].usage.cached_tokens"),
        ({"usage": {"reasoning_tokens": True}}, "turns[0].usage.reasoning_tokens"),
        ({"usage": {"usd": float("nan")}}, "turns[0].usage.usd"),
        ({"usage": {"usd": float("inf")}}, "turns[0].usage.usd"),
        ({"usage": {"usd": -1}}, "turns[0].usage.usd"),
        ({"id": ""}, "turns[0].id"),
        ({"tool_calls": [CALL | {"id": ""}]}, "turns[0].tool_calls[0].id"),
        ({"tool_calls": [CALL | {"args": nested(500)}]}, "turns[0].tool_calls[0].args"),
        ({"provider_data": nested(150)}, "turns[0].provider_data"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "turns[0].created_at"),
        ({"created_at": "9999-12-31T23:59:59-14:00"}, "turns[0].created_at"),
        ({"created_at": 10**18}, "turns[0].created_at"),
    ],
)
def test_what_no_run_can_have_written_is_told_by_turn_and_field(turn: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Session.model_validate({"id": "s", "turns": [{"role": "assistant", **turn}]})
    told = misfits(raised.value)
    assert f"`{where}`" in told
    assert "\n" not in told


@pytest.mark.parametrize("tokens", [MOST + 1, 2**63 - 1, 10**30])
def test_a_count_beyond_all_measure_is_not_believed(tokens: int) -> None:
    usage = {"input_tokens": tokens, "output_tokens": 7, "cached_tokens": tokens}
    session = Session.model_validate({"id": "s", "turns": [{"role": "assistant", "usage": usage}]})
    assert session.turns[0].usage == Usage(output_tokens=7, estimated=True)


def test_usages_beyond_all_measure_can_still_be_added_up() -> None:
    most = Usage(input_tokens=MOST)
    assert (most + most).input_tokens == MOST
