"""Checks how a reply ended before anything in it is treated as an answer or a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from auwgent.engine.capabilities import Capability, is_answer
from auwgent.engine.pieces import Partials
from auwgent.engine.state import Frame
from auwgent.errors import ProviderError
from auwgent.models.base import RawCall, Reply
from auwgent.models.faults import ended
from auwgent.models.reading import read_arguments
from auwgent.session import FinishReason, ToolCall, Turn, encodable

_FINISHED: Mapping[str, FinishReason] = {"length": "length", "filtered": "filtered", "refused": "filtered"}


@dataclass(frozen=True, slots=True)
class ReadReply:
    """The content of a reply: a message that goes on with calls, an answer that ends the turn, or both."""

    offered: dict[str, Capability]  # what the model could call
    message: Turn | None
    answer: Turn | None
    failure: ProviderError | None  # why the answer is not a whole one; asking again for its form cannot help


def read(frame: Frame, reply: Reply, offered: dict[str, Capability], partials: Partials) -> ReadReply:
    """Make turns of a reply. One that ended before it said anything that can be shown or done is an error.

    A call of the final-answer tool becomes an answer like any other, so that a history looks the same whatever
    the provider could do. Other calls get ids that are unique in the session.
    """
    spec = frame.run.services.models.spec(frame.agent.model)
    words = reply.said or (reply.text if reply.finish_reason == "refused" else "")
    if reply.finish_reason == "refused" and reply.text and reply.text not in words:
        words = f"{words}: {reply.text}"
    failure = ended(spec.changed(name=reply.model or spec.name), replace(reply, said=words))
    is_refusal = failure is not None and reply.finish_reason != "length"
    answers = [raw for raw in reply.calls if is_answer(offered.get(raw.name))]
    if failure is not None and (
        (
            is_refusal and (reply.calls or frame.agent.output is not None)
        )  # its calls were not meant to be made
        or reply.finish_reason == "malformed"
        or not (reply.text or reply.calls)
        or any(raw.cut for raw in answers)
    ):
        raise failure
    calls = [
        _tool_call(raw, partials.call_id(index, raw.name, raw.id))
        for index, raw in enumerate(reply.calls)
        if not is_answer(offered.get(raw.name))
    ]
    turn = Turn(
        role="assistant",
        content=reply.text,
        tool_calls=calls or None,
        model=reply.model or None,
        finish_reason=finish_reason(reply),
        usage=reply.usage,
        provider_data=reply.provider_data,
    )
    if not answers:
        return ReadReply(offered, turn, None, failure) if calls else ReadReply(offered, None, turn, failure)
    if calls or turn.text:
        return ReadReply(offered, turn, Turn(role="assistant", content=answers[0].arguments), failure)
    turn.content = encodable(answers[0].arguments)
    return ReadReply(offered, None, turn, failure)


def finish_reason(reply: Reply) -> FinishReason:
    """Return the session's word for how a reply ended."""
    return _FINISHED.get(reply.finish_reason, "tool_calls" if reply.calls else "stop")


def _tool_call(raw: RawCall, call_id: str) -> ToolCall:
    args = None if raw.cut else read_arguments(raw.arguments)
    name = raw.name or "unknown"  # as it is sent back
    if args is not None:
        return ToolCall(id=call_id, name=name, args=args)
    return ToolCall(id=call_id, name=name, raw_args=encodable(raw.arguments))
