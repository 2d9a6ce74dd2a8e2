"""Replays a stored conversation from a turn, with other models or another prompt, beside what was said then."""

from __future__ import annotations

import asyncio
import difflib
import json
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from auwgent.config.overrides import Typed
from auwgent.engine.agent import Approver
from auwgent.errors import AuwgentError, ConfigError, SessionNotFound, kind_of
from auwgent.pairing import closed, paired
from auwgent.runtime import Runtime
from auwgent.session import Part, Session, Turn, Usage, new_id
from auwgent.store.base import is_run_store
from auwgent.tape.stored import StoredCalls

AT_ONCE = 4  # replays side by side
Tools = Literal["stored", "live"]


@dataclass(slots=True)
class Take:
    """One way in which the conversation went on: what was answered and called, how it ended, and what it took."""

    model: str
    text: str = ""
    status: str = "completed"
    calls: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)  # of each model call
    usage: Usage = field(default_factory=lambda: Usage(usd=0.0))
    seconds: float = 0.0
    error: str = ""
    session: Session | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON data."""
        facts = {
            "model": self.model,
            "status": self.status,
            "text": self.text,
            "calls": self.calls,
            "ends": self.ends,
            "usage": self.usage.model_dump(mode="json"),
            "seconds": round(self.seconds, 3),
        }
        if self.error:
            facts["error"] = self.error
        return facts | ({"session_id": self.session.id} if self.session is not None else {})


@dataclass(slots=True)
class Replay:
    """What was said then, and each replay of it."""

    session_id: str
    at: str  # the id of the turn from which it was replayed
    stored: Take
    takes: list[Take]


@dataclass(frozen=True, slots=True)
class Point:
    """Where a conversation is taken up: the turns before, the input that is said again, and what followed then."""

    at: str
    before: list[Turn]
    input: str | list[Part] | None
    after: list[Turn]
    stack: list[str]


async def replay(
    agent: Runtime,
    session_id: str,
    *,
    user_id: str = "",
    at: str | None = None,
    models: Sequence[str] = (),
    prompt: str | None = None,
    tools: Tools = "stored",
    keep: bool = False,
    on_approval: Approver | None = None,
    done: Callable[[Take], None] = lambda take: None,
) -> Replay:
    """Replay a stored session from the turn `at`, or the newest input, once with each model; the agent's own if none.

    Tools answer from what is stored, and a call that the past does not know ends that replay; `live` runs them, and
    `on_approval` is asked about those that want it. Nothing is written into the session; with `keep` each replay is
    stored as a session of its own. `SessionNotFound` where there is no such session or turn.
    """
    store = agent.store
    if store is None:
        raise ConfigError("replay needs a store of sessions among the middleware, such as SQLModelSessions")
    await agent.open()
    try:
        session = await store.get(user_id, session_id)
        point = point_of(session, at, agent)
        context = await _context(store, user_id, session.id, point)
        room = asyncio.Semaphore(AT_ONCE)

        async def take(model: str) -> Take:
            async with room:
                one = await _take(agent, session, point, model, prompt, tools, context, on_approval)
            if keep and one.session is not None:
                await store.put(one.session)
            else:
                one.session = None
            done(one)
            return one

        takes = await asyncio.gather(*map(take, models or (agent.config.agent.model,)))
    finally:
        await agent.close()
    return Replay(session.id, point.at, _stored(point), list(takes))


def point_of(session: Session, at: str | None, agent: Runtime | None = None) -> Point:
    """Return where a session is taken up: at the words of the user, or behind a turn with all results of its calls."""
    turns = session.turns
    root = agent.config.agent.name if agent is not None else (session.stack or [""])[0]
    said = [number for number, turn in enumerate(turns) if _is_input(turns, number)]
    if at is None:
        if not said:
            raise SessionNotFound(
                f"session {session.id!r} holds no words of a user that could be answered again"
            )
        number = said[-1]
    else:
        found = [number for number, turn in enumerate(turns) if turn.id == at or turn.id.startswith(at)]
        exact = [number for number in found if turns[number].id == at]
        if len(exact or found) != 1:
            what = "several turns" if found else "no turn"
            raise SessionNotFound(
                f"session {session.id!r} has {what} {at!r}; `sessions show --json` tells their ids"
            )
        number = (exact or found)[0]
        if turns[number].role == "assistant" and not turns[number].tool_calls:  # an answer is given anew
            number = max((one for one in said if one < number), default=number)
    turn = turns[number]
    if _is_input(turns, number):
        begin, given = number, turn.content
    else:
        ids = {call.id for one in turns[: number + 1] for call in one.tool_calls or ()}
        begin = 1 + max([number, *(n for n, one in enumerate(turns) if one.tool_call_id in ids)])
        given = None
    end = next((one for one in said if one >= begin + (given is not None)), len(turns))
    before = [one.model_copy(deep=True) for one in turns[:begin]]
    before = paired(before, closed(before), where_said=True)
    return Point(turn.id, before, given, turns[begin:end], _stack(session, turn, root))


def _is_input(turns: Sequence[Turn], number: int) -> bool:
    """Return whether a turn is what a user said, and not what the engine or a caller told an agent."""
    turn = turns[number]
    if turn.role != "user":
        return False
    return number == 0 or turn.run_id is None or turns[number - 1].run_id != turn.run_id


def _stack(session: Session, turn: Turn, root: str) -> list[str]:
    if turn.agent in (None, root):
        return [root]
    if turn.agent in session.stack:
        return session.stack[: session.stack.index(str(turn.agent)) + 1]
    return [root, str(turn.agent)] if turn.role == "user" else [root]


async def _context(store: Any, user_id: str, session_id: str, point: Point) -> Mapping[str, Any]:
    """Return the context values that the run was given then, as far as they were kept."""
    run_id = next((turn.run_id for turn in point.after), None)
    if run_id is None or not is_run_store(store):
        return {}
    runs = await store.runs(user_id, session_id=session_id)
    return next((run.settings.get("context") or {} for run in runs if run.run_id == run_id), {})


async def _take(
    agent: Runtime,
    session: Session,
    point: Point,
    model: str,
    prompt: str | None,
    tools: Tools,
    context: Mapping[str, Any],
    on_approval: Approver | None,
) -> Take:
    one, began = Take(model), time.monotonic()
    fork = session.model_copy(
        update={"id": new_id(), "turns": list(point.before), "stack": list(point.stack)}, deep=True
    )
    with tempfile.TemporaryDirectory(prefix="auwgent-replay-", ignore_cleanup_errors=True) as folder:
        overrides: list[str] = [Typed("model", f"agent.model={json.dumps(model, ensure_ascii=False)}")]
        if prompt is not None and agent.config.agent.prompt_file is not None:
            file = Path(folder) / "prompt.md"
            file.write_text(prompt, encoding="utf-8")
            overrides.append(f"agent.prompt_file={json.dumps(str(file))}")
        elif prompt is not None:
            overrides.append(f"agent.prompt={json.dumps(prompt, ensure_ascii=False)}")
        other = agent.rehearsed(
            Path(folder),
            overrides,
            on_approval or _nobody,
            StoredCalls(session.turns) if tools == "stored" else None,
        )
        stream = other.stream(point.input, session=fork, context=context)
        try:
            async with other:
                async for intent in stream:
                    if not intent.partial and intent.name == "model_call":
                        one.ends.append(intent.value["finish_reason"])
            one.status = getattr(stream.session, "status", "") or "completed"
        except ConfigError:
            raise
        except AuwgentError as error:
            one.status, one.error = "failed", f"{kind_of(error)}: {error}"
        one.usage, one.seconds = stream.usage or Usage(usd=0.0), time.monotonic() - began
        one.session = stream.session
    if one.session is not None:
        _read(one, one.session.turns[len(point.before) :])
    return one


def _nobody(request: Any) -> bool:
    return False


def _stored(point: Point) -> Take:
    """Return what followed then."""
    models = [turn.model for turn in point.after if turn.model]
    one = Take(models[-1] if models else "stored")
    _read(one, point.after)
    for turn in point.after:
        if turn.usage is not None:
            one.usage += turn.usage
        if turn.role == "assistant" and turn.finish_reason is not None:
            one.ends.append(turn.finish_reason)
    if len(point.after) > 1:
        one.seconds = (point.after[-1].created_at - point.after[0].created_at).total_seconds()
    return one


def _read(one: Take, turns: Sequence[Turn]) -> None:
    one.calls = [call.name for turn in turns for call in turn.tool_calls or ()]
    one.text = next((turn.text for turn in reversed(turns) if turn.role == "assistant" and turn.text), "")


def word_diff(before: str, after: str) -> list[tuple[str, str]]:
    """Return the words of two texts in order: `=` before what both have, `-` what the first, `+` the second."""
    one, other = re.findall(r"\s+|\S+", before), re.findall(r"\s+|\S+", after)
    pieces: list[tuple[str, str]] = []
    for kind, begin, end, start, stop in difflib.SequenceMatcher(
        None, one, other, autojunk=False
    ).get_opcodes():
        if kind == "equal":
            pieces.append(("=", "".join(one[begin:end])))
            continue
        pieces += [("-", "".join(one[begin:end]))] if end > begin else []
        pieces += [("+", "".join(other[start:stop]))] if stop > start else []
    return pieces
