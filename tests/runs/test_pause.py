"""A run that asks and finds nobody there pauses: it holds nothing, and goes on with the answers, from wherever."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from auwgent import ConfigError, Context, MiddlewareError, RunConflict, RunPaused, SessionNotFound
from auwgent.middleware import Approve, SQLModelSessions
from auwgent.session import now
from tests.support.bench import Hook, check_history
from tests.support.till import BOTH, Till, outcomes, texts


async def test_a_question_that_nobody_can_be_asked_pauses_the_run(url: str) -> None:
    async with Till(url) as till:
        session = await till.agent.run("Please pay", session_id="s1", run_id="r1")
        assert (session.status, till.done) == ("paused", [])
        [call] = session.pending
        assert {key: call[key] for key in ("id", "type", "args", "agent", "kind")} == {
            "id": "p1", "type": "pay", "args": {"euro": 7}, "agent": "Main", "kind": "approval",
        }  # fmt: skip
        assert [turn.role for turn in session.turns] == ["user", "assistant"]
        stored = await till.store.run("", "r1")
        assert (stored.status, stored.calls, stored.leg, stored.ended_at) == ("paused", (call,), 1, None)
        assert (await till.store.get("", "s1")).pending == [call]


@pytest.mark.parametrize(
    ("answer", "outcome", "words", "said"),
    [
        (True, "ok", "paid", "It is paid."),
        (False, "denied", "did not approve", "So it is not."),
        ("too dear", "denied", "The user said: too dear", "So it is not."),
    ],
)
async def test_the_answer_may_come_from_another_process(
    url: str, answer: Any, outcome: str, words: str, said: str
) -> None:
    async with Till(url) as till:
        await till.agent.run("Please pay", session_id="s1", run_id="r1")
    async with Till(url) as other:
        session = await other.agent.run(None, session_id="s1", answers={"p1": answer})
        assert other.done == ([7] if answer is True else [])
        assert outcomes(session) == {"p1": outcome}
        assert words in texts(session)["p1"]
        assert (session.text, session.status, session.pending) == (said, "completed", [])
        check_history(session.turns)
        assert {turn.run_id for turn in session.turns} == {"r1"}
        run = await other.store.run("", "r1")
        assert (run.status, run.leg, run.answers) == ("completed", 2, {"p1": answer})


async def test_paused_is_told_last_and_when_it_can_be_answered(url: str) -> None:
    async with Till(url) as till, Till(url) as other:
        stream = till.agent.stream("Please pay", session_id="s1")
        names = []
        async for intent in stream:
            if intent.partial:
                continue
            names.append(intent.name)
            if intent.name == "paused":
                assert intent.value["calls"][0]["id"] == "p1"
                await other.agent.run(None, session_id="s1", answers={"p1": True})
        assert names == ["model_call", "tool_call", "paused"]
        assert (stream.status, [call["id"] for call in stream.calls]) == ("paused", ["p1"])
        assert (till.done, other.done) == ([], [7])


async def test_hooks_see_legs_and_the_call_is_told_once(url: str) -> None:
    seen: list[Any] = []
    hook = Hook(
        onRunStart=lambda session, ctx: seen.append(("start", ctx.leg, ctx.input, ctx.runId)),
        onIntent=lambda name, value, ctx: seen.append((name, ctx.answered)) if name == "tool_call" else None,
        onRunComplete=lambda session, ctx: seen.append(("over", ctx.leg, ctx.status)),
    )
    async with Till(url, behind=[hook]) as till:
        first = await till.heard("Please pay", session_id="s1", run_id="r1")
        second = await till.heard(None, session_id="s1", answers={"p1": True})
    assert [name for name, _ in first] == ["tool_call", "paused"]
    assert [name for name, _ in second] == ["tool_result", "response_text"]
    assert seen == [
        ("start", 1, "Please pay", "r1"), ("tool_call", False), ("over", 1, "paused"),
        ("start", 2, None, "r1"), ("tool_call", True), ("over", 2, "completed"),
    ]  # fmt: skip


async def test_calls_that_need_no_answer_are_made_first_and_answers_may_come_one_by_one(url: str) -> None:
    async with Till(url, BOTH) as till:
        session = await till.agent.run("Please pay", session_id="s1")
        assert till.done == ["look"]
        assert outcomes(session) == {"l1": "ok"}
        assert [call["id"] for call in session.pending] == ["p1", "p2"]
        half = await till.agent.run(None, session_id="s1", answers={"p2": True})
        assert (half.status, till.done) == ("paused", ["look"])
        assert [call["id"] for call in half.pending] == ["p1"]
        with pytest.raises(RunPaused) as paused:
            await till.agent.run(None, session_id="s1")
        assert [call["id"] for call in paused.value.calls] == ["p1"]
        whole = await till.agent.run(None, session_id="s1", answers={"p1": False})
        assert till.done == ["look", 8]
        assert outcomes(whole) == {"p1": "denied", "l1": "ok", "p2": "ok"}
        assert whole.text == "Done."
        check_history(whole.turns)


async def test_answers_that_are_all_written_down_wait_for_who_goes_on(url: str) -> None:
    async with Till(url) as till:
        await till.agent.run("Please pay", session_id="s1", run_id="r1")
        run = await till.store.answer("", "r1", {"p1": True})
        assert (run.status, run.answers, till.done) == ("paused", {"p1": True}, [])
        assert (await till.agent.run(None, session_id="s1")).text == "It is paid."
        assert till.done == [7]


@pytest.mark.parametrize("wrong", [1, None, "", {"result": 1}, {"error": "x"}, [], 0.0])
async def test_an_answer_that_does_not_fit_is_refused_and_nothing_is_stored(url: str, wrong: Any) -> None:
    async with Till(url, BOTH) as till:
        await till.agent.run("Please pay", session_id="s1", run_id="r1")
        with pytest.raises(ConfigError, match="takes true, false, or a text"):
            await till.agent.run(None, session_id="s1", answers={"p1": True, "p2": wrong})
        with pytest.raises(ConfigError, match=r"does not wait for an answer to 'p3'.*p1"):
            await till.store.answer("", "r1", {"p1": True, "p3": True})
        with pytest.raises(ConfigError, match="'l1'"):
            await till.store.answer("", "r1", {"l1": True})
        assert (await till.store.run("", "r1")).answers == {}


async def test_the_same_answer_again_changes_nothing_and_a_different_one_is_refused(url: str) -> None:
    async with Till(url, BOTH) as till:
        await till.agent.run("Please pay", session_id="s1", run_id="r1")
        for _ in range(2):
            await till.store.answer("", "r1", {"p1": True})
        with pytest.raises(RunConflict, match="answered already") as conflict:
            await till.store.answer("", "r1", {"p1": False, "p2": True})
        assert conflict.value.code == "already_answered"
        assert (await till.store.run("", "r1")).answers == {"p1": True}
        done = await till.agent.run(None, session_id="s1", answers={"p1": True, "p2": True})
        again = await till.agent.run(None, session_id="s1", answers={"p2": True})
        assert (again, till.done) == (done, ["look", 7, 8])
        with pytest.raises(RunConflict) as conflict:
            await till.agent.run(None, session_id="s1", answers={"p2": "no"})
        assert conflict.value.code == "already_answered"


async def test_new_input_is_refused_and_throws_no_question_away(url: str) -> None:
    async with Till(url) as till:
        await till.agent.run("Please pay", session_id="s1", run_id="r1")
        with pytest.raises(RunPaused) as paused:
            await till.agent.run("Something else", session_id="s1", run_id="r2")
        error = paused.value
        assert (error.run_id, [call["id"] for call in error.calls]) == ("r1", ["p1"])
        assert [turn.text for turn in error.session.turns if turn.role == "user"] == ["Please pay"]
        assert error.session.pending == list(error.calls)
        assert (await till.agent.run("Please pay", run_id="r1")).status == "paused"
        await till.agent.run(None, session_id="s1", answers={"p1": True})
        assert (await till.agent.run("Something else", session_id="s1", run_id="r2")).text == "Well."


async def test_a_run_that_waited_behind_one_that_paused_is_refused_at_its_turn(url: str) -> None:
    gate = asyncio.Event()

    async def hold(name: str, value: Any, ctx: Context) -> None:
        if name == "tool_call":
            await gate.wait()

    async with Till(url, behind=[Hook(onIntent=hold)]) as till, Till(url) as other:
        first = asyncio.create_task(till.agent.run("Please pay", session_id="s1"))
        await _until(other, "running")
        behind = asyncio.create_task(other.agent.run("And now?", session_id="s1", run_id="r2"))
        await _until(other, "queued")
        gate.set()
        assert (await first).status == "paused"
        with pytest.raises(RunPaused):
            await behind
        with pytest.raises(SessionNotFound):
            await other.store.run("", "r2")


async def _until(till: Till, status: str) -> None:
    """Wait until a run stands so."""
    while not await till.store.runs("", status):  # noqa: ASYNC110 - it may be in another process
        await asyncio.sleep(0.01)


async def test_two_who_answer_at_once_go_on_once(url: str) -> None:
    async with Till(url, takes=0.2) as till, Till(url, takes=0.2) as other:
        await till.agent.run("Please pay", session_id="s1")
        sessions = await asyncio.gather(
            *(
                one.agent.run(None, session_id="s1", answers={"p1": True})
                for one in (till, other, till, other)
            )
        )
        assert till.done + other.done == [7]
        assert {session.text for session in sessions} == {"It is paid."}


@pytest.mark.parametrize("kind", ["no store", "context"])
async def test_where_nothing_can_be_kept_a_question_is_a_no(url: str, kind: str) -> None:
    async with Till(None if kind == "no store" else url) as till:
        context = {"thing": object()} if kind == "context" else None
        session = await till.agent.run("Please pay", session_id="s1", context=context)
        assert outcomes(session) == {"p1": "denied"}
        assert session.text == "So it is not."
        if kind == "no store":
            with pytest.raises(ConfigError, match="`answers` needs a store"):
                await till.agent.run(None, session_id="s1", answers={"p1": True})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input": "Hm", "session_id": "s1", "answers": {"p1": True}}, "without new input"),
        ({"answers": {"p1": True}}, "need the `session_id`"),
        ({"session_id": "s1", "answers": {}}, "should be answers by the ids"),
        ({"session_id": "s1", "answers": ["p1"]}, "should be answers by the ids"),
        ({"session_id": "s2", "answers": {"p1": True}}, "no run of session 's2' waits"),
    ],
)
async def test_answers_that_cannot_be_are_told(url: str, options: Any, words: str) -> None:
    async with Till(url) as till:
        await till.agent.run("Please pay", session_id="s1")
        with pytest.raises(ConfigError, match=words):
            await till.agent.run(**{"input": None, **options})
        assert (await till.store.get("", "s1")).status == "paused"


async def test_an_approver_may_say_not_now(url: str) -> None:
    answers: list[Any] = [None, True]
    async with Till(url, on_approval=lambda request: answers.pop(0)) as till:
        assert (await till.agent.run("Please pay", session_id="s1")).status == "paused"
        await till.agent.run(None, session_id="s1", answers={"p1": True})
        assert (till.done, answers) == ([7], [True])  # nobody is asked what was answered


async def test_a_rule_that_asks_pauses_too(url: str) -> None:
    rules = [{"tools": "pay", "then": "ask"}]
    approve = Approve(rules, default="allow")
    async with Till(url, approve="allow", behind=[approve]) as till:
        first = await till.heard("Please pay", session_id="s1")
        assert [name for name, _ in first] == ["tool_call", "paused"]
        session = await till.agent.run(None, session_id="s1", answers={"p1": True})
        assert (till.done, session.text) == ([7], "It is paid.")
        await till.agent.run("Please pay", session_id="s2")
        session = await till.agent.run(None, session_id="s2", answers={"p1": "no money"})
        assert "no money" in texts(session)["p1"]
        assert outcomes(session) == {"p1": "denied"}


async def test_a_hook_may_still_skip_what_was_answered_or_change_it(url: str) -> None:
    def guard(name: str, value: Any, ctx: Context) -> Any:
        if name == "tool_call" and ctx.answered:
            if ctx.sessionId == "skip":
                return {"skip": True}
            value["args"]["euro"] = 9
        return None

    async with Till(url, behind=[Hook(onIntent=guard)]) as till:
        for session_id in ("skip", "change"):
            await till.agent.run("Please pay", session_id=session_id)
        skipped = await till.agent.run(None, session_id="skip", answers={"p1": True})
        assert (outcomes(skipped), till.done) == ({"p1": "skipped"}, [])
        await till.agent.run(None, session_id="change", answers={"p1": True})
        assert till.done == [9]


async def test_siblings_of_a_question_may_fail(url: str) -> None:
    calls = [
        {"id": "b1", "name": "fail"},
        {"id": "p1", "name": "pay", "args": {"euro": 7}},
        {"id": "x1", "name": "nowhere"},
        {"id": "e1", "name": "pay", "args": {"euro": "x"}},
    ]
    replies = [{"when": "pay", "tool_calls": calls}, "Done."]
    async with Till(url, replies) as till:
        session = await till.agent.run("Please pay", session_id="s1")
        assert outcomes(session) == {"b1": "error", "x1": "error", "e1": "error"}
        session = await till.agent.run(None, session_id="s1", answers={"p1": True})
        assert outcomes(session) == {"b1": "error", "p1": "ok", "x1": "error", "e1": "error"}
        assert till.done == ["fail", 7]
        check_history(session.turns)


async def test_a_hook_that_fails_meanwhile_ends_the_run_and_the_question(url: str) -> None:
    def fail(name: str, value: Any, ctx: Context) -> None:
        if name == "tool_result":
            raise ValueError("no")

    async with Till(url, BOTH, behind=[Hook(onIntent=fail)]) as till:
        with pytest.raises(MiddlewareError):
            await till.agent.run("Please pay", session_id="s1")
        session = await till.store.get("", "s1")
        assert (session.status, session.pending) == ("failed", [])
        assert outcomes(session) == {"p1": "skipped", "l1": "unknown", "p2": "skipped"}


async def test_a_run_may_pause_again_and_again(url: str) -> None:
    replies = [
        {"tool_calls": [{"id": "p1", "name": "pay", "args": {"euro": 1}}]},
        {"tool_calls": [{"id": "p2", "name": "pay", "args": {"euro": 2}}]},
        {"tool_calls": [{"id": "p3", "name": "pay", "args": {"euro": 3}}]},
        "Done.",
    ]
    async with Till(url, replies) as till:
        session = await till.agent.run("Please pay", session_id="s1", run_id="r1")
        for number in (1, 2, 3):
            assert [call["id"] for call in session.pending] == [f"p{number}"]
            session = await till.agent.run(None, session_id="s1", answers={f"p{number}": True})
        assert (till.done, session.text) == ([1, 2, 3], "Done.")
        run = await till.store.run("", "r1")
        assert (run.leg, run.attempt, run.status) == (4, 4, "completed")
        with pytest.raises(RunConflict):
            await till.store.answer("", "r1", {"p1": False})


async def test_context_profile_and_overrides_go_along(url: str) -> None:
    more: dict[str, Any] = {
        "agent": {"prompt": "For {{ ctx.who }}, {{ ctx.how }}."},
        "context": {"who": "nobody", "how": "slowly"},
        "profiles": {"quick": {"context": {"how": "quickly"}}},
    }
    prompts: list[str] = []
    hook = Hook(onLLMStart=lambda prompt, ctx: prompts.append(ctx.systemPrompt))
    async with Till(url, behind=[hook], **more) as till:
        await till.agent.run("Please pay", session_id="s1", context={"who": "Ada"}, profile="quick")
    async with Till(url, behind=[hook], **more) as other:
        await other.agent.run(None, session_id="s1", answers={"p1": True})
    assert prompts == ["For Ada, quickly."] * 2


async def test_what_nobody_answers_in_time_is_denied_and_the_run_is_over(url: str) -> None:
    async with Till(url, limits={"approval": "1s"}) as till:
        for session_id in ("s1", "s2", "s3"):
            session = await till.agent.run("Please pay", session_id=session_id, run_id=f"r-{session_id}")
        assert timedelta(0) < _expires(session) - now() < timedelta(seconds=1)
        await asyncio.sleep(1.1)
        assert [run.status for run in await till.store.runs("")] == ["cancelled"] * 3
        assert await till.store.runs("", "paused") == []
        with pytest.raises(RunConflict, match="too late") as late:
            await till.agent.run(None, session_id="s1", answers={"p1": True})
        assert late.value.code == "expired"
        session = await till.agent.run("And now?", session_id="s2")
        assert (session.text, outcomes(session), till.done) == ("Well.", {"p1": "denied"}, [])
        check_history(session.turns)
        for session_id in ("s1", "s3"):
            session = await till.store.get("", session_id)
            assert (outcomes(session), session.status, session.pending) == ({"p1": "denied"}, "cancelled", [])
        assert (await till.store.run("", "r-s2")).error["kind"] == "expired"


def _expires(session: Any) -> datetime:
    return datetime.fromisoformat(session.pending[0]["expires"])


async def test_forks_and_exports_have_no_questions_and_cannot_be_answered(url: str) -> None:
    async with Till(url) as till:
        await till.agent.run("Please pay", session_id="s1", run_id="r1")
        await till.store.fork("", "s1", "s2")
        fork = await till.store.get("", "s2")
        assert (outcomes(fork), fork.pending, fork.status) == ({"p1": "skipped"}, [], "")
        await till.store.put((await till.store.get("", "s1")).model_copy(update={"id": "s3"}))
        assert outcomes(await till.store.get("", "s3")) == {"p1": "skipped"}
        with pytest.raises(ConfigError, match="no run of session 's2' waits"):
            await till.agent.run(None, session_id="s2", answers={"p1": True})
        assert (await till.agent.run("And now?", session_id="s2")).text == "Well."
        assert (await till.agent.run(None, session_id="s1", answers={"p1": True})).text == "It is paid."


async def test_prune_leaves_what_waits_and_delete_cancels_it(url: str) -> None:
    async with Till(url) as till:
        await till.agent.run("Please pay", session_id="s1", run_id="r1")
        assert await till.store.prune("", before=now()) == 0
        await till.store.delete("", "s1")
        run = await till.store.run("", "r1")
        assert (run.status, run.session_id, run.calls, run.answers) == ("cancelled", None, (), {})
        with pytest.raises(RunConflict, match="is cancelled"):
            await till.agent.run(None, run_id="r1", answers={"p1": True})


async def test_the_config_of_now_decides(url: str) -> None:
    async with Till(url) as till:
        for number in range(4):
            await till.agent.run("Please pay", session_id=f"s{number}")
    gone = Till(url, agent={"tools": []})
    denies = Till(url, approve="deny")
    allows = Till(url, approve="allow")

    async def pay(euro: str, why: str) -> str:
        """Pays."""
        raise AssertionError("it was called")

    changed = Till(url, agent={"tools": [{"use": pay, "approve": "ask"}]})
    expected = [
        (gone, "error", "there is no tool 'pay'"),
        (denies, "denied", ""),
        (allows, "ok", ""),
        (changed, "error", "why"),
    ]
    for number, (till, outcome, words) in enumerate(expected):
        async with till:
            session = await till.agent.run(None, session_id=f"s{number}", answers={"p1": True})
            assert outcomes(session) == {"p1": outcome}
            assert words in texts(session)["p1"]
            assert till.done == ([7] if till is allows else [])
            check_history(session.turns)


@pytest.mark.parametrize("on_busy", ["queue", "reject", "fork"])
async def test_new_input_is_refused_however_busy_sessions_are_treated(url: str, on_busy: Any) -> None:
    async with Till(None, middleware=[SQLModelSessions(url, on_busy=on_busy)]) as till:
        await till.agent.run("Please pay", session_id="s1")
        with pytest.raises(RunPaused):
            await till.agent.run("And now?", session_id="s1")
        assert [info.id for info in await till.store.list_sessions("")] == ["s1"]


async def test_another_users_run_cannot_be_answered(url: str) -> None:
    async with Till(url) as till:
        await till.agent.run("Please pay", session_id="s1", user_id="ada", run_id="r1")
        with pytest.raises(SessionNotFound):
            await till.store.answer("bob", "r1", {"p1": True})
        with pytest.raises(ConfigError):
            await till.agent.run(None, session_id="s1", user_id="bob", answers={"p1": True})
        await till.agent.run(None, session_id="s1", user_id="ada", answers={"p1": True})
        assert till.done == [7]


async def test_what_a_run_used_is_told_of_all_its_legs(url: str) -> None:
    async with Till(url) as till:
        used: list[Any] = []
        for said, answers in (("Please pay", None), (None, {"p1": True})):
            stream = till.agent.stream(said, session_id="s1", answers=answers)
            async for _ in stream:
                pass
            used.append(stream.usage)
        run = await till.store.run("", stream.run_id)
        session = await till.store.get("", "s1")
    assert used[0].output_tokens < used[1].output_tokens
    assert used[1] == run.usage == session.usage_of(run.run_id)
