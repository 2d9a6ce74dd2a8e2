"""Cuts long results and lets the model read the rest; shortens a conversation that is too long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auwgent.engine.agent import READ_RESULT
from auwgent.engine.capabilities import Capability
from auwgent.engine.state import Frame
from auwgent.errors import ProviderError, ToolError
from auwgent.models.base import ToolSpec
from auwgent.pairing import paired
from auwgent.session import Media, Text, ToolCall, Turn
from auwgent.tools import ToolOptions

SHORTER = (
    10_000,
    2_000,
    500,
)  # characters of each result, tried one after the other where a request was too long
REFUSED = "refused"  # key in a turn's provider_data: the turns whose attachments were refused, and why
LEFT_OUT = "[Earlier messages were left out: the conversation is too long to be read as a whole.]"
_SPEC = ToolSpec(
    READ_RESULT,
    "Read more of a tool's result that was cut because it is long: the characters from `start` up to `end`.",
    {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "The id that stands where the result was cut."},
            "start": {"type": "integer", "minimum": 0, "description": "The first character, counted from 0."},
            "end": {"type": "integer", "minimum": 1, "description": "The character to stop before."},
        },
        "required": ["id", "start", "end"],
        "additionalProperties": False,
    },
)


def history(frame: Frame, own: Mapping[str, Capability]) -> list[Turn]:
    """Return what the agent's model is shown: results as long as they may be, and no input that was refused before.

    What is stored stays whole.
    """
    turns = paired(frame.view())
    refused: dict[str, str] = {}
    for turn in turns:
        refused |= (turn.provider_data or {}).get(REFUSED, {})
    return [_without_refused(_cut(turn, _limit(frame, own, turn)), refused) for turn in turns]


def note_refused(frame: Frame, error: Exception) -> None:
    """Note that a provider refused what the user attached, so that it is not sent again but told in words.

    The note is a turn of its own, since what is stored does not change any more.
    """
    if not isinstance(error, ProviderError) or error.fault != "bad_request":
        return
    said = next((turn for turn in reversed(frame.view()) if turn.role != "tool"), None)
    if said is None or said.role != "user" or not any(isinstance(part, Media) for part in said.content):
        return
    words = "[The provider refused what is attached above. It is not sent again.]"
    note = Turn(role="user", content=words, provider_data={REFUSED: {said.id: str(error)}})
    frame.asides.add(note.id)
    frame.record(note)


def bare(turns: Sequence[Turn]) -> list[Turn] | None:
    """Return the turns without what goes back to the model they came from alone; None where there is nothing."""
    if not any(turn.provider_data for turn in turns if turn.role == "assistant"):
        return None
    return [turn.model_copy(update={"provider_data": None, "model": None}) for turn in turns]


def with_reader(frame: Frame, own: Mapping[str, Capability]) -> Mapping[str, Capability]:
    """Return what the model may call, and `read_result` from the first result on that was cut."""
    if READ_RESULT in own or not any(len(turn.text) > _limit(frame, own, turn) for turn in frame.view()):
        return own
    most = frame.run.services.limits.result_chars

    async def run(frame: Frame, checked: tuple[str, int, int], call: ToolCall) -> str:
        call_id, start, end = checked
        text = _text_of(frame, call_id)
        if start >= len(text):
            raise ToolError(f"result {call_id!r} has {len(text)} characters; `start` is beyond them")
        end = min(end, len(text), start + most)
        return f"[characters {start} to {end} of {len(text)}]\n{text[start:end]}"

    return {**own, READ_RESULT: Capability("tool", _SPEC, _check, run, ToolOptions(idempotent=True))}


def shortened(turns: Sequence[Turn]) -> list[Turn] | None:
    """Return at most half of a conversation that a provider found too long; None where that cannot be.

    Results are cut first, then the oldest messages left out. What the user said last stays, with all that follows.
    """
    whole = _size(turns)
    shorter = list(turns)
    for most in SHORTER:
        shorter = [_cut(turn, most) for turn in turns]
        if _size(shorter) <= whole / 2:
            return shorter
    spoken = [index for index, turn in enumerate(shorter) if turn.role == "user"]
    for index in spoken[1:]:
        rest = shorter[index:]
        if _size(rest) <= whole / 2 or index == spoken[-1]:
            note = Turn(role="user", content=LEFT_OUT, agent=rest[0].agent)
            return [note, *rest]
    return shorter if _size(shorter) < whole else None


def _limit(frame: Frame, own: Mapping[str, Capability], turn: Turn) -> int:
    """Return how many characters of a turn are sent: of results alone it has a limit."""
    if turn.role != "tool" or turn.name == READ_RESULT:
        return len(turn.text)
    capability = own.get(turn.name or "")
    most = capability.options.result_chars if capability is not None else None
    return frame.run.services.limits.result_chars if most is None else most


def _without_refused(turn: Turn, refused: Mapping[str, str]) -> Turn:
    if turn.id not in refused or isinstance(turn.content, str):
        return turn
    parts = [
        part.model_copy(update={"refused": refused[turn.id]}) if isinstance(part, Media) else part
        for part in turn.content
    ]
    return turn.model_copy(update={"content": parts})


def _cut(turn: Turn, most: int) -> Turn:
    if turn.role != "tool" or len(turn.text) <= most:
        return turn
    if isinstance(turn.content, str):
        return turn.model_copy(update={"content": _head_and_tail(turn.content, most, turn.tool_call_id)})
    words = Text(text=_head_and_tail(turn.text, most, turn.tool_call_id))
    return turn.model_copy(update={"content": [words, *(p for p in turn.content if not isinstance(p, Text))]})


def _head_and_tail(text: str, most: int, call_id: str | None) -> str:
    head, tail = most - most // 3, most // 3
    note = (
        f"[… characters {head} to {len(text) - tail} of {len(text)} are left out here; "
        f"{READ_RESULT}(id={call_id!r}, start={head}, end={min(len(text) - tail, head + most)}) reads on …]"
    )
    return f"{text[:head]}\n{note}\n{text[len(text) - tail :]}"


def _check(args: dict[str, Any]) -> tuple[str, int, int]:
    call_id, start, end = args.get("id"), args.get("start"), args.get("end")
    numbers = all(isinstance(one, int) and not isinstance(one, bool) for one in (start, end))
    if not isinstance(call_id, str) or not numbers or args.keys() != {"id", "start", "end"}:
        raise ToolError(f"{READ_RESULT} takes a text `id` and two whole numbers, `start` and `end`")
    assert isinstance(start, int)
    assert isinstance(end, int)
    if not 0 <= start < end:
        raise ToolError("`start` must be 0 or more, and `end` more than `start`")
    return call_id, start, end


def _text_of(frame: Frame, call_id: str) -> str:
    """Return a result that this agent was shown."""
    shown = [turn for turn in frame.view() if turn.role == "tool" and turn.name != READ_RESULT]
    for turn in reversed(shown):
        if turn.tool_call_id == call_id:
            return turn.text
    raise ToolError(f"there is no result {call_id!r}")


def _size(turns: Sequence[Turn]) -> int:
    calls = (call for turn in turns for call in turn.tool_calls or ())
    return sum(len(turn.text) for turn in turns) + sum(len(str(call.args)) for call in calls)
