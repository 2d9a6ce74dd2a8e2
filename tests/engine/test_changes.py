"""What hooks may change of a run beside their return values: the input, turns, arguments, pieces."""

from __future__ import annotations

from typing import Any

import pytest

from auwgent.engine.agent import ApprovalRequest
from auwgent.errors import ToolError
from auwgent.session import Text, Turn
from tests.support.bench import Hook, bench, calls


def shout(word: str) -> str:
    """Say it loud."""
    return word.upper()


CALL = calls(("shout", {"word": "secret"}))


def starting(work: Any) -> Hook:
    return Hook(onRunStart=lambda session, ctx: work(ctx))


def set_input(text: Any) -> Hook:
    def work(ctx: Any) -> None:
        ctx.input = text

    return starting(work)


@pytest.mark.parametrize("given", ["hidden", [{"type": "text", "text": "hidden"}]])
async def test_the_input_is_what_the_start_of_the_run_made_of_it(given: Any) -> None:
    agent = bench(["You said: {user}"], middleware=[set_input(given)])
    session = await agent.ask("secret")
    assert [turn.text for turn in session.turns] == ["hidden", "You said: hidden"]


async def test_turns_are_changed_before_they_are_recorded() -> None:
    def change(turn: Turn) -> None:
        turn.content = turn.text.replace("secret", "hidden")
        for call in turn.tool_calls or ():
            call.args = {name: value.replace("secret", "hidden") for name, value in call.args.items()}

    agent = bench(
        [CALL, "a secret"], tools=[shout], middleware=[starting(lambda ctx: ctx.changeTurns(change))]
    )
    session = await agent.ask("my secret")
    assert [turn.text for turn in session.turns] == ["my hidden", "", "HIDDEN", "a hidden"]
    assert session.turns[1].tool_calls is not None
    assert session.turns[1].tool_calls[0].args == {"word": "hidden"}


async def test_what_was_said_when_a_run_was_cut_off_is_changed_too() -> None:
    def change(turn: Turn) -> None:
        turn.content = turn.text.replace("secret", "hidden")

    broken = {"text": "my secret is here", "error": {"after": 3}}
    agent = bench([broken], middleware=[starting(lambda ctx: ctx.changeTurns(change))])
    with pytest.raises(Exception, match="the script says so"):
        await agent.ask("Hi")
    assert agent.session.turns[-1].text == "my hidden is"


@pytest.mark.parametrize("replies", [["A secret"], [{"text": "A secret", "error": {"after": 1}}]])
async def test_a_change_that_fails_keeps_the_turn_out(replies: Any) -> None:
    def change(turn: Turn) -> None:
        if turn.role == "assistant":
            raise RuntimeError("no")

    agent = bench(replies, middleware=[starting(lambda ctx: ctx.changeTurns(change))])
    with pytest.raises(Exception, match=r"change failed: RuntimeError: no|the script says so"):
        await agent.ask("Hi")
    assert [turn.text for turn in agent.session.turns] == ["Hi"]


async def test_arguments_are_changed_for_the_tool_and_not_in_the_history() -> None:
    def restored(name: str, args: dict[str, Any]) -> dict[str, Any]:
        return {"word": f"real {args['word']}"}

    seen: list[Any] = []
    listener = Hook(onIntent=lambda name, value, ctx: seen.append((name, value.get("args"))))
    change = starting(lambda ctx: ctx.changeArguments(restored))
    agent = bench([CALL, "ok"], tools=[shout], middleware=[listener, change])
    session = await agent.ask()
    assert session.turns[2].text == "REAL SECRET"
    assert session.turns[1].tool_calls is not None
    assert session.turns[1].tool_calls[0].args == {"word": "secret"}
    assert seen[1:3] == [("tool_call", {"word": "real secret"}), ("tool_result", {"word": "secret"})]


async def test_a_change_of_arguments_can_tell_the_model_what_is_wrong() -> None:
    def restored(name: str, args: dict[str, Any]) -> dict[str, Any]:
        raise ToolError("ask the user again")

    change = starting(lambda ctx: ctx.changeArguments(restored))
    agent = bench([CALL, "ok"], tools=[shout], middleware=[change])
    session = await agent.ask()
    assert agent.names == ["tool_error", "response_text"]
    assert session.turns[2].text == "Error: ask the user again"


async def test_the_model_reads_an_error_as_hooks_have_left_it() -> None:
    def clean(name: str, value: dict[str, Any], ctx: Any) -> None:
        if name == "tool_error":
            value["message"] = "something went wrong"

    agent = bench([calls("nothing"), "ok"], tools=[shout], middleware=[Hook(onIntent=clean)])
    session = await agent.ask()
    assert session.turns[2].text == "Error: something went wrong"


class TestHoldingBack:
    """A middleware that lets text go only when it is whole."""

    class Holder:
        holdsBack = True

        def onIntentPartial(self, name: str, value: dict[str, Any], ctx: Any) -> None:
            value["delta"] = value["raw"].upper() if value["complete"] else ""

    async def test_what_is_held_back_is_not_shown_until_it_is_let_go(self) -> None:
        agent = bench(["One two three."], middleware=[self.Holder()])
        await agent.ask()
        assert [piece.value["delta"] for piece in agent.partials] == ["ONE TWO THREE."]
        assert agent.partials[0].value["complete"] is False

    async def test_others_hear_only_of_what_is_let_go(self) -> None:
        heard: list[Any] = []
        ear = Hook(onIntentPartial=lambda name, value, ctx: heard.append((value["delta"], value["complete"])))
        agent = bench(["One two."], middleware=[self.Holder(), ear])
        await agent.ask()
        assert heard == [("ONE TWO.", False)]

    async def test_calls_are_held_back_like_texts(self) -> None:
        agent = bench([CALL, "ok"], tools=[shout], middleware=[self.Holder()])
        await agent.ask()
        shown = [piece.value["delta"] for piece in agent.partials if piece.name == "tool_call"]
        assert shown == ["", '{"WORD": "SECRET"}']  # the first one tells that there is a call

    async def test_nobody_hears_of_a_last_piece_who_does_not_hold_back(self) -> None:
        heard: list[str] = []
        ear = Hook(onIntentPartial=lambda name, value, ctx: heard.append(value["delta"]))
        agent = bench(["One two."], middleware=[ear])
        await agent.ask()
        assert heard == ["One", " two."]


class TestAskingTheUser:
    """`ctx.approve` in a hook."""

    @staticmethod
    async def ask(ctx: Any, value: dict[str, Any]) -> Any:
        return None if await ctx.approve(value) else {"skip": True}

    @classmethod
    def asking(cls) -> Hook:
        async def hook(name: str, value: dict[str, Any], ctx: Any) -> Any:
            return await cls.ask(ctx, value) if name == "tool_call" else None

        return Hook(onIntent=hook)

    @pytest.mark.parametrize("approve", ["allow", "ask"])
    async def test_a_yes_counts_once_and_for_the_tool_itself(self, approve: str) -> None:
        requests: list[ApprovalRequest] = []

        def approver(request: ApprovalRequest) -> bool:
            requests.append(request)
            return True

        tools = [{"use": shout, "approve": approve}]
        agent = bench([CALL, "ok"], tools=tools, middleware=[self.asking()], approver=approver)
        await agent.ask()
        assert agent.names == ["tool_call", "tool_result", "response_text"]
        assert agent.run is not None
        assert [(one.run_id, one.tool, dict(one.args)) for one in requests] == [
            (agent.run.run_id, "shout", {"word": "secret"})
        ]
        assert agent.run.approved == {}

    @pytest.mark.parametrize("approver", [None, lambda request: False, lambda request: "yes"])
    async def test_all_but_a_yes_is_a_no(self, approver: Any) -> None:
        agent = bench([CALL, "ok"], tools=[shout], middleware=[self.asking()], approver=approver)
        await agent.ask()
        assert agent.names == ["tool_call", "tool_skipped", "response_text"]

    async def test_arguments_that_are_changed_after_the_yes_are_denied(self) -> None:
        def swap(name: str, value: dict[str, Any], ctx: Any) -> None:
            if name == "tool_call":
                value["args"]["word"] = "something else"

        middleware = [self.asking(), Hook(onIntent=swap)]
        agent = bench([CALL, "ok"], tools=[shout], middleware=middleware, approver=lambda request: True)
        session = await agent.ask()
        assert session.turns[2].outcome == "denied"

    @pytest.mark.parametrize("tool", [shout, {"use": shout, "approve": "ask"}], ids=["hook", "tool"])
    async def test_a_question_that_fails_is_a_no_and_names_why(self, tool: Any) -> None:
        class Panic(BaseException):
            pass

        def approver(request: ApprovalRequest) -> bool:
            raise Panic("the line is dead")

        asking = [self.asking()] if tool is shout else []
        agent = bench([CALL, "ok"], tools=[tool], middleware=asking, approver=approver)
        session = await agent.ask()
        assert session.turns[2].outcome in ("denied", "skipped")
        message = "the approver failed, which is a no to 'shout': Panic: the line is dead"
        assert ("error", {"message": message, "kind": "approval"}) in agent.heard

    async def test_the_reason_of_a_no_is_read_by_the_model(self) -> None:
        tool = {"use": shout, "approve": "ask"}
        agent = bench([CALL, "ok"], tools=[tool], approver=lambda request: "not on Sundays")
        session = await agent.ask()
        assert session.turns[2].outcome == "denied"
        assert session.turns[2].text.endswith("The user said: not on Sundays")


async def test_context_values_can_be_read_without_what_hooks_have_put_on_ctx() -> None:
    seen: list[Any] = []

    def work(ctx: Any) -> None:
        ctx["mine"] = 1
        ctx.setContext({**ctx.contextValues, "size": 3})
        seen.append(ctx.contextValues)

    agent = bench(["ok"], middleware=[starting(work)], context={"color": "blue"})
    await agent.ask()
    assert seen == [{"color": "blue", "size": 3}]


async def test_parts_of_an_input_stay_parts() -> None:
    agent = bench(["ok"], middleware=[starting(lambda ctx: None)])
    session = await agent.ask([Text(text="Hi")])
    assert session.turns[0].content == [Text(text="Hi")]
