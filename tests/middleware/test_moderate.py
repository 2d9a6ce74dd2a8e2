"""Moderate: what is blocked is neither shown, nor stored, nor sent, nor acted on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from auwgent.errors import MiddlewareError
from auwgent.middleware import Moderate, SQLModelSessions
from auwgent.middleware.moderate import REFUSAL, WITHHELD
from auwgent.models.base import ModelRequest
from auwgent.session import Session, Turn
from tests.middleware.conformance import Conformance, at_work, closing, over_http
from tests.support.aimock import Aimock
from tests.support.bench import Bench, Gate, Hook, bench, calls

done: list[str] = []


def launch(what: str) -> str:
    """Launch it."""
    done.append(what)
    return f"{what} is up: evil"


def judge(text: str) -> str | None:
    return "evil" if "evil" in text else None


async def judge_later(text: str) -> str | None:
    return judge(text)


def everything(agent: Bench) -> str:
    """All that was shown, stored and sent."""
    shown = [intent.as_json() for intent in [*agent.intents, *agent.partials]]
    return f"{shown} {agent.session.model_dump_json()} {agent.requests()}"


class TestConformance(Conformance):
    path = "auwgent.middleware.Moderate"
    wrong = (
        ({"judge": "nowhere.at_all"}, "`judge`: no such module"),
        ({"judge": "tests.middleware.test_moderate.done"}, "is not a function"),
        (
            {"judge": "tests.middleware.test_moderate.judge", "model": "scripted/echo"},
            "give either `judge`, or",
        ),
        ({"where": ["thoughts"]}, "where"),
        ({"where": []}, "`where`"),
        ({"policies": "x"}, "its options: judge, model, policy, where, refusal"),
    )

    def make(self, folder: Path) -> Moderate:
        return Moderate(judge)

    def make_failing(self, folder: Path) -> Moderate:
        def fail(text: str) -> str | None:
            raise OSError("the judge is out")

        return Moderate(fail)

    async def test_helpers_are_included(self, tmp_path: Path) -> None:
        agent = at_work(Moderate(lambda text: "numbers" if "forty-two" in text else None))
        session = await agent.ask("Please ask the clerk")
        assert [turn.text for turn in session.turns if turn.agent == "Clerk"][-1] == REFUSAL
        assert "forty-two" not in everything(agent)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("function", [judge, judge_later])
class TestBlocked:
    async def test_inputs_are_not_stored_and_no_model_is_asked(self, function: Any, stream: bool) -> None:
        agent = bench(["Hi", "Again"], middleware=[Moderate(function)])
        session = await agent.ask("something evil", stream=stream)
        assert [turn.text for turn in session.turns] == [WITHHELD, REFUSAL]
        assert agent.requests() == []
        assert "evil" not in everything(agent)
        session = await agent.ask("Hello", session=session, stream=stream)
        assert [turn.text for turn in agent.requests()[0].turns] == [WITHHELD, REFUSAL, "Hello"]

    async def test_outputs_are_replaced(self, function: Any, stream: bool) -> None:
        agent = bench(["This is evil", "Fine"], middleware=[Moderate(function)])
        session = await agent.ask("Go", stream=stream)
        assert [turn.text for turn in session.turns] == ["Go", REFUSAL]
        await agent.ask("And now?", session=session, stream=stream)
        assert "evil" not in everything(agent)

    async def test_calls_beside_a_blocked_output_do_not_happen(self, function: Any, stream: bool) -> None:
        done.clear()
        replies = [
            calls(("launch", {"what": "it"}), text="evil plan"),
            calls(("launch", {"what": "good"}), text="better"),
            "ok",
        ]
        agent = bench(replies, tools=[launch], middleware=[Moderate(function)])
        await agent.ask("Go", stream=stream)
        assert done == ["good"]
        assert agent.names[:3] == ["response_text", "tool_call", "tool_skipped"]

    async def test_results_are_withheld_where_asked(self, function: Any, stream: bool) -> None:
        agent = bench(
            [calls(("launch", {"what": "it"})), "ok"],
            tools=[launch],
            middleware=[Moderate(function, where=["results"])],
        )
        session = await agent.ask("Go", stream=stream)
        assert session.turns[2].text == WITHHELD

    async def test_structured_answers_end_the_run(self, function: Any, stream: bool) -> None:
        agent = bench(['{"plan": "evil"}'], output={"type": "object"}, middleware=[Moderate(function)])
        with pytest.raises(MiddlewareError, match="the answer was blocked"):
            await agent.ask("Go", stream=stream)
        assert "evil" not in everything(agent)

    async def test_intents_of_ones_own_end_the_run(self, function: Any, stream: bool) -> None:
        loud = {"Loud": {"fields": {"reason": "string"}}}
        replies = [calls(("Loud", {"reason": "evil"})), "ok"]
        agent = bench(replies, intents=loud, middleware=[Moderate(function)])
        with pytest.raises(MiddlewareError, match="the answer was blocked"):
            await agent.ask("Go", stream=stream)
        assert agent.names == ["error"]


async def test_outputs_are_shown_only_when_they_are_whole_and_judged() -> None:
    agent = bench(["One two three."], middleware=[Moderate(judge)])
    await agent.ask("Count")
    assert [piece.value["delta"] for piece in agent.partials] == ["One two three."]
    assert agent.partials[0].value["snapshot"] == {"text": "One two three."}


async def test_each_text_is_judged_once() -> None:
    judged: list[str] = []

    def judge(text: str) -> None:
        judged.append(text)

    schema = {"type": "object"}
    await bench(['{"a": 1}'], output=schema, middleware=[Moderate(judge)]).ask("Count")
    await bench(["One two."], middleware=[Moderate(judge)]).ask("Count")
    assert judged == ["Count", '{"a":1}', "Count", "One two."]


async def test_what_was_said_before_a_cancel_is_not_kept_unjudged(tmp_path: Path) -> None:
    broken = {"text": "This is evil but", "error": {"after": 3}}
    store = SQLModelSessions(f"sqlite:///{tmp_path / 'x.db'}")
    async with closing(store):
        agent = bench([broken], middleware=[store, Moderate(judge)])
        with pytest.raises(Exception, match="the script says so"):
            await agent.ask("Go")
    assert agent.session.turns[-1].text == WITHHELD
    assert b"evil" not in (tmp_path / "x.db").read_bytes()


async def test_what_later_middleware_makes_of_an_answer_is_kept() -> None:
    def shout(name: str, value: Any, ctx: Any) -> Any:
        return {"result": value["text"].upper()} if name == "response_text" else None

    agent = bench(["fine"], middleware=[Moderate(judge), Hook(onIntent=shout)])
    assert (await agent.ask("Go")).text == "FINE"


async def test_agents_that_are_not_its_target_are_left_alone() -> None:
    agent = at_work({"use": Moderate(judge), "target": "Main"})
    session = await agent.ask("Please ask the clerk")
    assert session.text == "The clerk: Found: forty-two."
    assert [turn.text for turn in session.turns if turn.agent == "Clerk"][-1] == "Found: forty-two."


async def test_the_reasons_are_on_ctx() -> None:
    seen: list[Any] = []
    note = Hook(onRunComplete=lambda session, ctx: seen.append(ctx.get("moderation")))
    agent = bench(["evil"], middleware=[note, Moderate(judge)])
    await agent.ask("Go")
    assert seen == [["evil"]]


@pytest.mark.parametrize("answer", [True, False, "", 3])
async def test_a_judge_that_gives_no_clear_answer_ends_the_run(answer: Any) -> None:
    agent = bench(["ok"], middleware=[Moderate(lambda text: answer)])
    with pytest.raises(MiddlewareError, match="it must return None, or why"):
        await agent.ask("Go")
    assert agent.requests() == []


async def test_a_run_that_is_cancelled_while_an_output_is_judged_keeps_nothing_of_it() -> None:
    gate = Gate()

    async def slow(text: str) -> None:
        if "plan" in text:
            await gate.passes()

    agent = bench(["The plan"], middleware=[Moderate(slow)])
    task = asyncio.create_task(agent.ask("Go"))
    await gate.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert agent.session.turns[-1].text == WITHHELD


class TestAModelAsJudge:
    def agent(self, reply: str) -> Bench:
        guard = [
            {"when": "evil", "text": "BLOCK: it is evil"},
            {"when": "strange", "text": "Well, it depends"},
            {"when": "", "text": "ALLOW"},
        ]
        scripts: dict[str, list[Any]] = {"main": [reply], "guard": guard}
        return bench(scripts, middleware=[Moderate(model="guard", policy="Nothing evil.")])

    def asked(self, agent: Bench) -> list[ModelRequest]:
        return agent.requests("guard")

    async def test_what_it_allows_passes(self) -> None:
        agent = self.agent("Fine")
        assert (await agent.ask("Hi")).text == "Fine"
        assert agent.names == ["response_text"]
        mark = self.asked(agent)[0].turns[0].text.splitlines()[0]
        assert [request.turns[0].text.splitlines()[1] for request in self.asked(agent)] == ["Hi", "Fine"]
        assert f"the mark {mark}" in self.asked(agent)[0].system
        assert "Nothing evil." in self.asked(agent)[0].system

    @pytest.mark.parametrize(("words", "reply"), [("evil", "Fine"), ("Hi", "evil")])
    async def test_what_it_blocks_does_not(self, words: str, reply: str) -> None:
        agent = self.agent(reply)
        assert (await agent.ask(words)).text == REFUSAL
        assert "evil" not in everything(agent)

    async def test_an_answer_that_is_none_ends_the_run(self) -> None:
        with pytest.raises(MiddlewareError, match="neither ALLOW nor BLOCK"):
            await self.agent("ok").ask("strange")


async def test_over_http(aimock: Aimock) -> None:
    blocking = Moderate(lambda text: "no greetings" if "hello" in text.casefold() else None)
    async with over_http(aimock, "moderate", blocking) as agent:
        session = await agent.run("Say hello")
    assert session.text == REFUSAL
    assert aimock.journal("moderate") == []


async def test_arguments_of_calls_are_not_judged() -> None:
    judged: list[str] = []
    done.clear()
    script = [calls(("launch", {"what": "an evil thing"})), "Fine."]
    agent = bench(script, tools=[launch], middleware=[Moderate(judged.append)])
    await agent.ask("Go")
    assert done == ["an evil thing"]
    assert judged == ["Go", "Fine."]


OLD = [
    Turn(role="user", content="An evil question", run_id="old"),
    Turn(
        role="assistant", content="An evil answer", provider_data={"reasoning_content": "evil"}, run_id="old"
    ),
    Turn(role="user", content="And a good one", run_id="old"),
    Turn(role="assistant", content="Good.", run_id="old"),
]


@pytest.mark.parametrize("stream", [True, False])
async def test_what_was_stored_before_is_judged_before_it_is_sent(stream: bool) -> None:
    judged: list[str] = []

    def judge(text: str) -> str | None:
        judged.append(text)
        return "evil" if "evil" in text else None

    agent = bench(["Hello.", "Again."], middleware=[Moderate(judge)])
    session = await agent.ask("Hi", session=Session(turns=OLD), stream=stream)
    sent = [WITHHELD, WITHHELD, "And a good one", "Good.", "Hi"]
    assert [turn.text for turn in agent.requests()[0].turns] == sent
    assert "evil" not in str(agent.requests()[0])
    assert session.turns[0].text == "An evil question"  # it stays in the store
    await agent.ask("Bye", session=session, stream=stream)
    assert [turn.text for turn in agent.requests()[1].turns] == [*sent, "Hello.", "Bye"]
    assert len(judged) == len(set(judged)) == 8  # each text once in a process


async def test_a_model_judges_what_was_stored_before_only_where_asked() -> None:
    cases: list[tuple[Any, str]] = [(None, OLD[0].text), (["inputs", "history"], WITHHELD)]
    for where, sent in cases:
        guard = [{"when": "evil", "text": "BLOCK: evil"}, {"when": "", "text": "ALLOW"}]
        moderate = Moderate(model="guard", where=where)
        agent = bench({"main": ["Hello."], "guard": guard}, middleware=[moderate])
        await agent.ask("Hi", session=Session(turns=OLD))
        texts = [turn.text for turn in agent.requests()[0].turns]
        assert texts == [sent, OLD[1].text, OLD[2].text, OLD[3].text, "Hi"]
