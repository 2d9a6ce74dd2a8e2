"""Wherever a generated session is forked, each provider gets a history that it takes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auwgent import Runtime
from auwgent.middleware import SQLModelSessions
from auwgent.session import Media, Outcome, Part, Session, Text, ToolCall, Turn
from tests.models.test_portability import PIXEL
from tests.models.test_six_providers import PEERS, Peer
from tests.support.alone import alone
from tests.support.raw_server import RawServer, raw_server

__all__ = ["alone"]

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("alone")]

NEXT = "And then?"
MODELS = [peer.model for peer in PEERS]
OUTCOMES: tuple[Outcome, ...] = ("ok", "error", "skipped", "denied", "unknown")
PICTURE = Media(type="image", data=PIXEL, mime_type="image/png")
SAID = st.sampled_from(["Hi", " ", "", "Grüße 🦆", "a\nb"])
CONTENT: st.SearchStrategy[str | list[Part]] = st.one_of(SAID, st.just([Text(text="See"), PICTURE]))
Called = tuple[str, dict[str, Any], str | None, Outcome]
Step = tuple[str, str | list[Part], list[Called], int]
CALL: st.SearchStrategy[Called] = st.tuples(
    st.sampled_from(["look", "mcp:time/now", "größe", "x" * 90]),
    st.sampled_from([{}, {"zone": "Oslo"}, {"deep": [{"ü": None}]}]),
    st.sampled_from([None, '{"zone": ']),
    st.sampled_from(OUTCOMES),
)
USER: st.SearchStrategy[Step] = st.tuples(st.just("user"), CONTENT, st.just([]), st.just(0))
# An answer, its calls, and what a helper does before their results come: nothing, speaks, calls.
ANSWER: st.SearchStrategy[Step] = st.tuples(
    st.just("assistant"), SAID, st.lists(CALL, max_size=3), st.integers(0, 2)
)


def session_of(steps: Sequence[Step], *, unique: bool) -> list[Turn]:
    """The turns of these steps; call ids are unique in the session, or in their message alone."""
    ids, turns = count(), [Turn(role="user", content="Begin", agent="Main")]
    for number, (role, content, asked, helper) in enumerate(steps):
        if role == "user":
            turns.append(Turn(role="user", content=content, agent="Main"))
            continue
        calls = [
            ToolCall(
                id=f"call:{next(ids) if unique else at}", name=name, args={} if raw else args, raw_args=raw
            )
            for at, (name, args, raw, _) in enumerate(asked)
        ]
        model = MODELS[number % len(MODELS)]
        turns.append(
            Turn(role="assistant", content=content, agent="Main", tool_calls=calls or None, model=model)
        )
        if calls and helper:
            turns += _helped(model, calls=helper > 1, call_id=f"helper:{next(ids)}")
        turns += [
            Turn(
                role="tool",
                content="done",
                agent="Main",
                tool_call_id=call.id,
                name=call.name,
                outcome=one[3],
            )
            for call, one in zip(calls, asked, strict=True)
        ]
    return turns


def _helped(model: str, *, calls: bool, call_id: str) -> Iterator[Turn]:
    yield Turn(role="user", content="Help", agent="Helper")
    if calls:
        call = ToolCall(id=call_id, name="look")
        yield Turn(role="assistant", content="", agent="Helper", tool_calls=[call], model=model)
        yield Turn(
            role="tool", content="found", agent="Helper", tool_call_id=call.id, name="look", outcome="ok"
        )
    yield Turn(role="assistant", content="Found.", agent="Helper", model=model)


def generated(number: int) -> list[list[Turn]]:
    sessions: list[list[Turn]] = []

    @settings(max_examples=number, database=None)
    @given(st.lists(st.one_of(USER, ANSWER), min_size=2, max_size=5), st.booleans())
    def collect(steps: list[Step], unique: bool) -> None:
        sessions.append(session_of(steps, unique=unique))

    collect()
    return sessions


@asynccontextmanager
async def asking(peer: Peer) -> AsyncIterator[tuple[Any, RawServer]]:
    async with raw_server(peer.speak("Well.", "")) as server:
        model = {"use": peer.model, "base_url": server.url, "retries": 0, **peer.settings}
        config = {"agent": {"name": "Main", "model": "m", "tools": [look]}, "models": {"m": model}}
        async with Runtime({**config, "middleware": []}) as agent:
            yield agent, server


def look(zone: str = "") -> str:
    """Look."""
    return "done"


async def test_each_point_of_a_session_may_be_forked_for_each_provider(tmp_path: Path) -> None:
    forks: list[tuple[Session, str]] = []
    store = SQLModelSessions(f"sqlite:///{tmp_path / 's.db'}")
    await store.open()
    try:
        for number, turns in enumerate(generated(12)):
            await store.put(Session(id=f"s{number}", stack=["Main"], turns=turns))
            for place, turn in enumerate(turns):
                await store.fork("", f"s{number}", f"f{number}-{place}", at=turn.id)
                forks.append((await store.get("", f"f{number}-{place}"), f"turn {place + 1} of {turns}"))
    finally:
        await store.close()
    assert len(forks) >= 36
    for peer in PEERS:
        async with asking(peer) as (agent, server):
            for fork, where in forks:
                stream = agent.stream(NEXT, session=fork, whole=True)
                async for _ in stream:
                    pass
                assert stream.session is not None
                assert stream.session.text == "Well.", (peer.name, where)
                body = server.requests[-1].body
                try:
                    peer.check(body)
                    assert NEXT in json.dumps(body)
                except (AssertionError, KeyError, ValueError) as error:
                    raise AssertionError(f"{peer.name} gets no valid history at {where}: {body}") from error
