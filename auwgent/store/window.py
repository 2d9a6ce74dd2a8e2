"""Which of the newest turns are a conversation that a model can take up."""

from __future__ import annotations

from collections.abc import Sequence

from auwgent.session import Turn


def opening(turns: Sequence[Turn], least: int) -> int | None:
    """Where a window of at least so many of these turns opens, as late as can be.

    It opens with what the user said to begin a run, so that helpers' turns stay with those of their callers, and
    behind all calls whose results are in it. None where that may be before these turns.
    """
    uncalled: list[str | None] = []  # the calls whose results are in the window, while they are not
    for index in range(len(turns) - 1, 0, -1):
        turn = turns[index]
        if turn.role == "tool":
            uncalled.append(turn.tool_call_id)
        for call in turn.tool_calls or ():
            if call.id in uncalled:
                uncalled.remove(call.id)
        if index <= len(turns) - least and not uncalled and _begins(turn, turns[index - 1]):
            return index
    return None


def _begins(turn: Turn, before: Turn) -> bool:
    """Whether a run began with this turn. What was imported may not tell of runs; then any user's words will do."""
    if turn.role != "user" or before.tool_calls:
        return False
    return turn.run_id is None or turn.run_id != before.run_id
