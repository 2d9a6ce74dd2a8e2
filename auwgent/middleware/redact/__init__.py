"""Redaction: secrets and personal data become placeholders before they are stored, shown or sent to a model."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from auwgent.errors import ToolError
from auwgent.hooks.context import Context
from auwgent.intents import CALLS, RESULTS
from auwgent.middleware.kept import Configured, Given, Many, option
from auwgent.middleware.redact.finder import Finder
from auwgent.middleware.redact.flow import JsonFlow, TextFlow, without
from auwgent.middleware.redact.kinds import DEFAULT_KINDS, PATTERNS
from auwgent.middleware.redact.names import Names
from auwgent.middleware.redact.presidio import Presidio
from auwgent.middleware.thoughts import changed
from auwgent.session import Media, Part, Session, Text, ToolCall, Turn
from auwgent.store.companions import SessionKey
from auwgent.store.side import SideDatabase, vault

DEFAULT_FILE = ".auwgent/secrets.db"
LONGEST_NAME = 64  # characters that a placeholder may have
SESSIONS = 1000  # whose placeholders are remembered, the last used ones

Where = Literal["inputs", "arguments", "results", "answers", "prompt"]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]


def _table(given: Any) -> Any:
    """An option that is a table, or `true` for one with nothing in it."""
    return {True: {}, False: None}[given] if isinstance(given, bool) else given


class Redact(Configured):
    """Puts placeholders such as `[EMAIL_1]` in place of secrets and personal data.

    `kinds` are those of `PATTERNS` to look for, all but `ip` unless it is given; `patterns` adds some of your own,
    by name. A group `secret` in a pattern is the part that is replaced. `presidio` has Microsoft's Presidio look for
    names and places, too, in texts that are whole. What `keep` lists stays. It looks in what is listed under `where`:
    inputs, arguments of calls, results, answers, and the system prompt only if that is asked.
    A thought of the model that holds something of the kind is left out where it is signed. Media are not looked into.

    Within a session a value always has the same placeholder. Tools whose names match one of `restore` (such as
    `"send_*"`) are called with the real values; handlers and other middleware see them in that `*_call`, the
    history does not. The values are in memory; with a `vault`, a database URL or `true` for
    `.auwgent/secrets.db` beside the config file, they outlive the process, unencrypted.

    List it after the store of sessions and before everything else. It is for all agents: give it no `target`.
    """

    name = "redact"
    behind = ("sessions",)
    gives_key = False
    before = ("moderate", "remember", "compaction", "cache", "trace", "audit")
    holdsBack = True
    kinds: Many[Kind] = option(default=DEFAULT_KINDS)
    patterns: Mapping[Kind, str] | None = None
    keep: Many[str] = option(default=())
    where: Annotated[Given[Iterable[Where], frozenset[Where]], Field(strict=False)] = option(
        default=("inputs", "arguments", "results", "answers")
    )
    restore: Many[str] = option(default=())
    vault: str | bool = False
    presidio: Annotated[Given[bool | Mapping[str, Any] | None, Presidio | None], BeforeValidator(_table)] = (
        option(default=None)
    )

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in PATTERNS]
        if unknown:
            raise ValueError(f"`kinds`: there is no {unknown[0]!r}; there are {', '.join(PATTERNS)}")
        known = {kind: PATTERNS[kind] for kind in self.kinds}
        self._detector = self.presidio.detector() if self.presidio is not None else None
        self._finder = Finder({**known, **(self.patterns or {})}, self.keep, self._detector)
        self._names: OrderedDict[tuple[str, str], Names] = OrderedDict()  # by user and session
        self._vault = _database(self.vault)

    async def open(self) -> None:
        """Open the vault, if there is one, and load what Presidio needs."""
        if self._detector is not None:
            await asyncio.to_thread(self._detector.load)
        if self._vault is not None:
            await self._vault.open(self.folder)

    async def close(self) -> None:
        """Let what is under way end, then close the vault."""
        if self._vault is not None:
            await self._vault.close()

    async def onRunStart(self, session: Session, ctx: Context) -> None:
        """Take over what the session's placeholders stand for, and redact the input."""
        redacting = await self._begin(session.turns, ctx)
        if "inputs" in self.where and ctx.input is not None:
            ctx.input = redacting.content(ctx.input)

    async def onLLMStart(self, prompt: str, ctx: Context) -> str | None:
        """Redact the prompt, for the hooks that come next; the request as a whole is when all are done with it."""
        redacting = await self._of(ctx)
        return redacting.text(prompt) if "inputs" in self.where else None

    async def onIntentPartial(self, name: str, value: dict[str, Any], ctx: Context) -> None:
        if ("arguments" if name in CALLS else "answers") in self.where:
            (await self._of(ctx)).piece(name, value)

    async def onIntent(self, name: str, value: dict[str, Any], ctx: Context) -> dict[str, Any] | None:
        redacting = await self._of(ctx)
        if name in CALLS:
            return None  # redacted when the message was recorded, and perhaps restored since
        if name in RESULTS:
            value["args"] = redacting.data(value["args"], "arguments")
            return _replaced(value["result"], redacting.data(value["result"], "results"))
        if name == "response_text":
            return _replaced(value["text"], redacting.data(value["text"], "answers"))
        if name == "response_schema":
            return _replaced(value["response"], redacting.data(value["response"], "answers"))
        place: Where = "results" if name == "tool_error" else "answers"
        value.update(redacting.data(dict(value), place))
        return None

    async def onError(self, error: Exception, session: Session, ctx: Context) -> None:
        """Redact what the error says: it is stored with the run."""
        redacting = await self._of(ctx)
        error.args = tuple(redacting.text(arg) if isinstance(arg, str) else arg for arg in error.args)

    async def onCheckpoint(self, session: Session, ctx: Context) -> None:
        await self._save(ctx)

    async def onRunComplete(self, session: Session, ctx: Context) -> None:
        await self._save(ctx)

    # As a companion of the store of sessions

    async def session_copied(self, user_id: str, session_id: str, new_id: str) -> None:
        """What the placeholders of a session stand for, they stand for in its copy."""
        if (names := self._names.get((user_id, session_id))) is not None:
            self._names[user_id, new_id] = names.copied()
        if self._vault is not None:
            await self._vault.run(self.folder, vault.copy, user_id, session_id, new_id)

    async def session_renamed(self, user_id: str, session_id: str, new_id: str) -> None:
        """They go along."""
        if (names := self._names.pop((user_id, session_id), None)) is not None:
            self._names[user_id, new_id] = names
        if self._vault is not None:
            await self._vault.run(self.folder, vault.move, user_id, session_id, new_id)

    async def sessions_deleted(self, sessions: Sequence[SessionKey]) -> None:
        """Nothing is known of them any more."""
        for key in sessions:
            self._names.pop(key, None)
        if self._vault is not None:
            await self._vault.run(self.folder, vault.forget, sessions)

    async def _of(self, ctx: Context) -> Redacting:
        found: Redacting | None = ctx.get(self.run_key)
        return found or await self._begin(ctx.session.turns, ctx)

    async def _begin(self, turns: Sequence[Turn], ctx: Context) -> Redacting:
        """Begin with a run: from now on its turns pass through here before they are recorded."""
        names = await self._names_of(str(ctx.userId or ""), ctx.sessionId)
        names.skip_used(turns)
        redacting = Redacting(self._finder, names, self.where)
        ctx[self.run_key] = redacting
        ctx.changeTurns(redacting.turn)
        ctx.changeRequests(redacting.request)
        ctx.changeWords(redacting.words)
        ctx.changeArguments(partial(redacting.arguments, self.restore))
        return redacting

    async def _names_of(self, user_id: str, session_id: str) -> Names:
        names = self._names.setdefault((user_id, session_id), Names())
        self._names.move_to_end((user_id, session_id))
        if len(self._names) > SESSIONS:
            self._names.popitem(last=False)
        if self._vault is not None:
            names.learn(await self._vault.run(self.folder, vault.read, user_id, session_id))
        return names

    async def _save(self, ctx: Context) -> None:
        redacting: Redacting | None = ctx.get(self.run_key)
        if redacting is None or self._vault is None or not ctx.keep:
            return
        names = redacting.names
        if names.unsaved:
            unsaved, names.unsaved = names.unsaved, {}
            await self._vault.run(self.folder, vault.add, str(ctx.userId or ""), ctx.sessionId, unsaved)


@dataclass(slots=True)
class Redacting:
    """Redaction of one run."""

    finder: Finder
    names: Names
    where: frozenset[Where]
    _flows: dict[int, TextFlow | JsonFlow] = field(default_factory=dict)  # by segment
    _changed: dict[str, list[str]] = field(
        default_factory=dict
    )  # calls that were, with the names of arguments
    # Turns and how they are sent, by their ids.
    _older: dict[str, tuple[Turn, Turn]] = field(default_factory=dict)

    def text(self, text: str, spared: Collection[str] = ()) -> str:
        """Return a text without what is secret in it, but for what is `spared`."""
        self.names.skip(text)

        def name(kind: str, secret: str) -> str:
            return secret if secret in spared else self.names(kind, secret)

        return TextFlow(self.finder, name).feed(text, is_whole=True)

    def content(self, content: str | list[Part]) -> str | list[Part]:
        """Return an input, or any content of a turn."""
        if isinstance(content, str):
            return self.text(content)
        return [self._part(part) for part in content]

    def data(self, value: Any, where: Where) -> Any:
        """Return a value of any kind; the very same where nothing in it is secret."""
        if where not in self.where:
            return value
        try:
            plain = to_jsonable_python(value, fallback=str, bytes_mode="base64")
        except (PydanticSerializationError, ValueError):
            return value  # cannot be told to the model either
        redacted = self._without(plain)
        return value if redacted is plain else redacted

    def request(self, ctx: Context) -> None:
        """A request as other middleware has left it: turns from before this was in the config, notes, passages …

        What the config itself says in the system prompt stays, unless `where` names the prompt.
        """
        messages = [self.older(turn) for turn in ctx.messages]
        if any(new is not old for new, old in zip(messages, ctx.messages, strict=True)):
            ctx.messages = messages
        if self.where:
            own = ctx.ownPrompt if "prompt" not in self.where else ""
            redacted = self.text(
                ctx.systemPrompt, {own[one.first : one.last] for one in self.finder.spans(own)}
            )
            if redacted != ctx.systemPrompt:
                ctx.systemPrompt = redacted

    def words(self, words: Any) -> Any:
        """Return what is in no turn, but is sent or kept: a text, or plain data."""
        if not self.where:
            return words
        return self.text(words) if isinstance(words, str) else self._without(words)

    def turn(self, turn: Turn) -> None:
        """Redact a turn before it is recorded."""
        place: dict[str, Where] = {"user": "inputs", "assistant": "answers", "tool": "results"}
        if place[turn.role] in self.where:
            turn.content = self.content(turn.content)
            turn.provider_data = changed(turn.provider_data, self.text)
        if turn.tool_calls and "arguments" in self.where:
            turn.tool_calls = [self._call(call) for call in turn.tool_calls]

    def arguments(self, restore: Sequence[str], tool: str, args: dict[str, Any]) -> dict[str, Any]:
        """Return what a tool is called with. `ToolError` where it would do something else than the model wanted."""
        if any(fnmatchcase(tool, pattern) for pattern in restore):
            restored: dict[str, Any] = self.names.restored(args)
            return restored
        redacted = self._changed.get(_key(tool, args))
        if redacted is not None:
            raise ToolError(
                f"{tool!r} was not called: {', '.join(redacted)} held what looks secret or personal, and is redacted. "
                "Leave it out or use a variable; `keep` of Redact lists values that may pass, `restore` tools that may "
                "be given them"
            )
        return args

    def older(self, turn: Turn) -> Turn:
        """Return a turn of the history as it is sent; it may be from a time when nothing was redacted."""
        known = self._older.get(turn.id)
        if known is None or known[0] is not turn:  # others may have shortened it since
            copy = turn.model_copy()
            self.turn(copy)
            known = self._older[turn.id] = turn, turn if copy == turn else copy
        return known[1]

    def piece(self, name: str, value: dict[str, Any]) -> None:
        """A streamed piece: only as much of it as is sure to hold nothing secret."""
        segment, is_whole = value["segment"], value["complete"]
        make = TextFlow if value["mode"] == "text" else JsonFlow
        flow = self._flows.setdefault(segment, make(self.finder, self.names))
        self.names.skip(value["raw"], max(0, len(value["raw"]) - len(value["delta"]) - LONGEST_NAME))
        value["delta"] = flow.feed(value["raw"], is_whole=is_whole)
        value["raw"] = flow.shown
        within = "args" if name in CALLS else "response" if name == "response_schema" else None
        if isinstance(flow, TextFlow):
            value["snapshot"] = {"text": flow.shown}
        elif value["snapshot"] is not None and within is not None:
            value["snapshot"] = {**value["snapshot"], within: flow.value(value["snapshot"][within])}
        else:
            value["snapshot"] = flow.value(value["snapshot"])
        if is_whole:
            del self._flows[segment]

    def _part(self, part: Part) -> Part:
        if isinstance(part, Text):
            return Text(text=self.text(part.text))
        named: Media = part.model_copy(update={"name": part.name and self.text(part.name)})
        return named

    def _call(self, call: ToolCall) -> ToolCall:
        raw = None if call.raw_args is None else self.text(call.raw_args)
        args = self._without(call.args)
        redacted = [name for name in call.args if args.get(name) != call.args[name]]
        if redacted:
            self._changed[_key(call.name, args)] = redacted
        return call.model_copy(update={"args": args, "raw_args": raw})

    def _without(self, plain: Any) -> Any:
        self.names.skip(to_json(plain).decode())
        return without(self.finder, self.names, plain)


def _database(wanted: str | bool) -> SideDatabase | None:
    if wanted is False:
        return None
    return SideDatabase(None if wanted is True else wanted, vault.TABLES, default=DEFAULT_FILE)


def _key(tool: str, args: dict[str, Any]) -> str:
    return f"{tool} {json.dumps(args, sort_keys=True, default=str)}"


def _replaced(old: Any, new: Any) -> dict[str, Any] | None:
    return None if new is old else {"result": new}
