"""Approve: nothing happens that the rules, or the user, did not allow."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from auwgent.engine.agent import ApprovalRequest
from auwgent.middleware import Approve, Redact
from tests.middleware.conformance import Conformance, at_work, over_http
from tests.support.aimock import Aimock
from tests.support.bench import Bench, Hook, bench, calls

done: list[str] = []


def delete(path: str, options: dict[str, Any] | None = None) -> str:
    """Delete a file."""
    done.append(path)
    return f"{path} is gone."


def working(*paths: str, approver: Any = None, middleware: Any = (), **options: Any) -> Bench:
    """An agent that wants to delete some files, in one message."""
    done.clear()
    wanted = calls(*(("delete", {"path": path}) for path in paths))
    stack = [*middleware, Approve(**options)]
    return bench([wanted, "Done."], tools=[delete], middleware=stack, approver=approver)


def outcomes(agent: Bench) -> list[str | None]:
    return [turn.outcome for turn in agent.session.turns if turn.role == "tool"]


class TestConformance(Conformance):
    path = "auwgent.middleware.Approve"
    wrong = (
        ({"default": "maybe"}, "`default` should be 'allow', 'ask' or 'deny', not 'maybe'"),
        ({"rules": [{"tools": "x"}]}, "`rules[0].then` is missing"),
        ({"rules": [{"tool": "x", "then": "ask"}]}, "`rules[0].tool` is unknown"),
        ({"rules": [{"args": {"path": 1}, "then": "ask"}]}, "rules[0].args"),
        ({"rule": []}, "its options: rules, default"),
    )

    def make(self, folder: Path) -> Approve:
        return Approve(default="allow")

    def make_failing(self, folder: Path) -> Approve:
        return Broken()

    async def test_helpers_are_included(self, tmp_path: Path) -> None:
        agent = at_work(Approve([{"tools": "Clerk", "then": "deny"}], default="allow"))
        await agent.ask("Please ask the clerk")
        assert "helper_skipped" in agent.names
        assert agent.requests("clerk") == []


class Broken(Approve):
    """Its rules cannot be read."""

    def decide(self, agent: str, tool: str, args: Mapping[str, Any]) -> Any:
        raise OSError("the rules are gone")

    async def onLLMStart(self, prompt: str, ctx: Any) -> None:
        self.decide("", "", {})


RULES: list[dict[str, Any]] = [
    {"tools": "read_*", "then": "allow"},
    {"tools": ["delete", "move"], "args": {"path": ["/etc/*", "/usr/*"]}, "then": "deny"},
    {"tools": "delete", "args": {"path": "/tmp/*", "options.force": "true"}, "then": "allow"},
    {"agents": "Clerk", "then": "deny"},
]


@pytest.mark.parametrize(
    ("agent", "tool", "args", "answer"),
    [
        ("Clerk", "read_file", {"path": "/etc/passwd"}, "allow"),
        ("Main", "delete", {"path": "/etc/passwd"}, "deny"),
        ("Main", "move", {"path": "/usr/x"}, "deny"),
        ("Main", "delete", {"path": "/tmp/x"}, "ask"),
        ("Main", "delete", {"path": "/tmp/x", "options": {"force": True}}, "allow"),
        ("Main", "delete", {"path": "/tmp/x", "options": "force"}, "ask"),
        ("Main", "Delete", {"path": "/etc/passwd"}, "ask"),
        ("Clerk", "delete", {}, "deny"),
        ("Main", "delete", {"path": ["/etc/x"]}, "ask"),
    ],
)
def test_the_first_rule_that_is_about_a_call_decides(
    agent: str, tool: str, args: dict[str, Any], answer: str
) -> None:
    assert Approve(RULES).decide(agent, tool, args) == answer


async def test_what_is_denied_does_not_happen_and_the_model_is_told() -> None:
    agent = working("a", default="deny", approver=lambda request: True)
    session = await agent.ask("Clean up")
    assert done == []
    assert agent.names == ["tool_call", "tool_skipped", "response_text"]
    assert "not allowed" in session.turns[2].text
    assert session.text == "Done."


async def test_what_is_allowed_is_not_asked_about() -> None:
    def approver(request: ApprovalRequest) -> bool:
        raise AssertionError("nobody should be asked")

    await working("a", default="allow", approver=approver).ask("Clean up")
    assert done == ["a"]


@pytest.mark.parametrize("approver", [None, lambda request: False])
async def test_without_a_yes_nothing_happens(approver: Any) -> None:
    agent = working("a", approver=approver)
    await agent.ask("Clean up")
    assert (done, outcomes(agent)) == ([], ["skipped"])


async def test_each_call_has_its_own_answer_in_whatever_order_they_come() -> None:
    paths = [f"file {number}" for number in range(9)]
    allowed = set(random.Random(1).sample(paths, 4))
    asked: list[ApprovalRequest] = []

    async def approver(request: ApprovalRequest) -> bool:
        asked.append(request)
        return request.args["path"] in allowed

    agent = working(*paths, approver=approver)
    await agent.ask("Clean up")
    assert set(done) == allowed
    assert len({request.call_id for request in asked}) == 9
    assert outcomes(agent) == ["ok" if path in allowed else "skipped" for path in paths]


async def test_one_of_three_is_approved_and_the_others_run_once() -> None:
    agent = working("a", "b", "c", rules=[{"args": {"path": "b"}, "then": "ask"}], default="allow")
    await agent.ask("Clean up")
    assert (sorted(done), outcomes(agent)) == (["a", "c"], ["ok", "skipped", "ok"])


async def test_an_answer_is_not_for_arguments_that_were_changed_after_it() -> None:
    def swap(name: str, value: dict[str, Any], ctx: Any) -> None:
        if name == "tool_call":
            value["args"]["path"] = "/etc/passwd"

    agent = bench(
        [calls(("delete", {"path": "a"})), "Done."],
        tools=[delete],
        middleware=[Approve(), Hook(onIntent=swap)],
        approver=lambda request: True,
    )
    done.clear()
    await agent.ask("Clean up")
    assert (done, outcomes(agent)) == ([], ["denied"])


async def test_an_answer_is_not_for_the_same_call_another_time() -> None:
    asked: list[str] = []

    def approver(request: ApprovalRequest) -> bool:
        asked.append(request.call_id)
        return len(asked) == 1

    done.clear()
    again = calls(("delete", {"path": "a"}))
    agent = bench([again, again, "Done."], tools=[delete], middleware=[Approve()], approver=approver)
    await agent.ask("Clean up")
    assert (done, outcomes(agent)) == (["a"], ["ok", "skipped"])
    assert len(set(asked)) == 2


async def test_who_is_asked_sees_what_the_tool_will_get() -> None:
    asked: list[ApprovalRequest] = []

    def approver(request: ApprovalRequest) -> bool:
        asked.append(request)
        return True

    agent = working("[EMAIL_1]", approver=approver, middleware=[Redact(restore=["delete"])])
    await agent.ask("Delete ada@example.com")
    assert [request.args["path"] for request in asked] == done == ["ada@example.com"]


@pytest.mark.process
async def test_a_question_that_cannot_be_put_is_a_no_and_told() -> None:
    def approver(request: ApprovalRequest) -> bool:
        raise ConnectionError("nobody there")

    agent = working("a", approver=approver)
    await agent.ask("Clean up")
    assert (done, outcomes(agent)) == ([], ["skipped"])
    (told,) = [intent.value["message"] for intent in agent.intents if intent.name == "error"]
    assert "nobody there" in told


async def test_two_that_ask_both_need_a_yes() -> None:
    answers = iter([True, False])
    agent = working("a", approver=lambda request: next(answers), middleware=[Approve()])
    await agent.ask("Clean up")
    assert done == []


async def test_over_http(aimock: Aimock) -> None:
    asked = []

    def get_weather(city: str, days: int = 1) -> str:
        """The weather."""
        asked.append(city)
        return "sunny"

    deny = Approve([{"tools": "get_*", "then": "deny"}], default="allow")
    async with over_http(aimock, "approve", deny, tools=[get_weather]) as agent:
        session = await agent.run("What is the weather in Paris?")
    assert asked == []
    assert [turn.outcome for turn in session.turns if turn.role == "tool"] == ["skipped"]
    told = [
        message for message in aimock.journal("approve")[1]["body"]["messages"] if message["role"] == "tool"
    ]
    assert "was not allowed to run" in told[0]["content"]
