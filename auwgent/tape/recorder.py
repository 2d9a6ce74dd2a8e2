"""Writes a tape: every answer that a run gets, as soon as it is whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from auwgent.errors import ProviderError, TapeMiss, ToolError, goes_through
from auwgent.models.base import ModelRequest, ModelSpec, Piece, Reply
from auwgent.secrecy import without_secrets
from auwgent.session import Usage
from auwgent.tape import form
from auwgent.tape.base import INNER, Answer, Asking, Found, Inner
from auwgent.tape.form import Form
from auwgent.tape.lines import TapeFile
from auwgent.words import describe

# The places of calls side by side: what ends early waits for those that began before it, so that two recordings
# of the same run have the same order.
Place = list[Form | None]


class Recorder:
    """One voice on a tape: an agent's runs with one root model, written in the order in which things began."""

    def __init__(self, path: Path, voice: str) -> None:
        self.file = TapeFile(path)
        self.voice = voice
        self._models: set[str] | None = None
        self._places: list[Place] = []

    def model(self, spec: ModelSpec, facts: Form) -> None:
        """Note what must be known of a model to play it: once for each."""
        if self._models is None:
            there = self.file.entries() if self.file.path.exists() else []
            self._models = {
                one["model"] for _, one in there if one.get("voice") == self.voice and "model" in one
            }
        if spec.name not in self._models:
            self._models.add(spec.name)
            params = {"params": form.clean(without_secrets(spec.params))} if spec.params else {}
            self._append({"model": spec.name, **params, **facts})

    def answered(self, asked: Form, pieces: Sequence[Piece], reply: Reply, request: ModelRequest) -> None:
        """Write a model's answer."""
        self._append({"ask": asked, "answer": form.answer_form(pieces, reply, request)})

    def failed(self, asked: Form, pieces: Sequence[Piece], error: ProviderError) -> None:
        """Write that a model call failed, with all its retries and stand-ins."""
        self._append({"ask": asked, "answer": form.failure_form(pieces, error)})

    def embedded(self, model: str, texts: Sequence[str], vectors: list[list[float]], usage: Usage) -> None:
        """Write vectors."""
        asked = {"model": model, "texts": form.clean(list(texts))}
        self._append({"embed": asked, "vectors": vectors, "usage": form.usage_form(usage)})

    async def call(self, asking: Asking, work: Callable[[], Awaitable[Any]], inner: Inner | None) -> Any:
        """Make the call, and write what came of it."""
        is_inner = INNER.get() is not None
        made: list[tuple[str, dict[str, Any]]] = []
        entry = asked_form(asking)
        place: Place = [None]
        if not is_inner:
            self._places.append(place)
        token = INNER.set(made) if inner is not None else None
        try:
            result = await work()
            entry |= form.result_form(result)
        except BaseException as error:
            if goes_through(error) or isinstance(error, TapeMiss):
                self._leave(place)
                raise
            entry["error"] = str(error) if isinstance(error, ToolError) else describe(error)
            self._write(entry, made, place, is_inner)
            raise
        finally:
            if token is not None:
                INNER.reset(token)
        self._write(entry, made, place, is_inner)
        return result

    async def tools(self, agent: str, find: Callable[[], Awaitable[Found]]) -> Found:
        """Ask the servers, and write what they list."""
        tools, failures = await find()
        listed = [
            form.tool_form(tool.spec)
            | tool.options.model_dump(mode="json", exclude_defaults=True, exclude={"use"})
            for tool in tools.values()
        ]
        self._append({"mcp": agent, "tools": listed, "failures": form.clean(list(failures))})
        return tools, failures

    async def answer(self, asking: Asking, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask, and write the answer."""
        answer = await ask()
        self._append({"question": asking.call.name, **_whose(asking), "answer": form.clean(answer)})
        return answer

    def _write(
        self, entry: Form, made: Sequence[tuple[str, dict[str, Any]]], place: Place, is_inner: bool
    ) -> None:
        if made:
            entry["inner"] = [{"name": name, "args": form.clean(args)} for name, args in made]
        if is_inner:
            self._append(entry)
            return
        place[0] = entry
        self._flush()

    def _append(self, entry: Form) -> None:
        self.file.append({"voice": self.voice, **entry})

    def _leave(self, place: Place) -> None:
        """Give up the place of a call that was cancelled."""
        self._places = [one for one in self._places if one is not place]
        self._flush()

    def _flush(self) -> None:
        while self._places and (entry := self._places[0][0]) is not None:
            self._append(entry)
            del self._places[0]


def asked_form(asking: Asking) -> Form:
    """Return a call as it is looked up."""
    return {asking.kind: asking.call.name, **_whose(asking)}


def _whose(asking: Asking) -> Form:
    return {"agent": asking.agent, "args": form.clean(asking.call.args)}
