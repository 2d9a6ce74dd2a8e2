"""Builds an answer from LiteLLM's chunks: yields pieces as they come, and the reply at the end."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from auwgent.errors import ProviderError
from auwgent.models.base import (
    CallPiece,
    ModelRequest,
    ModelSpec,
    Piece,
    RawCall,
    ReasoningPiece,
    Reply,
    TextPiece,
)
from auwgent.models.ends import End, ProviderEnd, end_of
from auwgent.models.faults import broken_off, garbled
from auwgent.models.received import count_of, encrypted_thoughts
from auwgent.models.spoken import Kind, Spoken, Tools
from auwgent.models.wire import ECHOED, ENCRYPTED, SERVER_CALLS, SERVER_RESULTS, THOUGHTS
from auwgent.session import Turn, Usage, new_id

_OF_THE_SERVER = "srvtoolu_"  # Anthropic's ids for calls of its own tools begin so
GEMINIS = (
    "server_side_tool_invocations"  # where LiteLLM puts those of Gemini's own tools, with what came of them
)
_SERVER_RESULTS = ("web_search_results", "tool_results", GEMINIS)  # and what came of Anthropic's


@dataclass(slots=True)
class _Call:
    place: int  # among the calls of this answer
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)  # of its arguments

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


class Answer:
    """What has come so far. Chunks and messages are read by attribute: both of LiteLLM's kinds have the same.

    `usage` is what LiteLLM says of the tokens, whether it was reported or not; `finish_reason` is the word for the
    end, as LiteLLM has it on its way, and empty until one came. `ending` hears what the provider itself sent.
    """

    def __init__(self, *, reads_calls: bool = False, tools: Tools | None = None) -> None:
        self._spoken = Spoken(reads_calls=reads_calls)
        self._tools = tools or {}  # those that were offered
        self._texts: list[str] = []  # joined at the end: adding to a long text copies it each time
        self.finish_reason = ""
        self.ending = ProviderEnd()
        self.usage: Any = None
        self._calls: list[_Call] = []
        self._open: dict[int | None, _Call] = {}  # the provider's index -> the call its fragments belong to
        self._echoed: dict[str, list[dict[str, Any]]] = {}
        self._refuses = False
        self._thoughts: list[str] = []
        self._server_calls: list[_Call] = []  # of tools that the provider runs itself
        self._server_results: dict[str, list[dict[str, Any]]] = {}

    def hear(self, sent: Any) -> None:
        """Take in what the provider itself sent: its end, and what is for its own eyes."""
        self.ending.hear(sent)
        for item in encrypted_thoughts(sent):
            known = self._echoed.setdefault(ENCRYPTED, [])
            if item not in known:  # a stream has each twice: by itself and in the whole at the end
                known.append(item)

    def take(self, chunk: Any) -> Iterator[Piece]:
        """Add a chunk or a whole response, and yield what it brought."""
        self.usage = getattr(chunk, "usage", None) or self.usage
        for choice in (chunk.choices or ())[:1]:
            self.finish_reason = choice.finish_reason or self.finish_reason
            delta = getattr(choice, "delta", None)
            yield from self._said(choice.message if delta is None else delta)
            if choice.finish_reason:
                yield from self._let_go()
        for text in self.ending.refusals():  # shown as what was said
            self._texts.append(text)
            self._refuses = True
            yield TextPiece(text)

    def reply(self, model: str, usage: Usage) -> Reply:
        """Return the whole answer, with call ids that are unique or empty."""
        deque(self._let_go(), maxlen=0)  # where it ended without a word for that
        seen: set[str] = set()
        calls = []
        for call in self._calls:
            call_id = "" if call.id in seen else call.id
            calls.append(RawCall(call_id, call.name, call.arguments, cut=self._was_cut(call)))
            seen.add(call.id)
        return Reply(
            text=self.text,
            calls=tuple(calls),
            usage=usage,
            model=model,
            finish_reason="tool_calls" if calls and self.end == "stop" else self.end,
            said=self.ending.said,
            provider_data=self._kept() or None,
        )

    def _kept(self) -> dict[str, Any]:
        """Return what goes back to this model with the next request."""
        kept: dict[str, Any] = dict(self._echoed)
        if self._calls and self._thoughts and not kept:
            kept[THOUGHTS] = "".join(self._thoughts)
        results = {name: blocks for name, blocks in self._server_results.items() if blocks}
        done = {str(block.get("tool_use_id")) for blocks in results.values() for block in blocks}
        calls = [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in self._server_calls
            if call.id in done
        ]
        if calls:
            kept[SERVER_CALLS] = calls
        if calls or GEMINIS in results:
            kept[SERVER_RESULTS] = results
        return kept

    @property
    def end(self) -> End:
        """How it ended, by the provider's own word where that is known."""
        end = self.ending.end or end_of(self.finish_reason) or "stop"
        return "refused" if self._refuses and end == "stop" else end

    @property
    def has_ended(self) -> bool:
        """Whether the provider gave a word for the end."""
        return bool(self.ending.word)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._texts)

    @property
    def begun(self) -> bool:
        """Whether anything came that counts."""
        return bool(self._texts or self._calls)

    @property
    def written(self) -> str:
        """All the model wrote, to count its tokens."""
        return self.text + "".join(call.name + call.arguments for call in self._calls)

    def _was_cut(self, call: _Call) -> bool:
        """Return whether a call's arguments were cut off, or never came.

        Servers may write `{}` for those of the last one, which the model was writing when it was stopped.
        """
        if self.end in ("stop", "tool_calls"):
            return False
        if self.end == "refused" or not _is_whole(call.arguments):
            return True
        return call is self._calls[-1] and not json.loads(call.arguments)

    def _said(self, message: Any) -> Iterator[Piece]:
        for key in ECHOED:
            for block in getattr(message, key, None) or ():
                _add_block(self._echoed.setdefault(key, []), dict(block))
        # Servers that speak OpenAI's wire format name it either way.
        if reasoning := getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None):
            self._thoughts.append(reasoning)
            yield ReasoningPiece(reasoning)
        if message.content:
            yield from self._sorted(self._spoken.feed(message.content))
        for fragment in message.tool_calls or ():
            if piece := self._called(fragment):
                yield piece
        fields = getattr(message, "provider_specific_fields", None) or {}
        for name in _SERVER_RESULTS:  # each time all of them
            if fields.get(name):
                self._server_results[name] = [dict(block) for block in fields[name]]
        for call in map(dict, fields.get("server_tool_calls") or ()):  # from LiteLLM 1.110 on, each whole
            if call["id"] not in {known.id for known in self._server_calls}:
                function = dict(call["function"])
                parts = len(self._server_calls), call["id"], function["name"], [function["arguments"]]
                self._server_calls.append(_Call(*parts))

    def _sorted(self, spoken: Iterable[tuple[Kind, str]]) -> Iterator[Piece]:
        for kind, text in spoken:
            if kind == "text":
                self._texts.append(text)
                yield TextPiece(text)
            elif kind == "unsaid":
                self._texts.clear()
            else:
                yield ReasoningPiece(text)

    def _let_go(self) -> Iterator[Piece]:
        """Yield what was held back of the text: calls that were written in it, then the rest."""
        for name, arguments in self._spoken.calls(self._tools):
            call = _Call(len(self._calls), f"call_{new_id()[:24]}", name, [arguments])
            self._calls.append(call)
            yield CallPiece(call.place, call.id, name, arguments)
        yield from self._sorted(self._spoken.close())

    def _called(self, fragment: Any) -> CallPiece | None:
        index = getattr(fragment, "index", None)
        function = fragment.function
        call = self._open.get(index)
        if call is None or _is_another(call, index, fragment):
            group = self._server_calls if (fragment.id or "").startswith(_OF_THE_SERVER) else self._calls
            call = self._open[index] = _Call(place=len(group))
            group.append(call)
        call.id = call.id or fragment.id or ""
        named = function.name if function.name and not call.name else None
        call.name = call.name or function.name or ""
        call.pieces.append(function.arguments or "")
        if call.id.startswith(_OF_THE_SERVER):
            return None
        return CallPiece(index=call.place, id=call.id or None, name=named, arguments=function.arguments or "")


def _is_another(call: _Call, index: int | None, fragment: Any) -> bool:
    """Return whether a fragment begins another call at an index in use: some servers number all of them 0."""
    if not fragment.function.name:
        return False
    if index is None:
        return True
    if fragment.id and call.id:
        return bool(fragment.id != call.id)
    return _is_whole(call.arguments)


def _is_whole(arguments: str) -> bool:
    try:
        json.loads(arguments)
    except ValueError:
        return False
    return True


_TEXTS = ("thinking", "text", "summary", "data")  # what comes in pieces in a block of a thought


def _add_block(blocks: list[dict[str, Any]], block: dict[str, Any]) -> None:
    """Put a streamed block behind the others; text and signature of one thought come in several."""
    block = {key: value for key, value in block.items() if value is not None}
    last = blocks[-1] if blocks else None
    if last is None or not _goes_on(last, block):
        blocks.append(block)
        return
    for key, value in block.items():
        is_text = key in _TEXTS and isinstance(value, str)
        if is_text or value:
            last[key] = last.get(key, "") + value if is_text else value


def _goes_on(last: Mapping[str, Any], block: Mapping[str, Any]) -> bool:
    """Return whether a block is a further piece of the last one."""
    if block.get("type") != last.get("type") or block.get("index") != last.get("index"):
        return False
    if block.get("type") == "redacted_thinking" or last.get("signature"):
        return False
    return "id" not in block or block["id"] == last.get("id")


def answer_to(spec: ModelSpec, request: ModelRequest) -> Answer:
    """Return an answer to this request, with calls in its text where the model writes them there."""
    return Answer(reads_calls=spec.text_calls, tools={tool.name: tool.parameters for tool in request.tools})


def to_go_on(reply: Reply) -> Turn:
    """Return what a model has said so far, to be sent back to it so that it goes on."""
    return Turn(role="assistant", content=reply.text, model=reply.model, provider_data=reply.provider_data)


def together(replies: Sequence[Reply]) -> Reply:
    """Return an answer that was paused and went on, as one."""
    if len(replies) == 1:
        return replies[0]
    kept: dict[str, Any] = {}
    for reply in replies:
        for key, value in (reply.provider_data or {}).items():
            if isinstance(value, dict):
                before = kept.setdefault(key, {})
                for name, blocks in value.items():
                    before[name] = [*before.get(name, ()), *blocks]
            else:
                kept[key] = kept[key] + value if key in kept else value
    return replace(
        replies[-1],
        text="".join(reply.text for reply in replies),
        usage=sum((reply.usage for reply in replies[1:]), replies[0].usage),
        provider_data=kept or None,
    )


def unfinished(spec: ModelSpec, answer: Answer) -> ProviderError | None:
    """Return what is wrong with an answer that came without a real end; None where it has one.

    A call that the provider could not read, and threw away, is worth another try.
    """
    if answer.end == "broken" or not (answer.has_ended or answer.finish_reason):
        return broken_off(spec, begun=answer.begun or answer.has_ended, words=answer.ending.said)
    if answer.end == "malformed" and not answer.begun:
        return garbled(spec, answer.ending.said)
    return None


_CACHED = ("cached_tokens", "cache_read_input_tokens", "prompt_cache_hit_tokens")
_WRITTEN = ("cache_creation_tokens", "cache_write_tokens", "cache_creation_input_tokens")


def reported(usage: Any) -> Usage:
    """LiteLLM's usage as ours; without counts where those that were sent cannot be."""
    if None in (count_of(usage.prompt_tokens), count_of(usage.completion_tokens)):
        return Usage()
    prompt = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        input_tokens=usage.prompt_tokens or 0,
        output_tokens=usage.completion_tokens or 0,
        cached_tokens=_count((prompt, usage), _CACHED),
        written_tokens=_count((prompt, usage), _WRITTEN),
        reasoning_tokens=_count((getattr(usage, "completion_tokens_details", None),), ("reasoning_tokens",)),
    )


def _count(groups: tuple[Any, ...], names: tuple[str, ...]) -> int:
    """Return the first of these counts that is there: servers have several names and places for one thing."""
    for group in groups:
        for name in names:
            value = group.get(name) if isinstance(group, Mapping) else getattr(group, name, None)
            if isinstance(value, int) and value > 0:
                return value
    return 0
