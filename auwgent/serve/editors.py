"""The Agent Client Protocol, version 1: the agent in editors, on standard input and output, by the protocol's own SDK.

An editor's session is one of the store's. A question is asked of the editor's user as a permission. Tools run where the
agent runs: an editor's files and terminals are not used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import acp
from acp import schema

from auwgent.errors import AuwgentError, SessionNotFound
from auwgent.intents import CALLS, RESULTS, SKIPPED, Intent
from auwgent.runtime import Runtime
from auwgent.serve.desk import Desk, House
from auwgent.serve.faults import Refusal, bad_request, refusal_of
from auwgent.serve.live import Live
from auwgent.serve.told import finish_of
from auwgent.serve.users import Who
from auwgent.serve.words import Words
from auwgent.session import Session, Turn, Usage, new_id
from auwgent.store.base import is_run_store

NOBODY = Who("")
_STOPS = {"length": "max_tokens", "filtered": "refusal"}
_FAILED = ("error", "denied", "skipped", "unknown")


async def on_stdio(agent: Runtime[Any]) -> None:
    """Serve the agent to an editor, until it closes the input. Its user is the empty one."""
    async with agent:
        editor: Any = Editor(Desk(House(), agent))  # the SDK's protocol has more than an agent must have
        await acp.run_agent(editor, use_unstable_protocol=False)


class Editor:
    """What an editor may ask of the agent."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._client: Any = None
        self._live: dict[str, Live] = {}  # by session
        self._held: dict[str, Session | None] = {}  # sessions, where there is no store
        self._always: set[tuple[str, str]] = set()  # sessions and tools that need no further yes

    def on_connect(self, conn: Any) -> None:
        """The editor is there."""
        self._client = conn

    async def initialize(
        self, protocol_version: int, client_capabilities: Any = None, client_info: Any = None, **kwargs: Any
    ) -> schema.InitializeResponse:
        """Say what can be done. Version 1 is spoken, whichever is asked for."""
        is_kept = is_run_store(self._desk.store)
        capabilities = schema.SessionCapabilities(
            list=schema.SessionListCapabilities() if is_kept else None,
            resume=schema.SessionResumeCapabilities() if is_kept else None,
        )
        return schema.InitializeResponse(
            protocol_version=1,
            agent_capabilities=schema.AgentCapabilities(
                load_session=is_kept,
                prompt_capabilities=schema.PromptCapabilities(image=True, audio=True, embedded_context=True),
                session_capabilities=capabilities,
            ),
            agent_info=schema.Implementation(name="auwgent", title=self._desk.agents[0], version="1"),
        )

    async def new_session(self, cwd: str, **kwargs: Any) -> schema.NewSessionResponse:
        """Begin a conversation. It is stored with its first message."""
        session_id = new_id()
        self._held[session_id] = None
        return schema.NewSessionResponse(session_id=session_id)

    async def load_session(self, cwd: str, session_id: str, **kwargs: Any) -> schema.LoadSessionResponse:
        """Show a stored conversation again, message by message."""
        for update in _shown(await self._stored(session_id)):
            await self._client.session_update(session_id, update)
        return schema.LoadSessionResponse()

    async def resume_session(self, session_id: str, cwd: str, **kwargs: Any) -> schema.ResumeSessionResponse:
        """Go on with a stored conversation that the editor has before it."""
        await self._stored(session_id)
        return schema.ResumeSessionResponse()

    async def list_sessions(
        self, cwd: str | None = None, cursor: str | None = None, **kwargs: Any
    ) -> schema.ListSessionsResponse:
        """List the stored conversations, the last used first."""
        found = await self._desk.run_store().list_sessions("", limit=100)
        place = cwd or str(Path.cwd())
        sessions = [
            schema.SessionInfo(
                session_id=one.id, cwd=place, title=one.preview, updated_at=one.updated_at.isoformat()
            )
            for one in found
        ]
        return schema.ListSessionsResponse(sessions=sessions)

    async def prompt(self, session_id: str, prompt: Sequence[Any], **kwargs: Any) -> schema.PromptResponse:
        """Carry out a run for what the user wrote, and tell the editor as it happens."""
        options: dict[str, Any] = {"session_id": session_id, "asks": True}
        if not is_run_store(self._desk.store):
            options = {"keep": False, "session": self._held.get(session_id)}
        try:
            live = self._desk.begin(NOBODY, _content(prompt), agent=self._desk.agents[0], **options)
            while True:
                self._live[session_id] = live
                stop = await self._told(session_id, live)
                if live.status != "paused":
                    break
                answers = {str(call["id"]): await self._asked(session_id, call) for call in live.calls}
                run = await self._desk.run_store().answer("", live.run_id, answers)
                live = self._desk.goes_on(run, asks=True)
            if live.status == "cancelled":
                return schema.PromptResponse(stop_reason="cancelled")
            self._held[session_id] = await live.outcome()
            return schema.PromptResponse(stop_reason=stop, usage=_usage(live.usage))
        except (Refusal, AuwgentError) as error:
            raise acp.RequestError(-32603, refusal_of(error).message) from None
        finally:
            self._live.pop(session_id, None)

    async def cancel(self, session_id: str, **kwargs: Any) -> None:
        """End the run of a session; its prompt is answered with `cancelled`."""
        if (live := self._live.get(session_id)) is not None:
            await live.cancel()

    async def _stored(self, session_id: str) -> Session:
        try:
            return await self._desk.run_store().get("", session_id)
        except (Refusal, SessionNotFound) as error:
            raise acp.RequestError(-32002, refusal_of(error).message) from None

    async def _told(self, session_id: str, live: Live) -> Any:
        """Tell the editor of a leg as it happens; gives why it stopped."""
        speaks, stop = self._desk.speaks(live.agent), "end_turn"
        words = Words(speaks)
        async for batch in live.read():
            for _, intent in batch:
                if reason := finish_of(intent, speaks):
                    stop = _STOPS.get(reason, "end_turn")
                for said in words.of(intent):
                    if said.delta and said.kind == "text":
                        await self._client.session_update(
                            session_id, acp.update_agent_message_text(said.delta)
                        )
                    elif said.delta:
                        await self._client.session_update(
                            session_id, acp.update_agent_thought_text(said.delta)
                        )
                if (update := _step(intent)) is not None:
                    await self._client.session_update(session_id, update)
        return stop

    async def _asked(self, session_id: str, call: Mapping[str, Any]) -> bool:
        if (session_id, call["type"]) in self._always:
            return True
        options = [
            schema.PermissionOption(option_id="allow", name="Allow", kind="allow_once"),
            schema.PermissionOption(option_id="always", name="Always allow", kind="allow_always"),
            schema.PermissionOption(option_id="deny", name="Deny", kind="reject_once"),
        ]
        asked = schema.ToolCallUpdate(
            tool_call_id=call["id"], title=call["type"], status="pending", raw_input=call["args"]
        )
        answer = await self._client.request_permission(session_id, asked, options)
        chosen = getattr(answer.outcome, "option_id", "deny")
        if chosen == "always":
            self._always.add((session_id, call["type"]))
        return chosen in ("allow", "always")


def _step(intent: Intent) -> Any:
    """Return what an intent tells of a call, as an update; None where it tells of none."""
    name, value = intent.name, intent.value
    if intent.partial or not value.get("id"):
        return None
    if name in CALLS:
        return acp.start_tool_call(value["id"], value["type"], status="in_progress", raw_input=value["args"])
    if name in RESULTS:
        return _ended(value["id"], value["result"], "completed")
    if name in SKIPPED:
        return _ended(value["id"], "The call was skipped.", "failed")
    return _ended(value["id"], value["message"], "failed") if name == "tool_error" else None


def _ended(call_id: str, result: Any, status: Any) -> Any:
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
    content = [acp.tool_content(acp.text_block(text))]
    return acp.update_tool_call(call_id, status=status, content=content, raw_output=result)


def _shown(session: Session) -> Iterator[Any]:
    """Yield a stored conversation as updates."""
    root = session.stack[:1]
    for turn in session.turns:
        if turn.role == "user" and turn.agent in (None, *root) and turn.text:
            yield acp.update_user_message_text(turn.text)
        elif turn.role == "assistant":
            yield from _answer(turn, is_helpers=turn.agent not in (None, *root))
        elif turn.role == "tool" and turn.tool_call_id:
            yield _ended(turn.tool_call_id, turn.text, "failed" if turn.outcome in _FAILED else "completed")


def _answer(turn: Turn, *, is_helpers: bool) -> Iterator[Any]:
    if turn.text and not is_helpers:
        yield acp.update_agent_message_text(turn.text)
    for call in turn.tool_calls or ():
        yield acp.start_tool_call(call.id, call.name, status="pending", raw_input=call.args)


def _content(prompt: Sequence[Any]) -> list[dict[str, Any]]:
    """Return what the user wrote as parts. A link to a file is told in words: nothing is read of it."""
    parts: list[dict[str, Any]] = []
    for block in prompt:
        match block.type:
            case "text":
                parts.append({"type": "text", "text": block.text})
            case "image" | "audio":
                parts.append({"type": block.type, "data": block.data, "mime_type": block.mime_type})
            case "resource_link":
                parts.append({"type": "text", "text": f"[{block.name}]({block.uri})"})
            case "resource" if hasattr(block.resource, "text"):
                parts.append({"type": "text", "text": f"{block.resource.uri}:\n\n{block.resource.text}"})
            case "resource":
                kind = block.resource.mime_type or "application/octet-stream"
                parts.append({"type": "file", "data": block.resource.blob, "mime_type": kind})
            case other:
                raise bad_request(f"a part of type {other!r} cannot be taken")
    if not parts:
        raise bad_request("the prompt is empty")
    return parts


def _usage(used: Usage) -> schema.Usage:
    return schema.Usage(
        total_tokens=used.input_tokens + used.output_tokens,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        thought_tokens=used.reasoning_tokens,
        cached_read_tokens=used.cached_tokens,
        cached_write_tokens=used.written_tokens,
    )
