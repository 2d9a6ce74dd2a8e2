"""Each call has exactly one result: a history made valid, and the results that stand for those that never came."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from auwgent.session import LEFT_OPEN, NEVER_BEGUN, NOT_ANSWERED, UNKNOWN, Outcome, ToolCall, Turn


def paired(
    turns: Sequence[Turn],
    missing: Callable[[Turn, ToolCall], Turn | None] | None = None,
    *,
    where_said: bool = False,
) -> list[Turn]:
    """Return the turns with exactly one result for each tool call, right behind the message that asked for it.

    Results are in the order of their calls. `missing` gives the result for a call that has none, else it is
    `unknown`; where it gives None the call stays open. A result without a call, or a second one, is left out.
    With `where_said`, results that are all there in order stay where they are, and so does what a helper said
    between a call and its result.
    """
    missing = missing or unknown_result
    places = {index: [turn] for index, turn in enumerate(turns) if turn.role != "tool"}
    for message, answers in _answers(turns).items():
        calls = turns[message].tool_calls or []
        found = [answers.get(number) for number in range(len(calls))]
        in_order = where_said and found == sorted(answers.values())
        for call, answer in zip(calls, found, strict=True):
            result = missing(turns[message], call) if answer is None else turns[answer]
            if result is not None:
                places.setdefault(answer if in_order and answer is not None else message, []).append(result)
    return [turn for index in sorted(places) for turn in places[index]]


def _answers(turns: Sequence[Turn]) -> dict[int, dict[int, int]]:
    """Return which turns answer which calls: index of a message -> number of its call -> index of the result.

    Of several calls with one id, those of the latest message are answered first, and these in their order.
    """
    answers: dict[int, dict[int, int]] = {}
    waiting: dict[str, list[tuple[int, int]]] = {}  # call id -> the calls that have no result yet
    for index, turn in enumerate(turns):
        if turn.role == "tool":
            if calls := waiting.get(turn.tool_call_id or ""):
                message, number = calls.pop()
                answers[message][number] = index
        elif turn.tool_calls:
            answers[index] = {}
            for number, call in reversed(list(enumerate(turn.tool_calls))):
                waiting.setdefault(call.id, []).append((index, number))
    return answers


def unknown_result(turn: Turn, call: ToolCall) -> Turn:
    """Return the result that stands for one which never came."""
    return _stands_for(turn, call, UNKNOWN, "unknown")


def skipped_result(turn: Turn, call: ToolCall) -> Turn:
    """Return the result of a call that was never begun."""
    return _stands_for(turn, call, NEVER_BEGUN, "skipped")


def closed(
    turns: Sequence[Turn], cut_off: Container[str] = (), begun: Container[str] = ()
) -> Callable[[Turn, ToolCall], Turn]:
    """Return what gives the results of the calls that a copy of these turns leaves open: nobody goes on with it.

    A call that was begun is never told as one that was not made: that is known of a helper by what it has said, else by
    the ids of the calls that were `begun`. Those that a crash has `cut_off` are `unknown`.
    """
    places = {turn.id: place for place, turn in enumerate(turns)}

    def result(turn: Turn, call: ToolCall) -> Turn:
        if call.id in cut_off:
            return unknown_result(turn, call)
        if call.id in begun or any(said.agent == call.name for said in turns[places[turn.id] + 1 :]):
            return _stands_for(turn, call, LEFT_OPEN, "skipped")
        return skipped_result(turn, call)

    return result


def denied_result(turn: Turn, call: ToolCall) -> Turn:
    """Return the result of a call that waited for a yes until it was too late."""
    return _stands_for(turn, call, NOT_ANSWERED, "denied")


def _stands_for(turn: Turn, call: ToolCall, words: str, outcome: Outcome) -> Turn:
    return Turn(
        role="tool",
        content=words,
        agent=turn.agent,
        tool_call_id=call.id,
        name=call.name,
        outcome=outcome,
        run_id=turn.run_id,
    )


def place_of_result(result: Turn, turns: Sequence[Turn]) -> int:
    """Return the place of a tool's result: at the end, but before the results of its later siblings."""
    for index in range(len(turns) - 1, -1, -1):
        order = [call.id for call in turns[index].tool_calls or ()]
        if result.tool_call_id in order:
            later = set(order[order.index(result.tool_call_id) + 1 :])
            for place in range(index + 1, len(turns)):
                if turns[place].role == "tool" and turns[place].tool_call_id in later:
                    return place
            break
    return len(turns)
