"""Answers from a tape: the n-th equal call gets the n-th answer, and what is not on the tape is an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from auwgent.errors import TapeMiss, ToolError
from auwgent.models.base import ModelRequest, ModelSpec, ToolSpec
from auwgent.session import Usage
from auwgent.tape import form
from auwgent.tape.base import Answer, Asking, Found, Inner
from auwgent.tape.differences import nearest
from auwgent.tape.form import Form
from auwgent.tape.lines import TapeFile
from auwgent.tape.recorder import asked_form
from auwgent.tools import Tool, ToolOptions
from auwgent.tools.mcp.servers import check_of

KINDS = ("ask", "embed", "tool", "workflow", "mcp", "question")


class Player:
    """What one voice of a tape says, and how far it was played. `ConfigError` where the tape cannot be read.

    `voice` is the root model of the runs, as their config named it, or its `provider/model`; empty: the first there is.
    """

    def __init__(self, path: Path, voice: str = "") -> None:
        self.path = path
        self.models: dict[str, Form] = {}  # what is known of each
        self._entries: dict[str, list[tuple[int, Form, Form]]] = {kind: [] for kind in KINDS}
        self._by_key: dict[str, list[Form]] = {}
        self._played: dict[str, int] = {}
        entries = TapeFile(path).entries()
        self.voices = list(dict.fromkeys(entry.get("voice", "") for _, entry in entries))
        self.voice = _voice(voice, entries) or next(iter(self.voices), "")
        for line, entry in entries:
            if entry.get("voice", "") != self.voice:
                continue
            if "model" in entry:
                self.models.setdefault(entry["model"], entry)
            elif (kind := next((one for one in KINDS if one in entry), None)) is not None:
                asked = _asked(kind, entry)
                self._entries[kind].append((line, asked, entry))
                self._by_key.setdefault(form.key_of([kind, asked]), []).append(entry)

    def __repr__(self) -> str:
        return f"<player of {self.path}>"

    def model_of(self, agent: str) -> str:
        """Return the model that answered this agent first; empty where none did."""
        asked = [asked for _, asked, _ in self._entries["ask"]]
        own = (one["model"] for one in asked if one["agent"] == agent)
        return next(own, asked[0]["model"] if asked else "")

    def ask(self, spec: ModelSpec, request: ModelRequest, by: str) -> Form:
        """Return the answer to a model call, in the form of the tape."""
        answer: Form = self._next("ask", form.request_form(spec, request, by))["answer"]
        return answer

    def embed(self, model: str, texts: Sequence[str]) -> tuple[list[list[float]], Usage]:
        """Return the vectors of these texts, and what they had used."""
        entry = self._next("embed", {"model": model, "texts": form.clean(list(texts))})
        return entry["vectors"], Usage.model_validate(entry["usage"])

    async def call(self, asking: Asking, work: Callable[[], Awaitable[Any]], inner: Inner | None) -> Any:
        """Return what the call gave. Nothing is run; a workflow's own calls are told to the hooks again."""
        entry = self._next(asking.kind, asked_form(asking))
        for made in entry.get("inner", ()):
            with suppress(ToolError):  # the workflow has dealt with it
                if inner is not None:
                    await inner(made["name"], made["args"])
        if "error" in entry:
            raise ToolError(entry["error"], tool=asking.call.name)
        return form.result_of(entry)

    async def tools(self, agent: str, find: Callable[[], Awaitable[Found]]) -> Found:
        """Return the tools as the servers listed them. What was listed last is listed again."""
        listed = [entry for _, asked, entry in self._entries["mcp"] if asked == {"mcp": agent}]
        if not listed:
            raise TapeMiss(f"{self.path} does not tell which MCP tools {agent!r} has")
        played = self._played.get(f"mcp {agent}", 0)
        self._played[f"mcp {agent}"] = played + 1
        entry = listed[min(played, len(listed) - 1)]
        return {one["name"]: _tool(one) for one in entry["tools"]}, entry["failures"]

    async def answer(self, asking: Asking, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer that was given; a question that the tape does not know is asked."""
        asked = {"question": asking.call.name, "agent": asking.agent, "args": form.clean(asking.call.args)}
        entry = self._take("question", asked)
        return await ask() if entry is None else entry["answer"]

    def _next(self, kind: str, asked: Form) -> Form:
        entry = self._take(kind, asked)
        if entry is None and self.voice not in self.voices:
            raise TapeMiss(
                f"{self.path} has no voice {self.voice!r}; it has {', '.join(map(repr, self.voices)) or 'none'}"
            )
        if entry is None:
            equal = len(self._by_key.get(form.key_of([kind, asked]), ()))
            raise TapeMiss(nearest(self.path, kind, asked, self._entries[kind], equal))
        return entry

    def _take(self, kind: str, asked: Form) -> Form | None:
        key = form.key_of([kind, asked])
        equal, played = self._by_key.get(key, []), self._played.get(key, 0)
        if played >= len(equal):
            return None
        self._played[key] = played + 1
        return equal[played]


def _voice(wanted: str, entries: Sequence[tuple[int, Form]]) -> str:
    """Return the voice of that name, or the first one whose root model is called so; else the name itself."""
    if wanted in {entry.get("voice") for _, entry in entries}:
        return wanted
    asked = (entry for _, entry in entries if "ask" in entry)
    return next((str(one["voice"]) for one in asked if one["ask"]["model"] == wanted), wanted)


def _asked(kind: str, entry: Form) -> Form:
    """Return the part of an entry by which it is found."""
    if kind in ("ask", "embed"):
        asked: Form = entry[kind]
        return asked
    return {name: entry[name] for name in (kind, "agent", "args") if name in entry}


def _tool(listed: Form) -> Tool:
    spec = ToolSpec(listed["name"], listed["description"], listed["parameters"])

    async def call(arguments: dict[str, Any], ctx: Any) -> Any:
        raise TapeMiss(f"{spec.name} is a tool of a tape and cannot be run")

    known = ToolOptions.model_fields.keys() - {"name", "description"}
    options = {name: value for name, value in listed.items() if name in known}
    return Tool(spec, check_of(spec.name, listed["parameters"]), call, ToolOptions.model_validate(options))
