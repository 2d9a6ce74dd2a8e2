"""Tasks of A2A, made of runs: how they stand, what they have said, and what they ask."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from a2a.helpers.proto_helpers import get_data_parts, get_text_parts, new_data_part, new_text_part
from a2a.types import (
    Artifact,
    Message,
    Part,
    Role,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)

from auwgent.intents import Intent
from auwgent.relay.stored import intents_of
from auwgent.serve.desk import Desk
from auwgent.serve.faults import bad_request
from auwgent.serve.live import Live
from auwgent.serve.responses.stored import StoredLeg
from auwgent.serve.runs import open_calls
from auwgent.serve.told import question, told_of
from auwgent.serve.words import Words
from auwgent.session import Session, now
from auwgent.store.base import RunInfo

STATES: Mapping[str, TaskState] = {
    "queued": TaskState.TASK_STATE_SUBMITTED,
    "running": TaskState.TASK_STATE_WORKING,
    "interrupted": TaskState.TASK_STATE_WORKING,
    "paused": TaskState.TASK_STATE_INPUT_REQUIRED,
    "completed": TaskState.TASK_STATE_COMPLETED,
    "failed": TaskState.TASK_STATE_FAILED,
    "dead": TaskState.TASK_STATE_FAILED,
    "cancelled": TaskState.TASK_STATE_CANCELED,
}
JSON = "application/json"
_YES = frozenset(("yes", "y", "ok", "okay", "allow", "allowed", "approve", "approved", "true"))
_NO = frozenset(("no", "n", "deny", "denied", "reject", "rejected", "false"))


# What a message says


def input_of(message: Message) -> str | list[dict[str, Any]]:
    """Return the parts of a message as the input of a run; `Refusal` where one cannot be taken."""
    if not message.parts:
        raise bad_request("the message has no parts", "message.parts")
    parts = [_taken(part, f"message.parts[{number}]") for number, part in enumerate(message.parts)]
    if any(part["type"] != "text" for part in parts):
        return parts
    text = "\n".join(part["text"] for part in parts)
    if not text.strip():
        raise bad_request("the message says nothing: its texts are empty", "message.parts")
    return text


def _taken(part: Part, place: str) -> dict[str, Any]:
    kind = part.WhichOneof("content")
    if kind == "text":
        return {"type": "text", "text": part.text}
    if kind == "data":
        (data,) = get_data_parts([part])
        return {"type": "text", "text": json.dumps(_whole(data), ensure_ascii=False)}
    if kind is None:
        raise bad_request(f"`{place}` is empty: a part is a text, raw bytes, a URL or data", place)
    group = part.media_type.partition("/")[0]
    media: dict[str, Any] = {"type": group if group in ("image", "audio") else "file"}
    if part.media_type:
        media["mime_type"] = part.media_type
    if part.filename and media["type"] == "file":
        media["name"] = part.filename
    if kind == "raw":
        return {**media, "data": base64.b64encode(part.raw).decode()}
    if not part.url.startswith(("https://", "http://")):
        raise bad_request(f"`{place}` should be an http:// or https:// address", place)
    return {**media, "url": part.url}


def answers_of(message: Message, calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a message answers to open calls: by id, in data, or a text that is meant for all of them.

    A text that is neither a yes nor a no in a word is a no, and its reason.
    """
    for data in get_data_parts(message.parts):
        if isinstance(data, Mapping) and isinstance(given := data.get("answers"), Mapping) and given:
            return {str(of): _whole(answer) for of, answer in given.items()}
    text = "\n".join(get_text_parts(message.parts)).strip()
    if not text:
        words = 'the task waits for answers: send "yes", "no", why not, or {"answers": {call id: …}} as data'
        raise bad_request(words, "message.parts")
    word = text.rstrip(".!").casefold()
    answer = True if word in _YES else False if word in _NO else text
    return {call["id"]: answer for call in calls if call["kind"] == "approval"}


def _whole(value: Any) -> Any:
    """Return a value with its whole numbers whole: protobuf knows doubles alone."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, list) else value


# What a run says


def status_of(
    status: str, task: str, context: str, calls: Sequence[Mapping[str, Any]], error: str | None, at: datetime
) -> TaskStatus:
    """Return how a run stands, with its questions, or why it failed."""
    told = TaskStatus(state=STATES[status], timestamp=at)
    parts: list[Part] = []
    if status == "paused":
        parts = [new_text_part("\n".join(map(question, calls)))]
        shown = ("id", "type", "args", "agent", "kind")
        asked = [{name: call.get(name) for name in shown} for call in calls]
        parts.append(new_data_part({"calls": json.loads(json.dumps(asked, default=str))}, JSON))
    elif error:
        parts = [new_text_part(error)]
    if parts:
        name = f"{task}:{status}:" + ",".join(str(call["id"]) for call in calls)
        told.message.CopyFrom(
            Message(message_id=name, context_id=context, task_id=task, role=Role.ROLE_AGENT, parts=parts)
        )
    return told


def artifact(leg: int, number: int, text: str, *, is_data: bool) -> Artifact:
    """Return an answer of a run, by its leg and its number there."""
    part = new_text_part(text)
    if is_data:
        with suppress(ValueError):  # it was cut off
            part = new_data_part(json.loads(text), JSON)
    return Artifact(artifact_id=f"{leg}.{number}", name="answer", parts=[part])


class Tasks:
    """Tells of the runs of a desk as tasks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def gives_data(self, agent: str) -> bool:
        """Return whether what an agent says is structured."""
        found = self._desk.agent.agents.get(agent)
        return found is not None and found.output is not None

    def of_live(self, live: Live, asked: Message) -> Task:
        """Return a run that is not kept."""
        return Task(
            id=live.run_id,
            context_id=asked.context_id,
            status=self.status_of_live(live, asked.context_id),
            artifacts=self._artifacts(live.leg, live.held(), live.agent),
            history=[asked],
        )

    def status_of_live(self, live: Live, context: str) -> TaskStatus:
        """Return how a leg stands."""
        error = str(live.error) if live.error is not None and live.status == "failed" else None
        return status_of(live.status, live.run_id, context, live.calls, error, now())

    def of_run(
        self, run: RunInfo, session: Session | None, *, history: int | None = None, artifacts: bool = True
    ) -> Task:
        """Return a run as the store tells of it, and as far as it got where it is under way here."""
        context = run.session_id or ""
        task = Task(id=run.run_id, context_id=context, status=self._status(run))
        if session is not None and history != 0:
            said = list(self._history(run, session))
            task.history.extend(said if history is None else said[-history:])
        if not artifacts:
            return task
        live = self._desk.house.newest(run.user_id, run.run_id)
        under_way = live is not None and not live.is_over
        for leg in range(1, run.leg + 1):
            if live is not None and under_way and leg == live.leg:
                found = live.so_far()
            elif session is not None:
                found = list(intents_of(StoredLeg(run, leg, session).turns(), run.run_id))
            else:
                continue
            task.artifacts.extend(self._artifacts(leg, found, run.agent))
        return task

    def _status(self, run: RunInfo) -> TaskStatus:
        calls = open_calls(run)
        status = "running" if run.status == "paused" and run.calls and not calls else run.status
        error = (run.error or {}).get("message") if status in ("failed", "dead") else None
        return status_of(status, run.run_id, run.session_id or "", calls, error, changed(run))

    def _artifacts(self, leg: int, intents: Sequence[Intent], agent: str) -> list[Artifact]:
        blocks = told_of(intents, self._desk.speaks(agent)).blocks
        is_data = self.gives_data(agent)
        return [artifact(leg, number, text, is_data=is_data) for number, text in enumerate(blocks, 1)]

    def _history(self, run: RunInfo, session: Session) -> Iterator[Message]:
        """Yield what the user said in a run; what the agent said are its artifacts."""
        for turn in session.turns:
            if turn.run_id == run.run_id and turn.role == "user" and turn.agent == run.agent:
                yield Message(
                    message_id=turn.id,
                    context_id=session.id,
                    task_id=run.run_id,
                    role=Role.ROLE_USER,
                    parts=[new_text_part(turn.text)],
                )


class Updates:
    """Turns the intents of a leg into the updates of its task."""

    def __init__(self, tasks: Tasks, live: Live, context: str, speaks: Words) -> None:
        self._live, self._context, self._words = live, context, speaks
        self._is_data = tasks.gives_data(live.agent)
        self._number = 0
        self._begun = False

    def of(self, intents: Sequence[Intent]) -> Iterator[TaskArtifactUpdateEvent]:
        """Yield what these intents add, an update for each answer that they add to."""
        text, ends = "", False
        for intent in intents:
            for said in self._words.of(intent):
                if said.kind != "text":
                    continue
                if said.begins:
                    if text or ends:
                        yield self._update(text, ends=ends)
                    self._number, self._begun, text, ends = self._number + 1, False, "", False
                text += said.delta
                ends = ends or said.ends
        if text or ends:
            yield self._update(text, ends=ends)

    def _update(self, text: str, *, ends: bool) -> TaskArtifactUpdateEvent:
        append, self._begun = self._begun, True
        return TaskArtifactUpdateEvent(
            task_id=self._live.run_id,
            context_id=self._context,
            artifact=artifact(self._live.leg, self._number, text, is_data=self._is_data and not append),
            append=append,
            last_chunk=ends,
        )


def over(task: Task) -> TaskStatusUpdateEvent:
    """Return the update that tells how a task stands."""
    return TaskStatusUpdateEvent(task_id=task.id, context_id=task.context_id, status=task.status)


def changed(run: RunInfo) -> datetime:
    """Return when a run came to stand as it does."""
    return run.ended_at or run.started_at or run.made_at
