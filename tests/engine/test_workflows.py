"""Workflows: functions that the model may call, with tools that it cannot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from auwgent.errors import MiddlewareError, ToolError
from auwgent.hooks.context import Context
from tests.support.bench import Bench, Hook, Recorder, bench, calls, check_history, short

REMOVED: list[str] = []


@pytest.fixture(autouse=True)
def _nobody_removed() -> None:
    REMOVED.clear()


def remove_user(user: str) -> str:
    """Remove a user."""
    REMOVED.append(user)
    return f"{user} removed"


async def delete_user(user: str, ctx: Context) -> str:
    """Delete a user, if that is allowed."""
    if not ctx.get("is_admin"):
        return "no permission"
    return str(await ctx.call_tool("remove_user", {"user": user}))


def office(function: Any = delete_user, *replies: Any, **more: Any) -> Bench:
    name = function.__name__
    return bench(
        list(replies) or [calls((name, {"user": "bob"})), "{result}"],
        workflows=[{"use": function, "tools": more.pop("tools", [remove_user])}],
        **more,
    )


async def test_its_tools_run_in_its_order_with_all_intents() -> None:
    agent = office(context={"is_admin": True})
    session = await agent.ask()
    names = [(name, value.get("type") or value.get("name")) for name, value in agent.heard[:-1]]
    assert names == [
        ("workflow_call", "delete_user"),
        ("tool_call", "remove_user"),
        ("tool_result", "remove_user"),
        ("workflow_result", "delete_user"),
    ]
    assert agent.heard[2][1]["result"] == "bob removed"
    assert REMOVED == ["bob"]
    assert short(session.turns) == [
        "user: Hello",
        "?delete_user",
        "delete_user=bob removed",
        "assistant: bob removed",
    ]
    check_history(session.turns)


async def test_return_returns() -> None:
    agent = office(context={"is_admin": False})
    assert (await agent.ask()).text == "no permission"
    assert REMOVED == []


async def test_the_model_cannot_reach_a_workflows_tool() -> None:
    agent = office(delete_user, calls(("remove_user", {"user": "bob"})), "I cannot.")
    await agent.ask()
    assert agent.names == ["tool_error", "response_text"]
    assert REMOVED == []
    assert [tool.name for tool in agent.requests()[0].tools] == ["delete_user"]
    assert "remove_user" not in agent.heard[0][1]["message"].partition("there are:")[2]


async def test_a_helper_cannot_inherit_a_workflows_tool() -> None:
    agent = bench(
        {
            "main": [calls(("Clerk", {"input": "x"})), "Done."],
            "clerk": [calls(("remove_user", {"user": "bob"})), "No."],
        },
        workflows=[{"use": delete_user, "tools": [remove_user]}],
        helpers={"Clerk": {"description": "x", "model": "clerk", "prompt": "", "inherit_tools": True}},
    )
    await agent.ask()
    assert REMOVED == []
    assert "tool_error" in agent.names


async def test_the_checkpoints_of_its_tools_come_in_pairs() -> None:
    log: list[str] = []
    agent = office(middleware=[Recorder(log)], context={"is_admin": True})
    await agent.ask()
    assert [line for line in log if "tool_" in line] == [
        "onCheckpoint(tool_start) Main",
        "onIntent(tool_call) Main",
        "onCheckpoint(tool_start) Main",
        "onIntent(tool_result) Main",
        "onCheckpoint(tool_end) Main",
        "onCheckpoint(tool_end) Main",
    ]


async def test_hooks_may_skip_or_answer_its_tools() -> None:
    async def tidy(user: str, ctx: Context) -> str:
        """Tidy up."""
        try:
            return str(await ctx.call_tool("remove_user", user=user))
        except ToolError as error:
            return f"refused: {error}"

    def verdict(wanted: Any) -> Hook:
        return Hook(onIntent=lambda name, value, ctx: wanted if name == "tool_call" else None)

    skipped = office(tidy, middleware=[verdict({"skip": True})])
    assert "refused" in (await skipped.ask()).text
    assert skipped.names == ["workflow_call", "tool_call", "tool_skipped", "workflow_result", "response_text"]
    answered = office(tidy, middleware=[verdict({"result": "pretended"})])
    assert (await answered.ask()).text == "pretended"
    assert REMOVED == []


async def test_a_tool_of_its_own_that_fails_is_an_exception_it_may_catch() -> None:
    def remove_user(user: str) -> str:
        """Fails."""
        raise KeyError(user)

    async def careful(user: str, ctx: Context) -> str:
        """Tries."""
        try:
            await ctx.call_tool("remove_user", user=user)
        except ToolError as error:
            return f"caught {error}"
        return "removed"

    agent = office(careful, tools=[remove_user])
    assert (await agent.ask()).text == "caught KeyError: 'bob'"
    assert agent.names == ["workflow_call", "tool_call", "tool_error", "workflow_result", "response_text"]


@pytest.mark.parametrize(
    ("name", "args", "problem"),
    [("remove_all", {}, "there is no tool"), ("remove_user", {"user": ["bob"]}, "user")],
)
async def test_a_call_that_cannot_be_made_is_an_exception(name: str, args: Any, problem: str) -> None:
    async def wrong(user: str, ctx: Context) -> None:
        """Wrong."""
        await ctx.call_tool(name, args)

    agent = office(wrong)
    await agent.ask()
    assert agent.names == ["workflow_call", "tool_error", "tool_error", "response_text"]
    assert problem in agent.heard[1][1]["message"]


async def test_a_guard_that_raises_ends_the_run_also_where_the_workflow_catches_it() -> None:
    async def stubborn(user: str, ctx: Context) -> str:
        """Does not take no for an answer."""
        try:
            await ctx.call_tool("remove_user", user=user)
        except Exception:
            return "never mind"
        return "removed"

    def guard(name: str, value: Any, ctx: Any) -> None:
        if name == "tool_call":
            raise ValueError("policy")

    agent = office(stubborn, middleware=[Hook(onIntent=guard)])
    with pytest.raises(MiddlewareError, match="policy"):
        await agent.ask()
    assert agent.names == ["workflow_call", "error"]
    assert REMOVED == []
    check_history(agent.session.turns)


async def test_its_tools_may_run_side_by_side() -> None:
    meet = asyncio.Barrier(2)

    async def remove_user(user: str) -> str:
        """Waits for the other."""
        await meet.wait()
        return user

    async def both(user: str, ctx: Context) -> list[str]:
        """Two at once."""
        return list(await asyncio.gather(*(ctx.call_tool("remove_user", user=name) for name in "ab")))

    agent = office(both, tools=[remove_user])
    async with asyncio.timeout(5):
        assert (await agent.ask()).text == '["a","b"]'


async def test_a_workflow_may_call_the_same_tool_as_often_as_it_likes() -> None:
    async def poll(user: str, ctx: Context) -> str:
        """Asks again and again."""
        for _ in range(10):
            await ctx.call_tool("remove_user", user=user)
        return "done"

    agent = office(poll)
    assert (await agent.ask()).text == "done"


async def test_what_a_workflow_raises_is_read_by_the_model() -> None:
    async def fails(user: str) -> str:
        """Fails."""
        raise LookupError("no such user")

    agent = office(fails)
    await agent.ask()
    assert agent.names == ["workflow_call", "tool_error", "response_text"]
    assert "LookupError: no such user" in agent.heard[1][1]["message"]


async def test_approval_holds_inside() -> None:
    agent = office(
        tools=[{"use": remove_user, "approve": "ask"}], context={"is_admin": True}, approver=lambda _: False
    )
    await agent.ask()
    assert "tool_skipped" in agent.names
    assert REMOVED == []


async def test_a_workflow_can_be_skipped() -> None:
    def skip(name: str, value: Any, ctx: Any) -> Any:
        return {"skip": True} if name == "workflow_call" else None

    agent = office(context={"is_admin": True}, middleware=[Hook(onIntent=skip)])
    await agent.ask()
    assert agent.names == ["workflow_call", "workflow_skipped", "response_text"]
    assert REMOVED == []
