"""Responses as the store knows them: runs whose turns are cut into legs where calls were answered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from auwgent.errors import SessionNotFound
from auwgent.intents import Intent
from auwgent.relay.stored import Seen, count_of, intents_of
from auwgent.serve.callers import call_id
from auwgent.serve.desk import Desk
from auwgent.serve.responses.items import item_of
from auwgent.serve.responses.resource import Facts
from auwgent.serve.responses.stream import StreamedOutput
from auwgent.session import Session, Turn
from auwgent.store.base import RunInfo

_STATUS = {
    "running": "in_progress",
    "queued": "queued",
    "interrupted": "in_progress",
    "paused": "completed",
    "dead": "failed",
}


def parse(name: str) -> Iterator[tuple[str, int]]:
    """Yield which run and leg a response's id may mean: the whole as a run first, as run ids may end in a number."""
    if not name.startswith("resp_"):
        return
    rest = name.removeprefix("resp_")
    yield rest, 1
    run_id, _, leg = rest.rpartition("_")
    if run_id and leg.isascii() and leg.isdecimal() and int(leg[:9]) > 1 and leg[0] != "0":
        yield run_id, int(leg[:9])


async def find(desk: Desk, user: str, name: str) -> StoredLeg:
    """Return the response of that id; `SessionNotFound` where the user has none."""
    store = desk.run_store()
    for run_id, leg in parse(name):
        try:
            run = await store.run(user, run_id)
            session = await store.get(user, run.session_id) if run.session_id is not None else None
        except SessionNotFound:
            continue
        if session is not None and leg <= run.leg:
            if name in run.settings.get("hidden", ()) or (user, name) in desk.house.hidden:
                break
            return StoredLeg(run, leg, session)
    raise SessionNotFound(f"there is no response {name!r}")


@dataclass(frozen=True, slots=True)
class StoredLeg:
    """A leg of a run, in the store."""

    run: RunInfo
    leg: int
    session: Session

    @property
    def is_last(self) -> bool:
        """Whether no later leg has begun."""
        return self.leg == self.run.leg

    @property
    def status(self) -> str:
        """How the response stands."""
        if not self.is_last:
            return "completed"
        if self.run.status == "completed" and self._finish_reason() in ("length", "filtered"):
            return "incomplete"
        return _STATUS.get(self.run.status, self.run.status)

    def turns(self) -> list[Turn]:
        """The turns of the leg, those of the user and the answers to its calls first."""
        legs = self._legs()
        return legs[self.leg - 1] if self.leg <= len(legs) else []

    def seen_before(self) -> Seen:
        """How many whole intents the legs before have had."""
        turns = [turn for leg in self._legs()[: self.leg - 1] for turn in leg]
        return count_of(intents_of(turns, self.run.run_id))

    def _legs(self) -> list[list[Turn]]:
        asked = {call["id"] for call in self.run.calls} | set(self.run.answers)
        legs: list[list[Turn]] = [[]]
        is_open: set[str] = set()
        for turn in self.session.turns:
            if turn.run_id != self.run.run_id:
                continue
            if turn.role == "tool" and turn.tool_call_id in is_open:
                legs.append([])  # the first answer to what the leg before has asked
                is_open = set()
            legs[-1].append(turn)
            is_open |= {call.id for call in turn.tool_calls or ()} & asked
        return legs

    def last_turn(self) -> str | None:
        """The id of its last turn."""
        turns = self.turns()
        return turns[-1].id if turns else None

    def session_up_to(self) -> Session:
        """The session as it was at the end of the leg."""
        last = self.last_turn()
        place = next(
            (n for n, turn in enumerate(self.session.turns) if turn.id == last), len(self.session.turns) - 1
        )
        return self.session.model_copy(update={"turns": self.session.turns[: place + 1]})

    def intents(self) -> list[Intent]:
        """What happened in the leg, whole."""
        found = list(intents_of(self.turns(), self.run.run_id))
        if calls := self._asked():
            made = self.run.made_at
            found.append(Intent("paused", {"calls": calls}, self.run.agent, self.run.run_id, 0, made))
        return found

    def input_items(self) -> list[dict[str, Any]]:
        """What the leg was asked."""
        known = {
            one: call_id(self.run.run_id, one)
            for one in {*self.run.answers, *(c["id"] for c in self.run.calls)}
        }
        turns = self.turns()
        if self.leg == 1:
            return [
                item_of(turn, known) for turn in turns if turn.role == "user" and turn.agent == self.run.agent
            ][:1]
        return [item_of(turn, known) for turn in turns if turn.role == "tool" and turn.tool_call_id in known]

    def resource(self, desk: Desk, name: str) -> dict[str, Any]:
        """The response as it is now."""
        output = self._output(desk, name)
        for intent in self.intents():
            for _ in output.of(intent):
                pass
        return self._facts(name).resource(
            output.items, self.status, error=self._error(), finish_reason=output.finish_reason
        )

    async def events(self, desk: Desk, name: str, after: int) -> AsyncGenerator[str, None]:
        """Yield the events behind a number."""
        output = self._output(desk, name)
        numbered = list(output.begin())
        for intent in self.intents():
            numbered += output.of(intent)
        if self.status not in ("in_progress", "queued"):
            numbered += output.end(self.status, self._error())
        yield "".join(text for number, text in numbered if number > after)

    def _output(self, desk: Desk, name: str) -> StreamedOutput:
        facts = self._facts(name)
        return StreamedOutput(
            name.removeprefix("resp_"), self.run.run_id, desk.speaks(self.run.agent), facts.resource
        )

    def _facts(self, name: str) -> Facts:
        ended = self.run.ended_at if self.is_last else None
        return Facts(
            name,
            self.run.agent,
            int(self.run.made_at.timestamp()),
            usage=self.run.usage,
            completed_at=int(ended.timestamp()) if ended is not None else None,
        )

    def _asked(self) -> list[dict[str, Any]]:
        """The calls that the leg has asked about."""
        if self.is_last:
            return list(self.run.calls) if self.run.status == "paused" else []
        known = {call["id"]: call for call in self.run.calls}
        tools = {tool["name"] for tool in self.run.settings.get("caller_tools") or ()}
        last = [turn for turn in self.turns() if turn.tool_calls]
        calls = last[-1].tool_calls if last else None
        return [
            known.get(call.id)
            or {
                "id": call.id,
                "type": call.name,
                "args": call.args,
                "kind": "tool" if call.name in tools else "approval",
            }
            for call in calls or ()
            if call.id in known or call.id in self.run.answers
        ]

    def _finish_reason(self) -> str | None:
        said: Sequence[Turn] = [turn for turn in self.turns() if turn.role == "assistant"]
        return said[-1].finish_reason if said else None

    def _error(self) -> dict[str, Any] | None:
        if self.run.error is None or self.status != "failed":
            return None
        return {"code": self.run.error.get("kind", "failed"), "message": self.run.error.get("message", "")}
